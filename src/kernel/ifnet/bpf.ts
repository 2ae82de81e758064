/**
 * bpf(4): taps on interfaces.
 *
 * A tap is a list of listeners, which is null while nobody listens, so that a tap costs one test then. A listener sees the
 * packet at the same point and with the same link header a bpf descriptor would, and must not change it. Simplified: no
 * descriptors, filters and buffers inside the kernel; whoever listens filters and copies, takes no simulated time for it and
 * never drops. Writing is there for interfaces without a link header of their own (DLT_NULL).
 *
 * @see net/bpf.c bpfattach2, bpfdetach, bpf_mtap, bpf_mtap2, bpfwrite, bpf_movein; kernel.md section 13
 */
import { EMSGSIZE, ENETDOWN, ENOBUFS, ENXIO, EOPNOTSUPP, type Errno } from "../errno.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import { M_PKTHDR, M_WAITOK, MT_DATA, m_append, m_freem, m_get2, type mbuf } from "../mbuf/mbuf.ts";
import { AF_UNSPEC, pseudo_AF_HDRCMPLT, sockaddr_opaque } from "../netinet/in.ts";
import { CURVNET_RESTORE, CURVNET_SET, KERNEL_GLOBAL } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { IFF_UP, type ifnet } from "./if_var.ts";

/** a 4-byte address family, host byte order, before the packet */
export const DLT_NULL = 0;
export const DLT_EN10MB = 1;

/**
 * What a listener gets.
 *
 * @param head bytes that precede the packet, null if the packet has its link header already; valid during the call only
 * @param head_len how many of them
 */
export type bpf_listener = (ifp: ifnet, m: mbuf, head: Uint8Array | null, head_len: number) => void;

/** A tap point of an interface: one per interface and link type. @see struct bpf_if */
export class bpf_if {
	readonly bif_ifp: ifnet;
	readonly bif_dlt: number;
	readonly bif_hdrlen: number;
	/** what to call; null when nobody listens */
	bif_on: bpf_listener | null = null;
	private readonly listeners: bpf_listener[] = [];

	constructor(ifp: ifnet, dlt: number, hdrlen: number) {
		this.bif_ifp = ifp;
		this.bif_dlt = dlt;
		this.bif_hdrlen = hdrlen;
	}

	/** Adds a listener. @returns a function that removes it again */
	listen(listener: bpf_listener): () => void {
		this.listeners.push(listener);
		this.rebuild();
		return () => {
			const at = this.listeners.indexOf(listener);
			if (at >= 0) this.listeners.splice(at, 1);
			this.rebuild();
		};
	}

	/** The interface goes: nobody hears anything from it any more. */
	dead(): void {
		this.listeners.length = 0;
		this.bif_on = null;
	}

	private rebuild(): void {
		const listeners = this.listeners;
		if (listeners.length < 2) {
			this.bif_on = listeners[0] ?? null;
			return;
		}
		this.bif_on = (ifp, m, head, head_len) => {
			for (let i = 0; i < listeners.length; i++) listeners[i](ifp, m, head, head_len);
		};
	}
}

class bpf_state {
	/** hears of every interface that can be tapped, for exporters that want all of them or those to come */
	readonly attach_listeners: ((bp: bpf_if) => void)[] = [];
	readonly iflist: bpf_if[] = [];
	/** the address family of bpf_mtap2's callers: reused, since listeners may not keep it */
	readonly af = new Uint8Array(4);
}

const bpf = KERNEL_GLOBAL(() => new bpf_state());

/** All tap points there are. */
export function bpf_iflist(): readonly bpf_if[] {
	return bpf().iflist;
}

/** Calls `listener` for every tap point there is and every one to come, of the running kernel. @returns a function that ends it */
export function bpf_listen_attach(listener: (bp: bpf_if) => void): () => void {
	const state = bpf();
	state.attach_listeners.push(listener);
	for (const bp of state.iflist) listener(bp);
	return () => {
		state.attach_listeners.splice(state.attach_listeners.indexOf(listener), 1);
	};
}

/** Makes an interface tappable. */
export function bpfattach(ifp: ifnet, dlt: number, hdrlen: number): void {
	const state = bpf();
	const bp = new bpf_if(ifp, dlt, hdrlen);
	ifp.if_bpf = bp;
	state.iflist.push(bp);
	for (const listener of state.attach_listeners) listener(bp);
}

/** Takes the tap point away; also what the departure of an interface does. */
export function bpfdetach(ifp: ifnet): void {
	const bp = ifp.if_bpf;
	if (bp === null) return;
	const state = bpf();
	state.iflist.splice(state.iflist.indexOf(bp), 1);
	ifp.if_bpf = null;
	bp.dead();
}

/** Shows a packet to whoever listens. */
export function BPF_MTAP(ifp: ifnet, m: mbuf): void {
	charge(cost.bpf_test);
	const bp = ifp.if_bpf;
	if (bp !== null && bp.bif_on !== null) bp.bif_on(ifp, m, null, 0);
}

/** Shows a packet with `dlen` bytes before it. */
export function bpf_mtap2(bp: bpf_if, data: Uint8Array, dlen: number, m: mbuf): void {
	if (bp.bif_on !== null) bp.bif_on(bp.bif_ifp, m, data, dlen);
}

/** Shows a packet without link header, with its address family before it as DLT_NULL wants it (little-endian, as on amd64). */
export function BPF_MTAP2_AF(ifp: ifnet, m: mbuf, af: number): void {
	charge(cost.bpf_test);
	const bp = ifp.if_bpf;
	if (bp === null || bp.bif_on === null) return;
	const data = bpf().af;
	data[0] = af;
	bpf_mtap2(bp, data, 4, m);
}

/** length of a DLT_NULL header: a family in host byte order */
const NULL_HDRLEN = 4;

/**
 * Sends what a program wrote to a bpf descriptor of the interface: a DLT_NULL header and a packet. The interface gets the header as
 * the bytes of an address whose family says only where they come from.
 *
 * @param hdrcmplt the descriptor has BIOCSHDRCMPLT set, as tcpreplay(1) does
 * @see bpf.c bpfwrite, bpf_movein
 */
export function* bpfwrite(ifp: ifnet, data: Uint8Array, hdrcmplt: boolean): Blocking<Errno> {
	const bp = ifp.if_bpf;
	if (bp === null) return ENXIO;
	if ((ifp.if_flags & IFF_UP) === 0) return ENETDOWN;
	if (bp.bif_dlt !== DLT_NULL) return EOPNOTSUPP;
	if (data.length === 0) return 0;
	const len = data.length - NULL_HDRLEN;
	if (len < 0 || len > ifp.if_mtu) return EMSGSIZE;
	const m = m_get2(Math.max(len, 1), M_WAITOK, MT_DATA, M_PKTHDR);
	if (m === null) return EMSGSIZE;
	if (m_append(m, len, data, NULL_HDRLEN) === 0) {
		m_freem(m);
		return ENOBUFS;
	}
	const dst = new sockaddr_opaque(hdrcmplt ? pseudo_AF_HDRCMPLT : AF_UNSPEC);
	dst.sa_data.set(data.subarray(0, NULL_HDRLEN));
	const saved = CURVNET_SET(ifp.if_vnet);
	NET_EPOCH_ENTER();
	const error = yield* ifp.if_output(ifp, m, dst, null);
	NET_EPOCH_EXIT();
	CURVNET_RESTORE(saved);
	return error;
}
