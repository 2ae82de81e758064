/**
 * radix(9): the PATRICIA tree behind routing tables and the driver's allowed IPs.
 *
 * Keys and masks are byte strings whose first byte is their length. Leaves with equal keys form a chain, most specific mask
 * first; a mask that covers more than its own leaf is noted on the highest interior node it covers, so that a search which
 * misses walks up and finds the next shorter prefix there. The caller brings the memory: two nodes for each entry, the
 * first its leaf, the second an interior node that the tree uses as it likes.
 *
 * Simplified: masks are interned in a table instead of a second tree, and the all-zeroes mask counts as contiguous.
 * As upstream, a walk ends at the tree's right-hand marker and so leaves out entries for the all-ones key.
 *
 * @see net/radix.c, net/radix.h
 */
import {
	rm_destroy,
	rm_init,
	rm_priotracker,
	rm_rlock,
	rm_runlock,
	rm_wlock,
	rm_wunlock,
	rmlock,
} from "../lock/rmlock.ts";
import { KASSERT } from "../sched/kernel.ts";
import { type Blocking, cost, curthread } from "../sched/thread.ts";
import { radix_index } from "./radix_index.ts";

/** the leaf's mask, or the mask list entry's, is contiguous */
export const RNF_NORMAL = 1;
/** one of the tree's own leaves, which are never returned */
export const RNF_ROOT = 2;
/** this node is part of a tree */
export const RNF_ACTIVE = 4;

export const RADIX_MAX_KEY_LEN = 32;
/** entries from which on a tree of IPv4 prefixes has an index */
const RN_INDEX_ENTRIES = 4096;

const rn_zeros: Uint8Array = new Uint8Array(RADIX_MAX_KEY_LEN + 1);
const rn_ones: Uint8Array = new Uint8Array(RADIX_MAX_KEY_LEN + 1).fill(0xff);

/** An entry of a mask list: a mask that leaves below this interior node have. @see net/radix.h struct radix_mask */
export class radix_mask {
	rm_bit: number;
	rm_flags: number;
	/** further leaves that share this entry */
	rm_refs = 0;
	/** contiguous masks: the one leaf it stands for */
	rm_leaf: radix_node | null;
	/** other masks: look for leaves with it */
	rm_mask: Uint8Array | null;
	rm_mklist: radix_mask | null;

	constructor(tt: radix_node, next: radix_mask | null) {
		this.rm_bit = tt.rn_bit;
		this.rm_flags = tt.rn_flags;
		const normal = (tt.rn_flags & RNF_NORMAL) !== 0;
		this.rm_leaf = normal ? tt : null;
		this.rm_mask = normal ? null : tt.rn_mask;
		this.rm_mklist = next;
		tt.rn_mklist = this;
	}
}

/**
 * A leaf (rn_bit < 0: minus one minus the index of the mask) or an interior node (rn_bit: the bit it tests).
 * What C reads by casting a node to the structure it lies in, is `rn_owner` here.
 */
export class radix_node {
	rn_bit = 0;
	/** interior: the tested bit within its byte */
	rn_bmask = 0;
	/** interior: the tested byte of the key */
	rn_offset = 0;
	rn_flags = 0;
	rn_left: radix_node = this;
	rn_right: radix_node = this;
	rn_parent: radix_node = this;
	rn_mklist: radix_mask | null = null;
	rn_key: Uint8Array = rn_zeros;
	/** interned; null for a host route */
	rn_mask: Uint8Array | null = null;
	/** same key, less specific mask */
	rn_dupedkey: radix_node | null = null;
	/** the interior node that came with this leaf: `leaf + 1` in C */
	rn_pair: radix_node | null = null;
	rn_owner: unknown = null;
}

/** The two nodes an entry embeds. */
export type radix_nodes = readonly [radix_node, radix_node];

/** Makes the two nodes of an entry; `owner` is what rn_match's result leads back to. */
export function radix_node_pair(owner: unknown): radix_nodes {
	const leaf = new radix_node();
	const inner = new radix_node();
	leaf.rn_pair = inner;
	leaf.rn_owner = owner;
	return [leaf, inner];
}

