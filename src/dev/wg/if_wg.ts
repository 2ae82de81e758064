/**
 * if_wg: the WireGuard network interface.
 *
 * A port of upstream's if_wg.c: same functions in the same order, same order of effects, same lock scopes, constants and
 * error codes. Where the driver's generations differ the code asks `generation()`; which CPUs a packet wakes is the
 * policy's, in dispatch/. Upstream behaviours that look wrong are kept and listed in PORTING.md.
 *
 * Copyright (C) 2015-2021 Jason A. Donenfeld, 2019-2021 Matt Dunwoodie, 2019-2020 Rubicon Communications (Netgate),
 * 2021 Kyle Evans, 2022 The FreeBSD Foundation, for what this was ported from; see NOTICE.
 *
 * @see wireguard-freebsd src/if_wg.c at 8ed5135 (2021-11), ddc22da and 20584d1 (2022-09); freebsd-src sys/dev/wg/if_wg.c
 */

import { curve25519_generate_public } from "../../crypto/curve25519/curve25519.ts";
import { callout_init, callout_pending, callout_reset, callout_stop } from "../../kernel/callout/callout.ts";
import { le32dec, le32enc } from "../../kernel/endian.ts";
import {
	E2BIG,
	EADDRNOTAVAIL,
	EAFNOSUPPORT,
	EAGAIN,
	EBADMSG,
	EBUSY,
	ECONNREFUSED,
	ECONNRESET,
	EFAULT,
	EHOSTUNREACH,
	EINVAL,
	ELOOP,
	ENOBUFS,
	ENOMEM,
	ENOSPC,
	ENOTCONN,
	ENOTRECOVERABLE,
	ENOTTY,
	ENXIO,
	EOPNOTSUPP,
	type Errno,
	ETIMEDOUT,
} from "../../kernel/errno.ts";
import { BPF_MTAP2_AF, bpfattach, bpfdetach, DLT_NULL } from "../../kernel/ifnet/bpf.ts";
import { ETHER_ADDR_LEN, ETHER_HDR_LEN, ETHERTYPE_IP, ETHERTYPE_IPV6 } from "../../kernel/ifnet/ethernet.ts";
import {
	if_alloc,
	if_attach,
	if_detach,
	if_free,
	if_initname,
	if_link_state_change,
	if_printf,
	if_purgeaddrs,
	if_setmtu,
	if_tunnel_check_nesting,
} from "../../kernel/ifnet/if.ts";
import { type if_clone, if_clone_detach, if_clone_simple } from "../../kernel/ifnet/if_clone.ts";
import {
	IF_MAXMTU,
	IFCAP_LINKSTATE,
	IFCAP_NETMAP,
	IFCOUNTER_IBYTES,
	IFCOUNTER_IERRORS,
	IFCOUNTER_IPACKETS,
	IFCOUNTER_IQDROPS,
	IFCOUNTER_OBYTES,
	IFCOUNTER_OERRORS,
	IFCOUNTER_OPACKETS,
	IFCOUNTER_OQDROPS,
	IFF_DEBUG,
	IFF_DRV_RUNNING,
	IFF_DYING,
	IFF_MULTICAST,
	IFF_NOARP,
	IFF_UP,
	IFT_WIREGUARD,
	if_inc_counter,
	type ifnet,
	LINK_STATE_DOWN,
	LINK_STATE_UP,
} from "../../kernel/ifnet/if_var.ts";
import { NETISR_IP, NETISR_IPV6, netisr_dispatch } from "../../kernel/ifnet/netisr.ts";
import {
	type ifreq,
	SIOCADDMULTI,
	SIOCDELMULTI,
	SIOCGTUNFIB,
	SIOCSIFADDR,
	SIOCSIFFLAGS,
	SIOCSIFMTU,
	SIOCSTUNFIB,
} from "../../kernel/ifnet/sockio.ts";
import { osd_jail_deregister, osd_jail_register, PR_METHOD_REMOVE, type prison } from "../../kernel/jail/jail.ts";
import { PRIV_NET_SETIFFIB, PRIV_NET_WG, priv_check } from "../../kernel/jail/priv.ts";
import { crfree, crhold, type ucred } from "../../kernel/jail/ucred.ts";
import { VNET_LIST_RLOCK, VNET_LIST_RUNLOCK, vnet_foreach } from "../../kernel/jail/vnet.ts";
import { load, load_read_mostly, store } from "../../kernel/lock/atomic.ts";
import { NET_EPOCH_DRAIN_CALLBACKS, NET_EPOCH_ENTER, NET_EPOCH_EXIT, NET_EPOCH_WAIT } from "../../kernel/lock/epoch.ts";
import { MTX_DEF, mtx_destroy, mtx_init, mtx_lock, mtx_unlock } from "../../kernel/lock/mutex.ts";
import { rw_destroy, rw_init, rw_rlock, rw_runlock, rw_wlock, rw_wunlock } from "../../kernel/lock/rwlock.ts";
import {
	SX_XLOCKED,
	sx,
	sx_assert,
	sx_destroy,
	sx_init,
	sx_slock,
	sx_sunlock,
	sx_xlock,
	sx_xunlock,
} from "../../kernel/lock/sx.ts";
import { free_account, MALLOC_DEFINE, malloc_account } from "../../kernel/mbuf/malloc.ts";
import {
	M_ASSERTPKTHDR,
	M_BCAST,
	M_HASHTYPE_CLEAR,
	M_MCAST,
	M_NOWAIT,
	M_PKTHDR,
	M_PREPEND,
	M_PROMISC,
	M_PROTOFLAGS,
	M_SETFIB,
	M_VLANTAG,
	M_WAITOK,
	M_ZERO,
	MT_DATA,
	m_adj,
	m_append,
	m_copyback,
	m_defrag,
	m_freem,
	m_get2,
	m_gethdr,
	m_pullup,
	m_tag_delete,
	m_tag_next,
	m_unshare,
	type mbuf,
	PACKET_TAG_MACLABEL,
} from "../../kernel/mbuf/mbuf.ts";
import { uma_zalloc, uma_zcreate, uma_zdestroy, uma_zfree, type uma_zone } from "../../kernel/mbuf/uma.ts";
import { small_buffer } from "../../kernel/mbuf/uma_memory.ts";
import { MOD_LOAD, MOD_UNLOAD, module_register_init } from "../../kernel/module.ts";
import { ICMP6_DST_UNREACH, icmp6_error } from "../../kernel/netinet/icmp6.ts";
import {
	AF_INET,
	AF_INET6,
	AF_UNSPEC,
	IN6_IS_ADDR_UNSPECIFIED,
	INADDR_ANY,
	IP_SENDSRCADDR,
	IPPROTO_IP,
	IPPROTO_IPV6,
	IPPROTO_UDP,
	IPV6_PKTINFO,
	in_get16,
	in_get32,
	in_len2mask,
	in_mask2len,
	in_put16,
	in_put32,
	in6_mask2len,
	in6_prefixlen2mask,
	pseudo_AF_HDRCMPLT,
	type sockaddr,
	sockaddr_in,
	sockaddr_in6,
	sockaddr_opaque,
} from "../../kernel/netinet/in.ts";
import type { inpcb } from "../../kernel/netinet/in_pcb.ts";
import { ICMP_UNREACH, ICMP_UNREACH_HOST, icmp_error } from "../../kernel/netinet/ip_icmp.ts";
import { udp_set_kernel_tunneling } from "../../kernel/netinet/udp_usrreq.ts";
import {
	type nvlist,
	nvlist_add_binary,
	nvlist_add_number,
	nvlist_add_nvlist_array,
	nvlist_create,
	nvlist_destroy,
	nvlist_exists_binary,
	nvlist_exists_bool,
	nvlist_exists_number,
	nvlist_exists_nvlist_array,
	nvlist_get_binary,
	nvlist_get_bool,
	nvlist_get_number,
	nvlist_get_nvlist_array,
	nvlist_pack,
	nvlist_unpack,
} from "../../kernel/nv.ts";
import { SDT_PROBE_DEFINE } from "../../kernel/probe/probe.ts";
import {
	RADIX_NODE_HEAD_DESTROY,
	RADIX_NODE_HEAD_LOCK,
	RADIX_NODE_HEAD_LOCK_INIT,
	RADIX_NODE_HEAD_RLOCK,
	RADIX_NODE_HEAD_RLOCK_TRACKER,
	RADIX_NODE_HEAD_RUNLOCK,
	RADIX_NODE_HEAD_UNLOCK,
	rn_detachhead,
	rn_inithead,
} from "../../kernel/route/radix.ts";
import { NHF_GATEWAY, type route } from "../../kernel/route/route.ts";
import {
	arc4random_uniform,
	CURVNET_RESTORE,
	CURVNET_SET,
	first_packet_id,
	getsbinuptime,
	hz,
	KASSERT,
	KERNEL_GLOBAL,
	MPASS,
	mp_ncpus,
	nanotime,
	panic,
	SI_ORDER_ANY,
	SI_SUB_PROTO_IFATTACHDOMAIN,
	SI_SUB_PSEUDO,
	SI_SUB_TASKQ,
	SYSINIT,
	TUNABLE_FETCH,
	VNET_DEFINE,
	VNET_SYSINIT,
	VNET_SYSUNINIT,
	type vnet,
} from "../../kernel/sched/kernel.ts";
import { type Blocking, charge, cost, curthread, DONE, sync } from "../../kernel/sched/thread.ts";
import { sbcreatecontrol } from "../../kernel/socket/cmsg.ts";
import { SO_SETFIB, SO_USER_COOKIE, SOCK_DGRAM, SOL_SOCKET, type socket } from "../../kernel/socket/socket.ts";
import { SOPT_SET, sockopt } from "../../kernel/socket/sockopt.ts";
import { sosend } from "../../kernel/socket/uipc_send.ts";
import { sobind, soclose, socreate } from "../../kernel/socket/uipc_socket.ts";
import { sosetopt } from "../../kernel/socket/uipc_sockopt.ts";
import {
	GROUPTASK_ENQUEUE,
	GROUPTASK_INIT,
	grouptask,
	gtaskqueue_drain,
	TASKQGROUP_DEFINE,
	type taskqgroup,
	taskqgroup_attach,
	taskqgroup_attach_cpu,
	taskqgroup_detach,
	taskqgroup_drain_all,
} from "../../kernel/taskqueue/gtaskqueue.ts";
import { generation } from "./curgeneration.ts";
import type { dispatch_policy } from "./dispatch/policy.ts";
import { find_policy } from "./dispatch/registry.ts";
import { SIOCGWG, SIOCSWG, WG_KEY_SIZE, type wg_data_io } from "./if_wg_ioctl.ts";
import {
	AIP_ADDR_OFFSET,
	WG_PACKET_CRYPTED,
	WG_PACKET_DEAD,
	WG_PACKET_UNCRYPTED,
	WGF_DYING,
	wg_aip,
	wg_endpoint,
	wg_packet,
	wg_packet_list,
	wg_peer,
	type wg_queue,
	wg_softc,
} from "./if_wg_var.ts";
import { wg_allowedips_selftest } from "./selftest/allowedips.ts";
import { cookie_selftest } from "./selftest/cookie.ts";
import { noise_counter_selftest } from "./selftest/counter.ts";
import {
	COOKIE_ENCRYPTED_SIZE,
	COOKIE_MAC_SIZE,
	COOKIE_NONCE_SIZE,
	cookie_checker_create_payload,
	cookie_checker_free,
	cookie_checker_init,
	cookie_checker_update,
	cookie_checker_validate_macs,
	cookie_deinit,
	cookie_init,
	cookie_macs,
	cookie_maker_consume_payload,
	cookie_maker_free,
	cookie_maker_init,
	cookie_maker_mac,
} from "./wg_cookie.ts";
import { crypto_deinit, crypto_init } from "./wg_crypto.ts";
import {
	KEEPALIVE_TIMEOUT,
	NOISE_AUTHTAG_LEN,
	NOISE_PUBLIC_KEY_LEN,
	NOISE_SYMMETRIC_KEY_LEN,
	NOISE_TIMESTAMP_LEN,
	noise_consume_initiation,
	noise_consume_response,
	noise_create_initiation,
	noise_create_response,
	noise_keep_key_fresh_recv,
	noise_keep_key_fresh_send,
	noise_keypair_current,
	noise_keypair_decrypt,
	noise_keypair_encrypt,
	noise_keypair_lookup,
	noise_keypair_nonce_check,
	noise_keypair_nonce_next,
	noise_keypair_put,
	noise_keypair_received_with,
	noise_keypair_ref,
	noise_keypair_remote,
	type noise_local,
	noise_local_alloc,
	noise_local_arg,
	noise_local_free,
	noise_local_keys,
	noise_local_private,
	type noise_remote,
	noise_remote_alloc,
	noise_remote_arg,
	noise_remote_disable,
	noise_remote_enable,
	noise_remote_free,
	noise_remote_handshake_clear,
	noise_remote_index,
	noise_remote_initiation_expired,
	noise_remote_keypairs_clear,
	noise_remote_keys,
	noise_remote_lookup,
	noise_remote_put,
	noise_remote_ref,
	noise_remote_set_psk,
	REJECT_AFTER_TIME,
	REKEY_TIMEOUT,
	type uint32_out,
} from "./wg_noise.ts";

const ETHERMTU = 1500;
export const DEFAULT_MTU = ETHERMTU - 80;
export const MAX_MTU = IF_MAXMTU - 80;

export const MAX_STAGED_PKT = 128;
export const MAX_QUEUED_PKT = 1024;

export const MAX_QUEUED_HANDSHAKES = 4096;

/** a third of a second, rounded for arc4random_uniform */
const REKEY_TIMEOUT_JITTER = 334;
const MAX_TIMER_HANDSHAKES = 90 / REKEY_TIMEOUT;
const NEW_HANDSHAKE_TIMEOUT = REKEY_TIMEOUT + KEEPALIVE_TIMEOUT;
const UNDERLOAD_TIMEOUT = 1;
const SBT_1S = 1_000_000_000;

// Packet types on the wire, little endian words.
export const WG_PKT_INITIATION = 1;
export const WG_PKT_RESPONSE = 2;
export const WG_PKT_COOKIE = 3;
export const WG_PKT_DATA = 4;

export const WG_PKT_PADDING = 16;

// Offsets within the messages: struct wg_pkt_initiation, _response, _cookie, _data.
const SIZEOF_MACS = 2 * COOKIE_MAC_SIZE;
const INIT_S_IDX = 4;
const INIT_UE = 8;
const INIT_ES = INIT_UE + NOISE_PUBLIC_KEY_LEN;
const INIT_ETS = INIT_ES + NOISE_PUBLIC_KEY_LEN + NOISE_AUTHTAG_LEN;
const INIT_M = INIT_ETS + NOISE_TIMESTAMP_LEN + NOISE_AUTHTAG_LEN;
export const SIZEOF_WG_PKT_INITIATION = INIT_M + SIZEOF_MACS;
const RESP_S_IDX = 4;
const RESP_R_IDX = 8;
const RESP_UE = 12;
const RESP_EN = RESP_UE + NOISE_PUBLIC_KEY_LEN;
const RESP_M = RESP_EN + NOISE_AUTHTAG_LEN;
export const SIZEOF_WG_PKT_RESPONSE = RESP_M + SIZEOF_MACS;
const COOK_R_IDX = 4;
const COOK_NONCE = 8;
const COOK_EC = COOK_NONCE + COOKIE_NONCE_SIZE;
export const SIZEOF_WG_PKT_COOKIE = COOK_EC + COOKIE_ENCRYPTED_SIZE;
const DATA_R_IDX = 4;
const DATA_NONCE = 8;
export const SIZEOF_WG_PKT_DATA = 16;

const SIZEOF_IP = 20;
const SIZEOF_IP6_HDR = 40;
const SIZEOF_UDPHDR = 8;

const MAX_LOOPS = 8;
const MTAG_WGLOOP = 0x77676c70; // "wglp"

const WG_CAPS = IFCAP_LINKSTATE;
const wgname = "wg";

// What malloc(9) is asked for; the sizes are those of the C structures on amd64, near enough for leak accounting.
const SIZEOF_SOFTC = 1024;
export const SIZEOF_PEER = 1152;
const SIZEOF_AIP = 160;
const SIZEOF_GROUPTASK = 112;

/** Loader tunable: name of the dispatch policy, in place of the generation's. */
export const WG_DISPATCH_TUNABLE = "hw.wg.dispatch";

// What the simulator observes, beside the kernel's own probes.
/** End of one run of an encrypt or decrypt task: how many packets it found. */
export const wg_task_run = SDT_PROBE_DEFINE<[kind: "encrypt" | "decrypt", packets: number]>(
	"wg:::task-run",
	"kind: string, packets: number",
);
/** A packet reaches a stage of its way; its id stays the same from wg_xmit to the peer's wg_deliver_in. */
export const wg_stage = SDT_PROBE_DEFINE<[stage: wg_stage_name, packet_id: number]>(
	"wg:::stage",
	"stage: string, packet_id: number",
);
/** A packet is put on one of the driver's queues, or taken off; with the queue's mutex held. */
export const wg_queue_change = SDT_PROBE_DEFINE<[change: "insert" | "remove", queue: wg_queue, pkt: wg_packet]>(
	"wg:::queue",
	"change: string, queue: wg_queue, pkt: wg_packet",
);
export type wg_stage_name =
	| "staged"
	| "encrypt-start"
	| "encrypt-end"
	| "sent"
	| "received"
	| "decrypt-start"
	| "decrypt-end"
	| "delivered";

