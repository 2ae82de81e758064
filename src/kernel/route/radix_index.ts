/**
 * An index over a large tree of IPv4 prefixes, so that a longest-prefix match touches a handful of cache lines of the host
 * instead of one for each level of the tree. It answers what the tree would, and costs the simulated CPU what the tree
 * would; only the simulation itself gets faster.
 *
 * The addresses are cut into 65536 chunks by their first 16 bits. A chunk is a sorted list of ranges, each with the entry
 * that matches it best, made from the tree when the chunk is first looked into after a change.
 *
 * @see Zec, Rizzo, Mikuc: DXR, CCR 2012; netinet/in_fib_dxr.c
 */
import { RNF_ROOT, type radix_node } from "./radix.ts";

const CHUNKS = 65536;

/** A leaf's prefix length within the four address bytes that begin at `off`. */
function prefix_length(leaf: radix_node, off: number): number {
	return leaf.rn_mask === null ? 32 : Math.min(32, -1 - leaf.rn_bit - (off << 3));
}

export class radix_index {
	private readonly top: radix_node;
	private readonly off: number;
	/** where a chunk's ranges begin in the pool; -1: not made yet */
	private readonly start = new Int32Array(CHUNKS).fill(-1);
	private readonly count = new Uint16Array(CHUNKS);
	/** the best of the prefixes shorter than 16 bits, for each chunk */
	private readonly base = new Array<radix_node | null>(CHUNKS).fill(null);
	/** the prefixes shorter than 16 bits */
	private readonly short = new Set<radix_node>();
	/** a range's first address, its low 16 bits */
	private pool_first = new Uint16Array(CHUNKS);
	private readonly pool_leaf: (radix_node | null)[] = [];
	private used = 0;
	/** ranges that open chunks have; the rest of the pool is garbage */
	private live = 0;

	constructor(top: radix_node) {
		this.top = top;
		this.off = top.rn_offset;
	}

	private chunk_of(key: Uint8Array): number {
		return (key[this.off] << 8) | key[this.off + 1];
	}

	private forget(chunk: number): void {
		if (this.start[chunk] < 0) return;
		this.start[chunk] = -1;
		this.live -= this.count[chunk];
	}

	/** Makes a prefix shorter than 16 bits the best one of the chunks it covers, where there is no longer one. */
	private paint(leaf: radix_node, length: number): void {
		const first = this.chunk_of(leaf.rn_key);
		const last = first + (CHUNKS >> length) - 1;
		for (let chunk = first; chunk <= last; chunk++) {
			const old = this.base[chunk];
			if (old !== null && prefix_length(old, this.off) > length) continue;
			this.base[chunk] = leaf;
			this.forget(chunk);
		}
	}

	/** A leaf came into the tree. */
	added(leaf: radix_node): void {
		const length = prefix_length(leaf, this.off);
		if (length >= 16) {
			this.forget(this.chunk_of(leaf.rn_key));
			return;
		}
		this.short.add(leaf);
		this.paint(leaf, length);
	}

	/** A leaf left the tree. */
	removed(leaf: radix_node): void {
		const length = prefix_length(leaf, this.off);
		const first = this.chunk_of(leaf.rn_key);
		if (length >= 16) {
			this.forget(first);
			return;
		}
		this.short.delete(leaf);
		for (let chunk = first; chunk < first + (CHUNKS >> length); chunk++) {
			if (this.base[chunk] !== leaf) continue;
			this.base[chunk] = null;
			this.forget(chunk);
		}
		for (const other of this.short) {
			const wider = prefix_length(other, this.off);
			if (wider < length && this.chunk_of(other.rn_key) >> (16 - wider) === first >> (16 - wider))
				this.paint(other, wider);
		}
	}

	/** The entry that matches best; not for the address of all ones, which is the tree's business. */
	match(v: Uint8Array): radix_node | null {
		const chunk = this.chunk_of(v);
		let at = this.start[chunk];
		if (at < 0) at = this.open(chunk);
		const low = (v[this.off + 2] << 8) | v[this.off + 3];
		let n = this.count[chunk];
		const first = this.pool_first;
		while (n > 1) {
			const half = n >> 1;
			if (first[at + half] <= low) {
				at += half;
				n -= half;
			} else n = half;
		}
		return this.pool_leaf[at];
	}

	/** Makes a chunk's ranges. @returns where they begin */
	private open(chunk: number): number {
		if (this.used > CHUNKS && this.used > 4 * this.live) {
			this.start.fill(-1);
			this.used = 0;
			this.live = 0;
			this.pool_leaf.length = 0;
		}
		const begin = this.used;
		const leaves: radix_node[] = [];
		this.collect(chunk, leaves);
		const base = this.base[chunk];
		// prefixes around the address reached, outermost first, and where each ends
		const open: radix_node[] = [];
		const ends: number[] = [];
		this.emit(begin, 0, base);
		for (const leaf of leaves) {
			const key = leaf.rn_key;
			const from = (key[this.off + 2] << 8) | key[this.off + 3];
			while (open.length > 0 && ends[ends.length - 1] < from) this.close(begin, open, ends, base);
			open.push(leaf);
			ends.push(from + (1 << (32 - prefix_length(leaf, this.off))) - 1);
			this.emit(begin, from, leaf);
		}
		while (open.length > 0) this.close(begin, open, ends, base);
		this.start[chunk] = begin;
		this.count[chunk] = this.used - begin;
		this.live += this.used - begin;
		return begin;
	}

	/** The innermost prefix ends: what is around it matches again. */
	private close(begin: number, open: radix_node[], ends: number[], base: radix_node | null): void {
		open.pop();
		const next = (ends.pop() as number) + 1;
		if (next < CHUNKS) this.emit(begin, next, open.length > 0 ? open[open.length - 1] : base);
	}

	private emit(begin: number, first: number, leaf: radix_node | null): void {
		if (this.used > begin && this.pool_first[this.used - 1] === first) this.used--;
		if (this.used > begin && this.pool_leaf[this.used - 1] === leaf) return;
		if (this.used === this.pool_first.length) {
			const larger = new Uint16Array(2 * this.used);
			larger.set(this.pool_first);
			this.pool_first = larger;
		}
		this.pool_first[this.used] = first;
		this.pool_leaf[this.used++] = leaf;
	}

	/** The leaves with at least 16 bits in a chunk, by address, least specific first. */
	private collect(chunk: number, into: radix_node[]): void {
		const limit = (this.off << 3) + 16;
		let x = this.top;
		while (x.rn_bit >= 0 && x.rn_bit < limit) {
			const bit = x.rn_bit - (this.off << 3);
			x = (chunk & (0x8000 >> bit)) !== 0 ? x.rn_right : x.rn_left;
		}
		this.walk(x, chunk, into);
	}

	private walk(x: radix_node, chunk: number, into: radix_node[]): void {
		if (x.rn_bit >= 0) {
			this.walk(x.rn_left, chunk, into);
			this.walk(x.rn_right, chunk, into);
			return;
		}
		if (this.chunk_of(x.rn_key) !== chunk) return;
		const from = into.length;
		for (let leaf: radix_node | null = x; leaf !== null; leaf = leaf.rn_dupedkey) {
			if ((leaf.rn_flags & RNF_ROOT) === 0 && prefix_length(leaf, this.off) >= 16) into.push(leaf);
		}
		for (let i = from, j = into.length - 1; i < j; i++, j--) {
			const leaf = into[i];
			into[i] = into[j];
			into[j] = leaf;
		}
	}
}