class interned_mask {
	readonly key: Uint8Array;
	readonly bit: number;
	readonly flags: number;
	constructor(key: Uint8Array, bit: number, flags: number) {
		this.key = key;
		this.bit = bit;
		this.flags = flags;
	}
}

/** @see net/radix.h struct radix_head */
export class radix_head {
	readonly rnh_treetop: radix_node;
	readonly rnh_masks = new Map<string, interned_mask>();
	rnh_entries = 0;
	/** speeds up large IPv4 trees */
	rnh_index: radix_index | null = null;
	/** every entry so far is about the first 32 bits of an address only */
	rnh_indexable = true;
	constructor(top: radix_node) {
		this.rnh_treetop = top;
	}
}

/** A tree with its lock. Its methods are function pointers upstream; all trees here have the same. */
export class radix_node_head {
	readonly rh: radix_head;
	readonly rnh_lock = new rmlock();

	constructor(top: radix_node) {
		this.rh = new radix_head(top);
	}
	rnh_addaddr(v: Uint8Array, mask: Uint8Array | null, head: radix_head, nodes: radix_nodes): radix_node | null {
		return rn_addroute(v, mask, head, nodes);
	}
	rnh_deladdr(v: Uint8Array, mask: Uint8Array | null, head: radix_head): radix_node | null {
		return rn_delete(v, mask, head);
	}
	rnh_matchaddr(v: Uint8Array, head: radix_head): radix_node | null {
		return rn_match(v, head);
	}
	rnh_lookup(v: Uint8Array, mask: Uint8Array | null, head: radix_head): radix_node | null {
		return rn_lookup(v, mask, head);
	}
	rnh_walktree<T>(head: radix_head, f: walktree_f<T>, arg: T): number {
		return rn_walktree(head, f, arg);
	}
}

export type walktree_f<T> = (rn: radix_node, arg: T) => number;

export function RADIX_NODE_HEAD_LOCK_INIT(rnh: radix_node_head): void {
	rm_init(rnh.rnh_lock, "radix node head");
}
export function RADIX_NODE_HEAD_DESTROY(rnh: radix_node_head): void {
	rm_destroy(rnh.rnh_lock);
}
/** Upstream declares a tracker on the stack; here the caller makes one, or keeps one for each thread. */
export function RADIX_NODE_HEAD_RLOCK_TRACKER(): rm_priotracker {
	return new rm_priotracker();
}
export function RADIX_NODE_HEAD_RLOCK(rnh: radix_node_head, tracker: rm_priotracker): Blocking<void> {
	return rm_rlock(rnh.rnh_lock, tracker);
}
export function RADIX_NODE_HEAD_RUNLOCK(rnh: radix_node_head, tracker: rm_priotracker): Blocking<void> {
	return rm_runlock(rnh.rnh_lock, tracker);
}
export function RADIX_NODE_HEAD_LOCK(rnh: radix_node_head): Blocking<void> {
	return rm_wlock(rnh.rnh_lock);
}
export function RADIX_NODE_HEAD_UNLOCK(rnh: radix_node_head): Blocking<void> {
	return rm_wunlock(rnh.rnh_lock);
}

/** Makes a leaf and an interior node testing bit `b`, the leaf on its left. @see radix.c rn_newpair */
function rn_newpair(v: Uint8Array, b: number, nodes: radix_nodes): radix_node {
	const leaf = nodes[0];
	const inner = nodes[1];
	inner.rn_bit = b;
	inner.rn_bmask = 0x80 >> (b & 7);
	inner.rn_offset = b >> 3;
	inner.rn_left = leaf;
	inner.rn_flags = RNF_ACTIVE;
	inner.rn_mklist = null;
	leaf.rn_bit = -1;
	leaf.rn_key = v;
	leaf.rn_parent = inner;
	leaf.rn_flags = RNF_ACTIVE;
	leaf.rn_mklist = null;
	leaf.rn_mask = null;
	leaf.rn_dupedkey = null;
	return inner;
}

