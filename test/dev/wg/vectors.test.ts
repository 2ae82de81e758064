/** The driver's handshake primitives and cookies against what other implementations of the protocol publish. */
import { blake2s as noble_blake2s } from "@noble/hashes/blake2.js";
import { beforeEach, describe, expect, test } from "vitest";
import {
	chacha20_poly1305_decrypt,
	chacha20_poly1305_encrypt,
} from "../../../src/crypto/chacha20_poly1305/chacha20_poly1305.ts";
import { curve25519_clamp_secret, curve25519_generate_public } from "../../../src/crypto/curve25519/curve25519.ts";
import {
	COOKIE_ENCRYPTED_SIZE,
	COOKIE_NONCE_SIZE,
	cookie_checker,
	cookie_checker_create_payload,
	cookie_checker_free,
	cookie_checker_init,
	cookie_checker_update,
	cookie_checker_validate_macs,
	cookie_deinit,
	cookie_init,
	cookie_macs,
	cookie_maker,
	cookie_maker_consume_payload,
	cookie_maker_free,
	cookie_maker_init,
	cookie_maker_mac,
} from "../../../src/dev/wg/wg_cookie.ts";
import { blake2s } from "../../../src/dev/wg/wg_crypto_blake2s.ts";
import {
	noise_kdf,
	noise_mix_dh,
	noise_mix_hash,
	noise_mix_psk,
	noise_msg_decrypt,
	noise_msg_encrypt,
	noise_msg_ephemeral,
} from "../../../src/dev/wg/wg_noise.ts";
import { EAGAIN, EINVAL } from "../../../src/kernel/errno.ts";
import { sockaddr_in } from "../../../src/kernel/netinet/in.ts";
import { arc4random_buf } from "../../../src/kernel/sched/kernel.ts";
import { ascii, bootKernel, bytes, hex } from "../../crypto/support.ts";
import { inThread, world } from "./support.ts";

/**
 * Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s of cacophony's vectors, as the Rust implementation snow ships them
 * (tests/vectors/cacophony.txt at 8ac60f51cfe3e010c84f0a454cc575ad9204fa12).
 */
const noise = {
	name: "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s",
	prologue: "4a6f686e2047616c74",
	psk: "54686973206973206d7920417573747269616e20706572737065637469766521",
	init_static: "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
	init_ephemeral: "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
	resp_static_public: "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62",
	resp_static: "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
	resp_ephemeral: "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
	handshake_hash: "f5191b875290abcd41347ac3622d9679688a7e980229cb937ef748336cfde0e5",
	messages: [
		[
			"4c756477696720766f6e204d69736573",
			"ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944001e21de9f98ddd8e2ad57527207feb56253c9c94a9e496782ecfcb2a75fbcaf1b52948cc48daefe660c62119ab5000980c84831215f2441eba616548e832985464cf17e51ee93109008399a21f7e13f",
		],
		[
			"4d757272617920526f746862617264",
			"95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843cb765f2caef0751b8f007572dab0322217755c0632f365717edbf34d33e87a",
		],
		["462e20412e20486179656b", "8153ca9833bc3c1b91a7e66e5f4d4f5b59bf9e64c2f20d15f0bba7"],
		["4361726c204d656e676572", "07af0c9c86e1b4e80f36b04ff7688d51141af3debd0332f0a705ef"],
		["4a65616e2d426170746973746520536179", "6ab1467c0448cc78394494abaaf23afce0e234315d6e2624dcbfa8a21c1c4d073d"],
		[
			"457567656e2042f6686d20766f6e2042617765726b",
			"dfc346c0d2296ae6cf1acf6f12b8456a1dba228cf8d8b774aacf1c47fc53aa80ebc7a4c292",
		],
	],
} as const;

/** One party's running state, moved on by the driver's own functions. */
class party {
	readonly ck = new Uint8Array(32);
	readonly hash = new Uint8Array(32);
	readonly key = new Uint8Array(32);

	/** noise_param_init with the vector's name and prologue in place of WireGuard's */
	constructor() {
		const name = ascii(noise.name);
		blake2s(this.ck, name, null, 32, name.length, 0);
		this.hash.set(this.ck);
		noise_mix_hash(this.hash, bytes(noise.prologue), noise.prologue.length / 2);
		noise_mix_hash(this.hash, bytes(noise.resp_static_public), 32);
	}

	dh(secret: Uint8Array, point: Uint8Array): void {
		expect(noise_mix_dh(this.ck, this.key, secret, point)).toBe(0);
	}

	seal(text: Uint8Array): Uint8Array {
		const out = new Uint8Array(text.length + 16);
		noise_msg_encrypt(out, text, text.length, this.key, this.hash);
		return out;
	}

