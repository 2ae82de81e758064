/**
 * The driver's structures. Field names are upstream's; lists are intrusive as there, with the links spelled out.
 *
 * @see if_wg.c, the declarations at its top
 */
import { callout } from "../../kernel/callout/callout.ts";
import type { ifnet } from "../../kernel/ifnet/if_var.ts";
import type { ucred } from "../../kernel/jail/ucred.ts";
import { mtx } from "../../kernel/lock/mutex.ts";
import { rwlock } from "../../kernel/lock/rwlock.ts";
import { sx } from "../../kernel/lock/sx.ts";
import type { mbuf } from "../../kernel/mbuf/mbuf.ts";
import { AF_INET, AF_INET6, AF_UNSPEC, type sockaddr, sockaddr_in, sockaddr_in6 } from "../../kernel/netinet/in.ts";
import { type radix_node_head, radix_node_pair, type radix_nodes } from "../../kernel/route/radix.ts";
import type { timespec } from "../../kernel/sched/kernel.ts";
import type { socket } from "../../kernel/socket/socket.ts";
import { grouptask } from "../../kernel/taskqueue/gtaskqueue.ts";
import type { dispatch_policy } from "./dispatch/policy.ts";
import { cookie_checker, cookie_maker } from "./wg_cookie.ts";
import { type noise_keypair, type noise_local, type noise_remote, uint64 } from "./wg_noise.ts";

/** Where a peer is (remote) and from which of our addresses we talk to it (local, the sticky source). A union of families upstream. */
export class wg_endpoint {
	/** AF_UNSPEC until an endpoint is configured or discovered */
	r_family = AF_UNSPEC;
	readonly r_sin = new sockaddr_in();
	readonly r_sin6 = new sockaddr_in6();
	l_in = 0;
	readonly l_in6 = new Uint8Array(16);

	get r_sa(): sockaddr {
		return this.r_family === AF_INET6 ? this.r_sin6 : this.r_sin;
	}

	assign(e: wg_endpoint): void {
		this.r_family = e.r_family;
		this.r_sin.sin_port = e.r_sin.sin_port;
		this.r_sin.sin_addr = e.r_sin.sin_addr;
		this.l_in = e.l_in;
		if (e.r_family === AF_INET6) {
			this.r_sin6.sin6_port = e.r_sin6.sin6_port;
			this.r_sin6.sin6_scope_id = e.r_sin6.sin6_scope_id;
			this.r_sin6.sin6_flowinfo = e.r_sin6.sin6_flowinfo;
			this.r_sin6.sin6_addr.set(e.r_sin6.sin6_addr);
			this.l_in6.set(e.l_in6);
		}
	}

	equals(e: wg_endpoint): boolean {
		if (this.r_family !== e.r_family) return false;
		if (this.r_family === AF_INET) {
			return (
				this.r_sin.sin_port === e.r_sin.sin_port && this.r_sin.sin_addr === e.r_sin.sin_addr && this.l_in === e.l_in
			);
		}
		if (this.r_sin6.sin6_port !== e.r_sin6.sin6_port || this.r_sin6.sin6_scope_id !== e.r_sin6.sin6_scope_id)
			return false;
		for (let i = 0; i < 16; i++) {
			if (this.r_sin6.sin6_addr[i] !== e.r_sin6.sin6_addr[i] || this.l_in6[i] !== e.l_in6[i]) return false;
		}
		return true;
	}

	clear_local(): void {
		this.l_in = 0;
		this.l_in6.fill(0);
	}
}

/** Byte 0 is the length, as radix(9) wants it; the address follows. */
export const AIP_ADDR_OFFSET = 4;

/** An allowed IP: a prefix and the peer it belongs to. */
export class wg_aip {
	readonly a_nodes: radix_nodes = radix_node_pair(this);
	a_next: wg_aip | null = null;
	a_prev: wg_aip | null = null;
	readonly a_addr: Uint8Array;
	readonly a_mask: Uint8Array;
	a_peer: wg_peer;
	readonly a_af: number;
	constructor(peer: wg_peer, af: number) {
		const length = AIP_ADDR_OFFSET + (af === AF_INET ? 4 : 16);
		this.a_addr = new Uint8Array(length);
		this.a_mask = new Uint8Array(length);
		this.a_addr[0] = length;
		this.a_mask[0] = length;
		this.a_peer = peer;
		this.a_af = af;
	}
}