/**
 * Makes an empty tree for keys of which the first `off_bits` bits are all alike and not looked at: the length byte and
 * whatever else comes before the address. An empty tree is one interior node between two marker leaves.
 *
 * @returns the tree; null where there is no memory upstream, which does not happen here
 * @see radix.c rn_inithead
 */
export function rn_inithead(off_bits: number): radix_node_head | null {
	const nodes = radix_node_pair(null);
	const top = rn_newpair(rn_zeros, off_bits, nodes);
	const left = nodes[0];
	const right = new radix_node();
	top.rn_parent = top;
	top.rn_flags = RNF_ROOT | RNF_ACTIVE;
	left.rn_flags = RNF_ROOT | RNF_ACTIVE;
	left.rn_bit = -1 - off_bits;
	right.rn_flags = RNF_ROOT | RNF_ACTIVE;
	right.rn_bit = left.rn_bit;
	right.rn_key = rn_ones;
	right.rn_parent = top;
	top.rn_right = right;
	const head = new radix_node_head(top);
	RADIX_NODE_HEAD_LOCK_INIT(head);
	return head;
}

/** Gives back an empty tree; its lock is destroyed apart. @see radix.c rn_detachhead */
export function rn_detachhead(head: radix_node_head): number {
	const top = head.rh.rnh_treetop;
	KASSERT(
		top.rn_left.rn_dupedkey === null &&
			top.rn_right.rn_dupedkey === null &&
			top.rn_left.rn_bit < 0 &&
			top.rn_right.rn_bit < 0,
		"rn_detachhead: tree is not empty",
	);
	return 1;
}

/** Follows the key's bits down to a leaf. */
function rn_search(v: Uint8Array, x: radix_node): radix_node {
	while (x.rn_bit >= 0) x = (x.rn_bmask & v[x.rn_offset]) !== 0 ? x.rn_right : x.rn_left;
	return x;
}

/** Follows the bits of the key that the mask keeps. */
function rn_search_m(v: Uint8Array, x: radix_node, mask: Uint8Array): radix_node {
	while (x.rn_bit >= 0) {
		const off = x.rn_offset;
		const kept = off < mask[0] ? mask[off] : 0;
		x = (x.rn_bmask & kept) !== 0 && (x.rn_bmask & v[off]) !== 0 ? x.rn_right : x.rn_left;
	}
	return x;
}

/** Whether every bit of `n` is in `m` and `m` has more: `m` is then the more specific. @see radix.c rn_refines */
function rn_refines(m: Uint8Array, n: Uint8Array): boolean {
	const mlen = m[0];
	const nlen = n[0];
	let equal = true;
	for (let i = 1; i < Math.max(mlen, nlen); i++) {
		const mi = i < mlen ? m[i] : 0;
		const ni = i < nlen ? n[i] : 0;
		if ((ni & ~mi) !== 0) return false;
		if (ni !== mi) equal = false;
	}
	return !equal;
}

/** An arbitrary but fixed order between masks of the same index. @see radix.c rn_lexobetter */
function rn_lexobetter(m: Uint8Array, n: Uint8Array): boolean {
	if (m[0] !== n[0]) return m[0] > n[0];
	for (let i = 1; i < m[0]; i++) if (m[i] !== n[i]) return m[i] > n[i];
	return false;
}

/** Whether the key agrees with the leaf's on all bits of its mask, from byte `skip` on. @see radix.c rn_satisfies_leaf */
function rn_satisfies_leaf(v: Uint8Array, leaf: radix_node, skip: number): boolean {
	const key = leaf.rn_key;
	const mask = leaf.rn_mask === null ? rn_ones : leaf.rn_mask;
	let length = Math.min(v[0], key[0]);
	if (mask !== rn_ones) length = Math.min(length, mask[0]);
	for (let i = skip; i < length; i++) if (((v[i] ^ key[i]) & mask[i]) !== 0) return false;
	return true;
}

