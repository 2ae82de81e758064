import fc from "fast-check";
import { beforeEach, expect, test } from "vitest";
import { mtx_lock } from "../../../src/kernel/lock/mutex.ts";
import {
	int_ref,
	M_EXT,
	M_WAITOK,
	MSIZE,
	MT_DATA,
	m_copydata,
	m_freem,
	m_gethdr,
	type mbuf,
} from "../../../src/kernel/mbuf/mbuf.ts";
import { AF_INET, IP_SENDSRCADDR, IPPROTO_IP, sockaddr_in, sockaddr_in6 } from "../../../src/kernel/netinet/in.ts";
import {
	CMSG_HDR,
	CMSG_LEN,
	cmsg_len,
	cmsg_level,
	cmsg_type,
	sbcreatecontrol,
} from "../../../src/kernel/socket/cmsg.ts";
import type { sockbuf } from "../../../src/kernel/socket/socket.ts";
import {
	sb_max_adj,
	sbappendaddr_locked,
	sbappendstream_locked,
	sbcut_locked,
	sbdrop_locked,
	sbdroprecord_locked,
	sbflush_locked,
	sbreserve_locked,
	sbsndptr_adv,
	sbsndptr_noadv,
	sbspace,
	sodupsockaddr,
} from "../../../src/kernel/socket/uipc_sockbuf.ts";
import { boot, bytesOf, expectNoLeaks, pattern } from "../mbuf/support.ts";
import { chainOf, makeSockbuf, run } from "./support.ts";

/** The counters say what the chain says. */
function sbcheck(sb: sockbuf): void {
	let cc = 0;
	let mbcnt = 0;
	let mcnt = 0;
	let last: mbuf | null = null;
	for (let r = sb.sb_mb; r !== null; r = r.m_nextpkt) {
		if (r.m_nextpkt === null) expect(sb.sb_lastrecord).toBe(r);
		for (let m: mbuf | null = r; m !== null; m = m.m_next) {
			cc += m.m_len;
			mbcnt += MSIZE + ((m.m_flags & M_EXT) !== 0 ? m.m_ext.ext_size : 0);
			mcnt++;
			last = m;
		}
	}
	expect([sb.sb_ccc, sb.sb_acc, sb.sb_mbcnt, sb.sb_mcnt]).toEqual([cc, cc, mbcnt, mcnt]);
	expect(sb.sb_mbtail).toBe(last);
}

let sb: sockbuf;

beforeEach(() => {
	boot();
	sb = makeSockbuf(100_000);
	run(mtx_lock(sb.sb_mtx));
});

test("what goes in comes out, in any pieces, and the counters always agree", () => {
	const step = fc.oneof(
		fc.record({ put: fc.integer({ min: 1, max: 9000 }) }),
		fc.record({ drop: fc.double({ min: 0, max: 1, noNaN: true }) }),
	);
	fc.assert(
		fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
			let expected = Buffer.alloc(0);
			let seed = 1;
			for (const s of steps) {
				if ("put" in s) {
					const bytes = pattern(s.put, seed++);
					sbappendstream_locked(sb, chainOf(bytes));
					expected = Buffer.concat([expected, bytes]);
				} else {
					const n = Math.floor(s.drop * expected.length);
					sbdrop_locked(sb, n);
					expected = expected.subarray(n);
				}
				sbcheck(sb);
				expect(Buffer.from(bytesOf(sb.sb_mb)).equals(expected)).toBe(true);
			}
			sbflush_locked(sb);
			sbcheck(sb);
			expectNoLeaks();
		}),
		{ numRuns: 50 },
	);
});

test("small segments share a cluster", () => {
	for (let i = 0; i < 10; i++) sbappendstream_locked(sb, chainOf(pattern(100, i)));
	expect(sb.sb_ccc).toBe(1000);
	expect(sb.sb_mcnt).toBeLessThan(10);
	sbflush_locked(sb);
});

