/**
 * HMAC over BLAKE2s. BLAKE2s can be keyed without it, but Noise defines its key derivation with HMAC, so WireGuard needs both.
 *
 * @see wireguard-freebsd crypto.c blake2s_hmac (later wg_noise.c hmac); RFC 2104
 */
import {
	BLAKE2S_BLOCKBYTES,
	BLAKE2S_OUTBYTES,
	blake2s_final,
	blake2s_init,
	blake2s_state,
	blake2s_update,
} from "./blake2s.ts";

/** The bytes RFC 2104 mixes into the key for the inner and the outer hash. */
const IPAD = 0x36;
const OPAD = 0x5c;

/**
 * Writes the first `outlen` (at most 32) bytes of the MAC of `input`. A key longer than a block is hashed first.
 * `out` may be `input` or `key`: it is written last.
 */
export function blake2s_hmac(
	out: Uint8Array,
	input: Uint8Array,
	key: Uint8Array,
	outlen: number,
	inlen: number,
	keylen: number,
): void {
	const state = new blake2s_state();
	const x_key = new Uint8Array(BLAKE2S_BLOCKBYTES);
	const i_hash = new Uint8Array(BLAKE2S_OUTBYTES);

	if (keylen > BLAKE2S_BLOCKBYTES) {
		blake2s_init(state, BLAKE2S_OUTBYTES);
		blake2s_update(state, key, keylen);
		blake2s_final(state, x_key, BLAKE2S_OUTBYTES);
	} else {
		x_key.set(key.subarray(0, keylen));
	}

	for (let i = 0; i < BLAKE2S_BLOCKBYTES; i++) {
		x_key[i] = x_key[i] ^ IPAD;
	}
	blake2s_init(state, BLAKE2S_OUTBYTES);
	blake2s_update(state, x_key, BLAKE2S_BLOCKBYTES);
	blake2s_update(state, input, inlen);
	blake2s_final(state, i_hash, BLAKE2S_OUTBYTES);

	for (let i = 0; i < BLAKE2S_BLOCKBYTES; i++) {
		x_key[i] = x_key[i] ^ IPAD ^ OPAD;
	}
	blake2s_init(state, BLAKE2S_OUTBYTES);
	blake2s_update(state, x_key, BLAKE2S_BLOCKBYTES);
	blake2s_update(state, i_hash, BLAKE2S_OUTBYTES);
	blake2s_final(state, i_hash, BLAKE2S_OUTBYTES);

	out.set(i_hash.subarray(0, outlen));
	x_key.fill(0);
	i_hash.fill(0);
}