/** Finds the interned copy of a mask, and makes it unless `search`. Trailing zero bytes do not count. @see radix.c rn_addmask */
function rn_addmask(mask: Uint8Array, head: radix_head, search: boolean): interned_mask | null {
	const skip = head.rnh_treetop.rn_offset;
	let length = Math.min(mask[0], RADIX_MAX_KEY_LEN);
	while (length > skip && mask[length - 1] === 0) length--;
	let name = "";
	for (let i = skip; i < length; i++) name += String.fromCharCode(mask[i]);
	const known = head.rnh_masks.get(name);
	if (known !== undefined) return known;
	if (search) return null;
	const key = new Uint8Array(Math.max(length, 1));
	for (let i = skip; i < length; i++) key[i] = mask[i];
	key[0] = length;
	let at = skip;
	while (at < length && key[at] === 0xff) at++;
	let b = at << 3;
	let flags = RNF_NORMAL;
	if (at < length) {
		const ones = Math.clz32(~key[at] << 24);
		b += ones;
		if (((key[at] << ones) & 0xff) !== 0 || at !== length - 1) flags = 0;
	}
	const made = new interned_mask(key, -1 - b, flags);
	head.rnh_masks.set(name, made);
	return made;
}

function rn_all_ones(v: Uint8Array, off: number): boolean {
	return v[off] === 0xff && v[off + 1] === 0xff && v[off + 2] === 0xff && v[off + 3] === 0xff;
}

/** Whether nothing but the first 32 bits of an address matters to a leaf: then it may be in an index. */
function rn_is_ipv4(leaf: radix_node, off: number): boolean {
	// a host has all its key matter: four bytes, or a struct sockaddr_in
	if (leaf.rn_mask === null) return leaf.rn_key[0] === off + 4 || (off === 4 && leaf.rn_key[0] === 16);
	return (leaf.rn_flags & RNF_NORMAL) !== 0 && -1 - leaf.rn_bit <= (off << 3) + 32;
}

/** Notes that a leaf came or went; once a tree of IPv4 prefixes is large, it gets an index. */
function rn_changed(head: radix_head, leaf: radix_node, added: boolean): void {
	head.rnh_entries += added ? 1 : -1;
	const index = head.rnh_index;
	if (added && head.rnh_indexable) {
		if (!rn_is_ipv4(leaf, head.rnh_treetop.rn_offset)) {
			head.rnh_indexable = false;
			head.rnh_index = null;
			return;
		}
	}
	if (index !== null) {
		if (added) index.added(leaf);
		else index.removed(leaf);
	} else if (added && head.rnh_indexable && head.rnh_entries >= RN_INDEX_ENTRIES) {
		const made = new radix_index(head.rnh_treetop);
		rn_walktree(
			head,
			(rn) => {
				made.added(rn);
				return 0;
			},
			null,
		);
		head.rnh_index = made;
	}
}

/**
 * The entry with the longest prefix that matches the key; null if there is none.
 *
 * Down to a leaf, compare; if they differ, the first different bit decides which masks can still match, first in the leaf's
 * chain, then on the mask lists on the way up.
 *
 * @see radix.c rn_match
 */
