/**
 * The driver's self-test of allowed IPs: longest prefix wins, the last to claim a prefix has it, prefixes are masked, and taking a
 * peer's away leaves nothing behind. The randomised part compares the radix tree with a list that is too simple to be wrong.
 *
 * Upstream includes this in if_wg.c and builds the randomised part only when asked to; here it runs when given its sizes.
 *
 * @see selftest/allowedips.c
 */
import { ENOMEM, type Errno } from "../../../kernel/errno.ts";
import { refcount_init } from "../../../kernel/lock/atomic.ts";
import { free_account, malloc_account } from "../../../kernel/mbuf/malloc.ts";
import { M_NOWAIT, M_ZERO } from "../../../kernel/mbuf/uma.ts";
import { AF_INET, AF_INET6, in_get32, in_mask2len, in_put32, in6_mask2len } from "../../../kernel/netinet/in.ts";
import {
	RADIX_NODE_HEAD_DESTROY,
	RADIX_NODE_HEAD_LOCK_INIT,
	rn_detachhead,
	rn_inithead,
} from "../../../kernel/route/radix.ts";
import { arc4random_buf, arc4random_uniform } from "../../../kernel/sched/kernel.ts";
import type { Blocking } from "../../../kernel/sched/thread.ts";
import { round_robin } from "../dispatch/round_robin.ts";
import { M_WG, SIZEOF_PEER, wg_aip_add, wg_aip_lookup, wg_aip_remove_all } from "../if_wg.ts";
import { AIP_ADDR_OFFSET, wg_peer, wg_softc } from "../if_wg_var.ts";
import { type noise_local, noise_remote } from "../wg_noise.ts";
import { printf } from "./printf.ts";

/** What is tested: the driver's functions, or others in their place to see that the test would notice. */
export interface aip_functions {
	readonly wg_aip_add: typeof wg_aip_add;
	readonly wg_aip_lookup: typeof wg_aip_lookup;
	readonly wg_aip_remove_all: typeof wg_aip_remove_all;
}

/** Gives a softc its two empty tries. */
export function test_aip_init(sc: wg_softc): boolean {
	const aip4 = rn_inithead(AIP_ADDR_OFFSET * 8);
	if (aip4 === null) return false;
	sc.sc_aip4 = aip4;
	const aip6 = rn_inithead(AIP_ADDR_OFFSET * 8);
	if (aip6 === null) return false;
	sc.sc_aip6 = aip6;
	RADIX_NODE_HEAD_LOCK_INIT(sc.sc_aip4);
	RADIX_NODE_HEAD_LOCK_INIT(sc.sc_aip6);
	return true;
}

export function test_aip_deinit(sc: wg_softc): void {
	if (sc.sc_aip4 !== undefined) {
		RADIX_NODE_HEAD_DESTROY(sc.sc_aip4);
		rn_detachhead(sc.sc_aip4);
	}
	if (sc.sc_aip6 !== undefined) {
		RADIX_NODE_HEAD_DESTROY(sc.sc_aip6);
		rn_detachhead(sc.sc_aip6);
	}
}

/** How much the randomised part does, for each family; upstream's are `randomized_sizes_upstream`. */
export interface randomized_sizes {
	readonly NUM_PEERS: number;
	readonly NUM_RAND_ROUTES: number;
	/** neighbours of each random route */
	readonly NUM_MUTATED_ROUTES: number;
	readonly NUM_QUERIES: number;
}

export const randomized_sizes_upstream: randomized_sizes = {
	NUM_PEERS: 2000,
	NUM_RAND_ROUTES: 400,
	NUM_MUTATED_ROUTES: 100,
	NUM_QUERIES: 400 * 100 * 30,
};

const SIZEOF_HORRIBLE_NODE = 64;

/** Address and mask are four words, as the union of upstream's aip_addr has them; IPv4 is in the first. */
class horrible_allowedips_node {
	next: horrible_allowedips_node | null = null;
	readonly ip = new Uint32Array(4);
	mask: Uint32Array;
	ip_version = 0;
	value: wg_peer;
	constructor(mask: Uint32Array, value: wg_peer) {
		this.mask = mask;
		this.value = value;
	}
}

/** All prefixes in one list, longest first, so that the first that matches is the right one. */
export class horrible_allowedips {
	head: horrible_allowedips_node | null = null;
}

