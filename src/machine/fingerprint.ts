/**
 * The fingerprint of a run: a 64-bit hash over everything that was scheduled, fed as it happens.
 *
 * Two runs with the same options and seed must end with the same fingerprint, on any machine. Two independent 32-bit
 * multiplicative hashes; not cryptographic, only sensitive.
 */
export class Fingerprint {
	private h1 = 0x9e3779b9 | 0;
	private h2 = 0x85ebca6b | 0;
	/** number of values hashed so far */
	count = 0;

	/** Mixes in a time (up to 2^53) and a small value. */
	add(time: number, value: number): void {
		const low = time | 0;
		const high = (time / 0x1_0000_0000) | 0;
		this.h1 = Math.imul(this.h1 ^ low ^ (value << 16), 0x01000193) ^ (this.h1 >>> 15);
		this.h2 = Math.imul((this.h2 + low + Math.imul(value, 0x27d4eb2f) + high) | 0, 0x2c1b3c6d) ^ (this.h2 >>> 13);
		this.count++;
	}

	/** Mixes in another machine's fingerprint, as it is now. */
	absorb(other: Fingerprint): void {
		this.add(other.h1 >>> 0, other.h2);
		this.count += other.count;
	}

	/** 16 hexadecimal digits. */
	toString(): string {
		return (this.h1 >>> 0).toString(16).padStart(8, "0") + (this.h2 >>> 0).toString(16).padStart(8, "0");
	}
}
