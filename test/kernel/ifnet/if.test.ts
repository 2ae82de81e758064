import { expect, test } from "vitest";
import { EEXIST, EINVAL, EIO, ENXIO, EPERM } from "../../../src/kernel/errno.ts";
import {
	if_tunnel_check_nesting,
	ifnet_count,
	ifnet_link_event,
	ifunit,
	V_ifnet,
} from "../../../src/kernel/ifnet/if.ts";
import { if_clone_create, if_clone_destroy } from "../../../src/kernel/ifnet/if_clone.ts";
import { ifioctl } from "../../../src/kernel/ifnet/if_ioctl.ts";
import { IFF_UP, LINK_STATE_DOWN, LINK_STATE_UP } from "../../../src/kernel/ifnet/if_var.ts";
import {
	ifreq,
	SIOCGIFFLAGS,
	SIOCIFCREATE,
	SIOCIFDESTROY,
	SIOCSIFFLAGS,
	SIOCSIFNAME,
	SIOCSIFRVNET,
	SIOCSIFVNET,
} from "../../../src/kernel/ifnet/sockio.ts";
import { type prison, prison_create, prison0 } from "../../../src/kernel/jail/jail.ts";
import { crfree, crget } from "../../../src/kernel/jail/ucred.ts";
import { m_freem } from "../../../src/kernel/mbuf/mbuf.ts";
import { kthread_add } from "../../../src/kernel/sched/kthread.ts";
import { pause } from "../../../src/kernel/sched/sleepqueue.ts";
import { curthread } from "../../../src/kernel/sched/thread.ts";
import { bootKernel, cable, inKernel, ioctl, packet } from "./support.ts";

test("ioctl numbers are FreeBSD's", () => {
	expect([SIOCSIFFLAGS, SIOCGIFFLAGS, SIOCIFCREATE, SIOCIFDESTROY, SIOCSIFVNET]).toEqual([
		0x80206910, 0xc0206911, 0xc020697a, 0x80206979, 0xc020695a,
	]);
});

test("cloners take the lowest free unit, refuse taken names, and leave nothing behind", () => {
	inKernel(bootKernel(), function* () {
		const before = ifnet_count();
		expect(yield* if_clone_create("epair", null)).toBe("epair0a");
		expect(yield* if_clone_create("epair", null)).toBe("epair1a");
		expect(yield* if_clone_create("epair1", null)).toBe(EEXIST);
		expect(yield* if_clone_create("epair7", null)).toBe("epair7a");
		expect(yield* if_clone_create("nosuch", null)).toBe(EINVAL);
		expect(yield* if_clone_destroy("epair0b")).toBe(0);
		expect(ifunit("epair0a")).toBeNull();
		expect(yield* if_clone_create("epair", null)).toBe("epair0a");
		for (const name of ["epair0a", "epair1b", "epair7a"]) expect(yield* if_clone_destroy(name)).toBe(0);
		expect(yield* if_clone_destroy("epair0a")).toBe(ENXIO);
		expect(yield* if_clone_destroy("lo0")).toBe(EINVAL);
		yield* pause("x", 10);
		expect(ifnet_count()).toBe(before);
	});
});

test("of two threads that destroy an interface at once, one fails", () => {
	inKernel(bootKernel(), function* () {
		yield* if_clone_create("epair", null);
		const results: number[] = [];
		for (const name of ["epair0a", "epair0a", "epair0b"]) {
			kthread_add(
				function* () {
					results.push(yield* if_clone_destroy(name));
				},
				undefined,
				"destroyer",
				100,
			);
		}
		yield* pause("x", 200);
		expect(results.sort((x, y) => x - y)).toEqual([0, ENXIO, ENXIO]);
	});
});

test("link state changes are told later, by a task queue thread, and only if there is a change", () => {
	const told: number[] = [];
	const stop = ifnet_link_event.listen((_ifp, state) => told.push(state));
	inKernel(bootKernel(), function* () {
		yield* if_clone_create("epair", null);
		yield* pause("x", 5);
		yield* if_clone_destroy("epair0a");
	});
	stop();
	expect(told).toEqual([LINK_STATE_UP, LINK_STATE_UP, LINK_STATE_DOWN, LINK_STATE_DOWN]);
});

