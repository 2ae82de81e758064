import { expect, test } from "vitest";
import { EEXIST, EINVAL, EPERM } from "../../../src/kernel/errno.ts";
import { ifnet_count, ifunit, V_ifnet } from "../../../src/kernel/ifnet/if.ts";
import { ifioctl } from "../../../src/kernel/ifnet/if_ioctl.ts";
import { lle_count } from "../../../src/kernel/ifnet/if_llatbl.ts";
import { ifreq, SIOCIFCREATE } from "../../../src/kernel/ifnet/sockio.ts";
import {
	allprison,
	jail_attach,
	osd_jail_deregister,
	osd_jail_get,
	osd_jail_register,
	osd_jail_set,
	PR_METHOD_CREATE,
	PR_METHOD_REMOVE,
	type prison,
	prison_create,
	prison_find_name,
	prison_isgone,
	prison_remove,
	prison0,
} from "../../../src/kernel/jail/jail.ts";
import {
	PRIV_NET_IFCREATE,
	PRIV_NET_WG,
	PRIV_NETINET_RESERVEDPORT,
	priv_check,
} from "../../../src/kernel/jail/priv.ts";
import { cred_count, crfree, crget } from "../../../src/kernel/jail/ucred.ts";
import { vnet_foreach, vnet0 } from "../../../src/kernel/jail/vnet.ts";
import {
	curvnet,
	SI_ORDER_ANY,
	SI_ORDER_FIRST,
	SI_SUB_PSEUDO,
	VNET_DEFINE,
	VNET_SYSINIT,
	VNET_SYSUNINIT,
} from "../../../src/kernel/sched/kernel.ts";
import { pause } from "../../../src/kernel/sched/sleepqueue.ts";
import { curthread, sync } from "../../../src/kernel/sched/thread.ts";
import { ADDR_B, bootKernel, cable, inKernel, mbufs_in_use, packet, send } from "../ifnet/support.ts";

const log: string[] = [];
for (const [name, order] of [
	["late", SI_ORDER_ANY],
	["early", SI_ORDER_FIRST],
] as const) {
	VNET_SYSINIT(`log ${name}`, SI_SUB_PSEUDO, order, function* () {
		log.push(`+${name} ${curvnet().vnet_name}`);
		yield* sync();
	});
	VNET_SYSUNINIT(`log ${name}`, SI_SUB_PSEUDO, order, function* () {
		log.push(`-${name} ${curvnet().vnet_name}`);
		yield* sync();
	});
}
const V_counter = VNET_DEFINE(() => ({ n: 0 }));

test("a vnet's initialisers run in order when its jail is made, and in the opposite order when it goes", () => {
	log.length = 0;
	inKernel(bootKernel(), function* () {
		expect(log).toEqual(["+early vnet0", "+late vnet0"]);
		const pr = (yield* prison_create(prison0(), { name: "j", vnet: true })) as prison;
		expect(vnet_foreach()).toEqual([pr.pr_vnet, vnet0()]);
		expect(yield* prison_remove(pr)).toBe(0);
		yield* pause("x", 50);
		expect(log.slice(2)).toEqual(["+early j", "+late j", "-late j", "-early j"]);
		expect(prison_isgone(pr)).toBe(true);
		expect(vnet_foreach()).toEqual([vnet0()]);
	});
});

test("every vnet has its own variables and its own lo0", () => {
	inKernel(bootKernel(), function* () {
		V_counter().n = 1;
		const pr = (yield* prison_create(prison0(), { name: "j", vnet: true })) as prison;
		yield* jail_attach(curthread, pr);
		expect(V_counter().n).toBe(0);
		expect(V_ifnet().map((ifp) => ifp.if_xname)).toEqual(["lo0"]);
		yield* jail_attach(curthread, prison0());
		expect(V_counter().n).toBe(1);
	});
});