/** The module's variables: what is static in the C file. */
class wg_globals {
	clone_count = 0;
	wg_packet_zone: uma_zone<wg_packet> | null = null;
	peer_counter = 0;
	wg_osd_jail_slot = 0;
	readonly wg_sx = new sx();
	readonly wg_list: wg_softc[] = [];
	qgroup_wg_tqg!: taskqgroup;
	/** a function-static upstream: one for all interfaces, read and written without a lock */
	wg_last_underload = 0;
	dispatch!: dispatch_policy;
	/** for the stage probe */
	next_packet_id = first_packet_id();
}

const wg = KERNEL_GLOBAL(() => new wg_globals());

export const M_WG = MALLOC_DEFINE("WG", "wireguard");

const V_wg_cloner = VNET_DEFINE<{ cloner: if_clone | null }>(() => ({ cloner: null }));

SYSINIT("wg_sx", SI_SUB_TASKQ, SI_ORDER_ANY, function* () {
	sx_init(wg().wg_sx, "wg_sx");
	yield* sync();
});

SYSINIT("wg_tqg", SI_SUB_TASKQ, SI_ORDER_ANY, function* () {
	wg().qgroup_wg_tqg = yield* TASKQGROUP_DEFINE("wg_tqg", mp_ncpus(), 1);
});

function DEBUG(sc: wg_softc): boolean {
	return (sc.sc_ifp.if_flags & IFF_DEBUG) !== 0;
}

function DPRINTF(sc: wg_softc, text: string): void {
	if (DEBUG(sc)) if_printf(sc.sc_ifp, text);
}

function MSEC_2_TICKS(ms: number): number {
	return Math.max(1, Math.floor((ms * hz()) / 1000));
}

function stage(name: wg_stage_name, m: mbuf): void {
	if (wg_stage.on === null) return;
	if (m.m_pkthdr.packet_id === 0) m.m_pkthdr.packet_id = wg().next_packet_id++;
	wg_stage.on(name, m.m_pkthdr.packet_id);
}

/* Peer */

/** Makes a peer that nothing finds yet; null when there is no memory. */
export function* wg_peer_alloc(sc: wg_softc, pub_key: Uint8Array): Blocking<wg_peer | null> {
	sx_assert(sc.sc_lock, SX_XLOCKED);

	const how = generation().config_nowait ? M_NOWAIT : M_WAITOK;
	if (!malloc_account(M_WG, SIZEOF_PEER, how | M_ZERO)) return null;
	const peer = new wg_peer(sc);
	const remote = yield* noise_remote_alloc(sc.sc_local, peer, pub_key);
	if (remote === null) {
		free_account(M_WG, SIZEOF_PEER);
		return null;
	}
	peer.p_remote = remote;
	yield* wg_peer_init(peer, pub_key);
	return peer;
}

/**
 * Makes a peer and publishes it: main's way.
 *
 * The remote can be found as soon as it is enabled, which is before the peer it leads to has its queues, locks and tasks (L-12).
 *
 * @see freebsd-src sys/dev/wg/if_wg.c wg_peer_create (7121e9414f29)
 */
export function* wg_peer_create(sc: wg_softc, pub_key: Uint8Array): Blocking<wg_peer | Errno> {
	sx_assert(sc.sc_lock, SX_XLOCKED);

	malloc_account(M_WG, SIZEOF_PEER, M_WAITOK | M_ZERO);
	const peer = new wg_peer(sc);
	const remote = (yield* noise_remote_alloc(sc.sc_local, peer, pub_key)) as noise_remote;
	peer.p_remote = remote;
	const err = yield* noise_remote_enable(remote);
	if (err !== 0) {
		yield* noise_remote_free(remote, null);
		free_account(M_WG, SIZEOF_PEER);
		return err;
	}

	yield* wg_peer_init(peer, pub_key);
	yield* wg_peer_insert(sc, peer);
	DPRINTF(sc, `Peer ${peer.p_id} created\n`);
	return peer;
}

/** What both ways of making a peer have in common: all of it but the remote. */
function* wg_peer_init(peer: wg_peer, pub_key: Uint8Array): Blocking<void> {
	peer.p_id = wg().peer_counter++;

	cookie_maker_init(peer.p_cookie, pub_key);

	rw_init(peer.p_endpoint_lock, "wg_peer_endpoint");

	wg_queue_init(peer.p_stage_queue, "stageq");
	wg_queue_init(peer.p_encrypt_serial, "txq");
	wg_queue_init(peer.p_decrypt_serial, "rxq");

	callout_init(peer.p_new_handshake, true);
	callout_init(peer.p_send_keepalive, true);
	callout_init(peer.p_retry_handshake, true);
	callout_init(peer.p_persistent_keepalive, true);
	callout_init(peer.p_zero_key_material, true);

	mtx_init(peer.p_handshake_mtx, "peer handshake", null, MTX_DEF);

	GROUPTASK_INIT(peer.p_send, 0, wg_deliver_out, peer);
	yield* taskqgroup_attach(wg().qgroup_wg_tqg, peer.p_send, peer, "wg send");
	GROUPTASK_INIT(peer.p_recv, 0, wg_deliver_in, peer);
	yield* taskqgroup_attach(wg().qgroup_wg_tqg, peer.p_recv, peer, "wg recv");
}

/** The last reference to a peer's remote is gone: nothing finds the peer any more, but its tasks may still be looking at empty queues. */
export function* wg_peer_free_deferred(r: noise_remote): Blocking<void> {
	const peer = noise_remote_arg(r) as wg_peer;

	yield* gtaskqueue_drain(peer.p_recv);
	yield* gtaskqueue_drain(peer.p_send);
	yield* taskqgroup_detach(wg().qgroup_wg_tqg, peer.p_recv);
	yield* taskqgroup_detach(wg().qgroup_wg_tqg, peer.p_send);

	yield* wg_queue_deinit(peer.p_decrypt_serial);
	yield* wg_queue_deinit(peer.p_encrypt_serial);
	yield* wg_queue_deinit(peer.p_stage_queue);

	rw_destroy(peer.p_endpoint_lock);
	mtx_destroy(peer.p_handshake_mtx);

	cookie_maker_free(peer.p_cookie);

	free_account(M_WG, SIZEOF_PEER);
}

/** Takes a peer apart in the order that lets nothing new reach it: handshakes, timers, routes, list, references. */
export function* wg_peer_destroy(peer: wg_peer): Blocking<void> {
	const sc = peer.p_sc;
	sx_assert(sc.sc_lock, SX_XLOCKED);

	yield* noise_remote_disable(peer.p_remote);
	yield* wg_timers_disable(peer);

	yield* wg_aip_remove_all(sc, peer);

	sc.sc_peers_num--;
	sc_peers_remove(sc, peer);
	DPRINTF(sc, `Peer ${peer.p_id} destroyed\n`);
	yield* noise_remote_free(peer.p_remote, wg_peer_free_deferred);
}

function sc_peers_insert_tail(sc: wg_softc, peer: wg_peer): void {
	peer.p_prev = sc.sc_peers_last;
	peer.p_next = null;
	if (sc.sc_peers_last !== null) sc.sc_peers_last.p_next = peer;
	else sc.sc_peers_first = peer;
	sc.sc_peers_last = peer;
}

/** TAILQ_REMOVE. Of a peer that was never inserted upstream writes through a null pointer (BZ-T3): the panic says so. */
function sc_peers_remove(sc: wg_softc, peer: wg_peer): void {
	if (peer.p_prev === null && sc.sc_peers_first !== peer)
		panic("page fault: TAILQ_REMOVE of a peer that is not on sc_peers");
	if (peer.p_prev !== null) peer.p_prev.p_next = peer.p_next;
	else sc.sc_peers_first = peer.p_next;
	if (peer.p_next !== null) peer.p_next.p_prev = peer.p_prev;
	else sc.sc_peers_last = peer.p_prev;
	peer.p_next = null;
	peer.p_prev = null;
}

export function* wg_peer_destroy_all(sc: wg_softc): Blocking<void> {
	for (let peer = sc.sc_peers_first; peer !== null; ) {
		const next: wg_peer | null = peer.p_next;
		yield* wg_peer_destroy(peer);
		peer = next;
	}
}

/** The comparison is unlocked upstream too (L-5). */
export function* wg_peer_set_endpoint(peer: wg_peer, e: wg_endpoint): Blocking<void> {
	MPASS(e.r_family !== 0, "e->e_remote.r_sa.sa_family != 0");
	if (e.equals(peer.p_endpoint)) return;

	yield* rw_wlock(peer.p_endpoint_lock);
	peer.p_endpoint.assign(e);
	yield* rw_wunlock(peer.p_endpoint_lock);
}

export function* wg_peer_clear_src(peer: wg_peer): Blocking<void> {
	yield* rw_wlock(peer.p_endpoint_lock);
	peer.p_endpoint.clear_local();
	yield* rw_wunlock(peer.p_endpoint_lock);
}

export function* wg_peer_get_endpoint(peer: wg_peer, e: wg_endpoint): Blocking<void> {
	yield* rw_rlock(peer.p_endpoint_lock);
	e.assign(peer.p_endpoint);
	yield* rw_runlock(peer.p_endpoint_lock);
}

/* Allowed IP */

/** Fills in masked address and mask, the prefix length cut to what the family has. False: no such family. */
export function wg_aip_addrinfo(aip: wg_aip, addr: Uint8Array, cidr: number): boolean {
	const { a_addr, a_mask } = aip;
	if (aip.a_af === AF_INET) {
		const mask = in_len2mask(Math.min(cidr, 32));
		in_put32(a_mask, AIP_ADDR_OFFSET, mask);
		in_put32(a_addr, AIP_ADDR_OFFSET, (in_get32(addr, 0) & mask) >>> 0);
		return true;
	}
	if (aip.a_af === AF_INET6) {
		const mask = in6_prefixlen2mask(Math.min(cidr, 128));
		for (let i = 0; i < 16; i++) {
			a_mask[AIP_ADDR_OFFSET + i] = mask[i];
			a_addr[AIP_ADDR_OFFSET + i] = addr[i] & mask[i];
		}
		return true;
	}
	return false;
}

/** Adds a prefix to a peer; if another peer has it, it moves. */
export function* wg_aip_add(sc: wg_softc, peer: wg_peer, af: number, addr: Uint8Array, cidr: number): Blocking<Errno> {
	const gen = generation();
	if (!malloc_account(M_WG, SIZEOF_AIP, (gen.config_nowait ? M_NOWAIT : M_WAITOK) | M_ZERO)) return ENOBUFS;
	let aip = new wg_aip(peer, af);
	if (!wg_aip_addrinfo(aip, addr, cidr)) {
		free_account(M_WG, SIZEOF_AIP);
		return EAFNOSUPPORT;
	}
	const root = af === AF_INET ? sc.sc_aip4 : sc.sc_aip6;

	yield* RADIX_NODE_HEAD_LOCK(root);
	let node = root.rnh_addaddr(aip.a_addr, aip.a_mask, root.rh, aip.a_nodes);
	if (node === aip.a_nodes[0]) {
		aip_insert_head(peer, aip);
		peer.p_aips_num++;
	} else if (node === null) {
		node = root.rnh_lookup(aip.a_addr, aip.a_mask, root.rh);
	}
	if (node === null) {
		free_account(M_WG, SIZEOF_AIP);
		if (gen.aip_add_enomem_unlocks) yield* RADIX_NODE_HEAD_UNLOCK(root);
		return ENOMEM;
	}
	if (node !== aip.a_nodes[0]) {
		free_account(M_WG, SIZEOF_AIP);
		aip = node.rn_owner as wg_aip;
		if (aip.a_peer !== peer) {
			aip_remove(aip);
			aip.a_peer.p_aips_num--;
			aip.a_peer = peer;
			aip_insert_head(peer, aip);
			aip.a_peer.p_aips_num++;
		}
	}
	yield* RADIX_NODE_HEAD_UNLOCK(root);
	return 0;
}

/** Takes a prefix from a peer; nothing happens if it is not there or another peer's. main only (f6d9e22982a1). */
export function* wg_aip_del(sc: wg_softc, peer: wg_peer, af: number, addr: Uint8Array, cidr: number): Blocking<Errno> {
	const wanted = new wg_aip(peer, af);
	if (!wg_aip_addrinfo(wanted, addr, cidr)) return EAFNOSUPPORT;
	const root = af === AF_INET ? sc.sc_aip4 : sc.sc_aip6;

	yield* RADIX_NODE_HEAD_LOCK(root);
	const node = root.rnh_lookup(wanted.a_addr, wanted.a_mask, root.rh);
	const aip = node === null ? null : (node.rn_owner as wg_aip);
	if (aip === null || aip.a_peer !== peer) {
		yield* RADIX_NODE_HEAD_UNLOCK(root);
		return 0;
	}
	if (root.rnh_deladdr(aip.a_addr, aip.a_mask, root.rh) === null) panic("failed to delete aip");
	yield* RADIX_NODE_HEAD_UNLOCK(root);

	aip_remove(aip);
	peer.p_aips_num--;
	free_account(M_WG, SIZEOF_AIP);
	return 0;
}

function aip_insert_head(peer: wg_peer, aip: wg_aip): void {
	aip.a_prev = null;
	aip.a_next = peer.p_aips;
	if (aip.a_next !== null) aip.a_next.a_prev = aip;
	peer.p_aips = aip;
}

function aip_remove(aip: wg_aip): void {
	if (aip.a_prev !== null) aip.a_prev.a_next = aip.a_next;
	else aip.a_peer.p_aips = aip.a_next;
	if (aip.a_next !== null) aip.a_next.a_prev = aip.a_prev;
	aip.a_next = null;
	aip.a_prev = null;
}

/** the key of a lookup in flight; per kernel, filled right before the match with nothing in between */
const aip_key = KERNEL_GLOBAL(() => ({
	v4: new Uint8Array(AIP_ADDR_OFFSET + 4).fill(AIP_ADDR_OFFSET + 4, 0, 1),
	v6: new Uint8Array(AIP_ADDR_OFFSET + 16).fill(AIP_ADDR_OFFSET + 16, 0, 1),
}));

/**
 * The peer with the longest prefix that holds the address at `buf[off]`, with a reference to its remote; or null.
 *
 * @see if_wg.c wg_aip_lookup
 */
export function* wg_aip_lookup(sc: wg_softc, af: number, buf: Uint8Array, off: number): Blocking<wg_peer | null> {
	let peer: wg_peer | null = null;
	if (af !== AF_INET && af !== AF_INET6) return null;
	const root = af === AF_INET ? sc.sc_aip4 : sc.sc_aip6;
	const tracker = RADIX_NODE_HEAD_RLOCK_TRACKER();

	yield* RADIX_NODE_HEAD_RLOCK(root, tracker);
	const keys = aip_key();
	const addr = af === AF_INET ? keys.v4 : keys.v6;
	for (let i = AIP_ADDR_OFFSET; i < addr.length; i++) addr[i] = buf[off + i - AIP_ADDR_OFFSET];
	charge(cost.wg_aip_lookup);
	const node = root.rnh_matchaddr(addr, root.rh);
	if (node !== null) {
		peer = (node.rn_owner as wg_aip).a_peer;
		noise_remote_ref(peer.p_remote);
	}
	yield* RADIX_NODE_HEAD_RUNLOCK(root, tracker);

	return peer;
}

export function* wg_aip_remove_all(sc: wg_softc, peer: wg_peer): Blocking<void> {
	yield* remove_family(sc.sc_aip4, peer, AF_INET);
	yield* remove_family(sc.sc_aip6, peer, AF_INET6);

	if (peer.p_aips !== null || peer.p_aips_num !== 0) panic("wg_aip_remove_all could not delete all");
}

function* remove_family(root: wg_softc["sc_aip4"], peer: wg_peer, af: number): Blocking<void> {
	yield* RADIX_NODE_HEAD_LOCK(root);
	for (let aip = peer.p_aips; aip !== null; ) {
		const next: wg_aip | null = aip.a_next;
		if (aip.a_af === af) {
			if (root.rnh_deladdr(aip.a_addr, aip.a_mask, root.rh) === null) panic("failed to delete aip");
			aip_remove(aip);
			peer.p_aips_num--;
			free_account(M_WG, SIZEOF_AIP);
		}
		aip = next;
	}
	yield* RADIX_NODE_HEAD_UNLOCK(root);
}

/* Sockets */

/**
 * Opens the UDP sockets with the credentials of whoever created the interface, so that they live in its home vnet
 * wherever the interface has moved since.
 */