export function rn_match(v: Uint8Array, head: radix_head): radix_node | null {
	const top = head.rnh_treetop;
	const index = head.rnh_index;
	if (index !== null && !rn_all_ones(v, top.rn_offset)) {
		// as many levels as a tree of this size has
		curthread.td_pending += (36 - Math.clz32(head.rnh_entries)) * cost.rn_match_node;
		return index.match(v);
	}
	let t = top;
	let steps = 2;
	while (t.rn_bit >= 0) {
		t = (t.rn_bmask & v[t.rn_offset]) !== 0 ? t.rn_right : t.rn_left;
		steps++;
	}
	const key = t.rn_key;
	const mask = t.rn_mask;
	const end = mask === null ? v[0] : mask[0];
	let at = top.rn_offset;
	while (at < end && v[at] === key[at]) at++;
	if (at >= end) {
		curthread.td_pending += steps * cost.rn_match_node;
		return (t.rn_flags & RNF_ROOT) !== 0 ? t.rn_dupedkey : t;
	}
	const rn_bit = -1 - ((at << 3) + Math.clz32((v[at] ^ key[at]) << 24));
	const saved_t = t;
	let chain: radix_node | null = mask === null ? t.rn_dupedkey : t;
	for (; chain !== null; chain = chain.rn_dupedkey) {
		steps++;
		if ((chain.rn_flags & RNF_NORMAL) !== 0 ? rn_bit <= chain.rn_bit : rn_satisfies_leaf(v, chain, at)) {
			curthread.td_pending += steps * cost.rn_match_node;
			return chain;
		}
	}
	t = saved_t;
	do {
		t = t.rn_parent;
		steps++;
		for (let m = t.rn_mklist; m !== null; m = m.rm_mklist) {
			let x: radix_node | null = null;
			if ((m.rm_flags & RNF_NORMAL) !== 0) {
				if (rn_bit <= m.rm_bit) x = m.rm_leaf;
			} else {
				x = rn_search_m(v, t, m.rm_mask!);
				while (x !== null && x.rn_mask !== m.rm_mask) x = x.rn_dupedkey;
				if (x !== null && !rn_satisfies_leaf(v, x, Math.min(t.rn_offset, at))) x = null;
			}
			if (x !== null) {
				curthread.td_pending += steps * cost.rn_match_node;
				return x;
			}
		}
	} while (t !== top);
	curthread.td_pending += steps * cost.rn_match_node;
	return null;
}

/** The entry with exactly this key and mask. @see radix.c rn_lookup */
export function rn_lookup(v: Uint8Array, mask: Uint8Array | null, head: radix_head): radix_node | null {
	if (mask !== null) {
		const interned = rn_addmask(mask, head, true);
		if (interned === null) return null;
		let x = rn_match(v, head);
		while (x !== null && x.rn_mask !== interned.key) x = x.rn_dupedkey;
		return x;
	}
	const x = rn_match(v, head);
	if (x === null || x.rn_mask !== null || x.rn_key[0] !== v[0]) return null;
	for (let i = 1; i < v[0]; i++) if (x.rn_key[i] !== v[i]) return null;
	return x;
}

/** Finds the leaf with this key, or puts a new pair where it belongs. @returns the leaf; it is nodes[0] if the key is new */
function rn_insert(v: Uint8Array, head: radix_head, nodes: radix_nodes): radix_node {
	const top = head.rnh_treetop;
	const old = rn_search(v, top);
	const vlen = v[0];
	let at = top.rn_offset;
	while (at < vlen && v[at] === old.rn_key[at]) at++;
	if (at >= vlen) return old;
	const b = (at << 3) + Math.clz32((v[at] ^ old.rn_key[at]) << 24);
	let x = top;
	let p: radix_node;
	do {
		p = x;
		x = (v[x.rn_offset] & x.rn_bmask) !== 0 ? x.rn_right : x.rn_left;
	} while (x.rn_bit >= 0 && b > x.rn_bit);
	const t = rn_newpair(v, b, nodes);
	const leaf = nodes[0];
	if ((v[p.rn_offset] & p.rn_bmask) === 0) p.rn_left = t;
	else p.rn_right = t;
	x.rn_parent = t;
	t.rn_parent = p;
	if ((v[t.rn_offset] & t.rn_bmask) === 0) t.rn_right = x;
	else {
		t.rn_right = leaf;
		t.rn_left = x;
	}
	return leaf;
}