export function horrible_allowedips_init(table: horrible_allowedips): void {
	table.head = null;
}

export function horrible_allowedips_free(table: horrible_allowedips): void {
	for (; table.head !== null; table.head = table.head.next) free_account(M_WG, SIZEOF_HORRIBLE_NODE);
}

export function horrible_cidr_to_mask(cidr: number): Uint32Array {
	const mask = new Uint32Array(4);
	mask.fill(0xffff_ffff, 0, cidr >>> 5);
	if (cidr % 32 !== 0) mask[cidr >>> 5] = 0xffff_ffff << (32 - (cidr % 32));
	return mask;
}

export function horrible_mask_to_cidr(subnet: Uint32Array): number {
	let bits = 0;
	for (let word of subnet) for (; word !== 0; word = (word & (word - 1)) >>> 0) bits++;
	return bits;
}

export function horrible_mask_self(node: horrible_allowedips_node): void {
	const words = node.ip_version === 4 ? 1 : 4;
	for (let i = 0; i < words; i++) node.ip[i] &= node.mask[i];
}

export function horrible_match_v4(node: horrible_allowedips_node, ip: Uint32Array): boolean {
	return (ip[0] & node.mask[0]) >>> 0 === node.ip[0];
}

export function horrible_match_v6(node: horrible_allowedips_node, ip: Uint32Array): boolean {
	return (
		(ip[0] & node.mask[0]) >>> 0 === node.ip[0] &&
		(ip[1] & node.mask[1]) >>> 0 === node.ip[1] &&
		(ip[2] & node.mask[2]) >>> 0 === node.ip[2] &&
		(ip[3] & node.mask[3]) >>> 0 === node.ip[3]
	);
}

function same_words(a: Uint32Array, b: Uint32Array): boolean {
	return a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];
}

/** Puts a prefix before the first that is not longer. One that is there already only changes its value. */
export function horrible_insert_ordered(table: horrible_allowedips, node: horrible_allowedips_node): void {
	const my_cidr = horrible_mask_to_cidr(node.mask);
	let where: horrible_allowedips_node | null = null;
	let other = table.head;
	for (; other !== null; where = other, other = other.next) {
		if (same_words(other.mask, node.mask) && same_words(other.ip, node.ip) && other.ip_version === node.ip_version) {
			other.value = node.value;
			free_account(M_WG, SIZEOF_HORRIBLE_NODE);
			return;
		}
		if (horrible_mask_to_cidr(other.mask) <= my_cidr) break;
	}
	node.next = other;
	if (where === null) table.head = node;
	else where.next = node;
}

/** The words of an address, IPv4's in the first. */
function words_of(ip: Uint8Array, words: number): Uint32Array {
	const out = new Uint32Array(4);
	for (let i = 0; i < words; i++) out[i] = in_get32(ip, 4 * i);
	return out;
}

export function horrible_allowedips_insert_v4(
	table: horrible_allowedips,
	ip: Uint8Array,
	cidr: number,
	value: wg_peer,
): Errno {
	if (!malloc_account(M_WG, SIZEOF_HORRIBLE_NODE, M_NOWAIT | M_ZERO)) return ENOMEM;
	const node = new horrible_allowedips_node(horrible_cidr_to_mask(cidr), value);
	node.ip.set(words_of(ip, 1));
	node.ip_version = 4;
	horrible_mask_self(node);
	horrible_insert_ordered(table, node);
	return 0;
}

export function horrible_allowedips_insert_v6(
	table: horrible_allowedips,
	ip: Uint8Array,
	cidr: number,
	value: wg_peer,
): Errno {
	if (!malloc_account(M_WG, SIZEOF_HORRIBLE_NODE, M_NOWAIT | M_ZERO)) return ENOMEM;
	const node = new horrible_allowedips_node(horrible_cidr_to_mask(cidr), value);
	node.ip.set(words_of(ip, 4));
	node.ip_version = 6;
	horrible_mask_self(node);
	horrible_insert_ordered(table, node);
	return 0;
}

export function horrible_allowedips_lookup_v4(table: horrible_allowedips, ip: Uint8Array): wg_peer | null {
	const words = words_of(ip, 1);
	for (let node = table.head; node !== null; node = node.next)
		if (node.ip_version === 4 && horrible_match_v4(node, words)) return node.value;
	return null;
}