export function* wg_socket_init(sc: wg_softc, port: number): Blocking<Errno> {
	const td = curthread;
	const cred = sc.sc_ucred;

	sx_assert(sc.sc_lock, SX_XLOCKED);

	if (cred === null) return EBUSY;

	const pair: socket_pair = { so4: null, so6: null, port };
	const rc = yield* wg_socket_open(sc, cred, td, pair);
	if (rc === 0) {
		sc.sc_socket.so_port = pair.port;
		yield* wg_socket_set(sc, pair.so4, pair.so6);
	} else {
		if (pair.so4 !== null) yield* soclose(pair.so4);
		if (pair.so6 !== null) yield* soclose(pair.so6);
	}
	return rc;
}

interface socket_pair {
	so4: socket | null;
	so6: socket | null;
	port: number;
}

/** wg_socket_init up to its label `out`. */
function* wg_socket_open(sc: wg_softc, cred: ucred, td: typeof curthread, pair: socket_pair): Blocking<Errno> {
	const so4 = yield* socreate(AF_INET, SOCK_DGRAM, IPPROTO_UDP, cred, td);
	if (typeof so4 === "number") return so4;
	pair.so4 = so4;
	let rc = yield* udp_set_kernel_tunneling(so4, wg_input, null, sc);
	// it can only fail when there is a function already, and the socket is new
	MPASS(rc === 0, "rc == 0");

	const so6 = yield* socreate(AF_INET6, SOCK_DGRAM, IPPROTO_UDP, cred, td);
	if (typeof so6 === "number") return so6;
	pair.so6 = so6;
	rc = yield* udp_set_kernel_tunneling(so6, wg_input, null, sc);
	MPASS(rc === 0, "rc == 0");

	if (sc.sc_socket.so_user_cookie !== 0) {
		rc = yield* wg_socket_set_sockopt(so4, so6, SO_USER_COOKIE, sc.sc_socket.so_user_cookie);
		if (rc !== 0) return rc;
	}
	rc = yield* wg_socket_set_sockopt(so4, so6, SO_SETFIB, sc.sc_socket.so_fibnum);
	if (rc !== 0) return rc;

	return yield* wg_socket_bind(pair);
}

/** Both are tried; the first error wins, IPv4's before IPv6's. */
export function* wg_socket_set_sockopt(
	so4: socket | null,
	so6: socket | null,
	name: number,
	val: number,
): Blocking<Errno> {
	let ret4 = 0;
	let ret6 = 0;
	if (so4 !== null) ret4 = yield* sosetopt(so4, new sockopt(SOPT_SET, SOL_SOCKET, name, val));
	if (so6 !== null) ret6 = yield* sosetopt(so6, new sockopt(SOPT_SET, SOL_SOCKET, name, val));
	return ret4 !== 0 ? ret4 : ret6;
}

export function* wg_socket_set_cookie(sc: wg_softc, user_cookie: number): Blocking<Errno> {
	const so = sc.sc_socket;

	sx_assert(sc.sc_lock, SX_XLOCKED);
	const ret = yield* wg_socket_set_sockopt(so.so_so4, so.so_so6, SO_USER_COOKIE, user_cookie);
	if (ret === 0) so.so_user_cookie = user_cookie;
	return ret;
}

export function* wg_socket_set_fibnum(sc: wg_softc, fibnum: number): Blocking<Errno> {
	const so = sc.sc_socket;

	sx_assert(sc.sc_lock, SX_XLOCKED);
	const ret = yield* wg_socket_set_sockopt(so.so_so4, so.so_so6, SO_SETFIB, fibnum);
	if (ret === 0) so.so_fibnum = fibnum;
	return ret;
}

export function* wg_socket_uninit(sc: wg_softc): Blocking<void> {
	return yield* wg_socket_set(sc, null, null);
}

/** Publishes new sockets, and closes the old ones once nobody can be sending through them. */
export function* wg_socket_set(sc: wg_softc, new_so4: socket | null, new_so6: socket | null): Blocking<void> {
	const so = sc.sc_socket;

	sx_assert(sc.sc_lock, SX_XLOCKED);

	const so4 = yield* load_read_mostly(so, "so_so4");
	const so6 = yield* load_read_mostly(so, "so_so6");
	yield* store(so, "so_so4", new_so4);
	yield* store(so, "so_so6", new_so6);

	if (so4 === null && so6 === null) return;
	yield* NET_EPOCH_WAIT();
	if (so4 !== null) yield* soclose(so4);
	if (so6 !== null) yield* soclose(so6);
}

/** Binds both sockets to one port; one family may have no address here, in which case its socket is closed and left out. */
export function* wg_socket_bind(pair: socket_pair): Blocking<Errno> {
	const { so4, so6 } = pair;
	let ret4 = 0;
	let ret6 = 0;
	let port = pair.port;
	const sin = new sockaddr_in();
	sin.sin_port = port;
	const sin6 = new sockaddr_in6();
	sin6.sin6_port = port;

	if (so4 !== null) {
		ret4 = yield* sobind(so4, sin, curthread);
		if (ret4 !== 0 && ret4 !== EADDRNOTAVAIL) return ret4;
		if (ret4 === 0 && sin.sin_port === 0) {
			const bound_sin = yield* sogetsockaddr(so4);
			if (typeof bound_sin === "number") return bound_sin;
			port = (bound_sin as sockaddr_in).sin_port;
			sin6.sin6_port = port;
		}
	}

	if (so6 !== null) {
		ret6 = yield* sobind(so6, sin6, curthread);
		if (ret6 !== 0 && ret6 !== EADDRNOTAVAIL) return ret6;
		if (ret6 === 0 && sin6.sin6_port === 0) {
			const bound_sin6 = yield* sogetsockaddr(so6);
			if (typeof bound_sin6 === "number") return bound_sin6;
			port = (bound_sin6 as sockaddr_in6).sin6_port;
		}
	}

	if (ret4 !== 0 && ret6 !== 0) return ret4;
	pair.port = port;
	if (ret4 !== 0 && ret6 === 0 && so4 !== null) {
		yield* soclose(so4);
		pair.so4 = null;
	} else if (ret6 !== 0 && ret4 === 0 && so6 !== null) {
		yield* soclose(so6);
		pair.so6 = null;
	}
	return 0;
}

/** The name a socket is bound to. @see support.h sogetsockaddr */
export function* sogetsockaddr(so: socket): Blocking<sockaddr | Errno> {
	const saved = CURVNET_SET(so.so_vnet);
	const name = yield* so.so_proto.pr_usrreqs.pru_sockaddr(so);
	CURVNET_RESTORE(saved);
	return name;
}

/** Sends `m` to an endpoint through the interface's socket; from the sticky source address if there is one. Consumes `m`. */
export function* wg_send(sc: wg_softc, e: wg_endpoint, m: mbuf): Blocking<Errno> {
	const so = sc.sc_socket;
	let control: mbuf | null = null;
	let ret = 0;
	const len = m.m_pkthdr.len;

	// the control message first: a failure only means that there is none
	if (e.r_family === AF_INET) {
		if (e.l_in !== INADDR_ANY) control = sbcreatecontrol(srcaddr(e), 4, IP_SENDSRCADDR, IPPROTO_IP);
	} else if (e.r_family === AF_INET6) {
		if (!IN6_IS_ADDR_UNSPECIFIED(e.l_in6)) control = sbcreatecontrol(pktinfo6(e), 20, IPV6_PKTINFO, IPPROTO_IPV6);
	} else {
		m_freem(m);
		return EAFNOSUPPORT;
	}

	const sa = e.r_sa;

	NET_EPOCH_ENTER();
	const so4 = yield* load_read_mostly(so, "so_so4");
	const so6 = yield* load_read_mostly(so, "so_so6");
	if (e.r_family === AF_INET && so4 !== null) {
		ret = yield* sosend(so4, sa, null, m, control, 0, curthread);
	} else if (e.r_family === AF_INET6 && so6 !== null) {
		ret = yield* sosend(so6, sa, null, m, control, 0, curthread);
	} else {
		ret = ENOTCONN;
		m_freem(control);
		m_freem(m);
	}
	NET_EPOCH_EXIT();
	if (ret === 0) {
		if_inc_counter(sc.sc_ifp, IFCOUNTER_OPACKETS, 1);
		if_inc_counter(sc.sc_ifp, IFCOUNTER_OBYTES, len);
	}
	return ret;
}

const control_scratch = KERNEL_GLOBAL(() => small_buffer(20));

function srcaddr(e: wg_endpoint): Uint8Array {
	const buf = control_scratch();
	in_put32(buf, 0, e.l_in);
	return buf;
}

/** struct in6_pktinfo; the interface index is never filled in (L-22). */
function pktinfo6(e: wg_endpoint): Uint8Array {
	const buf = control_scratch();
	buf.set(e.l_in6);
	in_put32(buf, 16, 0);
	return buf;
}

/** Sends a handshake message or cookie reply; tries once more without the sticky source if that address is gone. */
export function* wg_send_buf(sc: wg_softc, e: wg_endpoint, buf: Uint8Array, len: number): Blocking<void> {
	let ret = 0;
	let retried = false;

	for (;;) {
		const m = m_get2(len, M_NOWAIT, MT_DATA, M_PKTHDR);
		if (m === null) {
			ret = ENOMEM;
			break;
		}
		m_copyback(m, 0, len, buf);
		ret = yield* wg_send(sc, e, m);
		if (ret !== EADDRNOTAVAIL || retried) break;
		e.clear_local();
		retried = true;
	}
	if (ret !== 0) DPRINTF(sc, `Unable to send packet: ${ret}\n`);
}

/* Timers */

export function* wg_timers_enable(peer: wg_peer): Blocking<void> {
	yield* store(peer, "p_enabled", true);
	yield* wg_timers_run_persistent_keepalive(peer);
}

/**
 * Stops a peer's timers for good: every callout_reset is guarded by p_enabled within an epoch section, so after the wait
 * nobody arms one any more, and what is armed by then is stopped.
 */
export function* wg_timers_disable(peer: wg_peer): Blocking<void> {
	yield* store(peer, "p_enabled", false);
	yield* NET_EPOCH_WAIT();
	yield* store(peer, "p_need_another_keepalive", false);

	yield* callout_stop(peer.p_new_handshake);
	yield* callout_stop(peer.p_send_keepalive);
	yield* callout_stop(peer.p_retry_handshake);
	yield* callout_stop(peer.p_persistent_keepalive);
	yield* callout_stop(peer.p_zero_key_material);
}

export function* wg_timers_set_persistent_keepalive(peer: wg_peer, interval: number): Blocking<void> {
	if (interval !== peer.p_persistent_keepalive_interval) {
		yield* store(peer, "p_persistent_keepalive_interval", interval);
		NET_EPOCH_ENTER();
		if (yield* load_read_mostly(peer, "p_enabled")) yield* wg_timers_run_persistent_keepalive(peer);
		NET_EPOCH_EXIT();
	}
}

export function* wg_timers_get_last_handshake(peer: wg_peer): Blocking<{ tv_sec: number; tv_nsec: number }> {
	yield* mtx_lock(peer.p_handshake_mtx);
	const time = { tv_sec: peer.p_handshake_complete.tv_sec, tv_nsec: peer.p_handshake_complete.tv_nsec };
	yield* mtx_unlock(peer.p_handshake_mtx);
	return time;
}

export function* wg_timers_event_data_sent(peer: wg_peer): Blocking<void> {
	NET_EPOCH_ENTER();
	if ((yield* load_read_mostly(peer, "p_enabled")) && !callout_pending(peer.p_new_handshake))
		yield* callout_reset(
			peer.p_new_handshake,
			MSEC_2_TICKS(NEW_HANDSHAKE_TIMEOUT * 1000 + arc4random_uniform(REKEY_TIMEOUT_JITTER)),
			wg_timers_run_new_handshake,
			peer,
		);
	NET_EPOCH_EXIT();
}

export function* wg_timers_event_data_received(peer: wg_peer): Blocking<void> {
	NET_EPOCH_ENTER();
	if (yield* load_read_mostly(peer, "p_enabled")) {
		if (!callout_pending(peer.p_send_keepalive))
			yield* callout_reset(
				peer.p_send_keepalive,
				MSEC_2_TICKS(KEEPALIVE_TIMEOUT * 1000),
				wg_timers_run_send_keepalive,
				peer,
			);
		else yield* store(peer, "p_need_another_keepalive", true);
	}
	NET_EPOCH_EXIT();
}

export function* wg_timers_event_any_authenticated_packet_sent(peer: wg_peer): Blocking<void> {
	yield* callout_stop(peer.p_send_keepalive);
}

export function* wg_timers_event_any_authenticated_packet_received(peer: wg_peer): Blocking<void> {
	yield* callout_stop(peer.p_new_handshake);
}

export function* wg_timers_event_any_authenticated_packet_traversal(peer: wg_peer): Blocking<void> {
	NET_EPOCH_ENTER();
	const interval = yield* load_read_mostly(peer, "p_persistent_keepalive_interval");
	if ((yield* load_read_mostly(peer, "p_enabled")) && interval > 0)
		yield* callout_reset(
			peer.p_persistent_keepalive,
			MSEC_2_TICKS(interval * 1000),
			wg_timers_run_persistent_keepalive,
			peer,
		);
	NET_EPOCH_EXIT();
}

export function* wg_timers_event_handshake_initiated(peer: wg_peer): Blocking<void> {
	NET_EPOCH_ENTER();
	if (yield* load_read_mostly(peer, "p_enabled"))
		yield* callout_reset(
			peer.p_retry_handshake,
			MSEC_2_TICKS(REKEY_TIMEOUT * 1000 + arc4random_uniform(REKEY_TIMEOUT_JITTER)),
			wg_timers_run_retry_handshake,
			peer,
		);
	NET_EPOCH_EXIT();
}

export function* wg_timers_event_handshake_complete(peer: wg_peer): Blocking<void> {
	NET_EPOCH_ENTER();
	if (yield* load_read_mostly(peer, "p_enabled")) {
		yield* mtx_lock(peer.p_handshake_mtx);
		yield* callout_stop(peer.p_retry_handshake);
		peer.p_handshake_retries = 0;
		peer.p_handshake_complete = nanotime();
		yield* mtx_unlock(peer.p_handshake_mtx);
		yield* wg_timers_run_send_keepalive(peer);
	}
	NET_EPOCH_EXIT();
}

export function* wg_timers_event_session_derived(peer: wg_peer): Blocking<void> {
	NET_EPOCH_ENTER();
	if (yield* load_read_mostly(peer, "p_enabled"))
		yield* callout_reset(
			peer.p_zero_key_material,
			MSEC_2_TICKS(REJECT_AFTER_TIME * 3 * 1000),
			wg_timers_run_zero_key_material,
			peer,
		);
	NET_EPOCH_EXIT();
}

/** Builds and sends an initiation right here, in whatever context wanted one. */
export function* wg_timers_event_want_initiation(peer: wg_peer): Blocking<void> {
	NET_EPOCH_ENTER();
	if (yield* load_read_mostly(peer, "p_enabled")) yield* wg_timers_run_send_initiation(peer, false);
	NET_EPOCH_EXIT();
}

export function* wg_timers_run_send_initiation(peer: wg_peer, is_retry: boolean): Blocking<void> {
	if (!is_retry) yield* store(peer, "p_handshake_retries", 0); // outside its mutex, as upstream (L-15)
	if ((yield* noise_remote_initiation_expired(peer.p_remote)) === ETIMEDOUT) yield* wg_send_initiation(peer);
}

export function* wg_timers_run_retry_handshake(peer: wg_peer): Blocking<void> {
	const sc = peer.p_sc;

	yield* mtx_lock(peer.p_handshake_mtx);
	if (peer.p_handshake_retries <= MAX_TIMER_HANDSHAKES) {
		peer.p_handshake_retries++;
		yield* mtx_unlock(peer.p_handshake_mtx);

		DPRINTF(
			sc,
			`Handshake for peer ${peer.p_id} did not complete after ${REKEY_TIMEOUT} seconds, retrying (try ${peer.p_handshake_retries + 1})\n`,
		);
		yield* wg_peer_clear_src(peer);
		yield* wg_timers_run_send_initiation(peer, true);
	} else {
		yield* mtx_unlock(peer.p_handshake_mtx);

		DPRINTF(
			sc,
			`Handshake for peer ${peer.p_id} did not complete after ${MAX_TIMER_HANDSHAKES + 2} retries, giving up\n`,
		);

		yield* callout_stop(peer.p_send_keepalive);
		yield* wg_queue_purge(peer.p_stage_queue);
		NET_EPOCH_ENTER();
		if ((yield* load_read_mostly(peer, "p_enabled")) && !callout_pending(peer.p_zero_key_material))
			yield* callout_reset(
				peer.p_zero_key_material,
				MSEC_2_TICKS(REJECT_AFTER_TIME * 3 * 1000),
				wg_timers_run_zero_key_material,
				peer,
			);
		NET_EPOCH_EXIT();
	}
}