test("an interface moves to a jail's vnet and back, with its name, counters and tap", () => {
	inKernel(bootKernel(), function* () {
		const jail = (yield* prison_create(prison0(), { name: "j", vnet: true })) as prison;
		yield* ioctl(SIOCIFCREATE, "epair");
		const ifp = ifunit("epair0b")!;
		ifp.if_flags |= IFF_UP;
		yield* ioctl(SIOCSIFVNET, "epair0b", { ifr_jid: jail.pr_id });
		expect(ifunit("epair0b")).toBeNull();
		expect([ifp.if_vnet, ifp.if_home_vnet]).toEqual([jail.pr_vnet, prison0().pr_vnet]);
		expect(ifp.if_flags & IFF_UP).toBe(0);
		expect(ifp.if_bpf).not.toBeNull();
		expect(ifp.if_hw_addr[5]).toBe(0x0b);
		expect(ifp.if_groups).toContain("epair");
		const again = Object.assign(new ifreq("epair0b"), { ifr_jid: jail.pr_id });
		expect(yield* ifioctl(null, SIOCSIFVNET, again, curthread)).toBe(ENXIO);
		yield* ioctl(SIOCSIFRVNET, "epair0b", { ifr_jid: jail.pr_id });
		expect(ifunit("epair0b")).toBe(ifp);
	});
});

test("13.0 numbers interfaces in each vnet, 14.0 over all of them", () => {
	const index = { "13.0": 0, "14.0": 0 };
	for (const release of ["13.0", "14.0"] as const) {
		inKernel(bootKernel({ release }), function* () {
			const { b } = yield* cable();
			index[release] = b.if_index;
		});
	}
	expect(index["13.0"]).toBe(2);
	expect(index["14.0"]).toBe(4);
});

test("a name can be changed unless it is taken or too long", () => {
	inKernel(bootKernel(), function* () {
		yield* if_clone_create("epair", null);
		yield* ioctl(SIOCSIFNAME, "epair0a", { ifr_data: "wan" });
		expect(V_ifnet().map((ifp) => ifp.if_xname)).toEqual(["lo0", "wan", "epair0b"]);
		for (const [name, error] of [
			["epair0b", EEXIST],
			["", EINVAL],
			["sixteen_letters_", EINVAL],
		] as const) {
			const ifr = Object.assign(new ifreq("wan"), { ifr_data: name });
			expect(yield* ifioctl(null, SIOCSIFNAME, ifr, curthread)).toBe(error);
		}
	});
});

test("only root may configure, and only what exists", () => {
	inKernel(bootKernel(), function* () {
		const root = curthread.td_ucred;
		const nobody = crget(65534, prison0());
		curthread.td_ucred = nobody;
		expect(yield* ifioctl(null, SIOCIFCREATE, new ifreq("epair"), curthread)).toBe(EPERM);
		expect(yield* ifioctl(null, SIOCSIFFLAGS, new ifreq("lo0"), curthread)).toBe(EPERM);
		curthread.td_ucred = root;
		crfree(nobody);
		expect(yield* ifioctl(null, SIOCGIFFLAGS, new ifreq("nosuch0"), curthread)).toBe(ENXIO);
	});
});

test("a packet may go through a tunnel only once, and not through too many", () => {
	inKernel(bootKernel(), function* () {
		for (let i = 0; i < 3; i++) yield* if_clone_create("epair", null);
		const [, t0, t1, t2, t3] = V_ifnet();
		const m = packet(1);
		expect([t0, t1, t2].map((ifp) => if_tunnel_check_nesting(ifp, m, 77, 3))).toEqual([0, 0, 0]);
		expect(if_tunnel_check_nesting(t3, m, 77, 3)).toBe(EIO);
		expect(if_tunnel_check_nesting(t0, m, 77, 30)).toBe(EIO);
		m_freem(m);
	});
});