export function horrible_allowedips_lookup_v6(table: horrible_allowedips, ip: Uint8Array): wg_peer | null {
	const words = words_of(ip, 4);
	for (let node = table.head; node !== null; node = node.next)
		if (node.ip_version === 6 && horrible_match_v6(node, words)) return node.value;
	return null;
}

/**
 * An address that shares leading bits with `ip`, the rest random.
 *
 * As upstream, whole bytes are kept or not, since the byte with the partial mask is zeroed again; and of an IPv6 address, too, only
 * the first four bytes ever change, which most of the time are all kept.
 */
function mutate(ip: Uint8Array): Uint8Array {
	const mutated = ip.slice();
	const mutate_mask = new Uint8Array(ip.length);
	arc4random_buf(mutate_mask);
	const mutate_amount = arc4random_uniform(ip.length * 8);
	let k = mutate_amount >>> 3;
	mutate_mask.fill(0xff, 0, k);
	mutate_mask[k] = 0xff << ((8 - (mutate_amount % 8)) % 8);
	for (; k < 4; ++k) mutate_mask[k] = 0;
	for (k = 0; k < 4; ++k) mutated[k] = (mutated[k] & mutate_mask[k]) | (~mutate_mask[k] & arc4random_uniform(256));
	return mutated;
}

/**
 * Random prefixes and their neighbours of random peers, then random questions: the tries and the list must give the same answers.
 *
 * @see selftest/allowedips.c randomized_test
 */
export function* randomized_test(
	sizes: randomized_sizes = randomized_sizes_upstream,
	aip: aip_functions = { wg_aip_add, wg_aip_lookup, wg_aip_remove_all },
): Blocking<boolean> {
	const sc = new wg_softc(round_robin);
	const h = new horrible_allowedips();
	const peers: wg_peer[] = [];
	let ret = false;

	free: {
		for (let i = 0; i < sizes.NUM_PEERS; ++i) {
			const peer = init_peer(sc);
			if (peer === null) {
				printf("allowedips random self-test malloc: FAIL\n");
				break free;
			}
			peers.push(peer);
		}

		if (!test_aip_init(sc)) {
			printf("allowedips random self-test malloc: FAIL\n");
			break free;
		}
		horrible_allowedips_init(h);

		for (const af of [AF_INET, AF_INET6]) {
			const bytes = af === AF_INET ? 4 : 16;
			const insert = af === AF_INET ? horrible_allowedips_insert_v4 : horrible_allowedips_insert_v6;
			for (let i = 0; i < sizes.NUM_RAND_ROUTES; ++i) {
				const ip = new Uint8Array(bytes);
				arc4random_buf(ip);
				for (let j = 0; j <= sizes.NUM_MUTATED_ROUTES; ++j) {
					const address = j === 0 ? ip : mutate(ip);
					const cidr = arc4random_uniform(bytes * 8) + 1;
					const peer = peers[arc4random_uniform(sizes.NUM_PEERS)];
					if ((yield* aip.wg_aip_add(sc, peer, af, address, cidr)) !== 0) {
						printf("allowedips random self-test malloc: FAIL\n");
						break free;
					}
					if (insert(h, address, cidr, peer) !== 0) {
						printf("allowedips random self-test malloc: FAIL\n");
						break free;
					}
				}
			}
		}

		for (const af of [AF_INET, AF_INET6]) {
			const ip = new Uint8Array(af === AF_INET ? 4 : 16);
			const lookup = af === AF_INET ? horrible_allowedips_lookup_v4 : horrible_allowedips_lookup_v6;
			for (let i = 0; i < sizes.NUM_QUERIES; ++i) {
				arc4random_buf(ip);
				if ((yield* aip.wg_aip_lookup(sc, af, ip, 0)) !== lookup(h, ip)) {
					printf("allowedips random self-test: FAIL\n");
					break free;
				}
			}
		}
		ret = true;
	}
	horrible_allowedips_free(h);
	if (sc.sc_aip6 !== undefined) for (const peer of peers) yield* aip.wg_aip_remove_all(sc, peer);
	for (const peer of peers) free_peer(peer);
	test_aip_deinit(sc);
	return ret;
}

export function ip4(a: number, b: number, c: number, d: number): Uint8Array {
	return Uint8Array.of(a, b, c, d);
}