export function* wg_timers_run_send_keepalive(peer: wg_peer): Blocking<void> {
	yield* wg_send_keepalive(peer);
	NET_EPOCH_ENTER();
	if ((yield* load_read_mostly(peer, "p_enabled")) && (yield* load(peer, "p_need_another_keepalive"))) {
		yield* store(peer, "p_need_another_keepalive", false);
		yield* callout_reset(
			peer.p_send_keepalive,
			MSEC_2_TICKS(KEEPALIVE_TIMEOUT * 1000),
			wg_timers_run_send_keepalive,
			peer,
		);
	}
	NET_EPOCH_EXIT();
}

export function* wg_timers_run_new_handshake(peer: wg_peer): Blocking<void> {
	DPRINTF(
		peer.p_sc,
		`Retrying handshake with peer ${peer.p_id} because we stopped hearing back after ${NEW_HANDSHAKE_TIMEOUT} seconds\n`,
	);

	yield* wg_peer_clear_src(peer);
	yield* wg_timers_run_send_initiation(peer, false);
}

export function* wg_timers_run_zero_key_material(peer: wg_peer): Blocking<void> {
	DPRINTF(
		peer.p_sc,
		`Zeroing out keys for peer ${peer.p_id}, since we haven't received a new one in ${REJECT_AFTER_TIME * 3} seconds\n`,
	);
	yield* noise_remote_keypairs_clear(peer.p_remote);
}

export function* wg_timers_run_persistent_keepalive(peer: wg_peer): Blocking<void> {
	if ((yield* load_read_mostly(peer, "p_persistent_keepalive_interval")) > 0) yield* wg_send_keepalive(peer);
}

/* Handshake */

/** Sends a handshake message to a peer; the bytes count even when sending fails. */
export function* wg_peer_send_buf(peer: wg_peer, buf: Uint8Array, len: number): Blocking<void> {
	const endpoint = new wg_endpoint();

	peer.p_tx_bytes += len;
	yield* wg_timers_event_any_authenticated_packet_traversal(peer);
	yield* wg_timers_event_any_authenticated_packet_sent(peer);
	yield* wg_peer_get_endpoint(peer, endpoint);
	yield* wg_send_buf(peer.p_sc, endpoint, buf, len);
}

/** The two MACs at the end of a message, as views into it. */
function macs_at(buf: Uint8Array, off: number): cookie_macs {
	return new cookie_macs(
		buf.subarray(off, off + COOKIE_MAC_SIZE),
		buf.subarray(off + COOKIE_MAC_SIZE, off + 2 * COOKIE_MAC_SIZE),
	);
}

export function* wg_send_initiation(peer: wg_peer): Blocking<void> {
	const pkt = new Uint8Array(SIZEOF_WG_PKT_INITIATION);
	const s_idx: uint32_out = [0];

	if (
		(yield* noise_create_initiation(
			peer.p_remote,
			s_idx,
			pkt.subarray(INIT_UE, INIT_ES),
			pkt.subarray(INIT_ES, INIT_ETS),
			pkt.subarray(INIT_ETS, INIT_M),
		)) !== 0
	)
		return;

	DPRINTF(peer.p_sc, `Sending handshake initiation to peer ${peer.p_id}\n`);

	le32enc(pkt, 0, WG_PKT_INITIATION);
	le32enc(pkt, INIT_S_IDX, s_idx[0]);
	yield* cookie_maker_mac(peer.p_cookie, macs_at(pkt, INIT_M), pkt, INIT_M);
	yield* wg_peer_send_buf(peer, pkt, SIZEOF_WG_PKT_INITIATION);
	yield* wg_timers_event_handshake_initiated(peer);
}

export function* wg_send_response(peer: wg_peer): Blocking<void> {
	const pkt = new Uint8Array(SIZEOF_WG_PKT_RESPONSE);
	const s_idx: uint32_out = [0];
	const r_idx: uint32_out = [0];

	if (
		(yield* noise_create_response(
			peer.p_remote,
			s_idx,
			r_idx,
			pkt.subarray(RESP_UE, RESP_EN),
			pkt.subarray(RESP_EN, RESP_M),
		)) !== 0
	)
		return;

	DPRINTF(peer.p_sc, `Sending handshake response to peer ${peer.p_id}\n`);

	yield* wg_timers_event_session_derived(peer);
	le32enc(pkt, 0, WG_PKT_RESPONSE);
	le32enc(pkt, RESP_S_IDX, s_idx[0]);
	le32enc(pkt, RESP_R_IDX, r_idx[0]);
	yield* cookie_maker_mac(peer.p_cookie, macs_at(pkt, RESP_M), pkt, RESP_M);
	yield* wg_peer_send_buf(peer, pkt, SIZEOF_WG_PKT_RESPONSE);
}

export function* wg_send_cookie(sc: wg_softc, cm: cookie_macs, idx: number, e: wg_endpoint): Blocking<void> {
	const pkt = new Uint8Array(SIZEOF_WG_PKT_COOKIE);

	DPRINTF(sc, "Sending cookie response for denied handshake message\n");

	le32enc(pkt, 0, WG_PKT_COOKIE);
	le32enc(pkt, COOK_R_IDX, idx);

	yield* cookie_checker_create_payload(
		sc.sc_cookie,
		cm,
		pkt.subarray(COOK_NONCE, COOK_EC),
		pkt.subarray(COOK_EC),
		e.r_sa,
	);
	yield* wg_send_buf(sc, e, pkt, SIZEOF_WG_PKT_COOKIE);
}

/** Sends an empty packet, or whatever is staged if anything is. */
export function* wg_send_keepalive(peer: wg_peer): Blocking<void> {
	if ((yield* wg_queue_len(peer.p_stage_queue)) === 0) {
		const m = m_gethdr(M_NOWAIT, MT_DATA);
		if (m === null) return;
		const pkt = wg_packet_alloc(m);
		if (pkt === null) {
			m_freem(m);
			return;
		}
		yield* wg_queue_push_staged(peer.p_stage_queue, pkt);
		DPRINTF(peer.p_sc, `Sending keepalive packet to peer ${peer.p_id}\n`);
	}
	yield* wg_peer_send_staged(peer);
}

/** Deals with one handshake or cookie message. Whatever is wrong with it, it is dropped without a counter. */
export function* wg_handshake(sc: wg_softc, pkt: wg_packet): Blocking<void> {
	const globals = wg();
	let underload = (yield* wg_queue_len(sc.sc_handshake_queue)) >= MAX_QUEUED_HANDSHAKES / 8;
	if (underload) {
		yield* store(globals, "wg_last_underload", getsbinuptime());
	} else if ((yield* load(globals, "wg_last_underload")) !== 0) {
		underload = globals.wg_last_underload + UNDERLOAD_TIMEOUT * SBT_1S > getsbinuptime();
		if (!underload) yield* store(globals, "wg_last_underload", 0);
	}

	const remote = yield* wg_handshake_message(sc, pkt, underload);
	if (remote !== null) noise_remote_put(remote);
	wg_packet_free(pkt);
}

/** wg_handshake up to its label `error`. @returns the remote it took a reference to, if any */
function* wg_handshake_message(sc: wg_softc, pkt: wg_packet, underload: boolean): Blocking<noise_remote | null> {
	const e = pkt.p_endpoint;
	let peer: wg_peer;
	let remote: noise_remote | null = null;

	const m = m_pullup(pkt.p_mbuf as mbuf, (pkt.p_mbuf as mbuf).m_pkthdr.len);
	pkt.p_mbuf = m;
	if (m === null) return null;
	const buf = m.m_buf.subarray(m.m_data, m.m_data + m.m_len);

	switch (le32dec(buf, 0)) {
		case WG_PKT_INITIATION: {
			const macs = macs_at(buf, INIT_M);
			const s_idx = le32dec(buf, INIT_S_IDX);
			if (!(yield* wg_handshake_macs(sc, macs, buf, INIT_M, s_idx, e, underload, "initiation"))) return null;

			const consumed = yield* noise_consume_initiation(
				sc.sc_local,
				s_idx,
				buf.subarray(INIT_UE, INIT_ES),
				buf.subarray(INIT_ES, INIT_ETS),
				buf.subarray(INIT_ETS, INIT_M),
			);
			if (typeof consumed === "number") {
				DPRINTF(sc, "Invalid handshake initiation\n");
				return null;
			}
			remote = consumed;
			peer = noise_remote_arg(remote) as wg_peer;

			DPRINTF(sc, `Receiving handshake initiation from peer ${peer.p_id}\n`);

			yield* wg_peer_set_endpoint(peer, e);
			yield* wg_send_response(peer);
			break;
		}
		case WG_PKT_RESPONSE: {
			const macs = macs_at(buf, RESP_M);
			const s_idx = le32dec(buf, RESP_S_IDX);
			if (!(yield* wg_handshake_macs(sc, macs, buf, RESP_M, s_idx, e, underload, "response"))) return null;

			const consumed = yield* noise_consume_response(
				sc.sc_local,
				s_idx,
				le32dec(buf, RESP_R_IDX),
				buf.subarray(RESP_UE, RESP_EN),
				buf.subarray(RESP_EN, RESP_M),
			);
			if (typeof consumed === "number") {
				DPRINTF(sc, "Invalid handshake response\n");
				return null;
			}
			remote = consumed;
			peer = noise_remote_arg(remote) as wg_peer;
			DPRINTF(sc, `Receiving handshake response from peer ${peer.p_id}\n`);

			yield* wg_peer_set_endpoint(peer, e);
			yield* wg_timers_event_session_derived(peer);
			yield* wg_timers_event_handshake_complete(peer);
			break;
		}
		case WG_PKT_COOKIE: {
			remote = yield* noise_remote_index(sc.sc_local, le32dec(buf, COOK_R_IDX));
			if (remote === null) {
				DPRINTF(sc, "Unknown cookie index\n");
				return null;
			}
			peer = noise_remote_arg(remote) as wg_peer;

			if (
				(yield* cookie_maker_consume_payload(
					peer.p_cookie,
					buf.subarray(COOK_NONCE, COOK_EC),
					buf.subarray(COOK_EC),
				)) !== 0
			) {
				DPRINTF(sc, "Could not decrypt cookie response\n");
				return remote;
			}
			DPRINTF(sc, "Receiving cookie response\n");
			wg_handshake_count(sc, peer, m.m_pkthdr.len);
			return remote;
		}
		default:
			panic("invalid packet in handshake queue");
	}

	yield* wg_timers_event_any_authenticated_packet_received(peer);
	yield* wg_timers_event_any_authenticated_packet_traversal(peer);
	wg_handshake_count(sc, peer, m.m_pkthdr.len);
	return remote;
}

function wg_handshake_count(sc: wg_softc, peer: wg_peer, len: number): void {
	peer.p_rx_bytes += len;
	if_inc_counter(sc.sc_ifp, IFCOUNTER_IPACKETS, 1);
	if_inc_counter(sc.sc_ifp, IFCOUNTER_IBYTES, len);
}

/** The MAC checks both kinds of handshake message go through. False: drop it; a cookie has been sent if that was the answer. */
function* wg_handshake_macs(
	sc: wg_softc,
	macs: cookie_macs,
	buf: Uint8Array,
	len: number,
	s_idx: number,
	e: wg_endpoint,
	underload: boolean,
	what: string,
): Blocking<boolean> {
	const res = yield* cookie_checker_validate_macs(sc.sc_cookie, macs, buf, len, underload, e.r_sa, sc.sc_ifp.if_vnet);
	if (res === 0) return true;
	if (res === EINVAL) DPRINTF(sc, `Invalid ${what} MAC\n`);
	else if (res === ECONNREFUSED) DPRINTF(sc, "Handshake ratelimited\n");
	else if (res === EAGAIN) yield* wg_send_cookie(sc, macs, s_idx, e);
	else panic(`unexpected response: ${res}\n`);
	return false;
}

export function* wg_softc_handshake_receive(sc: wg_softc): Blocking<void> {
	for (;;) {
		const pkt = yield* wg_queue_dequeue_handshake(sc.sc_handshake_queue);
		if (pkt === null) return;
		yield* wg_handshake(sc, pkt);
	}
}

/**
 * Brings an mbuf back to what a new one would be, contents apart, so that nothing of the inner packet shows outside or the
 * other way round. Kept: the tag that counts nested tunnels, and MAC labels.
 */
export function wg_mbuf_reset(m: mbuf): void {
	M_ASSERTPKTHDR(m);

	m.m_flags &= ~(M_BCAST | M_MCAST | M_VLANTAG | M_PROMISC | M_PROTOFLAGS);

	M_HASHTYPE_CLEAR(m);
	for (let t = m.m_pkthdr.tags; t !== null; ) {
		const next = m_tag_next(m, t);
		if ((t.m_tag_id !== 0 || t.m_tag_cookie !== MTAG_WGLOOP) && t.m_tag_id !== PACKET_TAG_MACLABEL) m_tag_delete(m, t);
		t = next;
	}

	m.m_pkthdr.csum_flags = 0;
	m.m_pkthdr.PH_per_ptr = null;
	m.m_pkthdr.PH_per_word = 0;
	m.m_pkthdr.PH_loc_ptr = null;
	m.m_pkthdr.PH_loc_word = 0;
}

/** Bytes to add so that the length is a multiple of 16 without exceeding the MTU. Without an MTU older generations return the padded length instead. */
export function calculate_padding(pkt: wg_packet): number {
	let last_unit = (pkt.p_mbuf as mbuf).m_pkthdr.len;

	if (pkt.p_mtu === 0) {
		const padded = (last_unit + (WG_PKT_PADDING - 1)) & ~(WG_PKT_PADDING - 1);
		return generation().padding_mtu0_is_difference ? padded - last_unit : padded;
	}

	if (last_unit > pkt.p_mtu) last_unit %= pkt.p_mtu;

	let padded_size = (last_unit + (WG_PKT_PADDING - 1)) & ~(WG_PKT_PADDING - 1);
	if (pkt.p_mtu < padded_size) padded_size = pkt.p_mtu;
	return padded_size - last_unit;
}

const padding = new Uint8Array(WG_PKT_PADDING);
const encrypt_idx = KERNEL_GLOBAL<uint32_out>(() => [0]);

/** Pads, encrypts and frames one packet, publishes it, and wakes the peer's sender. */
export function* wg_encrypt(sc: wg_softc, pkt: wg_packet): Blocking<void> {
	const keypair = pkt.p_keypair as NonNullable<wg_packet["p_keypair"]>;
	const remote = noise_keypair_remote(keypair);
	const peer = noise_remote_arg(remote) as wg_peer;
	MPASS(peer.p_sc === sc, "peer->p_sc == sc");
	charge(cost.wg_encrypt);
	stage("encrypt-start", pkt.p_mbuf as mbuf);
	const state = yield* wg_encrypt_mbuf(pkt, keypair);
	yield* store(pkt, "p_state", state);
	yield* GROUPTASK_ENQUEUE(peer.p_send);
	noise_remote_put(remote);
}

/** wg_encrypt up to its label `out`: leaves the result in p_mbuf. @returns the packet's new state */
function* wg_encrypt_mbuf(pkt: wg_packet, keypair: NonNullable<wg_packet["p_keypair"]>): Blocking<number> {
	let m = pkt.p_mbuf as mbuf;

	const padlen = calculate_padding(pkt);
	if (padlen !== 0 && !m_append(m, padlen, padding)) return WG_PACKET_DEAD;

	// the index it hands back is the keypair's, which never changes, so one scratch word per kernel will do
	if ((yield* noise_keypair_encrypt(keypair, encrypt_idx(), pkt.p_nonce, m)) !== 0) return WG_PACKET_DEAD;
	const r_idx = keypair.kp_index.i_remote_index;

	const prepended = M_PREPEND(m, SIZEOF_WG_PKT_DATA, M_NOWAIT);
	pkt.p_mbuf = prepended;
	if (prepended === null) return WG_PACKET_DEAD;
	m = prepended;
	le32enc(m.m_buf, m.m_data, WG_PKT_DATA);
	le32enc(m.m_buf, m.m_data + DATA_R_IDX, r_idx);
	le32enc(m.m_buf, m.m_data + DATA_NONCE, pkt.p_nonce.lo);
	le32enc(m.m_buf, m.m_data + DATA_NONCE + 4, pkt.p_nonce.hi);

	wg_mbuf_reset(m);
	stage("encrypt-end", m);
	return WG_PACKET_CRYPTED;
}

/** Decrypts one packet, checks that its source is the peer's, publishes it, and wakes the peer's receiver. */
export function* wg_decrypt(sc: wg_softc, pkt: wg_packet): Blocking<void> {
	const keypair = pkt.p_keypair as NonNullable<wg_packet["p_keypair"]>;
	const remote = noise_keypair_remote(keypair);
	const peer = noise_remote_arg(remote) as wg_peer;
	charge(cost.wg_decrypt);
	stage("decrypt-start", pkt.p_mbuf as mbuf);
	const state = yield* wg_decrypt_mbuf(sc, pkt, keypair, peer);
	yield* store(pkt, "p_state", state);
	yield* GROUPTASK_ENQUEUE(peer.p_recv);
	noise_remote_put(remote);
}

