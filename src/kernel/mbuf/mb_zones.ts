/**
 * The zones mbufs and clusters come from.
 *
 * "mbuf_packet" is a secondary zone of the mbuf zone: its items are mbufs that keep a cluster while they are cached, so that
 * the commonest allocation, an mbuf with a cluster, is a single one.
 *
 * Not modelled: mb_reclaim, since no protocol here can give memory back.
 *
 * @see kern_mbuf.c
 */
import { ENOMEM } from "../errno.ts";
import { KASSERT, KERNEL_GLOBAL, panic, TUNABLE_FETCH } from "../sched/kernel.ts";
import {
	EXT_CLUSTER,
	EXT_FLAG_EMBREF,
	EXT_JUMBO9,
	EXT_JUMBO16,
	EXT_JUMBOP,
	EXT_PACKET,
	M_EXT,
	M_NOFREE,
	M_PKTHDR,
	MCLBYTES,
	MJUM9BYTES,
	MJUM16BYTES,
	MJUMPAGESIZE,
	MLEN,
	MSIZE,
	MT_NOTMBUF,
} from "./mbuf_flags.ts";
import { m_tag_delete_chain } from "./mbuf_tag.ts";
import { M_PKTDAT, mbuf, pkthdr_clear } from "./mbuf_var.ts";
import {
	UMA_ALIGN_PTR,
	UMA_ZONE_CONTIG,
	UMA_ZONE_MAXBUCKET,
	uma_zalloc_arg,
	uma_zcreate,
	uma_zdestroy,
	uma_zfree,
	type uma_zone,
	uma_zone_set_max,
	uma_zone_set_warning,
	uma_zsecond_create,
} from "./uma.ts";
import { arena, type uma_memory } from "./uma_memory.ts";

/** Memory the limits are derived from when no tunable says otherwise: 8 GB, of which mbufs may use half. */
const DEFAULT_MAXMBUFMEM = 4 * 1024 * 1024 * 1024;

function limit(name: string, otherwise: number): number {
	const set = TUNABLE_FETCH(name);
	const n = set === null ? 0 : Number(set);
	return n > 0 ? n : Math.floor(otherwise);
}

function cluster_zone(name: string, size: number, max: number, sysctl: string, storage: arena): cluster_zone_t {
	const zone = uma_zcreate<uma_memory, mbuf | null>(
		name,
		size,
		mb_ctor_clust,
		null,
		null,
		null,
		UMA_ALIGN_PTR,
		UMA_ZONE_CONTIG,
		() => storage.carve(size),
	);
	uma_zone_set_max(zone, max);
	uma_zone_set_warning(zone, `${sysctl} limit reached`);
	return zone;
}

/** flags and type of an mbuf, packed into the number its constructor gets */
export type mb_args = number;
export type mbuf_zone_t = uma_zone<mbuf, mb_args>;
export type cluster_zone_t = uma_zone<uma_memory, mbuf | null>;

export function mb_args(flags: number, type: number): mb_args {
	return (type << 24) | flags;
}

/** The zones of one kernel, and its limits. @see kern_mbuf.c tunable_mbinit, mbuf_init */
class mbuf_zones {
	readonly nmbclusters: number;
	readonly nmbufs: number;
	readonly zone_mbuf: mbuf_zone_t;
	readonly zone_clust: cluster_zone_t;
	readonly zone_pack: mbuf_zone_t;
	readonly zone_jumbop: cluster_zone_t;
	readonly zone_jumbo9: cluster_zone_t;
	readonly zone_jumbo16: cluster_zone_t;
	private readonly storage = new arena();
	/** last packet_id given out */
	packet_id = 0;

	constructor() {
		const mem = limit("kern.ipc.maxmbufmem", DEFAULT_MAXMBUFMEM);
		const nmbclusters = limit("kern.ipc.nmbclusters", mem / MCLBYTES / 4);
		const nmbjumbop = limit("kern.ipc.nmbjumbop", mem / MJUMPAGESIZE / 4);
		const nmbjumbo9 = limit("kern.ipc.nmbjumbo9", mem / MJUM9BYTES / 6);
		const nmbjumbo16 = limit("kern.ipc.nmbjumbo16", mem / MJUM16BYTES / 6);
		const clusters = nmbclusters + nmbjumbop + nmbjumbo9 + nmbjumbo16;
		const asked = limit("kern.ipc.nmbufs", 0);
		this.nmbclusters = nmbclusters;
		this.nmbufs = asked >= clusters ? asked : Math.max(Math.floor(mem / MSIZE / 5), clusters);

		const { storage } = this;
		this.zone_mbuf = uma_zcreate<mbuf, mb_args>(
			"mbuf",
			MSIZE,
			mb_ctor_mbuf,
			mb_dtor_mbuf,
			null,
			null,
			MSIZE - 1,
			UMA_ZONE_CONTIG | UMA_ZONE_MAXBUCKET,
			() => new mbuf(storage.carve(MLEN)),
		);
		uma_zone_set_max(this.zone_mbuf, this.nmbufs);
		uma_zone_set_warning(this.zone_mbuf, "kern.ipc.nmbufs limit reached");
		const zone_clust = cluster_zone("mbuf_cluster", MCLBYTES, nmbclusters, "kern.ipc.nmbclusters", storage);
		this.zone_clust = zone_clust;
		this.zone_pack = uma_zsecond_create<mbuf, mb_args>(
			"mbuf_packet",
			mb_ctor_pack,
			mb_dtor_pack,
			(m, flags) => {
				if (uma_zalloc_arg(zone_clust, m, flags) === null) return ENOMEM;
				m.m_ext.ext_type = EXT_PACKET;
				return 0;
			},
			(m) => {
				uma_zfree(zone_clust, m.m_ext.ext_buf);
				m.m_ext.ext_buf = null;
			},
			this.zone_mbuf,
		);
		this.zone_pack.uz_holds = zone_clust as unknown as uma_zone<object, never>;
		this.zone_jumbop = cluster_zone("mbuf_jumbo_page", MJUMPAGESIZE, nmbjumbop, "kern.ipc.nmbjumbop", storage);
		this.zone_jumbo9 = cluster_zone("mbuf_jumbo_9k", MJUM9BYTES, nmbjumbo9, "kern.ipc.nmbjumbo9", storage);
		this.zone_jumbo16 = cluster_zone("mbuf_jumbo_16k", MJUM16BYTES, nmbjumbo16, "kern.ipc.nmbjumbo16", storage);
	}