export function ip6(a: number, b: number, c: number, d: number): Uint8Array {
	const ip = new Uint8Array(16);
	in_put32(ip, 0, a);
	in_put32(ip, 4, b);
	in_put32(ip, 8, c);
	in_put32(ip, 12, d);
	return ip;
}

/** A peer with nothing but its list of prefixes. Upstream passes the peer off as its own remote, so that a lookup can count a reference somewhere. */
export function init_peer(sc: wg_softc): wg_peer | null {
	if (!malloc_account(M_WG, SIZEOF_PEER, M_NOWAIT | M_ZERO)) return null;
	const peer = new wg_peer(sc);
	peer.p_remote = new noise_remote(null as unknown as noise_local);
	refcount_init(peer.p_remote.r_refcnt, 1);
	return peer;
}

/** free(9) of a peer, which may be NULL. */
export function free_peer(peer: wg_peer | null): void {
	if (peer !== null) free_account(M_WG, SIZEOF_PEER);
}

/** What the macros insert, test, test_negative, test_boolean and maybe_fail share. */
class allowedips_test {
	readonly sc = new wg_softc(round_robin);
	/** number of the last check */
	i = 0;
	success = false;
	private readonly aip: aip_functions;

	constructor(aip: aip_functions) {
		this.aip = aip;
	}

	*insert(version: 4 | 6, mem: wg_peer, a: number, b: number, c: number, d: number, cidr: number): Blocking<void> {
		const af = version === 6 ? AF_INET6 : AF_INET;
		const r = yield* this.aip.wg_aip_add(this.sc, mem, af, version === 6 ? ip6(a, b, c, d) : ip4(a, b, c, d), cidr);
		if (r !== 0) {
			printf(`allowedips self-test insertion: FAIL (${r})\n`);
			this.success = false;
		}
	}

	private lookup(version: 4 | 6, a: number, b: number, c: number, d: number): Blocking<wg_peer | null> {
		if (version === 6) return this.aip.wg_aip_lookup(this.sc, AF_INET6, ip6(a, b, c, d), 0);
		return this.aip.wg_aip_lookup(this.sc, AF_INET, ip4(a, b, c, d), 0);
	}

	*test(version: 4 | 6, mem: wg_peer, a: number, b: number, c: number, d: number): Blocking<void> {
		this.test_boolean((yield* this.lookup(version, a, b, c, d)) === mem);
	}

	*test_negative(version: 4 | 6, mem: wg_peer, a: number, b: number, c: number, d: number): Blocking<void> {
		this.test_boolean((yield* this.lookup(version, a, b, c, d)) !== mem);
	}

	test_boolean(cond: boolean): void {
		++this.i;
		if (!cond) {
			printf(`allowedips self-test ${this.i}: FAIL\n`);
			this.success = false;
		}
	}
}

function has_bytes(buf: Uint8Array, off: number, wanted: Uint8Array): boolean {
	for (let i = 0; i < wanted.length; i++) if (buf[off + i] !== wanted[i]) return false;
	return true;
}

/** The address with all bits set but number `bit` of the right half, or of the left one from 64 on. */
function all_ones_but(bit: number): Uint8Array {
	const ip = new Uint8Array(16).fill(0xff);
	const half = bit < 64 ? 8 : 0;
	const at = bit % 64;
	ip[half + 7 - (at >>> 3)] &= ~(1 << (at & 7));
	return ip;
}

/**
 * @param randomized sizes of the randomised part; null leaves it out, as upstream's default build does
 * @param aip what is tested
 * @returns whether every check passed
 * @see selftest/allowedips.c wg_allowedips_selftest
 */