/** wg_decrypt up to its label `out`: leaves the result in p_mbuf. @returns the packet's new state */
function* wg_decrypt_mbuf(
	sc: wg_softc,
	pkt: wg_packet,
	keypair: NonNullable<wg_packet["p_keypair"]>,
	peer: wg_peer,
): Blocking<number> {
	const received = pkt.p_mbuf as mbuf;

	pkt.p_nonce.lo = le32dec(received.m_buf, received.m_data + DATA_NONCE);
	pkt.p_nonce.hi = le32dec(received.m_buf, received.m_data + DATA_NONCE + 4);
	m_adj(received, SIZEOF_WG_PKT_DATA);

	if ((yield* noise_keypair_decrypt(keypair, pkt.p_nonce, received)) !== 0) return WG_PACKET_DEAD;

	// a packet without contents is a keepalive
	if (received.m_pkthdr.len === 0) {
		DPRINTF(sc, `Receiving keepalive packet from peer ${peer.p_id}\n`);
		return WG_PACKET_CRYPTED;
	}

	// the stack validates the IP header in detail; here only enough to read the source address
	const p = pulled();
	const ret = determine_af_and_pullup(received, p);
	pkt.p_mbuf = p.m;
	if (ret !== 0) {
		DPRINTF(sc, `Packet is neither ipv4 nor ipv6 from peer ${peer.p_id}\n`);
		return WG_PACKET_DEAD;
	}
	pkt.p_af = p.af;
	const m = p.m as mbuf;
	let allowed_peer: wg_peer | null;
	if (pkt.p_af === AF_INET) {
		allowed_peer = yield* wg_aip_lookup(sc, AF_INET, m.m_buf, m.m_data + 12);
		const len = in_get16(m.m_buf, m.m_data + 2);
		if (len >= SIZEOF_IP && len < m.m_pkthdr.len) m_adj(m, len - m.m_pkthdr.len);
	} else {
		allowed_peer = yield* wg_aip_lookup(sc, AF_INET6, m.m_buf, m.m_data + 8);
		const len = in_get16(m.m_buf, m.m_data + 4) + SIZEOF_IP6_HDR;
		if (len < m.m_pkthdr.len) m_adj(m, len - m.m_pkthdr.len);
	}

	// only the identity is compared, so the reference can go
	if (allowed_peer !== null) noise_remote_put(allowed_peer.p_remote);

	if (peer !== allowed_peer) {
		DPRINTF(sc, `Packet has unallowed src IP from peer ${peer.p_id}\n`);
		return WG_PACKET_DEAD;
	}

	wg_mbuf_reset(m);
	stage("decrypt-end", m);
	return WG_PACKET_CRYPTED;
}

export function* wg_softc_decrypt(sc: wg_softc): Blocking<void> {
	let packets = 0;
	for (;;) {
		const pkt = yield* wg_queue_dequeue_parallel(sc.sc_decrypt_parallel);
		if (pkt === null) break;
		packets++;
		yield* wg_decrypt(sc, pkt);
	}
	if (wg_task_run.on !== null) wg_task_run.on("decrypt", packets);
}

export function* wg_softc_encrypt(sc: wg_softc): Blocking<void> {
	let packets = 0;
	for (;;) {
		const pkt = yield* wg_queue_dequeue_parallel(sc.sc_encrypt_parallel);
		if (pkt === null) break;
		packets++;
		yield* wg_encrypt(sc, pkt);
	}
	if (wg_task_run.on !== null) wg_task_run.on("encrypt", packets);
}

/** @see dispatch/ */
export function* wg_encrypt_dispatch(sc: wg_softc): Blocking<void> {
	return yield* sc.sc_dispatch.encrypt_dispatch(sc);
}

/** @see dispatch/ */
export function* wg_decrypt_dispatch(sc: wg_softc): Blocking<void> {
	return yield* sc.sc_dispatch.decrypt_dispatch(sc);
}

/** Task p_send: sends what is encrypted, in the order it was queued. */
export function* wg_deliver_out(peer: wg_peer): Blocking<void> {
	const endpoint = peer.p_send_endpoint;
	const sc = peer.p_sc;

	yield* wg_peer_get_endpoint(peer, endpoint);

	for (;;) {
		const pkt = yield* wg_queue_dequeue_serial(peer.p_encrypt_serial);
		if (pkt === null) return;
		charge(cost.wg_deliver_out);
		const m = pkt.p_mbuf;
		if (pkt.p_state !== WG_PACKET_CRYPTED || m === null) {
			if_inc_counter(sc.sc_ifp, IFCOUNTER_OERRORS, 1);
			wg_packet_free(pkt);
			continue;
		}
		pkt.p_mbuf = null;
		stage("sent", m);

		const len = m.m_pkthdr.len;

		yield* wg_timers_event_any_authenticated_packet_traversal(peer);
		yield* wg_timers_event_any_authenticated_packet_sent(peer);
		const rc = yield* wg_send(sc, endpoint, m);
		if (rc !== 0) {
			if (rc === EADDRNOTAVAIL) {
				yield* wg_peer_clear_src(peer);
				yield* wg_peer_get_endpoint(peer, endpoint);
			}
			if_inc_counter(sc.sc_ifp, IFCOUNTER_OERRORS, 1);
			wg_packet_free(pkt);
			continue;
		}
		if (len > SIZEOF_WG_PKT_DATA + NOISE_AUTHTAG_LEN) yield* wg_timers_event_data_sent(peer);
		peer.p_tx_bytes += len;
		wg_packet_free(pkt);
		if ((yield* noise_keep_key_fresh_send(peer.p_remote)) !== 0) yield* wg_timers_event_want_initiation(peer);
	}
}

/** Hands a packet to the program that has the interface in netmap mode, which expects Ethernet frames: consumes it. */
export function* wg_deliver_netmap(ifp: ifnet, m0: mbuf, af: number): Blocking<void> {
	const m = M_PREPEND(m0, ETHER_HDR_LEN, M_NOWAIT);
	if (m === null) {
		if_inc_counter(ifp, IFCOUNTER_IQDROPS, 1);
		return;
	}
	fill_ether_header(m, af, 0x02);
	yield* ifp.if_input(ifp, m);
}

/** Task p_recv: replay check and delivery, in order of arrival. IP input runs right here, in this thread. */
export function* wg_deliver_in(peer: wg_peer): Blocking<void> {
	const sc = peer.p_sc;
	const ifp = sc.sc_ifp;

	for (;;) {
		const pkt = yield* wg_queue_dequeue_serial(peer.p_decrypt_serial);
		if (pkt === null) return;
		charge(cost.wg_deliver_in);
		const keypair = pkt.p_keypair as NonNullable<wg_packet["p_keypair"]>;
		const m = pkt.p_mbuf;
		if (
			pkt.p_state !== WG_PACKET_CRYPTED ||
			m === null ||
			(yield* noise_keypair_nonce_check(keypair, pkt.p_nonce)) !== 0
		) {
			if_inc_counter(ifp, IFCOUNTER_IERRORS, 1);
			wg_packet_free(pkt);
			continue;
		}

		if ((yield* noise_keypair_received_with(keypair)) === ECONNRESET) yield* wg_timers_event_handshake_complete(peer);

		yield* wg_timers_event_any_authenticated_packet_received(peer);
		yield* wg_timers_event_any_authenticated_packet_traversal(peer);
		yield* wg_peer_set_endpoint(peer, pkt.p_endpoint);

		peer.p_rx_bytes += m.m_pkthdr.len + SIZEOF_WG_PKT_DATA + NOISE_AUTHTAG_LEN;
		if_inc_counter(ifp, IFCOUNTER_IPACKETS, 1);
		if_inc_counter(ifp, IFCOUNTER_IBYTES, m.m_pkthdr.len + SIZEOF_WG_PKT_DATA + NOISE_AUTHTAG_LEN);

		if (m.m_pkthdr.len !== 0) {
			MPASS(pkt.p_af === AF_INET || pkt.p_af === AF_INET6, "pkt->p_af == AF_INET || pkt->p_af == AF_INET6");
			pkt.p_mbuf = null;

			m.m_pkthdr.rcvif = ifp;
			stage("delivered", m);

			NET_EPOCH_ENTER();
			BPF_MTAP2_AF(ifp, m, pkt.p_af);

			const saved = CURVNET_SET(ifp.if_vnet as vnet);
			M_SETFIB(m, ifp.if_fib);
			if (in_netmap_mode(ifp)) yield* wg_deliver_netmap(ifp, m, pkt.p_af);
			else if (pkt.p_af === AF_INET) yield* netisr_dispatch(NETISR_IP, m);
			else if (pkt.p_af === AF_INET6) yield* netisr_dispatch(NETISR_IPV6, m);
			CURVNET_RESTORE(saved);
			NET_EPOCH_EXIT();

			yield* wg_timers_event_data_received(peer);
		}
		if ((yield* noise_keep_key_fresh_recv(peer.p_remote)) !== 0) yield* wg_timers_event_want_initiation(peer);
		wg_packet_free(pkt);
	}
}

export function wg_packet_alloc(m: mbuf): wg_packet | null {
	const pkt = uma_zalloc(wg().wg_packet_zone as uma_zone<wg_packet>, M_NOWAIT | M_ZERO);
	if (pkt === null) return null;
	pkt.p_mbuf = m;
	return pkt;
}

export function wg_packet_free(pkt: wg_packet): void {
	if (pkt.p_keypair !== null) noise_keypair_put(pkt.p_keypair);
	if (pkt.p_mbuf !== null) m_freem(pkt.p_mbuf);
	uma_zfree(wg().wg_packet_zone as uma_zone<wg_packet>, pkt);
}

/** The zone's constructor: what M_ZERO does to the memory upstream. */
function wg_packet_ctor(pkt: wg_packet): number {
	pkt.p_serial = null;
	pkt.p_parallel = null;
	pkt.p_endpoint.r_family = AF_UNSPEC;
	pkt.p_endpoint.l_in = 0;
	pkt.p_keypair = null;
	pkt.p_nonce.lo = 0;
	pkt.p_nonce.hi = 0;
	pkt.p_mbuf = null;
	pkt.p_mtu = 0;
	pkt.p_af = AF_UNSPEC;
	pkt.p_state = WG_PACKET_UNCRYPTED;
	return 0;
}

export function wg_queue_init(queue: wg_queue, name: string): void {
	mtx_init(queue.q_mtx, name, null, MTX_DEF);
	queue.q_first = null;
	queue.q_last = null;
	queue.q_len = 0;
}

export function* wg_queue_deinit(queue: wg_queue): Blocking<void> {
	yield* wg_queue_purge(queue);
	mtx_destroy(queue.q_mtx);
}

/** Older generations take the mutex, newer ones just look. */
export function* wg_queue_len(queue: wg_queue): Blocking<number> {
	if (!generation().queue_len_locks) return yield* load(queue, "q_len");
	yield* mtx_lock(queue.q_mtx);
	const len = queue.q_len;
	yield* mtx_unlock(queue.q_mtx);
	return len;
}

function insert_tail_parallel(queue: wg_queue, pkt: wg_packet): void {
	pkt.p_parallel = null;
	if (queue.q_last !== null) queue.q_last.p_parallel = pkt;
	else queue.q_first = pkt;
	queue.q_last = pkt;
	queue.q_len++;
	if (wg_queue_change.on !== null) wg_queue_change.on("insert", queue, pkt);
}

function remove_head_parallel(queue: wg_queue): wg_packet {
	const pkt = queue.q_first as wg_packet;
	queue.q_first = pkt.p_parallel;
	if (queue.q_first === null) queue.q_last = null;
	queue.q_len--;
	if (wg_queue_change.on !== null) wg_queue_change.on("remove", queue, pkt);
	return pkt;
}

export function* wg_queue_enqueue_handshake(hs: wg_queue, pkt: wg_packet): Blocking<Errno> {
	let ret = 0;
	yield* mtx_lock(hs.q_mtx);
	if (hs.q_len < MAX_QUEUED_HANDSHAKES) insert_tail_parallel(hs, pkt);
	else ret = ENOBUFS;
	yield* mtx_unlock(hs.q_mtx);
	if (ret !== 0) wg_packet_free(pkt);
	return ret;
}

export function* wg_queue_dequeue_handshake(hs: wg_queue): Blocking<wg_packet | null> {
	yield* mtx_lock(hs.q_mtx);
	const pkt = hs.q_first === null ? null : remove_head_parallel(hs);
	yield* mtx_unlock(hs.q_mtx);
	return pkt;
}

/** Appends; a full queue loses its oldest packet, which no counter shows. */
export function* wg_queue_push_staged(staged: wg_queue, pkt: wg_packet): Blocking<void> {
	let old: wg_packet | null = null;

	yield* mtx_lock(staged.q_mtx);
	if (staged.q_len >= MAX_STAGED_PKT) old = remove_head_parallel(staged);
	insert_tail_parallel(staged, pkt);
	yield* mtx_unlock(staged.q_mtx);

	if (old !== null) wg_packet_free(old);
}

/** Puts a list back, packet by packet, behind whatever was staged meanwhile. */
export function* wg_queue_enlist_staged(staged: wg_queue, list: wg_packet_list): Blocking<void> {
	for (let pkt = list.first; pkt !== null; ) {
		const next: wg_packet | null = pkt.p_parallel;
		yield* wg_queue_push_staged(staged, pkt);
		pkt = next;
	}
}

export function* wg_queue_delist_staged(staged: wg_queue, list: wg_packet_list): Blocking<void> {
	yield* mtx_lock(staged.q_mtx);
	list.first = staged.q_first;
	list.last = staged.q_last;
	if (wg_queue_change.on !== null) {
		for (let pkt = list.first; pkt !== null; pkt = pkt.p_parallel) wg_queue_change.on("remove", staged, pkt);
	}
	staged.q_first = null;
	staged.q_last = null;
	staged.q_len = 0;
	yield* mtx_unlock(staged.q_mtx);
}

export function* wg_queue_purge(staged: wg_queue): Blocking<void> {
	const list = new wg_packet_list();
	yield* wg_queue_delist_staged(staged, list);
	for (let pkt = list.first; pkt !== null; ) {
		const next: wg_packet | null = pkt.p_parallel;
		wg_packet_free(pkt);
		pkt = next;
	}
}

/**
 * Queues a packet for work in parallel and for delivery in order: serial queue first, the locks never both held.
 *
 * With the parallel queue full the packet stays on the serial one as DEAD, and nobody is woken to reap it (L-1).
 */
export function* wg_queue_both(parallel: wg_queue, serial: wg_queue, pkt: wg_packet): Blocking<Errno> {
	pkt.p_state = WG_PACKET_UNCRYPTED;

	yield* mtx_lock(serial.q_mtx);
	if (serial.q_len < MAX_QUEUED_PKT) {
		serial.q_len++;
		pkt.p_serial = null;
		if (serial.q_last !== null) serial.q_last.p_serial = pkt;
		else serial.q_first = pkt;
		serial.q_last = pkt;
		if (wg_queue_change.on !== null) wg_queue_change.on("insert", serial, pkt);
	} else {
		yield* mtx_unlock(serial.q_mtx);
		wg_packet_free(pkt);
		return ENOBUFS;
	}
	yield* mtx_unlock(serial.q_mtx);

	yield* mtx_lock(parallel.q_mtx);
	if (parallel.q_len < MAX_QUEUED_PKT) {
		insert_tail_parallel(parallel, pkt);
	} else {
		yield* mtx_unlock(parallel.q_mtx);
		yield* store(pkt, "p_state", WG_PACKET_DEAD);
		return ENOBUFS;
	}
	yield* mtx_unlock(parallel.q_mtx);

	return 0;
}

/** The head of the queue, if it is finished: packets behind a slow one wait for it. */
export function* wg_queue_dequeue_serial(serial: wg_queue): Blocking<wg_packet | null> {
	let pkt: wg_packet | null = null;
	yield* mtx_lock(serial.q_mtx);
	const head = serial.q_first;
	if (serial.q_len > 0 && head !== null && head.p_state !== WG_PACKET_UNCRYPTED) {
		serial.q_len--;
		pkt = head;
		serial.q_first = head.p_serial;
		if (serial.q_first === null) serial.q_last = null;
		if (wg_queue_change.on !== null) wg_queue_change.on("remove", serial, head);
	}
	yield* mtx_unlock(serial.q_mtx);
	return pkt;
}

export function* wg_queue_dequeue_parallel(parallel: wg_queue): Blocking<wg_packet | null> {
	yield* mtx_lock(parallel.q_mtx);
	const pkt = parallel.q_len > 0 ? remove_head_parallel(parallel) : null;
	yield* mtx_unlock(parallel.q_mtx);
	return pkt;
}

/**
 * What UDP calls for every datagram to the interface's port. Consumes the packet, always.
 *
 * @param offset length of the IP header
 * @param sa source and destination address
 */
