/**
 * Two hosts, each a jail with a network stack of its own, and a wire between them: a latency, a rate, and whatever a test
 * wants to lose.
 */
import { boot, runUntilExit, spawn } from "../../../src/kernel/boot.ts";
import { if_addaddr, if_alloc, if_attach, if_initname } from "../../../src/kernel/ifnet/if.ts";
import { IFF_DRV_RUNNING, IFF_UP, IFT_OTHER, type ifnet } from "../../../src/kernel/ifnet/if_var.ts";
import { NETISR_IP, NETISR_IPV6, netisr_dispatch } from "../../../src/kernel/ifnet/netisr.ts";
import { type prison, prison_create, prison0 } from "../../../src/kernel/jail/jail.ts";
import { crget, type ucred } from "../../../src/kernel/jail/ucred.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../../../src/kernel/lock/epoch.ts";
import { MTX_DEF, mtx, mtx_init, mtx_lock, mtx_unlock } from "../../../src/kernel/lock/mutex.ts";
import { m_freem, type mbuf } from "../../../src/kernel/mbuf/mbuf.ts";
import {
	AF_INET6,
	in_get16,
	in_get32,
	in6_prefixlen2mask,
	inet_pton6,
	sockaddr_in,
	sockaddr_in6,
} from "../../../src/kernel/netinet/in.ts";
import { in_ifaddr, V_in_ifaddrhead } from "../../../src/kernel/netinet/in_var.ts";
import { in6_ifaddr, V_in6_ifaddrhead } from "../../../src/kernel/netinet/in6_var.ts";
import { TH_ACKNO, TH_FLAGS, TH_SEQ, TH_WIN } from "../../../src/kernel/netinet/tcp.ts";
import "../../../src/kernel/netinet/ip_input.ts";
import "../../../src/kernel/netinet/ip6_input.ts";
import "../../../src/kernel/netinet/tcp_usrreq.ts";
import { rt_add } from "../../../src/kernel/route/route.ts";
import {
	CURVNET_RESTORE,
	CURVNET_SET,
	type Kernel,
	type KernelOptions,
	sbinuptime,
	type vnet,
} from "../../../src/kernel/sched/kernel.ts";
import { kthread_add } from "../../../src/kernel/sched/kthread.ts";
import { msleep, pause_sbt, wakeup } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, hostthread } from "../../../src/kernel/sched/thread.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { findProfile } from "../../../src/machine/profile.ts";

/** A segment as it goes over the wire. */
export interface Segment {
	/** when it was put on the wire, ns */
	readonly time: number;
	readonly from: number;
	readonly seq: number;
	readonly ack: number;
	readonly flags: number;
	readonly win: number;
	/** payload bytes */
	readonly len: number;
	readonly options: Uint8Array;
	lost: boolean;
}

export interface Host {
	readonly pr: prison;
	readonly cred: ucred;
	readonly vn: vnet;
	readonly addr: number;
	readonly addr6: Uint8Array;
	readonly ifp: ifnet;
}

export interface WireOptions extends KernelOptions {
	readonly latency_ns?: number;
	/** bits per second; unlimited when left out */
	readonly rate?: number;
	readonly mtu?: number;
	/** packets that wait for the wire at most */
	readonly queue?: number;
	readonly cpus?: number;
}

interface Direction {
	readonly queue: { readonly m: mbuf; readonly due: number; readonly v6: boolean }[];
	readonly lock: mtx;
	free: number;
}

export class Network {
	readonly kernel: Kernel;
	readonly hosts: Host[] = [];
	readonly segments: Segment[] = [];
	/** says whether a segment is lost; `n` counts the segments with data of its sender from 0 */
	lose: (segment: Segment, n: number) => boolean = () => false;
	readonly options: WireOptions;
	private readonly directions: Direction[] = [];
	private readonly sent = [0, 0];

	constructor(options: WireOptions = {}) {
		this.options = options;
		const machine = new Machine({ profile: findProfile("xeon-d")!, cpus: options.cpus ?? 4 });
		this.kernel = boot(machine, options);
		for (let i = 0; i < 2; i++) {
			const lock = new mtx();
			mtx_init(lock, "wire", null, MTX_DEF);
			this.directions.push({ queue: [], lock, free: 0 });
		}
		const setup = spawn(this.kernel, "setup", () => this.setup());
		if (!runUntilExit(this.kernel, setup, 1e9)) throw new Error("set-up hangs");
	}