export function* wg_allowedips_selftest(
	randomized: randomized_sizes | null = null,
	aip: aip_functions = { wg_aip_add, wg_aip_lookup, wg_aip_remove_all },
): Blocking<boolean> {
	const t = new allowedips_test(aip);
	const sc = t.sc;
	const all: (wg_peer | null)[] = [];
	for (let i = 0; i < 8; i++) all.push(init_peer(sc));
	const [a, b, c, d, e, f, g, h] = all;

	free: {
		if (!test_aip_init(sc)) {
			printf("allowedips self-test malloc: FAIL\n");
			break free;
		}

		if (!a || !b || !c || !d || !e || !f || !g || !h) {
			printf("allowedips self-test malloc: FAIL\n");
			break free;
		}

		yield* t.insert(4, a, 192, 168, 4, 0, 24);
		yield* t.insert(4, b, 192, 168, 4, 4, 32);
		yield* t.insert(4, c, 192, 168, 0, 0, 16);
		yield* t.insert(4, d, 192, 95, 5, 64, 27);
		// takes the last one over, and must be masked for that
		yield* t.insert(4, c, 192, 95, 5, 65, 27);
		yield* t.insert(6, d, 0x26075300, 0x60006b00, 0, 0xc05f0543, 128);
		yield* t.insert(6, c, 0x26075300, 0x60006b00, 0, 0, 64);
		yield* t.insert(4, e, 0, 0, 0, 0, 0);
		yield* t.insert(6, e, 0, 0, 0, 0, 0);
		// takes the last one over
		yield* t.insert(6, f, 0, 0, 0, 0, 0);
		yield* t.insert(6, g, 0x24046800, 0, 0, 0, 32);
		// must be masked
		yield* t.insert(6, h, 0x24046800, 0x40040800, 0xdeadbeef, 0xdeadbeef, 64);
		yield* t.insert(6, a, 0x24046800, 0x40040800, 0xdeadbeef, 0xdeadbeef, 128);
		yield* t.insert(6, c, 0x24446800, 0x40e40800, 0xdeaebeef, 0xdefbeef, 128);
		yield* t.insert(6, b, 0x24446800, 0xf0e40800, 0xeeaebeef, 0, 98);
		yield* t.insert(4, g, 64, 15, 112, 0, 20);
		// must be masked
		yield* t.insert(4, h, 64, 15, 123, 211, 25);
		yield* t.insert(4, a, 10, 0, 0, 0, 25);
		yield* t.insert(4, b, 10, 0, 0, 128, 25);
		yield* t.insert(4, a, 10, 1, 0, 0, 30);
		yield* t.insert(4, b, 10, 1, 0, 4, 30);
		yield* t.insert(4, c, 10, 1, 0, 8, 29);
		yield* t.insert(4, d, 10, 1, 0, 16, 29);

		// upstream forgets here whether all that was inserted
		t.success = true;

		yield* t.test(4, a, 192, 168, 4, 20);
		yield* t.test(4, a, 192, 168, 4, 0);
		yield* t.test(4, b, 192, 168, 4, 4);
		yield* t.test(4, c, 192, 168, 200, 182);
		yield* t.test(4, c, 192, 95, 5, 68);
		yield* t.test(4, e, 192, 95, 5, 96);
		yield* t.test(6, d, 0x26075300, 0x60006b00, 0, 0xc05f0543);
		yield* t.test(6, c, 0x26075300, 0x60006b00, 0, 0xc02e01ee);
		yield* t.test(6, f, 0x26075300, 0x60006b01, 0, 0);
		yield* t.test(6, g, 0x24046800, 0x40040806, 0, 0x1006);
		yield* t.test(6, g, 0x24046800, 0x40040806, 0x1234, 0x5678);
		yield* t.test(6, f, 0x240467ff, 0x40040806, 0x1234, 0x5678);
		yield* t.test(6, f, 0x24046801, 0x40040806, 0x1234, 0x5678);
		yield* t.test(6, h, 0x24046800, 0x40040800, 0x1234, 0x5678);
		yield* t.test(6, h, 0x24046800, 0x40040800, 0, 0);
		yield* t.test(6, h, 0x24046800, 0x40040800, 0x10101010, 0x10101010);
		yield* t.test(6, a, 0x24046800, 0x40040800, 0xdeadbeef, 0xdeadbeef);
		yield* t.test(4, g, 64, 15, 116, 26);
		yield* t.test(4, g, 64, 15, 127, 3);
		yield* t.test(4, g, 64, 15, 123, 1);
		yield* t.test(4, h, 64, 15, 123, 128);
		yield* t.test(4, h, 64, 15, 123, 129);
		yield* t.test(4, a, 10, 0, 0, 52);
		yield* t.test(4, b, 10, 0, 0, 220);
		yield* t.test(4, a, 10, 1, 0, 2);
		yield* t.test(4, b, 10, 1, 0, 6);
		yield* t.test(4, c, 10, 1, 0, 10);
		yield* t.test(4, d, 10, 1, 0, 20);

		yield* t.insert(4, a, 1, 0, 0, 0, 32);
		yield* t.insert(4, a, 64, 0, 0, 0, 32);
		yield* t.insert(4, a, 128, 0, 0, 0, 32);
		yield* t.insert(4, a, 192, 0, 0, 0, 32);
		yield* t.insert(4, a, 255, 0, 0, 0, 32);
		yield* aip.wg_aip_remove_all(sc, a);
		yield* t.test_negative(4, a, 1, 0, 0, 0);
		yield* t.test_negative(4, a, 64, 0, 0, 0);
		yield* t.test_negative(4, a, 128, 0, 0, 0);
		yield* t.test_negative(4, a, 192, 0, 0, 0);
		yield* t.test_negative(4, a, 255, 0, 0, 0);

		for (const peer of all) if (peer !== null) yield* aip.wg_aip_remove_all(sc, peer);
		yield* t.insert(4, a, 192, 168, 0, 0, 16);
		yield* t.insert(4, a, 192, 168, 0, 0, 24);
		yield* aip.wg_aip_remove_all(sc, a);
		yield* t.test_negative(4, a, 192, 168, 0, 1);

		for (t.i = 0; t.i < 128; ++t.i) yield* aip.wg_aip_add(sc, a, AF_INET6, all_ones_but(t.i), 128);

		for (const peer of all) if (peer !== null) yield* aip.wg_aip_remove_all(sc, peer);
		yield* t.insert(4, a, 192, 95, 5, 93, 27);
		yield* t.insert(6, a, 0x26075300, 0x60006b00, 0, 0xc05f0543, 128);
		yield* t.insert(4, a, 10, 1, 0, 20, 29);
		yield* t.insert(6, a, 0x26075300, 0x6d8a6bf8, 0xdab1f1df, 0xc05f1523, 83);
		yield* t.insert(6, a, 0x26075300, 0x6d8a6bf8, 0xdab1f1df, 0xc05f1523, 21);
		check_enumeration(t, a);

		if (randomized !== null && t.success) t.success = yield* randomized_test(randomized, aip);

		if (t.success) printf("allowedips self-tests: pass\n");
	}
	if (sc.sc_aip6 !== undefined) for (const peer of all) if (peer !== null) yield* aip.wg_aip_remove_all(sc, peer);
	for (const peer of all) free_peer(peer);
	test_aip_deinit(sc);

	return t.success;
}

