/**
 * epair(4): a virtual cable, made as two Ethernet interfaces epair<n>a and epair<n>b.
 *
 * How packets cross changed in 2022, from the netisr thread to a task queue thread; both ways are here, in files of their own.
 * The kernel release says which is used, or the tunable "epair" ("netisr" or "taskqueue"). Simplified: no media. The Ethernet
 * address is 02, four random bytes, and 0a or 0b, as upstream's on a system without a host id.
 *
 * @see net/if_epair.c epair_clone_match, epair_clone_create, epair_clone_destroy
 */
import { EEXIST, EINVAL, ENOSPC, type Errno } from "../errno.ts";
import {
	arc4random_buf,
	CURVNET_RESTORE,
	CURVNET_SET,
	KASSERT,
	KERNEL_GLOBAL,
	panic,
	release_traits,
	SI_ORDER_ANY,
	SI_SUB_INIT_IF,
	SI_SUB_PSEUDO,
	SYSINIT,
	TUNABLE_FETCH,
	VNET_DEFINE,
	VNET_SYSINIT,
	VNET_SYSUNINIT,
} from "../sched/kernel.ts";
import { type Blocking, DONE } from "../sched/thread.ts";
import { ETHER_ADDR_LEN } from "./ethernet.ts";
import { if_alloc, if_free, if_initname, if_link_state_change, ifunit } from "./if.ts";
import {
	type if_clone,
	if_clone_addif,
	if_clone_advanced,
	if_clone_destroyif,
	if_clone_detach,
	ifc_alloc_unit,
	ifc_free_unit,
	ifc_name2unit,
} from "./if_clone.ts";
import { epair_generation_a } from "./if_epair_netisr.ts";
import { epair_generation_d } from "./if_epair_taskqueue.ts";
import { type epair_generation, epair_softc } from "./if_epair_var.ts";
import { ether_ifattach, ether_ifdetach, ether_ioctl } from "./if_ethersubr.ts";
import {
	IFCAP_VLAN_MTU,
	IFF_BROADCAST,
	IFF_DRV_RUNNING,
	IFF_MULTICAST,
	IFF_SIMPLEX,
	IFNAMSIZ,
	IFT_ETHER,
	type ifnet,
	LINK_STATE_DOWN,
	LINK_STATE_UP,
} from "./if_var.ts";
import { type ifreq, SIOCADDMULTI, SIOCDELMULTI, SIOCSIFFLAGS, SIOCSIFMTU } from "./sockio.ts";

const epairname = "epair";

const generations: Readonly<Record<string, epair_generation>> = {
	netisr: epair_generation_a,
	taskqueue: epair_generation_d,
};

/** the generation the running kernel has */
const epair = KERNEL_GLOBAL(() => {
	const name = TUNABLE_FETCH("epair") ?? release_traits().epair;
	KASSERT(name in generations, `tunable epair: ${name} is neither netisr nor taskqueue`);
	return generations[name];
});

class epair_cloner {
	cloner: if_clone | null = null;
}

const V_epair_cloner = VNET_DEFINE(() => new epair_cloner());

/** "epair" and "epair<n>", but not the ends' own names. */
function epair_clone_match(_ifc: if_clone, name: string): boolean {
	return /^epair[0-9]*$/.test(name);
}

function epair_init(): Blocking<void> {
	return DONE;
}

function* epair_ioctl(ifp: ifnet, cmd: number, data: unknown): Blocking<Errno> {
	switch (cmd) {
		case SIOCSIFFLAGS:
		case SIOCADDMULTI:
		case SIOCDELMULTI:
			return 0;
		case SIOCSIFMTU:
			// any MTU will do
			ifp.if_mtu = (data as ifreq).ifr_mtu;
			return 0;
		default:
			return yield* ether_ioctl(ifp, cmd, data);
	}
}

/** Sets up one end and attaches it. */
function* epair_attach(sc: epair_softc, name: string, unit: number, eaddr: Uint8Array): Blocking<void> {
	const { ifp } = sc;
	const gen = epair();
	ifp.if_softc = sc;
	if_initname(ifp, name, -1);
	ifp.if_dname = epairname;
	ifp.if_dunit = unit;
	ifp.if_flags = IFF_BROADCAST | IFF_SIMPLEX | IFF_MULTICAST;
	ifp.if_capabilities = IFCAP_VLAN_MTU;
	ifp.if_capenable = IFCAP_VLAN_MTU;
	ifp.if_start = gen.start;
	ifp.if_ioctl = epair_ioctl;
	ifp.if_init = epair_init;
	gen.setup(sc);
	yield* ether_ifattach(ifp, eaddr);
	ifp.if_qflush = gen.qflush;
	ifp.if_transmit = gen.transmit;
	ifp.if_baudrate = 10_000_000_000;
}