	open(box: Uint8Array): Uint8Array {
		const out = new Uint8Array(box.length - 16);
		expect(noise_msg_decrypt(out, box, box.length, this.key, this.hash)).toBe(0);
		return out;
	}

	/** the two keys of the session */
	split(): [Uint8Array, Uint8Array] {
		const first = new Uint8Array(32);
		const second = new Uint8Array(32);
		noise_kdf(first, second, null, null, 32, 32, 0, 0, this.ck);
		return [first, second];
	}
}

function secret(text: string): Uint8Array {
	const key = bytes(text);
	curve25519_clamp_secret(key);
	return key;
}

function public_of(key: Uint8Array): Uint8Array {
	const out = new Uint8Array(32);
	curve25519_generate_public(out, key);
	return out;
}

describe("Noise IKpsk2", () => {
	beforeEach(() => bootKernel());

	test("the driver's primitives, put together as in its handshake, give the published messages and session", () => {
		const [m1, m2] = noise.messages;
		const init_s = secret(noise.init_static);
		const init_e = secret(noise.init_ephemeral);
		const resp_s = secret(noise.resp_static);
		const resp_e = secret(noise.resp_ephemeral);
		expect(hex(public_of(resp_s))).toBe(noise.resp_static_public);
		const psk = bytes(noise.psk);
		const initiator = new party();
		const responder = new party();

		// e, es, s, ss
		const ue = public_of(init_e);
		noise_msg_ephemeral(initiator.ck, initiator.hash, ue);
		initiator.dh(init_e, public_of(resp_s));
		const es = initiator.seal(public_of(init_s));
		initiator.dh(init_s, public_of(resp_s));
		const payload = initiator.seal(bytes(m1[0]));
		expect(hex(ue) + hex(es) + hex(payload)).toBe(m1[1]);

		noise_msg_ephemeral(responder.ck, responder.hash, ue);
		responder.dh(resp_s, ue);
		const who = responder.open(es);
		expect(hex(who)).toBe(hex(public_of(init_s)));
		responder.dh(resp_s, who);
		expect(hex(responder.open(payload))).toBe(m1[0]);

		// e, ee, se, psk
		const ure = public_of(resp_e);
		noise_msg_ephemeral(responder.ck, responder.hash, ure);
		responder.dh(resp_e, ue);
		responder.dh(resp_e, who);
		noise_mix_psk(responder.ck, responder.hash, responder.key, psk);
		const answer = responder.seal(bytes(m2[0]));
		expect(hex(ure) + hex(answer)).toBe(m2[1]);

		noise_msg_ephemeral(initiator.ck, initiator.hash, ure);
		initiator.dh(init_e, ure);
		initiator.dh(init_s, ure);
		noise_mix_psk(initiator.ck, initiator.hash, initiator.key, psk);
		expect(hex(initiator.open(answer))).toBe(m2[0]);
		expect(hex(initiator.hash)).toBe(noise.handshake_hash);
		expect(hex(responder.hash)).toBe(noise.handshake_hash);

		const keys = initiator.split();
		expect(responder.split().map(hex)).toEqual(keys.map(hex));
		for (const [i, [text, box]] of noise.messages.slice(2).entries()) {
			// the initiator speaks first, then in turn, each with its own key and counter
			const nonce = new Uint8Array(8);
			nonce[0] = i >> 1;
			const sealed = new Uint8Array(box.length / 2);
			const opened = new Uint8Array(text.length / 2);
			chacha20_poly1305_encrypt(sealed, bytes(text), opened.length, null, 0, nonce, 8, keys[i % 2]);
			expect(hex(sealed)).toBe(box);
			expect(chacha20_poly1305_decrypt(opened, sealed, sealed.length, null, 0, nonce, 8, keys[i % 2])).toBe(true);
			expect(hex(opened)).toBe(text);
		}
	});
});