/** The peer's list has exactly the five prefixes inserted last, masked. */
function check_enumeration(t: allowedips_test, a: wg_peer): void {
	let count = 0;
	let found_a = false;
	let found_b = false;
	let found_c = false;
	let found_d = false;
	let found_e = false;
	let found_other = false;
	for (let iter_node = a.p_aips; iter_node !== null; iter_node = iter_node.a_next) {
		const family = iter_node.a_af;
		const ip = iter_node.a_addr;
		let cidr: number;
		if (family === AF_INET) cidr = in_mask2len(in_get32(iter_node.a_mask, AIP_ADDR_OFFSET));
		else if (family === AF_INET6) cidr = in6_mask2len(iter_node.a_mask.subarray(AIP_ADDR_OFFSET));
		else continue;
		const is = (af: number, length: number, address: Uint8Array): boolean =>
			cidr === length && family === af && has_bytes(ip, AIP_ADDR_OFFSET, address);

		count++;

		if (is(AF_INET, 27, ip4(192, 95, 5, 64))) found_a = true;
		else if (is(AF_INET6, 128, ip6(0x26075300, 0x60006b00, 0, 0xc05f0543))) found_b = true;
		else if (is(AF_INET, 29, ip4(10, 1, 0, 16))) found_c = true;
		else if (is(AF_INET6, 83, ip6(0x26075300, 0x6d8a6bf8, 0xdab1e000, 0))) found_d = true;
		else if (is(AF_INET6, 21, ip6(0x26075000, 0, 0, 0))) found_e = true;
		else found_other = true;
	}
	t.test_boolean(count === 5);
	t.test_boolean(found_a);
	t.test_boolean(found_b);
	t.test_boolean(found_c);
	t.test_boolean(found_d);
	t.test_boolean(found_e);
	t.test_boolean(!found_other);
}