/** Makes both ends; the name it returns is the first one's. */
function* epair_clone_create(ifc: if_clone, name: string, _params: unknown): Blocking<string | Errno> {
	const wanted = ifc_name2unit(name);
	if (wanted === null) return EINVAL;
	const unit = yield* epair_alloc_unit(ifc, wanted);
	if (unit === null) return wanted < 0 ? ENOSPC : EEXIST;
	const name_a = `${epairname}${unit}a`;
	const name_b = `${epairname}${unit}b`;
	if (name_a.length >= IFNAMSIZ) {
		yield* ifc_free_unit(ifc, unit);
		return ENOSPC;
	}
	const ifp_a = yield* if_alloc(IFT_ETHER);
	const ifp_b = yield* if_alloc(IFT_ETHER);
	const sca = new epair_softc(ifp_a, ifp_b);
	const scb = new epair_softc(ifp_b, ifp_a);
	const eaddr = new Uint8Array(ETHER_ADDR_LEN);
	arc4random_buf(eaddr);
	eaddr[0] = 0x02;
	eaddr[5] = 0x0a;
	yield* epair_attach(sca, name_a, unit, eaddr);
	eaddr[5] = 0x0b;
	yield* epair_attach(scb, name_b, unit, eaddr);
	yield* if_clone_addif(ifc, ifp_b);
	ifp_a.if_drv_flags |= IFF_DRV_RUNNING;
	ifp_b.if_drv_flags |= IFF_DRV_RUNNING;
	yield* if_link_state_change(ifp_a, LINK_STATE_UP);
	yield* if_link_state_change(ifp_b, LINK_STATE_UP);
	return name_a;
}

/** A unit neither of whose ends' names is in use in this vnet. */
function* epair_alloc_unit(ifc: if_clone, wanted: number): Blocking<number | null> {
	const unit = yield* ifc_alloc_unit(ifc, wanted);
	if (unit === null) return null;
	if (ifunit(`${epairname}${unit}a`) === null && ifunit(`${epairname}${unit}b`) === null) return unit;
	yield* ifc_free_unit(ifc, unit);
	return null;
}

/** Destroys both ends, the other one first, wherever it is. */
function* epair_clone_destroy(ifc: if_clone, ifp: ifnet): Blocking<Errno> {
	const sca = ifp.if_softc as epair_softc | null;
	// the second end, through if_clone_destroyif below
	if (sca === null) return 0;
	const gen = epair();
	const unit = ifp.if_dunit;
	const { oifp } = sca;
	const scb = oifp.if_softc as epair_softc;
	yield* if_link_state_change(ifp, LINK_STATE_DOWN);
	yield* if_link_state_change(oifp, LINK_STATE_DOWN);
	ifp.if_drv_flags &= ~IFF_DRV_RUNNING;
	oifp.if_drv_flags &= ~IFF_DRV_RUNNING;

	const saved = CURVNET_SET(oifp.if_vnet);
	yield* ether_ifdetach(oifp);
	yield* gen.drain(scb);
	oifp.if_softc = null;
	const error = yield* if_clone_destroyif(ifc, oifp);
	if (error !== 0) panic(`epair_clone_destroy: if_clone_destroyif() for our 2nd iface failed: ${error}`);
	yield* if_free(oifp);
	CURVNET_RESTORE(saved);

	yield* ether_ifdetach(ifp);
	yield* gen.drain(sca);
	ifp.if_softc = null;
	yield* if_free(ifp);
	yield* ifc_free_unit(ifc, unit);
	return 0;
}

SYSINIT("if_epair", SI_SUB_PSEUDO, SI_ORDER_ANY, function* () {
	yield* epair().modload();
});

VNET_SYSINIT("vnet_epair_init", SI_SUB_PSEUDO, SI_ORDER_ANY, function* () {
	V_epair_cloner().cloner = yield* if_clone_advanced(
		epairname,
		0,
		epair_clone_match,
		epair_clone_create,
		epair_clone_destroy,
	);
});

VNET_SYSUNINIT("vnet_epair_uninit", SI_SUB_INIT_IF, SI_ORDER_ANY, function* () {
	yield* if_clone_detach(V_epair_cloner().cloner as if_clone);
});