/** Puts a leaf into the chain of its key, before the first less specific one. @returns the chain's head, or null if the mask is there already */
function rn_chain(
	saved_tt: radix_node,
	v: Uint8Array,
	netmask: Uint8Array | null,
	b_leaf: number,
	nodes: radix_nodes,
): radix_node | null {
	const leaf = nodes[0];
	let t = saved_tt;
	let tt: radix_node | null = saved_tt;
	for (; tt !== null; t = tt, tt = tt.rn_dupedkey) {
		if (tt.rn_mask === netmask && (tt.rn_flags & RNF_ROOT) === 0) return null;
		if ((tt.rn_flags & RNF_ROOT) !== 0) continue;
		if (netmask === null) break;
		if (
			tt.rn_mask !== null &&
			(b_leaf < tt.rn_bit || rn_refines(netmask, tt.rn_mask) || rn_lexobetter(netmask, tt.rn_mask))
		)
			break;
	}
	leaf.rn_key = v;
	leaf.rn_bit = -1;
	leaf.rn_mask = null;
	leaf.rn_mklist = null;
	leaf.rn_flags = RNF_ACTIVE;
	nodes[1].rn_flags = 0;
	if (tt === saved_tt) {
		const parent = saved_tt.rn_parent;
		leaf.rn_dupedkey = saved_tt;
		leaf.rn_parent = parent;
		saved_tt.rn_parent = leaf;
		if (parent.rn_left === saved_tt) parent.rn_left = leaf;
		else parent.rn_right = leaf;
		return leaf;
	}
	leaf.rn_dupedkey = t.rn_dupedkey;
	t.rn_dupedkey = leaf;
	leaf.rn_parent = t;
	if (leaf.rn_dupedkey !== null) leaf.rn_dupedkey.rn_parent = leaf;
	return saved_tt;
}

/** A new interior node `t` over `x`: masks of `x` that reach up to it move to its list. */
function rn_promote(t: radix_node, sibling: radix_node): void {
	const b_leaf = -1 - t.rn_bit;
	if (sibling.rn_bit < 0) {
		let last: radix_mask | null = null;
		for (let x: radix_node | null = sibling; x !== null; x = x.rn_dupedkey) {
			if (x.rn_mask === null || x.rn_bit < b_leaf || x.rn_mklist !== null) continue;
			const m = new radix_mask(x, null);
			if (last === null) t.rn_mklist = m;
			else last.rm_mklist = m;
			last = m;
		}
		return;
	}
	let before: radix_mask | null = null;
	let m = sibling.rn_mklist;
	while (m !== null && m.rm_bit < b_leaf) {
		before = m;
		m = m.rm_mklist;
	}
	t.rn_mklist = m;
	if (before === null) sibling.rn_mklist = null;
	else before.rm_mklist = null;
}

/** The highest interior node on the way up from `t` that a mask of index `b` covers. */
function rn_highest(t: radix_node, b: number, top: radix_node): radix_node {
	let x: radix_node;
	do {
		x = t;
		t = t.rn_parent;
	} while (b <= t.rn_bit && x !== top);
	return x;
}

/**
 * Adds an entry.
 *
 * @param v key; kept, not copied
 * @param mask null for a host
 * @returns its leaf, nodes[0]; null if an entry with this key and mask exists
 * @see radix.c rn_addroute
 */
export function rn_addroute(
	v: Uint8Array,
	mask: Uint8Array | null,
	head: radix_head,
	nodes: radix_nodes,
): radix_node | null {
	const leaf = rn_link(v, mask, head, nodes);
	if (leaf !== null) rn_changed(head, leaf, true);
	return leaf;
}