export function* wg_input(
	m0: mbuf,
	offset: number,
	_inpcb: inpcb,
	sa: readonly sockaddr[],
	sc: wg_softc,
): Blocking<boolean> {
	charge(cost.wg_input);
	const defragged = m_defrag(m0, M_NOWAIT);
	let m = m_unshare(defragged ?? m0, M_NOWAIT);
	if (m === null) {
		if_inc_counter(sc.sc_ifp, IFCOUNTER_IQDROPS, 1);
		return true;
	}

	// the addresses are in `sa`
	m_adj(m, offset + SIZEOF_UDPHDR);

	m = m_pullup(m, 4);
	if (m === null) {
		if_inc_counter(sc.sc_ifp, IFCOUNTER_IQDROPS, 1);
		return true;
	}

	const pkt = wg_packet_alloc(m);
	if (pkt === null) {
		if_inc_counter(sc.sc_ifp, IFCOUNTER_IQDROPS, 1);
		m_freem(m);
		return true;
	}
	stage("received", m);

	if (!endpoint_of(pkt.p_endpoint, sa)) return wg_input_error(sc, pkt);

	const type = le32dec(m.m_buf, m.m_data);
	const len = m.m_pkthdr.len;
	if (
		(len === SIZEOF_WG_PKT_INITIATION && type === WG_PKT_INITIATION) ||
		(len === SIZEOF_WG_PKT_RESPONSE && type === WG_PKT_RESPONSE) ||
		(len === SIZEOF_WG_PKT_COOKIE && type === WG_PKT_COOKIE)
	) {
		if ((yield* wg_queue_enqueue_handshake(sc.sc_handshake_queue, pkt)) !== 0) {
			if_inc_counter(sc.sc_ifp, IFCOUNTER_IQDROPS, 1);
			DPRINTF(sc, "Dropping handshake packet\n");
		}
		yield* GROUPTASK_ENQUEUE(sc.sc_handshake);
	} else if (len >= SIZEOF_WG_PKT_DATA + NOISE_AUTHTAG_LEN && type === WG_PKT_DATA) {
		m = m_pullup(m, SIZEOF_WG_PKT_DATA);
		pkt.p_mbuf = m;
		if (m === null) return wg_input_error(sc, pkt);

		pkt.p_keypair = yield* noise_keypair_lookup(sc.sc_local, le32dec(m.m_buf, m.m_data + DATA_R_IDX));
		if (pkt.p_keypair === null) return wg_input_error(sc, pkt);

		const remote = noise_keypair_remote(pkt.p_keypair);
		const peer = noise_remote_arg(remote) as wg_peer;
		if ((yield* wg_queue_both(sc.sc_decrypt_parallel, peer.p_decrypt_serial, pkt)) !== 0)
			if_inc_counter(sc.sc_ifp, IFCOUNTER_IQDROPS, 1);
		yield* wg_decrypt_dispatch(sc);
		noise_remote_put(remote);
	} else {
		return wg_input_error(sc, pkt);
	}
	return true;
}

function wg_input_error(sc: wg_softc, pkt: wg_packet): boolean {
	if_inc_counter(sc.sc_ifp, IFCOUNTER_IERRORS, 1);
	wg_packet_free(pkt);
	return true;
}

/** Notes where a packet came from and which of our addresses it was sent to. False: a family we do not know. */
function endpoint_of(e: wg_endpoint, sa: readonly sockaddr[]): boolean {
	if (sa[0].sa_family === AF_INET) {
		const sin = sa[0] as sockaddr_in;
		e.r_family = AF_INET;
		e.r_sin.sin_port = sin.sin_port;
		e.r_sin.sin_addr = sin.sin_addr;
		e.l_in = (sa[1] as sockaddr_in).sin_addr;
		return true;
	}
	if (sa[0].sa_family === AF_INET6) {
		const sin6 = sa[0] as sockaddr_in6;
		e.r_family = AF_INET6;
		e.r_sin6.sin6_port = sin6.sin6_port;
		e.r_sin6.sin6_scope_id = sin6.sin6_scope_id;
		e.r_sin6.sin6_flowinfo = sin6.sin6_flowinfo;
		e.r_sin6.sin6_addr.set(sin6.sin6_addr);
		e.l_in6.set((sa[1] as sockaddr_in6).sin6_addr);
		return true;
	}
	return false;
}

/** Gives nonces to all that is staged and queues it for encryption; without a session everything goes back and a handshake begins. */
export function* wg_peer_send_staged(peer: wg_peer): Blocking<void> {
	const sc = peer.p_sc;
	const list = new wg_packet_list();

	yield* wg_queue_delist_staged(peer.p_stage_queue, list);

	if (list.first === null) return;

	const keypair = yield* noise_keypair_current(peer.p_remote);
	let ready = keypair !== null;
	if (keypair !== null) {
		for (let pkt: wg_packet | null = list.first; pkt !== null; pkt = pkt.p_parallel) {
			if ((yield* noise_keypair_nonce_next(keypair, pkt.p_nonce)) !== 0) {
				ready = false;
				break;
			}
		}
	}
	if (keypair === null || !ready) {
		if (keypair !== null) noise_keypair_put(keypair);
		yield* wg_queue_enlist_staged(peer.p_stage_queue, list);
		yield* wg_timers_event_want_initiation(peer);
		return;
	}
	for (let pkt: wg_packet | null = list.first; pkt !== null; ) {
		const next: wg_packet | null = pkt.p_parallel;
		pkt.p_keypair = noise_keypair_ref(keypair);
		if ((yield* wg_queue_both(sc.sc_encrypt_parallel, peer.p_encrypt_serial, pkt)) !== 0)
			if_inc_counter(sc.sc_ifp, IFCOUNTER_OQDROPS, 1);
		pkt = next;
	}
	yield* wg_encrypt_dispatch(sc);
	noise_keypair_put(keypair);
}

/** Drops a packet that cannot be sent, with a word to its sender where its family is known. */
export function* xmit_err(ifp: ifnet, m: mbuf | null, pkt: wg_packet | null, af: number): Blocking<void> {
	if_inc_counter(ifp, IFCOUNTER_OERRORS, 1);
	let rest = m;
	if (af === AF_INET && m !== null) {
		yield* icmp_error(m, ICMP_UNREACH, ICMP_UNREACH_HOST, 0, 0);
		if (pkt !== null) pkt.p_mbuf = null;
		rest = null;
	} else if (af === AF_INET6 && m !== null) {
		yield* icmp6_error(m, ICMP6_DST_UNREACH, 0, 0);
		if (pkt !== null) pkt.p_mbuf = null;
		rest = null;
	}
	if (pkt !== null) wg_packet_free(pkt);
	else if (rest !== null) m_freem(rest);
}

/** Finds the peer for a packet, stages it there and sends what is staged. Consumes `m`. */
export function* wg_xmit(ifp: ifnet, m: mbuf, af: number, mtu: number): Blocking<Errno> {
	const sc = ifp.if_softc as wg_softc | null;
	charge(cost.wg_xmit);

	// IPv6's multicast code may still send after the interface was taken apart
	if ((ifp.if_flags & IFF_DYING) !== 0 || sc === null) {
		yield* xmit_err(ifp, m, null, af);
		return ENXIO;
	}

	const pkt = wg_packet_alloc(m);
	if (pkt === null) {
		yield* xmit_err(ifp, m, null, af);
		return ENOBUFS;
	}
	pkt.p_mtu = mtu;
	pkt.p_af = af;

	let peer: wg_peer | null;
	if (af === AF_INET) {
		peer = yield* wg_aip_lookup(sc, AF_INET, m.m_buf, m.m_data + 16);
	} else if (af === AF_INET6) {
		peer = yield* wg_aip_lookup(sc, AF_INET6, m.m_buf, m.m_data + 24);
	} else {
		yield* xmit_err(ifp, m, pkt, af);
		return EAFNOSUPPORT;
	}

	BPF_MTAP2_AF(ifp, m, af);

	if (peer === null) {
		yield* xmit_err(ifp, m, pkt, af);
		return generation().no_peer_errno;
	}

	let rc = 0;
	if (if_tunnel_check_nesting(ifp, m, MTAG_WGLOOP, MAX_LOOPS) !== 0) {
		DPRINTF(sc, "Packet looped");
		rc = ELOOP;
	} else {
		const peer_af = peer.p_endpoint.r_family;
		if (peer_af !== AF_INET && peer_af !== AF_INET6) {
			DPRINTF(sc, `No valid endpoint has been configured or discovered for peer ${peer.p_id}\n`);
			rc = EHOSTUNREACH;
		}
	}
	if (rc !== 0) {
		noise_remote_put(peer.p_remote);
		yield* xmit_err(ifp, m, pkt, af);
		return rc;
	}

	stage("staged", m);
	yield* wg_queue_push_staged(peer.p_stage_queue, pkt);
	yield* wg_peer_send_staged(peer);
	noise_remote_put(peer.p_remote);
	return 0;
}

/** What determine_af_and_pullup and determine_ethertype_and_pullup found: in C they write through their arguments. */
export class pulled_up {
	m: mbuf | null = null;
	af = AF_UNSPEC;
	/** EtherType */
	et = 0;
}

/** read right after the call, with nothing in between that could block */
const pulled = KERNEL_GLOBAL(() => new pulled_up());

/**
 * Makes the IP header contiguous and says by its version which family it is.
 *
 * @returns 0; EAFNOSUPPORT with the packet still there; ENOBUFS with the packet gone
 */
export function determine_af_and_pullup(m: mbuf, out: pulled_up): Errno {
	out.m = m;
	out.af = AF_UNSPEC;
	if (m.m_pkthdr.len >= SIZEOF_IP6_HDR) out.m = m_pullup(m, SIZEOF_IP6_HDR);
	else if (m.m_pkthdr.len >= SIZEOF_IP) out.m = m_pullup(m, SIZEOF_IP);
	else return EAFNOSUPPORT;
	if (out.m === null) return ENOBUFS;
	const ipv = out.m.m_buf[out.m.m_data] >> 4;
	if (ipv === 4) out.af = AF_INET;
	else if (ipv === 6 && out.m.m_pkthdr.len >= SIZEOF_IP6_HDR) out.af = AF_INET6;
	else return EAFNOSUPPORT;
	return 0;
}

/**
 * Makes the Ethernet header of a frame from netmap contiguous.
 *
 * @returns 0 for IP and IPv6; EAFNOSUPPORT with the frame still there; ENOBUFS with the frame gone
 */
export function determine_ethertype_and_pullup(m: mbuf, out: pulled_up): Errno {
	out.m = m_pullup(m, ETHER_HDR_LEN);
	if (out.m === null) return ENOBUFS;
	out.et = in_get16(out.m.m_buf, out.m.m_data + 2 * ETHER_ADDR_LEN);
	return out.et === ETHERTYPE_IP || out.et === ETHERTYPE_IPV6 ? 0 : EAFNOSUPPORT;
}

/** if_transmit: for whoever has no next hop, such as bridges; since main for netmap only, whose frames have Ethernet headers. */
export function* wg_transmit(ifp: ifnet, m0: mbuf): Blocking<Errno> {
	const { netmap } = generation();
	if (netmap) KASSERT(in_netmap_mode(ifp), `wg_transmit: ifp ${ifp.if_xname} is not in netmap mode`);

	const defragged = m_defrag(m0, M_NOWAIT);
	const m = m_unshare(defragged ?? m0, M_NOWAIT);
	if (m === null) {
		yield* xmit_err(ifp, null, null, AF_UNSPEC);
		return ENOBUFS;
	}

	const p = pulled();
	p.m = m;
	let ret = netmap ? determine_ethertype_and_pullup(m, p) : 0;
	if (ret === 0) {
		if (netmap) m_adj(p.m, ETHER_HDR_LEN);
		ret = determine_af_and_pullup(p.m, p);
	}
	if (ret !== 0) {
		yield* xmit_err(ifp, p.m, null, AF_UNSPEC);
		return ret;
	}

	ret = yield* wg_xmit(ifp, p.m, p.af, ifp.if_mtu);
	// netmap would keep the frame in its ring and try again, so it hears of errors that pass only
	return netmap && ret !== ENOBUFS ? 0 : ret;
}

/** if_input: what netmap sends up to the stack. */
export function* wg_if_input(ifp: ifnet, m0: mbuf): Blocking<void> {
	KASSERT(in_netmap_mode(ifp), `wg_if_input: ifp ${ifp.if_xname} is not in netmap mode`);

	const p = pulled();
	const ret = determine_ethertype_and_pullup(m0, p);
	const m = p.m;
	if (ret !== 0 || m === null) {
		if_inc_counter(ifp, IFCOUNTER_IERRORS, 1);
		m_freem(m);
		return;
	}
	const proto = p.et === ETHERTYPE_IP ? NETISR_IP : NETISR_IPV6;
	const saved = CURVNET_SET(ifp.if_vnet as vnet);
	m_adj(m, ETHER_HDR_LEN);
	yield* netisr_dispatch(proto, m);
	CURVNET_RESTORE(saved);
}

/** Hands what the stack sends to netmap, which has put itself in the place of if_transmit. */
export function* wg_xmit_netmap(ifp: ifnet, m0: mbuf, af: number): Blocking<Errno> {
	if (if_tunnel_check_nesting(ifp, m0, MTAG_WGLOOP, MAX_LOOPS) !== 0) {
		if_printf(ifp, "wg_xmit_netmap: packet looped\n"); // whether or not the interface is debugged
		if_inc_counter(ifp, IFCOUNTER_IERRORS, 1);
		m_freem(m0);
		return ELOOP;
	}
	const m = M_PREPEND(m0, ETHER_HDR_LEN, M_NOWAIT);
	if (m === null) {
		if_inc_counter(ifp, IFCOUNTER_IQDROPS, 1);
		return ENOBUFS;
	}
	fill_ether_header(m, af, 0x06);
	return yield* ifp.if_transmit(ifp, m);
}

/** Does a program have the interface in netmap mode, and the driver know what that is? */
function in_netmap_mode(ifp: ifnet): boolean {
	return (ifp.if_capenable & IFCAP_NETMAP) !== 0 && generation().netmap;
}

/** The header of a frame for netmap: to everybody, from an address of one byte repeated. */
function fill_ether_header(m: mbuf, af: number, byte: number): void {
	const { m_buf, m_data } = m;
	m_buf.fill(0xff, m_data, m_data + ETHER_ADDR_LEN);
	m_buf.fill(byte, m_data + ETHER_ADDR_LEN, m_data + 2 * ETHER_ADDR_LEN);
	in_put16(m_buf, m_data + 2 * ETHER_ADDR_LEN, af === AF_INET ? ETHERTYPE_IP : ETHERTYPE_IPV6);
}

/** The family the caller says the packet has: the macro RO_GET_FAMILY, and what bpf(4) writes before a packet. */
function output_family(dst: sockaddr, ro: route | null, m: mbuf): number {
	const main = generation().output_af === "route";
	if (dst.sa_family === AF_UNSPEC || (main && dst.sa_family === pseudo_AF_HDRCMPLT))
		return dst instanceof sockaddr_opaque ? le32dec(dst.sa_data, 0) : AF_UNSPEC;
	// with a gateway main goes by the route's destination, whose family is that of the packet it was looked up for
	if (main && ro?.ro_nh != null && (ro.ro_nh.nh_flags & NHF_GATEWAY) !== 0)
		return m.m_buf[m.m_data] >> 4 === 6 ? AF_INET6 : AF_INET;
	return dst.sa_family;
}

/** if_output: checks that the packet is of the family the caller says. */
export function* wg_output(ifp: ifnet, m0: mbuf, dst: sockaddr, ro: route | null): Blocking<Errno> {
	const af = output_family(dst, ro, m0);
	if (af === AF_UNSPEC) {
		yield* xmit_err(ifp, m0, null, AF_UNSPEC);
		return EAFNOSUPPORT;
	}

	if (in_netmap_mode(ifp)) return yield* wg_xmit_netmap(ifp, m0, af);

	const defragged = m_defrag(m0, M_NOWAIT);
	const m = m_unshare(defragged ?? m0, M_NOWAIT);
	if (m === null) {
		yield* xmit_err(ifp, null, null, AF_UNSPEC);
		return ENOBUFS;
	}

	const p = pulled();
	const ret = determine_af_and_pullup(m, p);
	if (ret !== 0) {
		yield* xmit_err(ifp, p.m, null, AF_UNSPEC);
		return ret;
	}
	const parsed_af = p.af;
	if (parsed_af !== af) {
		if (generation().output_af === "route") panic("Assertion parsed_af == af failed at if_wg.c (L-21)");
		yield* xmit_err(ifp, p.m, null, AF_UNSPEC);
		return EAFNOSUPPORT;
	}
	const mtu = ro !== null && ro.ro_mtu > 0 ? ro.ro_mtu : ifp.if_mtu;
	return yield* wg_xmit(ifp, p.m as mbuf, parsed_af, mtu);
}

/* Configuration */

