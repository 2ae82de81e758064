/**
 * An interface of the driver between sockets that are not there: what it sends is kept, or handed to another rig at once, and what it
 * is to receive is put into wg_input. The rest is real: the kernel, the interface, its tasks and timers.
 */

import { curve25519_clamp_secret, curve25519_generate_public } from "../../../src/crypto/curve25519/curve25519.ts";
import { WG_GENERATION_TUNABLE, type wg_generation_name } from "../../../src/dev/wg/generation.ts";
import { wg_aip_add, wg_input, wg_timers_enable, wg_timers_event_want_initiation } from "../../../src/dev/wg/if_wg.ts";
import { SIOCSWG, wg_data_io } from "../../../src/dev/wg/if_wg_ioctl.ts";
import type { wg_peer, wg_softc } from "../../../src/dev/wg/if_wg_var.ts";
import { WG_CRYPTO_TUNABLE } from "../../../src/dev/wg/wg_crypto.ts";
import { boot } from "../../../src/kernel/boot.ts";
import type { Errno } from "../../../src/kernel/errno.ts";
import { ifunit } from "../../../src/kernel/ifnet/if.ts";
import { if_clone_create, if_clone_destroy } from "../../../src/kernel/ifnet/if_clone.ts";
import { IFF_DRV_RUNNING, IFF_UP, type ifnet, LINK_STATE_UP } from "../../../src/kernel/ifnet/if_var.ts";
import { cred0 } from "../../../src/kernel/jail/jail.ts";
import { crhold } from "../../../src/kernel/jail/ucred.ts";
import { vnet0 } from "../../../src/kernel/jail/vnet.ts";
import { MTX_DEF, mtx_init } from "../../../src/kernel/lock/mutex.ts";
import { sx_xlock, sx_xunlock } from "../../../src/kernel/lock/sx.ts";
import {
	M_PKTHDR,
	M_WAITOK,
	MT_DATA,
	m_copyback,
	m_copydata,
	m_freem,
	m_get2,
	type mbuf,
} from "../../../src/kernel/mbuf/mbuf.ts";
import { AF_INET, AF_INET6, IPPROTO_UDP, type sockaddr, sockaddr_in } from "../../../src/kernel/netinet/in.ts";
import type { inpcb } from "../../../src/kernel/netinet/in_pcb.ts";
import {
	type nvlist,
	nvlist_add_binary,
	nvlist_add_nvlist_array,
	nvlist_create,
	nvlist_destroy,
	nvlist_pack,
} from "../../../src/kernel/nv.ts";
import { arc4random_buf, type Kernel } from "../../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, curthread, done } from "../../../src/kernel/sched/thread.ts";
import { PR_ADDR, PR_ATOMIC, protosw, SOCK_DGRAM, socket } from "../../../src/kernel/socket/socket.ts";
import { soref } from "../../../src/kernel/socket/uipc_socket.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { findProfile } from "../../../src/machine/profile.ts";

/** A kernel with the driver in it. The driver's own ciphers are the quickest, and which they are does not matter here. */
export function wg_world(
	generation: wg_generation_name = "2022-09",
	options: { cpus?: number; seed?: number } = {},
): Kernel {
	const machine = new Machine({ profile: findProfile("xeon-d")!, cpus: options.cpus ?? 2, seed: options.seed ?? 1 });
	return boot(machine, { tunables: { [WG_GENERATION_TUNABLE]: generation, [WG_CRYPTO_TUNABLE]: "own" } });
}

/** A datagram the driver sent. */
export interface datagram {
	readonly to: sockaddr;
	readonly control: Uint8Array | null;
	readonly data: Uint8Array;
}

/** IP and UDP header: what wg_input is told to strip. */
const UDP4_HEADERS = 28;
const IP_HEADER = 20;

/** A packet header mbuf with these bytes. */
export function mbuf_of(bytes: Uint8Array): mbuf {
	const m = m_get2(Math.max(bytes.length, 1), M_WAITOK, MT_DATA, M_PKTHDR)!;
	m_copyback(m, 0, bytes.length, bytes);
	return m;
}

/** An IPv4 packet of `len` bytes. */
export function ipv4_packet(src: number, dst: number, len = 100): Uint8Array {
	const packet = new Uint8Array(len);
	packet[0] = 0x45;
	packet[2] = len >>> 8;
	packet[3] = len;
	packet.set([src >>> 24, src >>> 16, src >>> 8, src, dst >>> 24, dst >>> 16, dst >>> 8, dst], 12);
	return packet;
}

export class rig {
	readonly ifp: ifnet;
	readonly sc: wg_softc;
	readonly address: sockaddr_in;
	readonly private_key = new Uint8Array(32);
	readonly public_key = new Uint8Array(32);
	readonly sent: datagram[] = [];
	/** who gets what is sent; null: nobody */
	other: rig | null = null;
	/** what sending gives */
	answer: (d: datagram) => Errno = () => 0;

	constructor(ifp: ifnet, unit: number) {
		this.ifp = ifp;
		this.sc = ifp.if_softc as wg_softc;
		this.address = new sockaddr_in(0x7f000001 + unit, 51820);
		arc4random_buf(this.private_key);
		curve25519_clamp_secret(this.private_key);
		curve25519_generate_public(this.public_key, this.private_key);
	}