function rn_link(v: Uint8Array, mask: Uint8Array | null, head: radix_head, nodes: radix_nodes): radix_node | null {
	const top = head.rnh_treetop;
	const interned = mask === null ? null : rn_addmask(mask, head, false);
	const netmask = interned === null ? null : interned.key;
	const b_leaf = interned === null ? 0 : interned.bit;
	const b = -1 - b_leaf;
	const tt = nodes[0];
	let saved_tt = rn_insert(v, head, nodes);
	const keyduplicated = saved_tt !== tt;
	if (keyduplicated) {
		const first = rn_chain(saved_tt, v, netmask, b_leaf, nodes);
		if (first === null) return null;
		saved_tt = first;
	}
	if (interned !== null) {
		tt.rn_mask = netmask;
		tt.rn_bit = interned.bit;
		tt.rn_flags |= interned.flags;
	}
	const t = saved_tt.rn_parent;
	if (!keyduplicated) rn_promote(t, t.rn_right === saved_tt ? t.rn_left : t.rn_right);
	if (netmask === null || b > t.rn_bit) return tt;
	const x = rn_highest(t, b, top);
	let before: radix_mask | null = null;
	let m = x.rn_mklist;
	for (; m !== null; before = m, m = m.rm_mklist) {
		if (m.rm_bit < b_leaf) continue;
		if (m.rm_bit > b_leaf) break;
		if ((m.rm_flags & RNF_NORMAL) !== 0) {
			KASSERT((tt.rn_flags & RNF_NORMAL) === 0, "Non-unique normal route, mask not entered");
			const mmask = m.rm_leaf!.rn_mask!;
			if (rn_refines(netmask, mmask) || rn_lexobetter(netmask, mmask)) break;
			continue;
		}
		if (m.rm_mask === netmask) {
			m.rm_refs++;
			tt.rn_mklist = m;
			return tt;
		}
		if (rn_refines(netmask, m.rm_mask!) || rn_lexobetter(netmask, m.rm_mask!)) break;
	}
	const made = new radix_mask(tt, m);
	if (before === null) x.rn_mklist = made;
	else before.rm_mklist = made;
	return tt;
}

/** Copies what an interior node is to the tree, from the memory of one entry to that of another, and relinks its neighbours. */
function rn_relocate(from: radix_node, to: radix_node): void {
	to.rn_bit = from.rn_bit;
	to.rn_bmask = from.rn_bmask;
	to.rn_offset = from.rn_offset;
	to.rn_flags = from.rn_flags;
	to.rn_left = from.rn_left;
	to.rn_right = from.rn_right;
	to.rn_parent = from.rn_parent;
	to.rn_mklist = from.rn_mklist;
	to.rn_left.rn_parent = to;
	to.rn_right.rn_parent = to;
	if (to.rn_parent.rn_left === from) to.rn_parent.rn_left = to;
	else to.rn_parent.rn_right = to;
}

/** Takes a leaf's mask off the list it is on. @returns false if the tree is inconsistent */
function rn_unlist(tt: radix_node, saved_tt: radix_node, top: radix_node): boolean {
	const saved_m = tt.rn_mklist;
	if (tt.rn_mask === null || saved_m === null) return true;
	if ((tt.rn_flags & RNF_NORMAL) !== 0) {
		if (saved_m.rm_leaf !== tt || saved_m.rm_refs > 0) return false;
	} else {
		KASSERT(saved_m.rm_mask === tt.rn_mask, "rn_delete: inconsistent annotation");
		if (--saved_m.rm_refs >= 0) return true;
	}
	const b = -1 - tt.rn_bit;
	if (b > saved_tt.rn_parent.rn_bit) return true;
	const x = rn_highest(saved_tt.rn_parent, b, top);
	let before: radix_mask | null = null;
	let m = x.rn_mklist;
	while (m !== null && m !== saved_m) {
		before = m;
		m = m.rm_mklist;
	}
	KASSERT(m !== null, "rn_delete: couldn't find our annotation");
	if (before === null) x.rn_mklist = saved_m.rm_mklist;
	else before.rm_mklist = saved_m.rm_mklist;
	return true;
}

