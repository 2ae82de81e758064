/** Interface ioctls: their numbers and the request most of them carry. @see sys/sockio.h, sys/ioccom.h, net/if.h struct ifreq */
import type { sockaddr } from "../netinet/in.ts";

/** sizeof(struct ifreq) on amd64: part of the numbers */
const IFREQ_SIZE = 32;

const IOC_OUT = 0x40000000;
const IOC_IN = 0x80000000;

function _IOC(inout: number, group: string, num: number, len: number): number {
	return (inout | ((len & 0x1fff) << 16) | (group.charCodeAt(0) << 8) | num) >>> 0;
}

export function _IOR(group: string, num: number, len: number): number {
	return _IOC(IOC_OUT, group, num, len);
}

export function _IOW(group: string, num: number, len: number): number {
	return _IOC(IOC_IN, group, num, len);
}

export function _IOWR(group: string, num: number, len: number): number {
	return _IOC(IOC_IN | IOC_OUT, group, num, len);
}

export const SIOCSIFADDR = _IOW("i", 12, IFREQ_SIZE);
export const SIOCSIFFLAGS = _IOW("i", 16, IFREQ_SIZE);
export const SIOCGIFFLAGS = _IOWR("i", 17, IFREQ_SIZE);
export const SIOCDIFADDR = _IOW("i", 25, IFREQ_SIZE);
export const SIOCSIFCAP = _IOW("i", 30, IFREQ_SIZE);
export const SIOCGIFCAP = _IOWR("i", 31, IFREQ_SIZE);
export const SIOCGIFINDEX = _IOWR("i", 32, IFREQ_SIZE);
export const SIOCGIFADDR = _IOWR("i", 33, IFREQ_SIZE);
export const SIOCSIFNAME = _IOW("i", 40, IFREQ_SIZE);
export const SIOCSIFDESCR = _IOW("i", 41, IFREQ_SIZE);
export const SIOCGIFDESCR = _IOWR("i", 42, IFREQ_SIZE);
/** struct ifaliasreq: a name and three addresses */
export const SIOCAIFADDR = _IOW("i", 43, 68);
export const SIOCADDMULTI = _IOW("i", 49, IFREQ_SIZE);
export const SIOCDELMULTI = _IOW("i", 50, IFREQ_SIZE);
export const SIOCGIFMTU = _IOWR("i", 51, IFREQ_SIZE);
export const SIOCSIFMTU = _IOW("i", 52, IFREQ_SIZE);
export const SIOCSIFLLADDR = _IOW("i", 60, IFREQ_SIZE);
export const SIOCSIFVNET = _IOWR("i", 90, IFREQ_SIZE);
export const SIOCSIFRVNET = _IOWR("i", 91, IFREQ_SIZE);
export const SIOCGIFFIB = _IOWR("i", 92, IFREQ_SIZE);
export const SIOCSIFFIB = _IOW("i", 93, IFREQ_SIZE);
export const SIOCGTUNFIB = _IOWR("i", 94, IFREQ_SIZE);
export const SIOCSTUNFIB = _IOW("i", 95, IFREQ_SIZE);
export const SIOCIFDESTROY = _IOW("i", 121, IFREQ_SIZE);
export const SIOCIFCREATE = _IOWR("i", 122, IFREQ_SIZE);
export const SIOCIFCREATE2 = _IOWR("i", 124, IFREQ_SIZE);

/** The argument of most interface ioctls. In C the fields after the name share memory; here each has its own. */
export class ifreq {
	ifr_name: string;
	ifr_addr: sockaddr | null = null;
	ifr_flags = 0;
	ifr_index = 0;
	ifr_metric = 0;
	ifr_mtu = 0;
	ifr_jid = 0;
	ifr_fib = 0;
	ifr_reqcap = 0;
	ifr_curcap = 0;
	/** a buffer or structure: parameters of SIOCIFCREATE2, a new name, a description */
	ifr_data: unknown = null;

	constructor(name: string) {
		this.ifr_name = name;
	}
}