/** Applies one peer of a SIOCSWG. What was applied before an error stays, except that a peer made here is taken back. */
export function* wg_peer_add(sc: wg_softc, nvl: nvlist): Blocking<Errno> {
	const own = new Uint8Array(WG_KEY_SIZE);

	sx_assert(sc.sc_lock, SX_XLOCKED);

	if (!nvlist_exists_binary(nvl, "public-key")) return EINVAL;
	const pub_key = nvlist_get_binary(nvl, "public-key");
	if (pub_key.length !== WG_KEY_SIZE) return EINVAL;
	// our own key is silently ignored, not an error
	if ((yield* noise_local_keys(sc.sc_local, own, null)) === 0 && bytes_equal(own, pub_key)) return 0;

	const remote = yield* noise_remote_lookup(sc.sc_local, pub_key);
	let peer = remote === null ? null : (noise_remote_arg(remote) as wg_peer);
	if (nvlist_exists_bool(nvl, "remove") && nvlist_get_bool(nvl, "remove")) {
		if (remote !== null) {
			yield* wg_peer_destroy(peer as wg_peer);
			noise_remote_put(remote);
		}
		return 0;
	}
	if (nvlist_exists_bool(nvl, "replace-allowedips") && nvlist_get_bool(nvl, "replace-allowedips") && peer !== null)
		yield* wg_aip_remove_all(sc, peer);
	const need_insert = peer === null;
	let inserted = !need_insert;
	if (peer === null && generation().peer_published_early) {
		const created = yield* wg_peer_create(sc, pub_key);
		if (typeof created === "number") return created;
		peer = created;
		inserted = true;
	} else if (peer === null) {
		peer = yield* wg_peer_alloc(sc, pub_key);
		if (peer === null) return ENOMEM;
	}
	let err = yield* wg_peer_configure(sc, peer, nvl);
	if (err === 0 && !inserted) {
		err = yield* noise_remote_enable(peer.p_remote);
		if (err === 0) yield* wg_peer_insert(sc, peer);
	}
	if (err !== 0 && need_insert) {
		// before main a new peer is destroyed as if it were on the list, which it is not (BZ-T3)
		if (inserted || !generation().peer_add_error_checks_inserted) yield* wg_peer_destroy(peer);
		else yield* noise_remote_free(peer.p_remote, wg_peer_free_deferred);
	}
	if (remote !== null) noise_remote_put(remote);
	return err;
}

/** Puts a peer whose remote is enabled on the interface's list. */
function* wg_peer_insert(sc: wg_softc, peer: wg_peer): Blocking<void> {
	sc_peers_insert_tail(sc, peer);
	sc.sc_peers_num++;
	if (sc.sc_ifp.if_link_state === LINK_STATE_UP) yield* wg_timers_enable(peer);
}

/** The attributes of a peer, new or not. The endpoint is written without its lock and its family is not checked, as upstream (L-4). */
function* wg_peer_configure(sc: wg_softc, peer: wg_peer, nvl: nvlist): Blocking<Errno> {
	if (nvlist_exists_binary(nvl, "endpoint")) {
		const endpoint = nvlist_get_binary(nvl, "endpoint");
		if (endpoint.length > SIZEOF_SOCKADDR_IN6) return EINVAL;
		sockaddr_from_bytes(peer.p_endpoint, endpoint);
	}
	if (nvlist_exists_binary(nvl, "preshared-key")) {
		const preshared_key = nvlist_get_binary(nvl, "preshared-key");
		if (preshared_key.length !== WG_KEY_SIZE) return EINVAL;
		yield* noise_remote_set_psk(peer.p_remote, preshared_key);
	}
	if (nvlist_exists_number(nvl, "persistent-keepalive-interval")) {
		const pki = nvlist_get_number(nvl, "persistent-keepalive-interval");
		if (pki > 0xffff) return EINVAL;
		yield* wg_timers_set_persistent_keepalive(peer, pki);
	}
	if (!nvlist_exists_nvlist_array(nvl, "allowed-ips")) return 0;
	for (const aip of nvlist_get_nvlist_array(nvl, "allowed-ips")) {
		const err = yield* wg_peer_allowed_ip(sc, peer, aip);
		if (err !== 0) return err;
	}
	return 0;
}

/** Newer tools mark an allowed IP for removal. @see if_wg.h WGALLOWEDIP_REMOVE_ME */
export const WGALLOWEDIP_REMOVE_ME = 1;
const WGALLOWEDIP_VALID_FLAGS = WGALLOWEDIP_REMOVE_ME;

function* wg_peer_allowed_ip(sc: wg_softc, peer: wg_peer, aip: nvlist): Blocking<Errno> {
	if (!nvlist_exists_number(aip, "cidr")) return 0;
	const cidr = nvlist_get_number(aip, "cidr");
	let remove = false;
	if (generation().aip_flags && nvlist_exists_number(aip, "flags")) {
		const flags = nvlist_get_number(aip, "flags");
		if ((flags & ~WGALLOWEDIP_VALID_FLAGS) !== 0) return EOPNOTSUPP;
		remove = (flags & WGALLOWEDIP_REMOVE_ME) !== 0;
	}
	let af: number;
	let addr: Uint8Array;
	if (nvlist_exists_binary(aip, "ipv4")) {
		af = AF_INET;
		addr = nvlist_get_binary(aip, "ipv4");
		if (cidr > 32 || addr.length !== 4) return EINVAL;
	} else if (nvlist_exists_binary(aip, "ipv6")) {
		af = AF_INET6;
		addr = nvlist_get_binary(aip, "ipv6");
		if (cidr > 128 || addr.length !== 16) return EINVAL;
	} else {
		return 0;
	}
	return yield* (remove ? wg_aip_del : wg_aip_add)(sc, peer, af, addr, cidr);
}

export const SIZEOF_SOCKADDR_IN = 16;
export const SIZEOF_SOCKADDR_IN6 = 28;

/** memcpy of a struct sockaddr over e_remote: length, family, port, address. What the bytes do not cover stays. */
function sockaddr_from_bytes(e: wg_endpoint, bytes: Uint8Array): void {
	if (bytes.length < 2) return;
	e.r_family = bytes[1];
	if (e.r_family === AF_INET && bytes.length >= 8) {
		e.r_sin.sin_port = in_get16(bytes, 2);
		e.r_sin.sin_addr = in_get32(bytes, 4);
	} else if (e.r_family === AF_INET6 && bytes.length >= 24) {
		e.r_sin6.sin6_port = in_get16(bytes, 2);
		e.r_sin6.sin6_flowinfo = in_get32(bytes, 4);
		e.r_sin6.sin6_addr.set(bytes.subarray(8, 24));
		if (bytes.length >= SIZEOF_SOCKADDR_IN6) e.r_sin6.sin6_scope_id = le32dec(bytes, 24);
	}
}

/** The endpoint as a struct sockaddr_in or sockaddr_in6; null when there is none. */
function sockaddr_to_bytes(e: wg_endpoint): Uint8Array | null {
	if (e.r_family === AF_INET) {
		const bytes = new Uint8Array(SIZEOF_SOCKADDR_IN);
		bytes[0] = SIZEOF_SOCKADDR_IN;
		bytes[1] = AF_INET;
		bytes[2] = e.r_sin.sin_port >>> 8;
		bytes[3] = e.r_sin.sin_port;
		in_put32(bytes, 4, e.r_sin.sin_addr);
		return bytes;
	}
	if (e.r_family === AF_INET6) {
		const bytes = new Uint8Array(SIZEOF_SOCKADDR_IN6);
		bytes[0] = SIZEOF_SOCKADDR_IN6;
		bytes[1] = AF_INET6;
		bytes[2] = e.r_sin6.sin6_port >>> 8;
		bytes[3] = e.r_sin6.sin6_port;
		in_put32(bytes, 4, e.r_sin6.sin6_flowinfo);
		bytes.set(e.r_sin6.sin6_addr, 8);
		le32enc(bytes, 24, e.r_sin6.sin6_scope_id);
		return bytes;
	}
	return null;
}

function bytes_equal(a: Uint8Array, b: Uint8Array): boolean {
	if (a.length !== b.length) return false;
	let difference = 0;
	for (let i = 0; i < a.length; i++) difference |= a[i] ^ b[i];
	return difference === 0;
}

const UINT32_MAX = 0xffff_ffff;

/** SIOCSWG. The order matters and nothing is rolled back. */
export function* wgc_set(sc: wg_softc, wgd: wg_data_io): Blocking<Errno> {
	if (wgd.wgd_size === 0 || wgd.wgd_data === null) return EFAULT;
	if (wgd.wgd_size >= Math.floor(UINT32_MAX / 2)) return E2BIG;
	if (wgd.wgd_size > wgd.wgd_data.length) return EFAULT; // copyin ran out of the program's memory

	const locked_early = generation().ioctl_copies_locked;
	if (locked_early) yield* sx_xlock(sc.sc_lock);
	const nvlpacked = wgd.wgd_data.slice(0, wgd.wgd_size);
	const nvl = nvlist_unpack(nvlpacked, 0);
	let err: Errno;
	if (nvl === null) {
		err = EBADMSG;
		if (locked_early) yield* sx_xunlock(sc.sc_lock);
	} else {
		if (!locked_early) yield* sx_xlock(sc.sc_lock);
		err = yield* wgc_set_locked(sc, nvl);
		yield* sx_xunlock(sc.sc_lock);
		if (err === 0 || !generation().set_leaks_nvlist) nvlist_destroy(nvl);
	}
	nvlpacked.fill(0);
	return err;
}

function* wgc_set_locked(sc: wg_softc, nvl: nvlist): Blocking<Errno> {
	const ifp = sc.sc_ifp;
	let err: Errno = 0;

	if (nvlist_exists_bool(nvl, "replace-peers") && nvlist_get_bool(nvl, "replace-peers")) yield* wg_peer_destroy_all(sc);
	if (nvlist_exists_number(nvl, "listen-port")) {
		const new_port = nvlist_get_number(nvl, "listen-port");
		if (new_port > 0xffff) return EINVAL;
		if (new_port !== sc.sc_socket.so_port) {
			if ((ifp.if_drv_flags & IFF_DRV_RUNNING) !== 0) {
				err = yield* wg_socket_init(sc, new_port);
				if (err !== 0) return err;
			} else sc.sc_socket.so_port = new_port;
		}
	}
	if (nvlist_exists_binary(nvl, "private-key")) {
		const key = nvlist_get_binary(nvl, "private-key");
		if (key.length !== WG_KEY_SIZE) return EINVAL;
		yield* wgc_set_private_key(sc, key);
	}
	if (nvlist_exists_number(nvl, "user-cookie")) {
		const user_cookie = nvlist_get_number(nvl, "user-cookie");
		if (user_cookie > UINT32_MAX) return EINVAL;
		err = yield* wg_socket_set_cookie(sc, user_cookie);
		if (err !== 0) return err;
	}
	if (nvlist_exists_nvlist_array(nvl, "peers")) {
		for (const peer of nvlist_get_nvlist_array(nvl, "peers")) {
			err = yield* wg_peer_add(sc, peer);
			if (err !== 0) return err;
		}
	}
	return 0;
}

/** Sets or removes the private key; a peer that has the new public key goes. The stored key is clamped, the given one may not be (L-17). */
function* wgc_set_private_key(sc: wg_softc, key: Uint8Array): Blocking<void> {
	const current = new Uint8Array(WG_KEY_SIZE);
	const pub = new Uint8Array(WG_KEY_SIZE);

	if ((yield* noise_local_keys(sc.sc_local, null, current)) === 0 && bytes_equal(current, key)) return;

	if (curve25519_generate_public(pub, key)) {
		const remote = yield* noise_remote_lookup(sc.sc_local, pub);
		if (remote !== null) {
			yield* wg_peer_destroy(noise_remote_arg(remote) as wg_peer);
			noise_remote_put(remote);
		}
	}

	yield* noise_local_private(sc.sc_local, key);
	if ((yield* noise_local_keys(sc.sc_local, null, null)) === 0) yield* cookie_checker_update(sc.sc_cookie, pub);
	else yield* cookie_checker_update(sc.sc_cookie, null);
}

/** SIOCGWG: everything in one packed nvlist. Asked with size 0 it only says how much room that takes. */
export function* wgc_get(sc: wg_softc, wgd: wg_data_io): Blocking<Errno> {
	yield* sx_slock(sc.sc_lock);
	const nvl = yield* wgc_get_locked(sc);
	const packs_locked = generation().ioctl_copies_locked;
	if (!packs_locked) yield* sx_sunlock(sc.sc_lock);
	const err = wgc_copyout(nvl, wgd);
	if (packs_locked) yield* sx_sunlock(sc.sc_lock);
	nvlist_destroy(nvl);
	return err;
}

function wgc_copyout(nvl: nvlist, wgd: wg_data_io): Errno {
	const packed = nvlist_pack(nvl);
	if (packed === null) return ENOMEM;
	if (wgd.wgd_size === 0) {
		wgd.wgd_size = packed.length;
		return 0;
	}
	if (wgd.wgd_size < packed.length) return ENOSPC;
	if (wgd.wgd_data === null || wgd.wgd_data.length < packed.length) return EFAULT;
	wgd.wgd_data.set(packed);
	wgd.wgd_size = packed.length;
	packed.fill(0);
	return 0;
}

function* wgc_get_locked(sc: wg_softc): Blocking<nvlist> {
	const public_key = new Uint8Array(WG_KEY_SIZE);
	const private_key = new Uint8Array(WG_KEY_SIZE);
	const nvl = nvlist_create(0);

	if (sc.sc_socket.so_port !== 0) nvlist_add_number(nvl, "listen-port", sc.sc_socket.so_port);
	if (sc.sc_socket.so_user_cookie !== 0) nvlist_add_number(nvl, "user-cookie", sc.sc_socket.so_user_cookie);
	if ((yield* noise_local_keys(sc.sc_local, public_key, private_key)) === 0) {
		nvlist_add_binary(nvl, "public-key", public_key);
		if (wgc_privileged()) nvlist_add_binary(nvl, "private-key", private_key);
	}
	const peer_count = sc.sc_peers_num;
	if (peer_count === 0) return nvl;
	const nvl_peers: nvlist[] = [];
	for (let peer = sc.sc_peers_first; peer !== null; peer = peer.p_next) {
		if (nvl_peers.length >= peer_count) panic("peers changed from under us");
		nvl_peers.push(yield* wgc_get_peer(peer));
	}
	nvlist_add_nvlist_array(nvl, "peers", nvl_peers);
	for (const nvl_peer of nvl_peers) nvlist_destroy(nvl_peer);
	return nvl;
}

function* wgc_get_peer(peer: wg_peer): Blocking<nvlist> {
	const public_key = new Uint8Array(WG_KEY_SIZE);
	const preshared_key = new Uint8Array(NOISE_SYMMETRIC_KEY_LEN);
	const nvl = nvlist_create(0);

	yield* noise_remote_keys(peer.p_remote, public_key, preshared_key);
	nvlist_add_binary(nvl, "public-key", public_key);
	if (wgc_privileged()) nvlist_add_binary(nvl, "preshared-key", preshared_key);
	const endpoint = sockaddr_to_bytes(peer.p_endpoint);
	if (endpoint !== null) nvlist_add_binary(nvl, "endpoint", endpoint);
	const ts = yield* wg_timers_get_last_handshake(peer);
	const time = new Uint8Array(16); // two uint64_t
	le32enc(time, 0, ts.tv_sec % 0x1_0000_0000);
	le32enc(time, 4, Math.floor(ts.tv_sec / 0x1_0000_0000));
	le32enc(time, 8, ts.tv_nsec);
	nvlist_add_binary(nvl, "last-handshake-time", time);
	nvlist_add_number(nvl, "persistent-keepalive-interval", peer.p_persistent_keepalive_interval);
	nvlist_add_number(nvl, "rx-bytes", peer.p_rx_bytes);
	nvlist_add_number(nvl, "tx-bytes", peer.p_tx_bytes);

	const aip_count = peer.p_aips_num;
	if (aip_count === 0) return nvl;
	const nvl_aips: nvlist[] = [];
	for (let aip = peer.p_aips; aip !== null; aip = aip.a_next) {
		if (nvl_aips.length >= aip_count) panic("aips changed from under us");
		const nvl_aip = nvlist_create(0);
		const addr = aip.a_addr.slice(AIP_ADDR_OFFSET);
		if (aip.a_af === AF_INET) {
			nvlist_add_binary(nvl_aip, "ipv4", addr);
			nvlist_add_number(nvl_aip, "cidr", in_mask2len(in_get32(aip.a_mask, AIP_ADDR_OFFSET)));
		} else {
			nvlist_add_binary(nvl_aip, "ipv6", addr);
			nvlist_add_number(nvl_aip, "cidr", in6_mask2len(aip.a_mask.subarray(AIP_ADDR_OFFSET)));
		}
		nvl_aips.push(nvl_aip);
	}
	nvlist_add_nvlist_array(nvl, "allowed-ips", nvl_aips);
	for (const nvl_aip of nvl_aips) nvlist_destroy(nvl_aip);
	return nvl;
}

/** if_ioctl, under wg_sx for as long as the call lasts, so that the softc cannot go away. */
export function* wg_ioctl(ifp: ifnet, cmd: number, data: unknown): Blocking<Errno> {
	const globals = wg();
	yield* sx_slock(globals.wg_sx);
	const ret = yield* wg_ioctl_locked(ifp, cmd, data);
	yield* sx_sunlock(globals.wg_sx);
	return ret;
}