	private *setup(): Blocking<void> {
		prison0().pr_childmax = 10;
		for (let i = 0; i < 2; i++) {
			const pr = yield* prison_create(prison0(), { name: `host${i}`, vnet: true });
			if (typeof pr === "number") throw new Error(`no jail: ${pr}`);
			const saved = CURVNET_SET(pr.pr_vnet);
			const ifp = yield* if_alloc(IFT_OTHER);
			if_initname(ifp, "wire", i);
			ifp.if_mtu = this.options.mtu ?? 1500;
			ifp.if_flags = IFF_UP;
			ifp.if_drv_flags = IFF_DRV_RUNNING;
			ifp.if_output = (_ifp, m, dst) => this.send(i, m, dst.sa_family === AF_INET6);
			yield* if_attach(ifp);
			const addr = 0x0a000001 + i;
			const ia = new in_ifaddr(ifp, addr, 0xffffff00);
			V_in_ifaddrhead().insert(ia);
			yield* if_addaddr(ifp, ia);
			yield* rt_add(0, new sockaddr_in(0x0a000000), 24, null, ifp, ia);
			const addr6 = inet_pton6(`2001:db8::${i + 1}`)!;
			const ia6 = new in6_ifaddr(ifp, addr6, in6_prefixlen2mask(64));
			V_in6_ifaddrhead().list.push(ia6);
			yield* if_addaddr(ifp, ia6);
			yield* rt_add(0, new sockaddr_in6(inet_pton6("2001:db8::")!), 64, null, ifp, ia6);
			CURVNET_RESTORE(saved);
			this.hosts.push({ pr, cred: crget(0, pr), vn: pr.pr_vnet, addr, addr6, ifp });
		}
		for (let i = 0; i < 2; i++) kthread_add((from: number) => this.wire(from), i, `wire${i}`, 20);
	}

	/** if_output of host `from`: looks at the segment, loses it or puts it on the wire. */
	private *send(from: number, m: mbuf, v6: boolean): Blocking<number> {
		const segment = read(m, from);
		if (segment !== null) {
			segment.lost = this.lose(segment, segment.len > 0 ? this.sent[from]! : -1);
			if (segment.len > 0) this.sent[from]!++;
			this.segments.push(segment);
		}
		const d = this.directions[from]!;
		if (segment?.lost === true || d.queue.length >= (this.options.queue ?? 100_000)) {
			if (segment !== null) segment.lost = true;
			m_freem(m);
			return 0;
		}
		yield* mtx_lock(d.lock);
		const rate = this.options.rate ?? Number.POSITIVE_INFINITY;
		d.free = Math.max(d.free, sbinuptime()) + Math.ceil((m.m_pkthdr.len * 8e9) / rate);
		d.queue.push({ m, due: d.free + (this.options.latency_ns ?? 50_000), v6 });
		if (d.queue.length === 1) yield* wakeup(d);
		yield* mtx_unlock(d.lock);
		return 0;
	}

	/** Delivers what host `from` sent. */
	private *wire(from: number): Blocking<void> {
		const d = this.directions[from]!;
		const to = this.hosts[1 - from]!;
		for (;;) {
			yield* mtx_lock(d.lock);
			while (d.queue.length === 0) yield* msleep(d, d.lock, 0, "wire", 0);
			const { m, due, v6 } = d.queue[0]!;
			yield* mtx_unlock(d.lock);
			const left = due - sbinuptime();
			if (left > 0) yield* pause_sbt("wire", left);
			yield* mtx_lock(d.lock);
			d.queue.shift();
			yield* mtx_unlock(d.lock);
			const saved = CURVNET_SET(to.vn);
			NET_EPOCH_ENTER();
			m.m_pkthdr.rcvif = to.ifp;
			yield* netisr_dispatch(v6 ? NETISR_IPV6 : NETISR_IP, m);
			NET_EPOCH_EXIT();
			CURVNET_RESTORE(saved);
		}
	}

	/** Starts a program on a host. */
	start(host: number, name: string, main: () => Blocking<void>): ReturnType<typeof spawn> {
		const { vn, cred } = this.hosts[host]!;
		hostthread.td_vnet = vn;
		hostthread.td_ucred = cred;
		return spawn(this.kernel, name, main);
	}

	/** Runs until all programs have ended, or says which hang. */
	finish(programs: readonly ReturnType<typeof spawn>[], limit_s = 100): void {
		for (const td of programs) {
			if (!runUntilExit(this.kernel, td, limit_s * 1e9)) throw new Error(`${td.td_name} hangs in ${td.td_wmesg}`);
		}
	}

	/** Lets time pass. */
	wait(seconds: number): void {
		this.kernel.machine.run(this.kernel.machine.now + seconds * 1e9);
	}

	/** Segments a host sent, lost ones left out unless asked for. */
	from(host: number): Segment[] {
		return this.segments.filter((s) => s.from === host);
	}
}

function read(m: mbuf, from: number): Segment | null {
	const buf = m.m_buf;
	const ip = m.m_data;
	const v6 = buf[ip]! >> 4 === 6;
	if ((v6 ? buf[ip + 6] : buf[ip + 9]) !== 6) return null;
	const th = ip + (v6 ? 40 : 20);
	const hlen = (buf[th + 12]! >> 4) << 2;
	const total = v6 ? in_get16(buf, ip + 4) + 40 : in_get16(buf, ip + 2);
	return {
		time: sbinuptime(),
		from,
		seq: in_get32(buf, th + TH_SEQ),
		ack: in_get32(buf, th + TH_ACKNO),
		flags: buf[th + TH_FLAGS]!,
		win: in_get16(buf, th + TH_WIN),
		len: total - (th - ip) - hlen,
		options: buf.slice(th + 20, th + hlen),
		lost: false,
	};
}

/** The value of an option in a segment, or null. */
export function option(segment: Segment, kind: number): Uint8Array | null {
	const o = segment.options;
	for (let i = 0; i < o.length && o[i] !== 0; ) {
		if (o[i] === 1) i++;
		else if (o[i] === kind) return o.subarray(i + 2, i + o[i + 1]!);
		else i += o[i + 1]!;
	}
	return null;
}