/** The interior node `t` goes: its mask list goes down to `sibling`, which takes its place. */
function rn_demote(t: radix_node, sibling: radix_node): void {
	let m = t.rn_mklist;
	if (m === null) return;
	if (sibling.rn_bit >= 0) {
		if (sibling.rn_mklist === null) {
			sibling.rn_mklist = m;
			return;
		}
		let last = sibling.rn_mklist;
		while (last.rm_mklist !== null) last = last.rm_mklist;
		last.rm_mklist = m;
		return;
	}
	for (let x: radix_node | null = sibling; m !== null && x !== null; x = x.rn_dupedkey) {
		if (x.rn_mklist !== m) continue;
		x.rn_mklist = null;
		m.rm_refs--;
		m = m.rm_mklist;
	}
	KASSERT(m === null, "rn_delete: Orphaned Mask");
}

/**
 * Takes an entry out.
 *
 * @returns its leaf, whose nodes the caller has back; null if there is no such entry
 * @see radix.c rn_delete
 */
export function rn_delete(v: Uint8Array, mask: Uint8Array | null, head: radix_head): radix_node | null {
	const top = head.rnh_treetop;
	const saved_tt = rn_search(v, top);
	for (let i = top.rn_offset; i < v[0]; i++) if (v[i] !== saved_tt.rn_key[i]) return null;
	let tt = saved_tt;
	if (mask !== null) {
		const interned = rn_addmask(mask, head, true);
		if (interned === null) return null;
		while (tt.rn_mask !== interned.key) {
			if (tt.rn_dupedkey === null) return null;
			tt = tt.rn_dupedkey;
		}
	} else if ((tt.rn_flags & RNF_ROOT) !== 0 && tt.rn_dupedkey !== null) tt = tt.rn_dupedkey;
	if ((tt.rn_flags & RNF_ROOT) !== 0) return null;
	if (!rn_unlist(tt, saved_tt, top)) return null;
	const t = tt.rn_parent;
	const pair = tt.rn_pair!;
	const dupedkey = saved_tt.rn_dupedkey;
	if (dupedkey !== null) {
		let heir = saved_tt;
		if (tt === saved_tt) {
			heir = dupedkey;
			heir.rn_parent = t;
			if (t.rn_left === tt) t.rn_left = heir;
			else t.rn_right = heir;
		} else {
			t.rn_dupedkey = tt.rn_dupedkey;
			if (tt.rn_dupedkey !== null) tt.rn_dupedkey.rn_parent = t;
		}
		if ((pair.rn_flags & RNF_ACTIVE) !== 0) rn_relocate(pair, heir.rn_pair!);
	} else {
		const x = t.rn_left === tt ? t.rn_right : t.rn_left;
		const p = t.rn_parent;
		if (p.rn_right === t) p.rn_right = x;
		else p.rn_left = x;
		x.rn_parent = p;
		rn_demote(t, x);
		if (t !== pair) rn_relocate(pair, t);
	}
	tt.rn_flags &= ~RNF_ACTIVE;
	tt.rn_mklist = null;
	tt.rn_dupedkey = null;
	pair.rn_flags &= ~RNF_ACTIVE;
	rn_changed(head, tt, false);
	return tt;
}

/**
 * Calls `f` for each entry in order of keys, most specific first among equal keys. `f` may delete the entry it is given;
 * a result other than 0 ends the walk and is returned.
 *
 * @see radix.c rn_walktree
 */
export function rn_walktree<T>(head: radix_head, f: walktree_f<T>, arg: T): number {
	let rn = head.rnh_treetop;
	while (rn.rn_bit >= 0) rn = rn.rn_left;
	for (;;) {
		let base: radix_node | null = rn;
		// the next leaf must be known before this one may vanish
		while (rn.rn_parent.rn_right === rn && (rn.rn_flags & RNF_ROOT) === 0) rn = rn.rn_parent;
		rn = rn.rn_parent.rn_right;
		while (rn.rn_bit >= 0) rn = rn.rn_left;
		const next = rn;
		while (base !== null) {
			const entry: radix_node = base;
			base = entry.rn_dupedkey;
			if ((entry.rn_flags & RNF_ROOT) !== 0) continue;
			const error = f(entry, arg);
			if (error !== 0) return error;
		}
		rn = next;
		if ((rn.rn_flags & RNF_ROOT) !== 0) return 0;
	}
}
