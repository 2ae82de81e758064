/** SIOCSWG, SIOCGWG and the other ioctls: names of fields, order of effects, errors. */
import "../../../src/kernel/ifnet/if_loop.ts";
import "../../../src/kernel/netinet/inet.ts";
import { describe, expect, test } from "vitest";
import type { wg_generation_name } from "../../../src/dev/wg/generation.ts";
import { WGALLOWEDIP_REMOVE_ME, wg_down, wg_prison_remove, wg_socket_bind, wg_up } from "../../../src/dev/wg/if_wg.ts";
import { SIOCGWG, SIOCSWG, wg_data_io } from "../../../src/dev/wg/if_wg_ioctl.ts";
import {
	EACCES,
	EADDRINUSE,
	EADDRNOTAVAIL,
	EBUSY,
	EFAULT,
	EINVAL,
	ENOSPC,
	ENOTTY,
	ENXIO,
	EOPNOTSUPP,
	EPERM,
	type Errno,
} from "../../../src/kernel/errno.ts";
import { IFF_DRV_RUNNING, IFF_UP } from "../../../src/kernel/ifnet/if_var.ts";
import {
	type ifreq,
	SIOCADDMULTI,
	SIOCDELMULTI,
	SIOCGTUNFIB,
	SIOCSIFADDR,
	SIOCSIFFLAGS,
	SIOCSTUNFIB,
} from "../../../src/kernel/ifnet/sockio.ts";
import { prison_find_name, prison0 } from "../../../src/kernel/jail/jail.ts";
import { crget } from "../../../src/kernel/jail/ucred.ts";
import { vnet0 } from "../../../src/kernel/jail/vnet.ts";
import { sx_xlocked } from "../../../src/kernel/lock/sx.ts";
import { sockaddr_in } from "../../../src/kernel/netinet/in.ts";
import {
	type nvlist,
	nvlist_add_binary,
	nvlist_add_bool,
	nvlist_add_number,
	nvlist_add_nvlist_array,
	nvlist_create,
	nvlist_destroy,
	nvlist_exists_binary,
	nvlist_exists_nvlist_array,
	nvlist_get_binary,
	nvlist_get_number,
	nvlist_get_nvlist_array,
	nvlist_pack,
	nvlist_unpack,
} from "../../../src/kernel/nv.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, curthread, done } from "../../../src/kernel/sched/thread.ts";
import { protosw, SOCK_DGRAM, type socket } from "../../../src/kernel/socket/socket.ts";
import { find_program } from "../../../src/userland/bin.ts";
import { ifconfig } from "../../../src/userland/ifconfig.ts";
import { system } from "../../../src/userland/process.ts";
import { new_rig, type rig, sockaddr_bytes, wg_world } from "./rig.ts";
import { inThread } from "./support.ts";

const KEY = new Uint8Array(32).fill(9);
const OTHER = new Uint8Array(32).fill(10);

function with_rig(generation: wg_generation_name, main: (r: rig) => Blocking<void>): void {
	inThread(wg_world(generation), function* () {
		const r = yield* new_rig(0);
		yield* main(r);
		yield* r.destroy();
	});
}

/** The same with addresses on lo0: without one no socket can be bound. */
function with_addresses(main: (r: rig) => Blocking<void>): void {
	with_rig("2022-09", function* (r) {
		for (const address of ["inet 127.0.0.1/8", "inet6 ::1/128"])
			expect((yield* system(null, "ifconfig", ifconfig, ["lo0", ...address.split(" "), "up"])).lines).toEqual([]);
		yield* main(r);
	});
}

/** What SIOCGWG says, unpacked. */
function* get(r: rig): Blocking<nvlist> {
	const wgd = new wg_data_io("wg0");
	expect(yield* r.ifp.if_ioctl!(r.ifp, SIOCGWG, wgd)).toBe(0);
	wgd.wgd_data = new Uint8Array(wgd.wgd_size);
	expect(yield* r.ifp.if_ioctl!(r.ifp, SIOCGWG, wgd)).toBe(0);
	return nvlist_unpack(wgd.wgd_data, 0)!;
}