/** The messages of wireguard-go's device/cookie_test.go at f333402bd9cbe0f3eeb02507bd14e23d7d639280; the last two are used with a cookie. */
const cookie_messages = {
	without: [
		"99bba5fc99aa83bd7b00c59a4cb9cf624023f38ed8d062645db28013dacec69161d630f132b3a2f47b43b5a7e2b1f56c746bb0cd1f94867bc8fb92ed549b44f5c87db78eff49c4e8397c19e0601951f8e48e02f17f1dcc8eb007fff8af7f668283cc7cfa80db8153adf7d80c10e020fde80b3f9015cd93ad0bd50ccc8856e43f",
		"33e72a849fff576c2dc32de1f55c9756b893c27dd441dd7a4a593b50dd7a7a8c9b96af553ceb6d0b130b9798b340c3ccb85733456e8b092b812ed2b9660b9305",
		"9b96af553ceb6d0b130b9798b340c3ccb85733456e8b092b812ed2b9660b9305",
	],
	asked:
		"6dd7c32eb076d8df30657d623ef89ae8e73c64a37848daf5256128537932869fa0279569b6bad0a2f868eaa862f2fd1be0b480e56b3a169e35f6a8f24f9a7be9770bc2b4edbaf922c30397429f797427fef9066e973aa68fc9570a544c644ae24fa1ce959b23a92b859342b0a553edeb632af16d46cb2f618ce1e8fa6720806d",
	with: [
		"0331b99eb02a54a3c13fb49616b925153d3a82f95836863f132ffeb253208c3fbaebfb4b1b2202692c90bcdccfcf85eb62666fe8e1a6a84ca004231542acfa38",
		"0e2f0ea92903e1f3240175ad16a56685ca66e0bdc634d884099a5814fb05daf590f50c4e2210c9850fe37735e96bc2553246ae25e0e3377a4b71ccfc91dfd6cafeeece3f77a2fd598e730a8d5c2414ca3891b82c8ca2657bbc49bcb558fce3d702cff74c6091ed55e9f9fed1442c75f2b35d7b2756c0484fb0bae47dd0aacd3de350d2cfb9fa4b2dc6df3b329845e68f1c5ca2207d1c28c2d4a1e021528f1cd0629748bbf4a9cb35f207d350d8a9c59a0fbd37afe14519ee41f3f7e5e0303fbe3d3964007a1a515ee1700bb9775af0c48aa13a771ae0c20691d5e91cd3feab931a0a4cbbf0ffdcaa6173cb034b7168643d823141d78b227b7da1d5856df01baa",
	],
} as const;

/** A keyed BLAKE2s of 16 bytes, by other code than the driver's. */
function mac(key: Uint8Array, ...pieces: Uint8Array[]): string {
	return hex(noble_blake2s(Buffer.concat(pieces), { key, dkLen: 16 }));
}

describe("cookies, with wireguard-go's messages", () => {
	test("mac1 and mac2 are the white paper's, each is checked, and a cookie serves its own address only", () => {
		inThread(world(), function* () {
			expect(cookie_init()).toBe(0);
			const key = new Uint8Array(32);
			arc4random_buf(key);
			const cc = new cookie_checker();
			const cm = new cookie_maker();
			cookie_checker_init(cc);
			yield* cookie_checker_update(cc, key);
			cookie_maker_init(cm, key);
			const mac1_key = noble_blake2s(Buffer.concat([ascii("mac1----"), key]), { dkLen: 32 });
			const src = new sockaddr_in(0xc0a80d25, 0x0a0a);
			const zeros = "00".repeat(16);
			const macs = new cookie_macs();

			for (const text of [...cookie_messages.without, cookie_messages.asked]) {
				const msg = bytes(text);
				yield* cookie_maker_mac(cm, macs, msg, msg.length);
				expect(hex(macs.mac1)).toBe(mac(mac1_key, msg));
				expect(hex(macs.mac2)).toBe(zeros);
				expect(yield* cookie_checker_validate_macs(cc, macs, msg, msg.length, false, src, null)).toBe(0);
				expect(yield* cookie_checker_validate_macs(cc, macs, msg, msg.length, true, src, null)).toBe(EAGAIN);
			}

			// the reply binds the message it answers: its mac1 is authenticated with the cookie
			const nonce = new Uint8Array(COOKIE_NONCE_SIZE);
			const ecookie = new Uint8Array(COOKIE_ENCRYPTED_SIZE);
			yield* cookie_checker_create_payload(cc, macs, nonce, ecookie, src);
			expect(yield* cookie_maker_consume_payload(cm, nonce, ecookie)).toBe(0);

			for (const text of cookie_messages.with) {
				const msg = bytes(text);
				yield* cookie_maker_mac(cm, macs, msg, msg.length);
				expect(hex(macs.mac1)).toBe(mac(mac1_key, msg));
				expect(hex(macs.mac2)).toBe(mac(cm.cm_cookie, msg, macs.mac1));
				expect(yield* cookie_checker_validate_macs(cc, macs, msg, msg.length, true, src, null)).toBe(0);
				msg[5] ^= 0x20;
				expect(yield* cookie_checker_validate_macs(cc, macs, msg, msg.length, true, src, null)).toBe(EINVAL);
				msg[5] ^= 0x20;
				for (const other of [new sockaddr_in(0xc0a80d25, 0x2801), new sockaddr_in(0xc0a80d26, 0x2801)]) {
					expect(yield* cookie_checker_validate_macs(cc, macs, msg, msg.length, true, other, null)).toBe(EAGAIN);
				}
			}
			cookie_checker_free(cc);
			cookie_maker_free(cm);
			yield* cookie_deinit();
		});
	});
});