test("sbspace is bounded by bytes and by mbuf memory", () => {
	sbreserve_locked(sb, 10_000);
	expect(sbspace(sb)).toBe(10_000);
	sbappendstream_locked(sb, chainOf(pattern(4096)));
	expect(sbspace(sb)).toBe(10_000 - 4096);
	sb.sb_mbmax = sb.sb_mbcnt + 7;
	expect(sbspace(sb)).toBe(7);
	sbflush_locked(sb);
	expect(sbreserve_locked(sb, sb_max_adj + 1)).toBe(false);
});

test("the send pointer finds every byte, and moves only with new data", () => {
	const bytes = pattern(40_000);
	sbappendstream_locked(sb, chainOf(bytes));
	const moff = new int_ref();
	const copy = new Uint8Array(1448);
	let dropped = 0;
	for (let off = 0; off + 1448 <= bytes.length; off += 1448) {
		const m = sbsndptr_noadv(sb, off - dropped, moff);
		const at = moff.value;
		m_copydata(m, at, 1448, copy);
		expect(Buffer.from(copy).equals(Buffer.from(bytes.subarray(off, off + 1448)))).toBe(true);
		sbsndptr_adv(sb, m, at, 1448);
		if (off > 0 && off % 14480 === 0) {
			// a retransmission from the head
			m_copydata(sbsndptr_noadv(sb, 0, moff), moff.value, 1448, copy);
			expect(Buffer.from(copy).equals(Buffer.from(bytes.subarray(dropped, dropped + 1448)))).toBe(true);
			sbdrop_locked(sb, 7000);
			dropped += 7000;
		}
	}
	sbflush_locked(sb);
	expectNoLeaks();
});

test("sbcut gives whole mbufs back and keeps the rest of a partial one", () => {
	sbappendstream_locked(sb, chainOf(pattern(10_000)));
	const cut = sbcut_locked(sb, 5000);
	expect(sb.sb_ccc).toBe(5000);
	sbcheck(sb);
	expect(Buffer.from(bytesOf(sb.sb_mb)).equals(Buffer.from(pattern(10_000).subarray(5000)))).toBe(true);
	m_freem(cut);
	sbflush_locked(sb);
	expectNoLeaks();
});

test("a datagram's record is address, control, data; it is refused whole when there is no room", () => {
	const m = m_gethdr(M_WAITOK, MT_DATA)!;
	m.m_len = m.m_pkthdr.len = 100;
	const addr = new Uint8Array([10, 0, 0, 1]);
	const control = sbcreatecontrol(addr, 4, IP_SENDSRCADDR, IPPROTO_IP)!;
	expect(sbappendaddr_locked(sb, new sockaddr_in(0x0a000002, 53), m, control)).toBe(true);
	sbcheck(sb);
	expect(sb.sb_ctl).toBe(16 + 24);
	expect(sodupsockaddr(sb.sb_mb!)).toMatchObject({ sa_family: AF_INET, sin_addr: 0x0a000002, sin_port: 53 });
	const c = sb.sb_mb!.m_next!;
	expect([cmsg_len(c.m_buf, c.m_data), cmsg_level(c.m_buf, c.m_data), cmsg_type(c.m_buf, c.m_data)]).toEqual([
		CMSG_LEN(4),
		IPPROTO_IP,
		IP_SENDSRCADDR,
	]);
	expect([...c.m_buf.subarray(c.m_data + CMSG_HDR, c.m_data + CMSG_HDR + 4)]).toEqual([...addr]);
	const n = m_gethdr(M_WAITOK, MT_DATA)!;
	n.m_len = n.m_pkthdr.len = 100;
	const six = new sockaddr_in6(
		Uint8Array.from({ length: 16 }, (_, i) => i),
		7,
	);
	expect(sbappendaddr_locked(sb, six, n, null)).toBe(true);
	expect(sodupsockaddr(sb.sb_mb!.m_nextpkt!)).toEqual(six);
	sbcheck(sb);
	sb.sb_hiwat = sb.sb_ccc;
	const refused = m_gethdr(M_WAITOK, MT_DATA)!;
	expect(sbappendaddr_locked(sb, six, refused, null)).toBe(false);
	m_freem(refused);
	sbdroprecord_locked(sb);
	sbcheck(sb);
	sbdroprecord_locked(sb);
	sbcheck(sb);
	expectNoLeaks();
});