	/** For the end of a kernel, which FreeBSD's never comes to: when nothing is in use, its storage becomes that of the next one. */
	destroy(): void {
		uma_zdestroy(this.zone_pack);
		uma_zdestroy(this.zone_mbuf);
		for (const zone of [this.zone_clust, this.zone_jumbop, this.zone_jumbo9, this.zone_jumbo16]) uma_zdestroy(zone);
		this.storage.close();
	}
}

/** The running kernel's mbuf zones. */
export const mb_zones = KERNEL_GLOBAL(() => new mbuf_zones());

/** Puts an mbuf into its initial state. @see sys/mbuf.h m_init */
function m_init(m: mbuf, type: number, flags: number): void {
	m.m_next = null;
	m.m_nextpkt = null;
	m.m_buf = m.m_dat;
	m.m_len = 0;
	m.m_flags = flags;
	m.m_type = type;
	m.m_filler = 0;
	m.m_filler_end = 0;
	if ((flags & M_PKTHDR) !== 0) {
		m.m_data = m.m_dat_start + M_PKTDAT;
		pkthdr_clear(m.m_pkthdr);
	} else m.m_data = m.m_dat_start;
}

/** Lets the data of an mbuf be in external storage, from its first byte on. */
export function m_extset(m: mbuf, buf: uma_memory): void {
	m.m_ext.ext_buf = buf;
	m.m_ext.ext_start = buf.start;
	m.m_buf = buf.buf;
	m.m_data = buf.start;
}

function mb_ctor_mbuf(m: mbuf, args: mb_args): number {
	m_init(m, args >>> 24, args & 0xffffff);
	return 0;
}

function mb_dtor_mbuf(m: mbuf): void {
	KASSERT((m.m_flags & M_NOFREE) === 0, "mb_dtor_mbuf: M_NOFREE set");
	if (m.m_type === MT_NOTMBUF) panic("mb_dtor_mbuf: freeing free mbuf");
	if ((m.m_flags & M_PKTHDR) !== 0 && m.m_pkthdr.tags !== null) m_tag_delete_chain(m, null);
	m.m_type = MT_NOTMBUF;
}

function mb_ctor_pack(m: mbuf, args: mb_args): number {
	m_init(m, args >>> 24, args & 0xffffff);
	m_extset(m, m.m_ext.ext_buf!);
	m.m_flags |= M_EXT;
	return 0;
}

function mb_dtor_pack(m: mbuf): void {
	if (m.m_type === MT_NOTMBUF) panic("mb_dtor_pack: freeing free mbuf");
	if ((m.m_flags & M_PKTHDR) !== 0) m_tag_delete_chain(m, null);
	const ext = m.m_ext;
	if ((m.m_flags & M_EXT) === 0) panic("mb_dtor_pack: M_EXT not set");
	if (ext.ext_buf === null) panic("mb_dtor_pack: ext_buf == NULL");
	if (ext.ext_size !== MCLBYTES) panic("mb_dtor_pack: ext_size != MCLBYTES");
	if (ext.ext_type !== EXT_PACKET) panic("mb_dtor_pack: ext_type != EXT_PACKET");
	m.m_type = MT_NOTMBUF;
}

function m_gettype(size: number): number {
	switch (size) {
		case MCLBYTES:
			return EXT_CLUSTER;
		case MJUMPAGESIZE:
			return EXT_JUMBOP;
		case MJUM9BYTES:
			return EXT_JUMBO9;
		case MJUM16BYTES:
			return EXT_JUMBO16;
		default:
			return panic(`m_gettype: invalid cluster size ${size}`);
	}
}

/** Attaches a fresh cluster to the mbuf that asked for it, if one did. */
export function mb_ctor_clust(buf: uma_memory, m: mbuf | null): number {
	if (m === null) return 0;
	const ext = m.m_ext;
	m_extset(m, buf);
	m.m_flags |= M_EXT;
	ext.ext_free = null;
	ext.ext_arg1 = null;
	ext.ext_arg2 = null;
	ext.ext_size = buf.size;
	ext.ext_type = m_gettype(buf.size);
	ext.ext_flags = EXT_FLAG_EMBREF;
	ext.ext_cnt = null;
	ext.ext_count = 1;
	return 0;
}

/** The zone of clusters of one size. */
export function m_getzone(size: number): cluster_zone_t {
	const z = mb_zones();
	switch (size) {
		case MCLBYTES:
			return z.zone_clust;
		case MJUMPAGESIZE:
			return z.zone_jumbop;
		case MJUM9BYTES:
			return z.zone_jumbo9;
		case MJUM16BYTES:
			return z.zone_jumbo16;
		default:
			return panic(`m_getzone: invalid cluster size ${size}`);
	}
}