/** The names in a list, in order. */
function names(nvl: nvlist): string[] {
	return nvl.nvl_head.map((nvp) => nvp.nvp_name);
}

function add_aip(nvl: nvlist, bytes: readonly number[], cidr: number | null, flags?: number): void {
	const aip = nvlist_create(0);
	nvlist_add_binary(aip, bytes.length === 4 ? "ipv4" : "ipv6", Uint8Array.from(bytes));
	if (cidr !== null) nvlist_add_number(aip, "cidr", cidr);
	if (flags !== undefined) nvlist_add_number(aip, "flags", flags);
	nvlist_add_nvlist_array(nvl, "allowed-ips", [aip]);
	nvlist_destroy(aip);
}

/** The prefixes of the interface's only peer. */
function* prefixes(r: rig): Blocking<string[]> {
	const nvl = yield* get(r);
	const [peer] = nvlist_get_nvlist_array(nvl, "peers");
	const list = nvlist_exists_nvlist_array(peer, "allowed-ips") ? nvlist_get_nvlist_array(peer, "allowed-ips") : [];
	const text = list.map(
		(aip) =>
			`${nvlist_get_binary(aip, nvlist_exists_binary(aip, "ipv4") ? "ipv4" : "ipv6").join(".")}/${nvlist_get_number(aip, "cidr")}`,
	);
	nvlist_destroy(nvl);
	return text;
}

describe("SIOCGWG", () => {
	test("names its fields as upstream, and leaves the keys out for who is not privileged", () => {
		with_rig("2022-09", function* (r) {
			yield* r.set((nvl) => {
				nvlist_add_number(nvl, "listen-port", 51820);
				nvlist_add_number(nvl, "user-cookie", 123);
			});
			yield* r.set_peer(KEY, (nvl) => {
				nvlist_add_binary(nvl, "endpoint", sockaddr_bytes(new sockaddr_in(1, 2)));
				add_aip(nvl, [10, 1, 2, 3], 8);
			});
			const secrets = ["private-key", "preshared-key"];
			for (const privileged of [true, false]) {
				const cred = curthread.td_ucred;
				if (!privileged) curthread.td_ucred = crget(1001, prison0());
				const nvl = yield* get(r);
				curthread.td_ucred = cred;
				const shown = (list: string[]) => list.filter((name) => privileged || !secrets.includes(name));
				expect(names(nvl)).toEqual(shown(["listen-port", "user-cookie", "public-key", "private-key", "peers"]));
				const [peer] = nvlist_get_nvlist_array(nvl, "peers");
				expect(names(peer)).toEqual(
					shown([
						"public-key",
						"preshared-key",
						"endpoint",
						"last-handshake-time",
						"persistent-keepalive-interval",
						"rx-bytes",
						"tx-bytes",
						"allowed-ips",
					]),
				);
				const [aip] = nvlist_get_nvlist_array(peer, "allowed-ips");
				expect(names(aip)).toEqual(["ipv4", "cidr"]);
				expect([...nvlist_get_binary(aip, "ipv4")]).toEqual([10, 0, 0, 0]);
				expect(nvlist_get_binary(peer, "last-handshake-time")).toHaveLength(16);
				nvlist_destroy(nvl);
			}
		});
	});

	test("without anything set there is nothing to say", () => {
		with_rig("main", function* (r) {
			yield* r.set_private_key(new Uint8Array(32));
			const nvl = yield* get(r);
			// a clamped zero is a key all the same
			expect(names(nvl)).toEqual(["public-key", "private-key"]);
			nvlist_destroy(nvl);
		});
	});

	test("size 0 asks for the size; too small is ENOSPC; no memory of one's own is EFAULT", () => {
		with_rig("2022-09", function* (r) {
			const ask = function* (data: Uint8Array | null, size: number): Blocking<[Errno, number]> {
				const wgd = new wg_data_io("wg0", data, size);
				return [yield* r.ifp.if_ioctl!(r.ifp, SIOCGWG, wgd), wgd.wgd_size];
			};
			const [error, size] = yield* ask(null, 0);
			expect(error).toBe(0);
			expect(yield* ask(new Uint8Array(size), size - 1)).toEqual([ENOSPC, size - 1]);
			expect((yield* ask(null, size))[0]).toBe(EFAULT);
			expect(yield* ask(new Uint8Array(size + 10), size + 10)).toEqual([0, size]);
		});
	});

	test.each(["in", "out"] as const)("%s: only 2021-11 copies with the interface locked (BZ-71)", (way) => {
		const locked = (generation: wg_generation_name): boolean => {
			let held = false;
			with_rig(generation, function* (r) {
				const nvl = nvlist_create(0);
				const data = way === "in" ? nvlist_pack(nvl)! : new Uint8Array(4096);
				nvlist_destroy(nvl);
				// the program's memory, which tells when it is touched
				const look = () => {
					held = held || sx_xlocked(r.sc.sc_lock) || r.sc.sc_lock.sx_sharers > 0;
				};
				data.slice = function (...args) {
					look();
					return Uint8Array.prototype.slice.apply(this, args);
				};
				data.set = function (...args) {
					look();
					Uint8Array.prototype.set.apply(this, args);
				};
				expect(yield* r.ifp.if_ioctl!(r.ifp, way === "in" ? SIOCSWG : SIOCGWG, new wg_data_io("wg0", data))).toBe(0);
			});
			return held;
		};
		expect((["2021-11", "2022-09", "main"] as const).map(locked)).toEqual([true, false, false]);
	});
});

