/**
 * Named random streams: one per consumer, each seeded from (run seed, name), so that one more draw somewhere does not
 * change what anyone else sees. That is what lets two policies meet the same packets at the same times.
 *
 * The generator is sfc32 (PractRand's "small fast counting", C. Doty-Humphrey): 32-bit integer operations only, so every
 * JavaScript engine gives the same numbers.
 */
export class RandomStream {
	private a: number;
	private b: number;
	private c: number;
	private counter = 1;

	constructor(seed: number, name: string) {
		let hash = 0x811c9dc5; // FNV-1a over the name, then mixed with both halves of the seed
		for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
		this.a = hash | 0;
		this.b = seed | 0;
		this.c = Math.floor(seed / 0x1_0000_0000) | 0;
		for (let i = 0; i < 15; i++) this.uint32();
	}

	/** An integer in [0, 2^32). */
	uint32(): number {
		const t = (((this.a + this.b) | 0) + this.counter) | 0;
		this.counter = (this.counter + 1) | 0;
		this.a = this.b ^ (this.b >>> 9);
		this.b = (this.c + (this.c << 3)) | 0;
		this.c = (((this.c << 21) | (this.c >>> 11)) + t) | 0;
		return t >>> 0;
	}

	/** An integer in [0, bound), without modulo bias, bound at most 2^32. */
	uniform(bound: number): number {
		if (bound < 2) return 0;
		const min = 0x1_0000_0000 % bound;
		for (;;) {
			const x = this.uint32();
			if (x >= min) return x % bound;
		}
	}

	/** Fills `buf` with random bytes. */
	fill(buf: Uint8Array): void {
		for (let i = 0; i < buf.length; i += 4) {
			const x = this.uint32();
			const end = Math.min(4, buf.length - i);
			for (let j = 0; j < end; j++) buf[i + j] = x >>> (8 * j);
		}
	}
}

/** All streams of one run, made on first use. */
export class RandomStreams {
	readonly seed: number;
	private readonly prefix: string;
	private readonly streams = new Map<string, RandomStream>();
	/** `owner`: of several machines in one run, the one whose streams these are */
	constructor(seed: number, owner = "") {
		this.seed = seed;
		this.prefix = owner === "" ? "" : `${owner}: `;
	}
	stream(name: string): RandomStream {
		let stream = this.streams.get(name);
		if (stream === undefined) {
			stream = new RandomStream(this.seed, this.prefix + name);
			this.streams.set(name, stream);
		}
		return stream;
	}
}