	private make_socket(family: number): socket {
		const self = this;
		const sw = new protosw({
			pr_type: SOCK_DGRAM,
			pr_domain: family,
			pr_protocol: IPPROTO_UDP,
			pr_flags: PR_ATOMIC | PR_ADDR,
			pr_usrreqs: {
				*pru_sosend(_so, addr, _uio, top, control): Blocking<Errno> {
					const d = { to: addr!, control: bytes_of(control), data: bytes_of(top)! };
					m_freem(control);
					m_freem(top);
					const error = self.answer(d);
					if (error !== 0) return error;
					self.sent.push(d);
					if (self.other !== null) yield* self.other.receive(d.data, self.address);
					return 0;
				},
			},
			pr_ctloutput: () => done(0),
		});
		const so = new socket(SOCK_DGRAM, sw, crhold(cred0()), vnet0());
		mtx_init(so.so_lock, "socket", null, MTX_DEF);
		mtx_init(so.so_snd.sb_mtx, "so_snd", null, MTX_DEF);
		mtx_init(so.so_rcv.sb_mtx, "so_rcv", null, MTX_DEF);
		soref(so);
		return so;
	}

	/** Up, on sockets that are not there. */
	*up(): Blocking<void> {
		yield* sx_xlock(this.sc.sc_lock);
		this.sc.sc_socket.so_so4 = this.make_socket(AF_INET);
		this.sc.sc_socket.so_so6 = this.make_socket(AF_INET6);
		this.ifp.if_flags |= IFF_UP;
		this.ifp.if_drv_flags |= IFF_DRV_RUNNING;
		this.ifp.if_link_state = LINK_STATE_UP;
		for (let peer = this.sc.sc_peers_first; peer !== null; peer = peer.p_next) yield* wg_timers_enable(peer);
		yield* sx_xunlock(this.sc.sc_lock);
	}

	/** A datagram from `from` arrives. */
	*receive(data: Uint8Array, from: sockaddr): Blocking<void> {
		const bytes = new Uint8Array(UDP4_HEADERS + data.length);
		bytes.set(data, UDP4_HEADERS);
		yield* wg_input(mbuf_of(bytes), IP_HEADER, null as unknown as inpcb, [from, this.address], this.sc);
	}

	/** SIOCSWG with what `fill` puts into the list. */
	*set(fill: (nvl: nvlist) => void): Blocking<Errno> {
		const nvl = nvlist_create(0);
		fill(nvl);
		const packed = nvlist_pack(nvl)!;
		nvlist_destroy(nvl);
		return yield* this.ifp.if_ioctl!(this.ifp, SIOCSWG, new wg_data_io(this.ifp.if_xname, packed));
	}

	set_private_key(key = this.private_key): Blocking<Errno> {
		return this.set((nvl) => nvlist_add_binary(nvl, "private-key", key));
	}

	/** SIOCSWG of one peer. */
	set_peer(public_key: Uint8Array, fill: (nvl: nvlist) => void): Blocking<Errno> {
		return this.set((nvl) => {
			const peer = nvlist_create(0);
			nvlist_add_binary(peer, "public-key", public_key);
			fill(peer);
			nvlist_add_nvlist_array(nvl, "peers", [peer]);
			nvlist_destroy(peer);
		});
	}

	/** A peer that is `other`, with everything allowed. */
	*add_peer(other: rig): Blocking<wg_peer> {
		yield* this.set_peer(other.public_key, (nvl) => nvlist_add_binary(nvl, "endpoint", sockaddr_bytes(other.address)));
		const peer = this.sc.sc_peers_last!;
		yield* wg_aip_add(this.sc, peer, AF_INET, new Uint8Array(4), 0);
		return peer;
	}

	*destroy(): Blocking<void> {
		yield* if_clone_destroy(this.ifp.if_xname);
	}
}

function bytes_of(m: mbuf | null): Uint8Array | null {
	if (m === null) return null;
	let len = 0;
	for (let n: mbuf | null = m; n !== null; n = n.m_next) len += n.m_len;
	const bytes = new Uint8Array(len);
	m_copydata(m, 0, len, bytes);
	return bytes;
}

/** struct sockaddr_in, as a program passes it. */
export function sockaddr_bytes(sin: sockaddr_in): Uint8Array {
	const a = sin.sin_addr;
	return Uint8Array.of(
		16,
		AF_INET,
		sin.sin_port >>> 8,
		sin.sin_port,
		a >>> 24,
		a >>> 16,
		a >>> 8,
		a,
		...new Uint8Array(8),
	);
}

/** An interface with a key, down. */
export function* new_rig(unit: number): Blocking<rig> {
	curthread.td_ucred = cred0();
	curthread.td_vnet = vnet0();
	yield* if_clone_create(`wg${unit}`, null);
	const r = new rig(ifunit(`wg${unit}`)!, unit);
	yield* r.set_private_key();
	return r;
}

/** Two interfaces that are each other's only peer, up and connected, without a session. */
export function* two_rigs(): Blocking<[rig, rig]> {
	const a = yield* new_rig(0);
	const b = yield* new_rig(1);
	yield* a.add_peer(b);
	yield* b.add_peer(a);
	yield* a.up();
	yield* b.up();
	a.other = b;
	b.other = a;
	return [a, b];
}

/** Two connected interfaces with a session between them, both sides confirmed. What was sent for that is forgotten. */
export function* connected_rigs(): Blocking<[rig, rig]> {
	const rigs = yield* two_rigs();
	yield* wg_timers_event_want_initiation(rigs[0].sc.sc_peers_first!);
	yield* settle();
	for (const r of rigs) {
		if (r.sc.sc_peers_first!.p_remote.r_current === null) throw new Error("no session");
		r.sent.length = 0;
	}
	return rigs;
}

/** Time for tasks to run to their end. */
export function settle(ms = 50): Blocking<unknown> {
	return pause_sbt("settle", ms * 1e6);
}