describe("SIOCSWG", () => {
	test.each<[string, Errno, (nvl: nvlist) => void]>([
		["a port that is none", EINVAL, (nvl) => nvlist_add_number(nvl, "listen-port", 65536)],
		["a key that is short", EINVAL, (nvl) => nvlist_add_binary(nvl, "private-key", new Uint8Array(31))],
		["a cookie that is long", EINVAL, (nvl) => nvlist_add_number(nvl, "user-cookie", 2 ** 32)],
		["a field nobody knows", 0, (nvl) => nvlist_add_number(nvl, "colour", 1)],
		["a field of another type", 0, (nvl) => nvlist_add_bool(nvl, "listen-port", true)],
	])("%s: %i", (_, error, fill) => {
		for (const generation of ["2021-11", "2022-09", "main"] as const)
			with_rig(generation, function* (r) {
				expect(yield* r.set(fill)).toBe(error);
			});
	});

	test.each<[string, Errno, (nvl: nvlist) => void]>([
		["no key", EINVAL, () => undefined],
		["a short key", EINVAL, (nvl) => nvlist_add_binary(nvl, "public-key", new Uint8Array(31))],
	])("a peer with %s: %i", (_, error, fill) => {
		with_rig("2022-09", function* (r) {
			const set = yield* r.set((nvl) => {
				const peer = nvlist_create(0);
				fill(peer);
				nvlist_add_nvlist_array(nvl, "peers", [peer]);
				nvlist_destroy(peer);
			});
			expect(set).toBe(error);
			expect(r.sc.sc_peers_num).toBe(0);
		});
	});

	test.each<[string, Errno, (nvl: nvlist) => void]>([
		["an endpoint longer than an address", EINVAL, (nvl) => nvlist_add_binary(nvl, "endpoint", new Uint8Array(29))],
		["an endpoint of no family", 0, (nvl) => nvlist_add_binary(nvl, "endpoint", new Uint8Array(16))],
		["a short preshared key", EINVAL, (nvl) => nvlist_add_binary(nvl, "preshared-key", new Uint8Array(31))],
		["an interval too long", EINVAL, (nvl) => nvlist_add_number(nvl, "persistent-keepalive-interval", 65536)],
		["33 bits of IPv4", EINVAL, (nvl) => add_aip(nvl, [1, 2, 3, 4], 33)],
		["129 bits of IPv6", EINVAL, (nvl) => add_aip(nvl, new Array(16).fill(1), 129)],
		["an address of five bytes", EINVAL, (nvl) => add_aip(nvl, [1, 2, 3, 4, 5], 32)],
		["a prefix without a length", 0, (nvl) => add_aip(nvl, [1, 2, 3, 4], null)],
	])("an existing peer with %s: %i, and what came before it stays", (_, error, fill) => {
		with_rig("2022-09", function* (r) {
			yield* r.set_peer(KEY, () => undefined);
			const set = yield* r.set_peer(KEY, (nvl) => {
				if (!nvlist_exists_binary(nvl, "endpoint")) fill(nvl);
			});
			expect(set).toBe(error);
			expect(r.sc.sc_peers_num).toBe(1);
			expect(r.sc.sc_peers_first!.p_aips_num).toBe(0);
		});
	});

	test("an error leaves what was done before it, and does nothing after it", () => {
		with_rig("2022-09", function* (r) {
			const set = yield* r.set((nvl) => {
				nvlist_add_number(nvl, "listen-port", 1234);
				const list = [KEY, new Uint8Array(3), OTHER].map((key) => {
					const peer = nvlist_create(0);
					nvlist_add_binary(peer, "public-key", key);
					return peer;
				});
				nvlist_add_nvlist_array(nvl, "peers", list);
				for (const peer of list) nvlist_destroy(peer);
			});
			expect(set).toBe(EINVAL);
			expect([r.sc.sc_socket.so_port, r.sc.sc_peers_num]).toEqual([1234, 1]);
		});
	});

	test("the interface's own key is no peer, nor is it one after it became the interface's", () => {
		with_rig("main", function* (r) {
			expect(yield* r.set_peer(r.public_key, () => undefined)).toBe(0);
			expect(r.sc.sc_peers_num).toBe(0);
			const other = yield* new_rig(1);
			yield* r.set_peer(other.public_key, () => undefined);
			expect(r.sc.sc_peers_num).toBe(1);
			expect(yield* r.set_private_key(other.private_key)).toBe(0);
			expect(r.sc.sc_peers_num).toBe(0);
			yield* other.destroy();
		});
	});

	test("a peer is removed once, one that is not there without an error, and all of them at once", () => {
		with_rig("2022-09", function* (r) {
			const remove = () => r.set_peer(KEY, (nvl) => nvlist_add_bool(nvl, "remove", true));
			yield* r.set_peer(KEY, () => undefined);
			yield* r.set_peer(OTHER, () => undefined);
			expect([yield* remove(), yield* remove()]).toEqual([0, 0]);
			expect(r.sc.sc_peers_num).toBe(1);
			expect(yield* r.set((nvl) => nvlist_add_bool(nvl, "replace-peers", true))).toBe(0);
			expect(r.sc.sc_peers_num).toBe(0);
		});
	});

	test("flags of an allowed IP: main removes by them and refuses others; before nobody looks at them", () => {
		for (const generation of ["2022-09", "main"] as const)
			with_rig(generation, function* (r) {
				const main = generation === "main";
				const set = (flags: number | undefined, last = 4) =>
					r.set_peer(KEY, (nvl) => add_aip(nvl, [1, 2, 3, last], 32, flags));
				expect(yield* set(undefined)).toBe(0);
				expect(yield* set(0, 5)).toBe(0);
				expect((yield* prefixes(r)).sort()).toEqual(["1.2.3.4/32", "1.2.3.5/32"]);
				expect(yield* set(2)).toBe(main ? EOPNOTSUPP : 0);
				expect(yield* set(WGALLOWEDIP_REMOVE_ME)).toBe(0);
				expect((yield* prefixes(r)).sort()).toEqual(main ? ["1.2.3.5/32"] : ["1.2.3.4/32", "1.2.3.5/32"]);
				// what is not there is not removed, which is no error
				expect(yield* set(WGALLOWEDIP_REMOVE_ME, 77)).toBe(0);
				const replaced = yield* r.set_peer(KEY, (nvl) => nvlist_add_bool(nvl, "replace-allowedips", true));
				expect(replaced).toBe(0);
				expect((yield* prefixes(r)).length).toBe(0);
			});
	});

	test("only root may set", () => {
		with_rig("main", function* (r) {
			const cred = curthread.td_ucred;
			curthread.td_ucred = crget(1001, prison0());
			expect(yield* r.set_private_key()).toBe(EPERM);
			expect(yield* r.ifp.if_ioctl!(r.ifp, SIOCSTUNFIB, { ifr_fib: 0 } as ifreq)).toBe(EPERM);
			curthread.td_ucred = cred;
		});
	});
});

