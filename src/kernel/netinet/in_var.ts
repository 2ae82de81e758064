/**
 * IPv4 addresses of interfaces, and the requests that configure them.
 *
 * @see netinet/in_var.h, netinet/in.h struct in_aliasreq
 */
import { ifaddr, type ifnet } from "../ifnet/if_var.ts";
import { VNET_DEFINE } from "../sched/kernel.ts";
import { AF_INET, sockaddr_in } from "./in.ts";

/** the address brought its network's route along. @see net/route.h */
export const IFA_ROUTE = 0x1;
/** a loopback route to the address exists */
export const IFA_RTSELF = 0x200;

export class in_ifaddr extends ifaddr {
	/** same bucket of the address hash */
	ia_hash: in_ifaddr | null = null;
	/** host order */
	ia_subnet = 0;
	ia_subnetmask = 0;
	ia_addr: sockaddr_in;
	ia_dstaddr: sockaddr_in | null = null;
	ia_broadaddr: sockaddr_in | null = null;
	ia_sockmask: sockaddr_in;

	constructor(ifp: ifnet, addr: number, mask: number) {
		super(ifp);
		this.ia_addr = new sockaddr_in(addr);
		this.ia_sockmask = new sockaddr_in(mask);
		this.ia_subnetmask = mask;
		this.ia_subnet = (addr & mask) >>> 0;
		this.ifa_addr = this.ia_addr;
		this.ifa_netmask = this.ia_sockmask;
	}
	get ia_ifp(): ifnet {
		return this.ifa_ifp;
	}
}

/** Argument of SIOCAIFADDR and SIOCGIFALIAS. */
export class in_aliasreq {
	ifra_name: string;
	ifra_addr: sockaddr_in | null = null;
	/** broadcast address, or the other end of a point-to-point link */
	ifra_broadaddr: sockaddr_in | null = null;
	ifra_mask: sockaddr_in | null = null;
	constructor(name: string) {
		this.ifra_name = name;
	}
	get ifra_dstaddr(): sockaddr_in | null {
		return this.ifra_broadaddr;
	}
	set ifra_dstaddr(addr: sockaddr_in | null) {
		this.ifra_broadaddr = addr;
	}
}

const INADDR_NHASH = 64;

/** All IPv4 addresses of a vnet, in order and by hash. Read in the network epoch; written under the lock of in_control. */
export class in_ifaddrhead {
	readonly list: in_ifaddr[] = [];
	readonly hash: (in_ifaddr | null)[] = new Array<in_ifaddr | null>(INADDR_NHASH).fill(null);

	insert(ia: in_ifaddr): void {
		const bucket = in_addrhash(ia.ia_addr.sin_addr);
		this.list.push(ia);
		ia.ia_hash = this.hash[bucket];
		this.hash[bucket] = ia;
	}

	remove(ia: in_ifaddr): void {
		this.list.splice(this.list.indexOf(ia), 1);
		const bucket = in_addrhash(ia.ia_addr.sin_addr);
		let at = this.hash[bucket];
		if (at === ia) this.hash[bucket] = ia.ia_hash;
		while (at !== null && at.ia_hash !== ia) at = at.ia_hash;
		if (at !== null) at.ia_hash = ia.ia_hash;
	}

	/** The address record of a local address, or null. */
	lookup(addr: number): in_ifaddr | null {
		let ia = this.hash[in_addrhash(addr)];
		while (ia !== null && ia.ia_addr.sin_addr !== addr) ia = ia.ia_hash;
		return ia;
	}
}

function in_addrhash(addr: number): number {
	return (addr ^ (addr >>> 8) ^ (addr >>> 16)) & (INADDR_NHASH - 1);
}

export const V_in_ifaddrhead = VNET_DEFINE(() => new in_ifaddrhead());

/** Whether `ifa` is an IPv4 address. */
export function ifa_is_in(ifa: ifaddr): ifa is in_ifaddr {
	return ifa.ifa_addr !== null && ifa.ifa_addr.sa_family === AF_INET;
}

/** The first IPv4 address of an interface. @see in_var.h IFP_TO_IA */
export function IFP_TO_IA(ifp: ifnet): in_ifaddr | null {
	for (const ifa of ifp.if_addrhead) if (ifa_is_in(ifa)) return ifa;
	return null;
}