export const WG_PACKET_UNCRYPTED = 0;
export const WG_PACKET_CRYPTED = 1;
export const WG_PACKET_DEAD = 2;

/** A packet on its way through the driver; an item of the zone "wg packet". */
export class wg_packet {
	p_serial: wg_packet | null = null;
	p_parallel: wg_packet | null = null;
	readonly p_endpoint = new wg_endpoint();
	p_keypair: noise_keypair | null = null;
	readonly p_nonce = new uint64();
	p_mbuf: mbuf | null = null;
	p_mtu = 0;
	p_af = AF_UNSPEC;
	p_state = WG_PACKET_UNCRYPTED;
}

/** A list of packets linked by p_parallel. */
export class wg_packet_list {
	first: wg_packet | null = null;
	last: wg_packet | null = null;
}

export class wg_queue {
	readonly q_mtx = new mtx();
	q_first: wg_packet | null = null;
	q_last: wg_packet | null = null;
	q_len = 0;
}

export class wg_peer {
	p_next: wg_peer | null = null;
	p_prev: wg_peer | null = null;
	/** upstream 64 bits wide; a number is exact far beyond what is ever created */
	p_id = 0;
	readonly p_sc: wg_softc;

	p_remote!: noise_remote;
	readonly p_cookie = new cookie_maker();

	readonly p_endpoint_lock = new rwlock();
	readonly p_endpoint = new wg_endpoint();
	/** wg_deliver_out's local copy: the task never runs beside itself */
	readonly p_send_endpoint = new wg_endpoint();

	readonly p_stage_queue = new wg_queue();
	readonly p_encrypt_serial = new wg_queue();
	readonly p_decrypt_serial = new wg_queue();

	p_enabled = false;
	p_need_another_keepalive = false;
	p_persistent_keepalive_interval = 0;
	readonly p_new_handshake = new callout();
	readonly p_send_keepalive = new callout();
	readonly p_retry_handshake = new callout();
	readonly p_zero_key_material = new callout();
	readonly p_persistent_keepalive = new callout();

	readonly p_handshake_mtx = new mtx();
	p_handshake_complete: timespec = { tv_sec: 0, tv_nsec: 0 };
	p_handshake_retries = 0;

	readonly p_send = new grouptask();
	readonly p_recv = new grouptask();

	p_tx_bytes = 0;
	p_rx_bytes = 0;

	p_aips: wg_aip | null = null;
	p_aips_num = 0;

	constructor(sc: wg_softc) {
		this.p_sc = sc;
	}
}

export class wg_socket {
	so_so4: socket | null = null;
	so_so6: socket | null = null;
	so_user_cookie = 0;
	so_fibnum = 0;
	so_port = 0;
}

export const WGF_DYING = 0x0001;

export class wg_softc {
	sc_ifp!: ifnet;
	sc_flags = 0;

	sc_ucred: ucred | null = null;
	readonly sc_socket = new wg_socket();

	sc_peers_first: wg_peer | null = null;
	sc_peers_last: wg_peer | null = null;
	sc_peers_num = 0;

	sc_local!: noise_local;
	readonly sc_cookie = new cookie_checker();

	sc_aip4!: radix_node_head;
	sc_aip6!: radix_node_head;

	readonly sc_handshake = new grouptask();
	readonly sc_handshake_queue = new wg_queue();

	readonly sc_encrypt: grouptask[] = [];
	readonly sc_decrypt: grouptask[] = [];
	readonly sc_encrypt_parallel = new wg_queue();
	readonly sc_decrypt_parallel = new wg_queue();
	sc_encrypt_last_cpu = 0;
	sc_decrypt_last_cpu = 0;

	readonly sc_lock = new sx();

	/** which CPUs to wake: upstream has one policy at a time in the code */
	readonly sc_dispatch: dispatch_policy;

	constructor(dispatch: dispatch_policy) {
		this.sc_dispatch = dispatch;
	}
}