describe("the other ioctls", () => {
	test("multicast groups and addresses are accepted and ignored; what nobody knows is ENOTTY; without an interface ENXIO", () => {
		with_rig("2022-09", function* (r) {
			for (const cmd of [SIOCADDMULTI, SIOCDELMULTI, SIOCSIFADDR])
				expect(yield* r.ifp.if_ioctl!(r.ifp, cmd, null)).toBe(0);
			expect(yield* r.ifp.if_ioctl!(r.ifp, 0x12345678, null)).toBe(ENOTTY);
			const { if_softc } = r.ifp;
			r.ifp.if_softc = null;
			expect(yield* r.ifp.if_ioctl!(r.ifp, SIOCSIFADDR, null)).toBe(ENXIO);
			r.ifp.if_softc = if_softc;
		});
	});

	test("the tunnel's FIB: without sockets any is remembered, with them only one there is", () => {
		with_addresses(function* (r) {
			const fib = (ifr_fib: number) => r.ifp.if_ioctl!(r.ifp, SIOCSTUNFIB, { ifr_fib } as ifreq);
			expect(yield* fib(7)).toBe(0);
			const ifr = { ifr_fib: -1 } as ifreq;
			expect(yield* r.ifp.if_ioctl!(r.ifp, SIOCGTUNFIB, ifr)).toBe(0);
			expect(ifr.ifr_fib).toBe(7);
			// a socket cannot have it, so the interface cannot come up
			expect(yield* wg_up(r.sc)).toBe(EINVAL);
			expect(r.ifp.if_drv_flags & IFF_DRV_RUNNING).toBe(0);
			expect(yield* fib(0)).toBe(0);
			expect(yield* wg_up(r.sc)).toBe(0);
			expect(yield* fib(7)).toBe(EINVAL);
			expect(r.sc.sc_socket.so_fibnum).toBe(0);
			yield* wg_down(r.sc);
		});
	});
});