function* wg_ioctl_locked(ifp: ifnet, cmd: number, data: unknown): Blocking<Errno> {
	const sc = ifp.if_softc as wg_softc | null;
	if (sc === null) return ENXIO;
	const ifr = data as ifreq;
	let ret: Errno = 0;

	switch (cmd) {
		case SIOCSWG:
			ret = priv_check(curthread, PRIV_NET_WG);
			return ret !== 0 ? ret : yield* wgc_set(sc, data as wg_data_io);
		case SIOCGWG:
			return yield* wgc_get(sc, data as wg_data_io);
		case SIOCSIFADDR:
			// unlike other drivers, an address does not bring the interface up
			return 0;
		case SIOCSIFFLAGS:
			if ((ifp.if_flags & IFF_UP) !== 0) return yield* wg_up(sc);
			yield* wg_down(sc);
			return 0;
		case SIOCSIFMTU:
			if (ifr.ifr_mtu <= 0 || ifr.ifr_mtu > MAX_MTU) return EINVAL;
			ifp.if_mtu = ifr.ifr_mtu;
			return 0;
		case SIOCADDMULTI:
		case SIOCDELMULTI:
			return 0;
		case SIOCGTUNFIB:
			ifr.ifr_fib = sc.sc_socket.so_fibnum;
			return 0;
		case SIOCSTUNFIB:
			ret = priv_check(curthread, PRIV_NET_WG);
			if (ret !== 0) return ret;
			ret = priv_check(curthread, PRIV_NET_SETIFFIB);
			if (ret !== 0) return ret;
			yield* sx_xlock(sc.sc_lock);
			ret = yield* wg_socket_set_fibnum(sc, ifr.ifr_fib);
			yield* sx_xunlock(sc.sc_lock);
			return ret;
		default:
			return ENOTTY;
	}
}

/* Life cycle */

export function* wg_up(sc: wg_softc): Blocking<Errno> {
	const ifp = sc.sc_ifp;
	let rc: Errno = EBUSY;

	yield* sx_xlock(sc.sc_lock);
	// the jail is going: never again
	if ((sc.sc_flags & WGF_DYING) === 0) {
		rc = 0;
		if ((ifp.if_drv_flags & IFF_DRV_RUNNING) === 0) {
			ifp.if_drv_flags |= IFF_DRV_RUNNING;

			rc = yield* wg_socket_init(sc, sc.sc_socket.so_port);
			if (rc === 0) {
				for (let peer = sc.sc_peers_first; peer !== null; peer = peer.p_next) yield* wg_timers_enable(peer);
				yield* if_link_state_change(sc.sc_ifp, LINK_STATE_UP);
			} else {
				ifp.if_drv_flags &= ~IFF_DRV_RUNNING;
				DPRINTF(sc, `Unable to initialize sockets: ${rc}\n`);
			}
		}
	}
	yield* sx_xunlock(sc.sc_lock);
	return rc;
}

/** Sessions go before the sockets do, so a packet in between may make a new one (L-8). */
export function* wg_down(sc: wg_softc): Blocking<void> {
	const ifp = sc.sc_ifp;

	yield* sx_xlock(sc.sc_lock);
	if ((ifp.if_drv_flags & IFF_DRV_RUNNING) === 0) {
		yield* sx_xunlock(sc.sc_lock);
		return;
	}
	ifp.if_drv_flags &= ~IFF_DRV_RUNNING;

	for (let peer = sc.sc_peers_first; peer !== null; peer = peer.p_next) {
		yield* wg_queue_purge(peer.p_stage_queue);
		yield* wg_timers_disable(peer);
	}

	yield* wg_queue_purge(sc.sc_handshake_queue);

	for (let peer = sc.sc_peers_first; peer !== null; peer = peer.p_next) {
		yield* noise_remote_handshake_clear(peer.p_remote);
		yield* noise_remote_keypairs_clear(peer.p_remote);
	}

	yield* if_link_state_change(sc.sc_ifp, LINK_STATE_DOWN);
	yield* wg_socket_uninit(sc);

	yield* sx_xunlock(sc.sc_lock);
}

export function* wg_clone_create(_ifc: if_clone, unit: number, _params: unknown): Blocking<Errno> {
	const globals = wg();
	malloc_account(M_WG, SIZEOF_SOFTC, M_WAITOK | M_ZERO);
	const sc = new wg_softc(globals.dispatch);

	const local = noise_local_alloc(sc);
	if (local === null) {
		free_account(M_WG, SIZEOF_SOFTC);
		return ENOMEM;
	}
	sc.sc_local = local;

	malloc_account(M_WG, SIZEOF_GROUPTASK * mp_ncpus(), M_WAITOK | M_ZERO);
	malloc_account(M_WG, SIZEOF_GROUPTASK * mp_ncpus(), M_WAITOK | M_ZERO);

	const aip4 = rn_inithead(AIP_ADDR_OFFSET * 8);
	const aip6 = rn_inithead(AIP_ADDR_OFFSET * 8);
	if (aip4 === null || aip6 === null)
		panic("rn_inithead cannot fail without memory pressure, which radix(9) here does not know");
	sc.sc_aip4 = aip4;
	sc.sc_aip6 = aip6;

	globals.clone_count++;
	const ifp = yield* if_alloc(IFT_WIREGUARD);
	sc.sc_ifp = ifp;

	sc.sc_ucred = crhold(curthread.td_ucred as ucred);
	sc.sc_socket.so_fibnum = 0; // the creating process's; programs here all have FIB 0
	sc.sc_socket.so_port = 0;

	cookie_checker_init(sc.sc_cookie);

	RADIX_NODE_HEAD_LOCK_INIT(sc.sc_aip4);
	RADIX_NODE_HEAD_LOCK_INIT(sc.sc_aip6);

	GROUPTASK_INIT(sc.sc_handshake, 0, wg_softc_handshake_receive, sc);
	yield* taskqgroup_attach(globals.qgroup_wg_tqg, sc.sc_handshake, sc, "wg tx initiation");
	wg_queue_init(sc.sc_handshake_queue, "hsq");

	for (let i = 0; i < mp_ncpus(); i++) {
		sc.sc_encrypt[i] = new grouptask();
		GROUPTASK_INIT(sc.sc_encrypt[i], 0, wg_softc_encrypt, sc);
		yield* taskqgroup_attach_cpu(globals.qgroup_wg_tqg, sc.sc_encrypt[i], sc, i, "wg encrypt");
		sc.sc_decrypt[i] = new grouptask();
		GROUPTASK_INIT(sc.sc_decrypt[i], 0, wg_softc_decrypt, sc);
		yield* taskqgroup_attach_cpu(globals.qgroup_wg_tqg, sc.sc_decrypt[i], sc, i, "wg decrypt");
	}

	wg_queue_init(sc.sc_encrypt_parallel, "encp");
	wg_queue_init(sc.sc_decrypt_parallel, "decp");

	sx_init(sc.sc_lock, "wg softc lock");

	ifp.if_softc = sc;
	ifp.if_capabilities = WG_CAPS;
	ifp.if_capenable = WG_CAPS;
	if_initname(ifp, wgname, unit);

	if_setmtu(ifp, DEFAULT_MTU);
	ifp.if_flags = IFF_NOARP | IFF_MULTICAST;
	ifp.if_init = wg_init;
	ifp.if_reassign = wg_reassign;
	ifp.if_qflush = wg_qflush;
	ifp.if_transmit = wg_transmit;
	if (generation().netmap) ifp.if_input = wg_if_input;
	ifp.if_output = wg_output;
	ifp.if_ioctl = wg_ioctl;
	yield* if_attach(ifp);
	bpfattach(ifp, DLT_NULL, 4);
	yield* sx_xlock(globals.wg_sx);
	globals.wg_list.unshift(sc);
	yield* sx_xunlock(globals.wg_sx);
	return 0;
}

export function* wg_clone_deferred_free(l: noise_local): Blocking<void> {
	MPASS(noise_local_arg(l) instanceof wg_softc, "noise_local_arg(l) is a softc");
	free_account(M_WG, SIZEOF_SOFTC);
	wg().clone_count--;
	yield* sync();
}

/** Takes an interface apart: unreachable first, then quiet, then empty, then gone. Drains the tasks of all interfaces on the way. */
export function* wg_clone_destroy(ifp: ifnet): Blocking<void> {
	const globals = wg();
	const sc = ifp.if_softc as wg_softc;

	yield* sx_xlock(globals.wg_sx);
	ifp.if_softc = null;
	yield* sx_xlock(sc.sc_lock);
	sc.sc_flags |= WGF_DYING;
	const cred = sc.sc_ucred;
	sc.sc_ucred = null;
	yield* sx_xunlock(sc.sc_lock);
	globals.wg_list.splice(globals.wg_list.indexOf(sc), 1);
	yield* sx_xunlock(globals.wg_sx);

	yield* if_link_state_change(sc.sc_ifp, LINK_STATE_DOWN);
	const saved = CURVNET_SET(sc.sc_ifp.if_vnet as vnet);
	yield* if_purgeaddrs(sc.sc_ifp);
	CURVNET_RESTORE(saved);

	yield* sx_xlock(sc.sc_lock);
	yield* wg_socket_uninit(sc);
	yield* sx_xunlock(sc.sc_lock);

	// with the socket closed, traffic is over once the epoch has passed
	yield* NET_EPOCH_WAIT();

	yield* taskqgroup_drain_all(globals.qgroup_wg_tqg);
	yield* sx_xlock(sc.sc_lock);
	yield* wg_peer_destroy_all(sc);
	yield* NET_EPOCH_DRAIN_CALLBACKS();
	yield* sx_xunlock(sc.sc_lock);
	sx_destroy(sc.sc_lock);
	yield* taskqgroup_detach(globals.qgroup_wg_tqg, sc.sc_handshake);
	for (let i = 0; i < mp_ncpus(); i++) {
		yield* taskqgroup_detach(globals.qgroup_wg_tqg, sc.sc_encrypt[i]);
		yield* taskqgroup_detach(globals.qgroup_wg_tqg, sc.sc_decrypt[i]);
	}
	free_account(M_WG, SIZEOF_GROUPTASK * mp_ncpus());
	free_account(M_WG, SIZEOF_GROUPTASK * mp_ncpus());
	yield* wg_queue_deinit(sc.sc_handshake_queue);
	yield* wg_queue_deinit(sc.sc_encrypt_parallel);
	yield* wg_queue_deinit(sc.sc_decrypt_parallel);

	RADIX_NODE_HEAD_DESTROY(sc.sc_aip4);
	RADIX_NODE_HEAD_DESTROY(sc.sc_aip6);
	rn_detachhead(sc.sc_aip4);
	rn_detachhead(sc.sc_aip6);

	cookie_checker_free(sc.sc_cookie);

	if (cred !== null) crfree(cred);
	if (generation().destroy_detaches_bpf) bpfdetach(sc.sc_ifp);
	yield* if_detach(sc.sc_ifp);
	yield* if_free(sc.sc_ifp);

	yield* noise_local_free(sc.sc_local, wg_clone_deferred_free);
}

export function wg_qflush(_ifp: ifnet): Blocking<void> {
	return DONE;
}

/** Private and preshared keys are shown to root and a jail's root only. */
export function wgc_privileged(): boolean {
	return priv_check(curthread, PRIV_NET_WG) === 0;
}

/** The interface moves to another vnet; its sockets will come back in the home vnet. */
export function* wg_reassign(ifp: ifnet, _new_vnet: vnet, _unused: unknown): Blocking<void> {
	return yield* wg_down(ifp.if_softc as wg_softc);
}

export function* wg_init(xsc: unknown): Blocking<void> {
	yield* wg_up(xsc as wg_softc);
}

export function* vnet_wg_init(): Blocking<void> {
	V_wg_cloner().cloner = yield* if_clone_simple(wgname, wg_clone_create, wg_clone_destroy, 0);
}
VNET_SYSINIT("vnet_wg_init", SI_SUB_PROTO_IFATTACHDOMAIN, SI_ORDER_ANY, vnet_wg_init);

export function* vnet_wg_uninit(): Blocking<void> {
	const clone = V_wg_cloner().cloner;
	if (clone !== null) yield* if_clone_detach(clone);
}
VNET_SYSUNINIT("vnet_wg_uninit", SI_SUB_PROTO_IFATTACHDOMAIN, SI_ORDER_ANY, vnet_wg_uninit);

/** A jail goes: the interfaces it created lose sockets and credentials, or the jail could never die. */
export function* wg_prison_remove(pr: prison): Blocking<Errno> {
	const globals = wg();
	yield* sx_slock(globals.wg_sx);
	for (const sc of globals.wg_list) {
		yield* sx_xlock(sc.sc_lock);
		const cred = sc.sc_ucred;
		if ((sc.sc_flags & WGF_DYING) === 0 && cred !== null && cred.cr_prison === pr) {
			DPRINTF(sc, "Creating jail exiting\n");
			yield* if_link_state_change(sc.sc_ifp, LINK_STATE_DOWN);
			yield* wg_socket_uninit(sc);
			sc.sc_ucred = null;
			crfree(cred);
			sc.sc_flags |= WGF_DYING;
		}
		yield* sx_xunlock(sc.sc_lock);
	}
	yield* sx_sunlock(globals.wg_sx);

	return 0;
}

/** The self-tests upstream compiles in with SELFTESTS: they take host time, so they run at load only when asked for. */
export function* wg_run_selftests(): Blocking<boolean> {
	if (!generation().selftests || TUNABLE_FETCH("net.wg.selftests") !== "1") return true;
	let ret = true;
	if (!(yield* wg_allowedips_selftest())) ret = false;
	if (!(yield* noise_counter_selftest())) ret = false;
	if (!(yield* cookie_selftest())) ret = false;
	return ret;
}

export function* wg_module_init(): Blocking<Errno> {
	const globals = wg();
	const policy = TUNABLE_FETCH(WG_DISPATCH_TUNABLE) ?? generation().dispatch;
	const dispatch = find_policy(policy);
	if (dispatch === undefined) panic(`${WG_DISPATCH_TUNABLE}: no policy ${policy}`);
	globals.dispatch = dispatch;

	const zone = uma_zcreate<wg_packet>(
		"wg packet",
		SIZEOF_WG_PACKET,
		wg_packet_ctor,
		null,
		null,
		null,
		0,
		0,
		() => new wg_packet(),
	);
	globals.wg_packet_zone = zone;
	const unwinds = generation().module_init_unwinds;
	let ret = yield* crypto_init();
	if (ret !== 0) {
		if (unwinds !== "nothing") uma_zdestroy(zone);
		return ret;
	}
	ret = cookie_init();
	if (ret !== 0) {
		if (unwinds !== "nothing") {
			yield* crypto_deinit();
			uma_zdestroy(zone);
		}
		return ret;
	}

	globals.wg_osd_jail_slot = osd_jail_register(null, { [PR_METHOD_REMOVE]: wg_prison_remove });

	if (!(yield* wg_run_selftests())) {
		if (unwinds === "all") {
			osd_jail_deregister(globals.wg_osd_jail_slot);
			yield* cookie_deinit();
			yield* crypto_deinit();
		}
		if (unwinds !== "nothing") uma_zdestroy(zone);
		return ENOTRECOVERABLE;
	}
	return 0;
}

const SIZEOF_WG_PACKET = 128;

export function* wg_module_deinit(): Blocking<void> {
	const globals = wg();
	yield* VNET_LIST_RLOCK();
	for (const vnet_iter of vnet_foreach()) {
		const saved = CURVNET_SET(vnet_iter);
		const cloner = V_wg_cloner();
		if (cloner.cloner !== null) {
			yield* if_clone_detach(cloner.cloner);
			cloner.cloner = null;
		}
		CURVNET_RESTORE(saved);
	}
	yield* VNET_LIST_RUNLOCK();
	yield* NET_EPOCH_WAIT();
	MPASS(globals.wg_list.length === 0, "LIST_EMPTY(&wg_list)");
	const guarded = generation().deinit_guarded;
	if (!guarded || globals.wg_osd_jail_slot !== 0) osd_jail_deregister(globals.wg_osd_jail_slot);
	globals.wg_osd_jail_slot = 0;
	yield* cookie_deinit();
	yield* crypto_deinit();
	if (!guarded || globals.wg_packet_zone !== null) uma_zdestroy(globals.wg_packet_zone as uma_zone<wg_packet>);
	globals.wg_packet_zone = null;
}

export function* wg_module_event_handler(what: number): Blocking<Errno> {
	switch (what) {
		case MOD_LOAD:
			return yield* wg_module_init();
		case MOD_UNLOAD:
			yield* wg_module_deinit();
			return 0;
		default:
			return EOPNOTSUPP;
	}
}

SYSINIT("wg", SI_SUB_PSEUDO, SI_ORDER_ANY, function* () {
	const error = yield* module_register_init(wg_module_event_handler);
	KASSERT(error === 0, `module_register_init: MOD_LOAD (wg) error ${error}`);
});
