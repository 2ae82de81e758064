import { expect, test } from "vitest";
import type { Blocking } from "../../src/kernel/sched/thread.ts";
import { expect_clean, inside, sh, world } from "./world.ts";

/** Runs command lines in order, and expects of each its exit status and its output. */
function session(steps: readonly (readonly [command: string, status: number, ...lines: (string | RegExp)[]])[]): void {
	const kernel = world();
	inside(kernel, function* (): Blocking<void> {
		for (const [command, status, ...lines] of steps) {
			const p = yield* sh(command);
			expect([command, p.p_xstat, p.lines.length]).toEqual([command, status, lines.length]);
			for (const [i, line] of lines.entries()) {
				if (typeof line === "string") expect(p.lines[i]).toBe(line);
				else expect(p.lines[i]).toMatch(line);
			}
		}
	});
	expect_clean(kernel);
}

test("an epair is made, configured, shown, moved and destroyed", () => {
	session([
		["ifconfig epair create", 0, "epair0a"],
		["ifconfig -l", 0, "lo0 epair0a epair0b"],
		["ifconfig epair0a inet 10.0.0.1/24 up", 0],
		["ifconfig epair0a mtu 1400", 0],
		[
			"ifconfig epair0a",
			0,
			/^epair0a: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1400$/,
			/^\tether 02(:[0-9a-f]{2}){5}$/,
			"\tinet 10.0.0.1 netmask 0xffffff00 broadcast 10.0.0.255",
			"\tgroups: epair",
		],
		["ifconfig epair0a inet 10.0.0.1 -alias", 0],
		["jail -c name=j vnet persist", 0, "j: created"],
		["ifconfig epair0b vnet j", 0],
		["jexec j ifconfig -l", 0, "lo0 epair0b"],
		["ifconfig epair0b -vnet j", 0],
		["jail -r j", 0, "j: removed"],
		["ifconfig epair0b destroy", 0],
		["ifconfig -l", 0, "lo0"],
	]);
});

test("errors come in FreeBSD's words", () => {
	session([
		["ifconfig nosuch0", 1, "ifconfig: interface nosuch0 does not exist"],
		["ifconfig nosuch create", 1, "ifconfig: SIOCIFCREATE2 (nosuch): Invalid argument"],
		["ifconfig lo0 create", 1, "ifconfig: interface lo0 already exists"],
		["ifconfig lo0 destroy", 1, "ifconfig: SIOCIFDESTROY: Invalid argument"],
		["ifconfig lo0 mtu 10", 1, "ifconfig: ioctl SIOCSIFMTU (set mtu): Invalid argument"],
		["ifconfig lo0 mtu", 1, "ifconfig: 'mtu' requires argument"],
		["ifconfig lo0 inet 300.1.1.1", 1, "ifconfig: 300.1.1.1: bad value"],
		["ifconfig lo0 inet 10.1.1.1/33", 1, "ifconfig: 10.1.1.1/33: bad value (width too large)"],
		["ifconfig lo0 inet 10.1.1.1 -alias", 1, "ifconfig: ioctl (SIOCDIFADDR): Can't assign requested address"],
		["ifconfig lo0 vnet nojail", 1, 'ifconfig: jail "nojail" not found'],
	]);
});

test("routes are added, found and deleted", () => {
	session([
		["ifconfig epair create", 0, "epair0a"],
		["ifconfig epair0a inet 10.0.0.1/24 up", 0],
		["route add -net 172.16.0.0/12 10.0.0.2", 0, "add net 172.16.0.0: gateway 10.0.0.2"],
		[
			"route add -net 172.16.0.0/12 10.0.0.2",
			1,
			"route: route has not been added: File exists",
			"add net 172.16.0.0: gateway 10.0.0.2: route already in table",
		],
		["route add default 10.0.0.3", 0, "add net default: gateway 10.0.0.3"],
		["route get 172.16.5.5", 0, "   route to: 172.16.5.5", "        fib: 0", "  interface: epair0a"],
		["route delete default", 0, "delete net default"],
		[
			"route delete default",
			1,
			"route: route has not been deleted: No such process",
			"delete net default: not in table",
		],
		["route delete -net 172.16.0.0/12", 0, "delete net 172.16.0.0"],
		[
			"route add -net 172.16.0.0/12 192.0.2.1",
			1,
			"route: route has not been added: Network is unreachable",
			"add net 172.16.0.0: gateway 192.0.2.1: gateway uses the same route",
		],
		["ifconfig epair0a destroy", 0],
	]);
});

test("jails are made once, found by name or number, and gone when removed", () => {
	session([
		["jail -c name=one vnet persist", 0, "one: created"],
		["jail -c name=one vnet persist", 1, 'jail: jail "one" already exists'],
		["jls", 0, /JID/, /^ {5}1 .*one/],
		["jexec 1 ifconfig -l", 0, "lo0"],
		["jexec one sysctl -n hw.ncpu", 0, "8"],
		["jexec two ifconfig", 1, 'jexec: jail "two" not found'],
		["jexec one nosuchprogram", 1, "jexec: execvp: nosuchprogram: No such file or directory"],
		["jexec one jail -c name=nested", 1, "jail: jail_set: Operation not permitted"],
		["jail -r one", 0, "one: removed"],
		["jail -r one", 1, 'jail: "one" not found'],
	]);
});

test("sysctl reads and sets what the kernel lets it", () => {
	session([
		["sysctl kern.ostype net.isr.numthreads", 0, "kern.ostype: FreeBSD", "net.isr.numthreads: 1"],
		["sysctl -n net.isr.proto.ip.qlimit", 0, "256"],
		["sysctl net.isr.proto.ip.qlimit=1000", 0, "net.isr.proto.ip.qlimit: 256 -> 1000"],
		["sysctl net.isr.proto.ip.qlimit=99999999", 1, "sysctl: net.isr.proto.ip.qlimit=99999999: Invalid argument"],
		["sysctl kern.ostype=1", 1, "sysctl: oid 'kern.ostype' is read only"],
		["sysctl no.such", 1, "sysctl: unknown oid 'no.such'"],
	]);
});