test("removing a jail returns what it borrowed, destroys what it made, and leaks nothing", () => {
	const counts = () => [ifnet_count(), cred_count().inuse, lle_count().inuse, mbufs_in_use(), allprison().length];
	inKernel(bootKernel(), function* () {
		const before = counts();
		for (let round = 0; round < 3; round++) {
			const { a, b, jail } = yield* cable();
			yield* send(a, packet(1), ADDR_B);
			yield* pause("x", 10);
			yield* jail_attach(curthread, jail);
			expect(yield* ifioctl(null, SIOCIFCREATE, new ifreq("epair5"), curthread)).toBe(0);
			yield* jail_attach(curthread, prison0());
			yield* prison_remove(jail);
			yield* pause("x", 100);
			expect(prison_isgone(jail)).toBe(true);
			expect(ifunit(b.if_xname)).toBe(b);
			expect(b.if_addrhead).toHaveLength(1);
			const ifr = new ifreq(a.if_xname);
			expect(yield* ifioctl(null, 0x80206979, ifr, curthread)).toBe(0);
			yield* pause("x", 20);
			expect(counts()).toEqual(before);
		}
	});
});

test("a credential keeps a dying jail's vnet until it is given back", () => {
	inKernel(bootKernel(), function* () {
		const pr = (yield* prison_create(prison0(), { name: "j", vnet: true })) as prison;
		const cr = crget(0, pr);
		yield* prison_remove(pr);
		yield* pause("x", 100);
		expect(prison_isgone(pr)).toBe(false);
		expect(yield* jail_attach(curthread, pr)).toBe(EINVAL);
		crfree(cr);
		yield* pause("x", 100);
		expect(prison_isgone(pr)).toBe(true);
	});
});

test("jails form a tree: names are unique among siblings, children are limited, and go first", () => {
	inKernel(bootKernel(), function* () {
		const removed: string[] = [];
		const slot = osd_jail_register(null, {
			*[PR_METHOD_REMOVE](pr) {
				removed.push(pr.pr_name);
				yield* sync();
				return 0;
			},
		});
		const top = (yield* prison_create(prison0(), { name: "top", vnet: true, childmax: 2 })) as prison;
		expect(yield* prison_create(prison0(), { name: "top" })).toBe(EEXIST);
		expect(yield* prison_create(prison0(), { name: "a.b" })).toBe(EINVAL);
		const a = (yield* prison_create(top, { name: "a", vnet: true })) as prison;
		const b = (yield* prison_create(top, { name: "b" })) as prison;
		expect(yield* prison_create(top, { name: "c" })).toBe(EPERM);
		expect(yield* prison_create(b, { name: "c" })).toBe(EPERM);
		expect(b.pr_vnet).toBe(top.pr_vnet);
		expect(prison_find_name(prison0(), "top.a")).toBe(a);
		expect(prison_find_name(top, "a")).toBe(a);
		expect(prison_find_name(prison0(), "a")).toBeNull();
		yield* prison_remove(top);
		expect(removed).toEqual(["b", "a", "top"]);
		yield* pause("x", 100);
		expect(allprison()).toEqual([prison0()]);
		osd_jail_deregister(slot);
	});
});

test("modules keep data with jails, and can refuse one", () => {
	inKernel(bootKernel(), function* () {
		const freed: unknown[] = [];
		const slot = osd_jail_register((value) => freed.push(value), {
			*[PR_METHOD_CREATE](pr) {
				yield* sync();
				osd_jail_set(pr, slot, `data of ${pr.pr_name}`);
				return pr.pr_name === "bad" ? EPERM : 0;
			},
		});
		const pr = (yield* prison_create(prison0(), { name: "good" })) as prison;
		expect(osd_jail_get(pr, slot)).toBe("data of good");
		expect(yield* prison_create(prison0(), { name: "bad" })).toBe(EPERM);
		yield* prison_remove(pr);
		yield* pause("x", 50);
		expect(freed).toEqual(["data of bad", "data of good"]);
	});
});

test("root of a jail may configure its own network stack, but not its host's", () => {
	inKernel(bootKernel(), function* () {
		const vnetted = (yield* prison_create(prison0(), { name: "v", vnet: true })) as prison;
		const plain = (yield* prison_create(prison0(), { name: "p" })) as prison;
		const table = [prison0(), vnetted, plain].map((pr) => ({ pr, got: [] as number[] }));
		for (const { pr, got } of table) {
			yield* jail_attach(curthread, pr);
			for (const priv of [PRIV_NET_IFCREATE, PRIV_NET_WG, PRIV_NETINET_RESERVEDPORT]) {
				got.push(priv_check(curthread, priv));
			}
		}
		expect(table.map((row) => row.got)).toEqual([
			[0, 0, 0],
			[0, 0, 0],
			[EPERM, EPERM, 0],
		]);
		yield* jail_attach(curthread, prison0());
	});
});