describe("sockets", () => {
	test("a port of one's own choice is the same in both families, and a new one while up is bound at once", () => {
		with_addresses(function* (r) {
			r.ifp.if_flags |= IFF_UP;
			expect(yield* r.ifp.if_ioctl!(r.ifp, SIOCSIFFLAGS, null)).toBe(0);
			const chosen = r.sc.sc_socket.so_port;
			expect(chosen).toBeGreaterThan(0);
			// up again is no error
			expect(yield* wg_up(r.sc)).toBe(0);
			const old = r.sc.sc_socket.so_so4;
			expect(yield* r.set((nvl) => nvlist_add_number(nvl, "listen-port", 4321))).toBe(0);
			expect(r.sc.sc_socket.so_port).toBe(4321);
			expect(r.sc.sc_socket.so_so4 === old).toBe(false);
			expect(yield* r.set((nvl) => nvlist_add_number(nvl, "listen-port", 0))).toBe(0);
			expect(r.sc.sc_socket.so_port).not.toBe(4321);
			r.ifp.if_flags &= ~IFF_UP;
			expect(yield* r.ifp.if_ioctl!(r.ifp, SIOCSIFFLAGS, null)).toBe(0);
			expect([r.sc.sc_socket.so_so4, r.sc.sc_socket.so_so6]).toEqual([null, null]);
		});
	});

	test("a port somebody has is EADDRINUSE, and the old sockets stay", () => {
		with_addresses(function* (r) {
			const other = yield* new_rig(1);
			yield* other.set((nvl) => nvlist_add_number(nvl, "listen-port", 4321));
			expect(yield* wg_up(other.sc)).toBe(0);
			expect(yield* wg_up(r.sc)).toBe(0);
			const { so_so4, so_port } = r.sc.sc_socket;
			expect(yield* r.set((nvl) => nvlist_add_number(nvl, "listen-port", 4321))).toBe(EADDRINUSE);
			expect(r.sc.sc_socket.so_so4 === so_so4 && r.sc.sc_socket.so_port === so_port).toBe(true);
			yield* other.destroy();
		});
	});

	test("without any address there is no coming up: EADDRNOTAVAIL", () => {
		with_rig("2022-09", function* (r) {
			expect(yield* wg_up(r.sc)).toBe(EADDRNOTAVAIL);
			expect(r.ifp.if_drv_flags & IFF_DRV_RUNNING).toBe(0);
		});
	});

	test("after its jail has gone an interface cannot come up: EBUSY", () => {
		with_rig("2022-09", function* (r) {
			yield* wg_prison_remove(prison0());
			expect(yield* wg_up(r.sc)).toBe(EBUSY);
		});
	});

	test("an interface that moves to another vnet goes down, and comes up again with sockets in the one it was made in", () => {
		with_addresses(function* (r) {
			const sh = (command: string) => {
				const [name, ...args] = command.split(" ");
				return system(null, name, find_program(name)!, args);
			};
			yield* sh("jail -c name=there vnet persist");
			yield* sh("ifconfig wg0 inet 10.0.0.1/24 up");
			expect(r.ifp.if_drv_flags & IFF_DRV_RUNNING).not.toBe(0);
			yield* sh("ifconfig wg0 vnet there");
			expect(r.ifp.if_drv_flags & IFF_DRV_RUNNING).toBe(0);
			expect(r.sc.sc_socket.so_so4 === null && r.sc.sc_socket.so_so6 === null).toBe(true);
			expect(r.ifp.if_vnet === prison_find_name(prison0(), "there")!.pr_vnet).toBe(true);
			expect((yield* sh("jexec there ifconfig wg0 inet 10.0.0.1/24 up")).lines).toEqual([]);
			expect(r.sc.sc_socket.so_so4!.so_vnet === vnet0()).toBe(true);
			const nvl = yield* get(r);
			expect([...nvlist_get_binary(nvl, "public-key")]).toEqual([...r.public_key]);
			nvlist_destroy(nvl);
			yield* sh("jail -r there");
			yield* pause_sbt("the jail goes", 100_000_000);
			expect(r.ifp.if_vnet === vnet0()).toBe(true);
		});
	});

	test.each<[Errno, Errno, Errno, closed: string[]]>([
		[0, 0, 0, []],
		[0, EADDRNOTAVAIL, 0, ["so6"]],
		[EADDRNOTAVAIL, 0, 0, ["so4"]],
		[EADDRNOTAVAIL, EADDRNOTAVAIL, EADDRNOTAVAIL, []],
		[EACCES, 0, EACCES, []],
		[0, EADDRINUSE, EADDRINUSE, []],
		[EADDRNOTAVAIL, EADDRINUSE, EADDRINUSE, []],
	])("binding to %i and %i is %i: one family may have no address", (ret4, ret6, result, gone) => {
		with_rig("2022-09", function* (r) {
			yield* r.up();
			const pair = { so4: r.sc.sc_socket.so_so4, so6: r.sc.sc_socket.so_so6, port: 99 };
			r.sc.sc_socket.so_so4 = null;
			r.sc.sc_socket.so_so6 = null;
			binding(pair.so4!, ret4);
			binding(pair.so6!, ret6);
			expect(yield* wg_socket_bind(pair)).toBe(result);
			expect([pair.so4 === null ? "so4" : "", pair.so6 === null ? "so6" : ""].filter((name) => name !== "")).toEqual(
				gone,
			);
		});
	});
});

/** Makes it so that binding a socket gives this. */
function binding(so: socket, error: Errno): void {
	(so as { so_proto: protosw }).so_proto = new protosw({
		...so.so_proto,
		pr_type: SOCK_DGRAM,
		pr_usrreqs: { ...so.so_proto.pr_usrreqs, pru_bind: () => done(error) },
	});
}
