/**
 * `<crypto/siphash/siphash.h>`: SipHash-c-d, a short keyed hash. The driver uses it for its hash tables, so that nobody who does not
 * know the table's key can choose addresses or public keys that all fall into one bucket.
 *
 * 64-bit words are pairs of 32-bit halves here. FreeBSD also has a streaming interface, which the driver does not need.
 *
 * @see sys/crypto/siphash/siphash.c; Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012
 */
export const SIPHASH_KEY_LENGTH = 16;

/** The four words of the state; even elements are low halves, odd ones high halves. */
export class SIPHASH_CTX {
	readonly v: Uint32Array;
	constructor() {
		this.v = new Uint32Array(8);
	}
}

/** Adds word `b` to word `a`. */
function add(v: Uint32Array, a: number, b: number): void {
	const low = v[a] + v[b];
	v[a + 1] = v[a + 1] + v[b + 1] + (low > 0xffffffff ? 1 : 0);
	v[a] = low;
}

/** Rotates word `a` left by `bits`, 1 to 31. */
function rotate(v: Uint32Array, a: number, bits: number): void {
	const low = v[a];
	const high = v[a + 1];
	v[a] = (low << bits) | (high >>> (32 - bits));
	v[a + 1] = (high << bits) | (low >>> (32 - bits));
}

/** Rotates word `a` by half its length. */
function rotate32(v: Uint32Array, a: number): void {
	const low = v[a];
	v[a] = v[a + 1];
	v[a + 1] = low;
}

function xor(v: Uint32Array, a: number, b: number): void {
	v[a] = v[a] ^ v[b];
	v[a + 1] = v[a + 1] ^ v[b + 1];
}

/** @see siphash.c SipRounds */
function SipRounds(v: Uint32Array, rounds: number): void {
	for (let i = 0; i < rounds; i++) {
		add(v, 0, 2);
		add(v, 4, 6);
		rotate(v, 2, 13);
		rotate(v, 6, 16);
		xor(v, 2, 0);
		xor(v, 6, 4);
		rotate32(v, 0);
		add(v, 4, 2);
		add(v, 0, 6);
		rotate(v, 2, 17);
		rotate(v, 6, 21);
		xor(v, 2, 4);
		xor(v, 6, 0);
		rotate32(v, 4);
	}
}

/**
 * Hashes `len` bytes with `rc` rounds a word and `rf` at the end, and leaves `ctx` wiped.
 *
 * @returns the 64-bit hash
 * @see siphash.c SipHashX
 */
export function SipHashX(
	ctx: SIPHASH_CTX,
	rc: number,
	rf: number,
	key: Uint8Array,
	src: Uint8Array,
	len: number,
): bigint {
	const v = ctx.v;
	const k = new DataView(key.buffer, key.byteOffset, SIPHASH_KEY_LENGTH);
	const k0 = k.getUint32(0, true);
	const k1 = k.getUint32(4, true);
	const k2 = k.getUint32(8, true);
	const k3 = k.getUint32(12, true);

	// the constants spell "somepseudorandomlygeneratedbytes"
	v[0] = k0 ^ 0x70736575;
	v[1] = k1 ^ 0x736f6d65;
	v[2] = k2 ^ 0x6e646f6d;
	v[3] = k3 ^ 0x646f7261;
	v[4] = k0 ^ 0x6e657261;
	v[5] = k1 ^ 0x6c796765;
	v[6] = k2 ^ 0x79746573;
	v[7] = k3 ^ 0x74656462;

	for (let at = 0; at <= len; at += 8) {
		let low = 0;
		let high = 0;
		for (let i = Math.min(8, len - at) - 1; i >= 0; i--) {
			if (i >= 4) high |= src[at + i] << (8 * (i - 4));
			else low |= src[at + i] << (8 * i);
		}
		// the last word is padded, and its highest byte counts the bytes of the message
		if (len - at < 8) high |= (len & 0xff) << 24;
		v[6] = v[6] ^ low;
		v[7] = v[7] ^ high;
		SipRounds(v, rc);
		v[0] = v[0] ^ low;
		v[1] = v[1] ^ high;
	}
	v[4] = v[4] ^ 0xff;
	SipRounds(v, rf);

	const low = (v[0] ^ v[2] ^ v[4] ^ v[6]) >>> 0;
	const high = (v[1] ^ v[3] ^ v[5] ^ v[7]) >>> 0;
	v.fill(0);
	return (BigInt(high) << 32n) | BigInt(low);
}
