import { expect, test } from "vitest";
import type { ping_stats } from "../../src/userland/ping.ts";
import { wait4 } from "../../src/userland/process.ts";
import { testbed_exec } from "../../src/userland/testbed.ts";
import { expect_clean, inside, sh, with_testbed, world } from "./world.ts";

test("a ping over the bare epair comes back whole, in tens of microseconds, and prints what FreeBSD's prints", () => {
	with_testbed({ plain: true }, function* (tb) {
		const p = testbed_exec(tb.sides[0], "ping -c 3 -i 0.01 192.168.2.2");
		expect(yield* wait4(p)).toBe(0);
		const stats = p.p_data as ping_stats;
		expect([stats.ntransmitted, stats.nreceived, stats.corrupted]).toEqual([3, 3, 0]);
		// two passes through two stacks and a software interrupt, and nothing else
		expect(stats.tmin).toBeGreaterThan(0.003);
		expect(stats.tmax).toBeLessThan(0.2);
		expect(p.lines[0]).toBe("PING 192.168.2.2 (192.168.2.2): 56 data bytes");
		expect(p.lines[1]).toMatch(/^64 bytes from 192\.168\.2\.2: icmp_seq=0 ttl=64 time=\d\.\d{3} ms$/);
		expect(p.lines.slice(4, 7)).toEqual([
			"",
			"--- 192.168.2.2 ping statistics ---",
			"3 packets transmitted, 3 packets received, 0.0% packet loss",
		]);
		expect(p.lines[7]).toMatch(/^round-trip min\/avg\/max\/stddev = [\d.]+\/[\d.]+\/[\d.]+\/[\d.]+ ms$/);
	});
});

test("packets larger than the MTU are fragmented on the way and arrive whole", () => {
	with_testbed({ plain: true }, function* (tb) {
		const p = testbed_exec(tb.sides[1], "ping -c 1 -s 8000 192.168.2.1");
		expect(yield* wait4(p)).toBe(0);
		expect(p.lines[1]).toMatch(/^8008 bytes from 192\.168\.2\.1: icmp_seq=0 ttl=64/);
		expect((p.p_data as ping_stats).corrupted).toBe(0);
	});
});

test("an address nobody has gets no answer: exit 2; one without a route: sendto fails", () => {
	with_testbed({ plain: true }, function* (tb) {
		const nobody = testbed_exec(tb.sides[0], "ping -c 1 -t 2 192.168.2.77");
		expect(yield* wait4(nobody)).toBe(2);
		expect(nobody.lines.at(-1)).toBe("1 packets transmitted, 0 packets received, 100.0% packet loss");
		const nowhere = testbed_exec(tb.sides[0], "ping -c 1 -t 1 10.1.2.3");
		expect(yield* wait4(nowhere)).toBe(2);
		expect(nowhere.errors).toEqual(["ping: sendto: No route to host"]);
	});
});

test("a time to live of one reaches a neighbour", () => {
	with_testbed({ plain: true }, function* (tb) {
		const p = testbed_exec(tb.sides[0], "ping -c 1 -m 1 192.168.2.2");
		expect(yield* wait4(p)).toBe(0);
	});
});

test("IPv6 echoes too", () => {
	with_testbed({ plain: true, outer: "inet6" }, function* (tb) {
		const p = testbed_exec(tb.sides[0], "ping -c 2 -i 0.01 2001:db8:2::2");
		expect(yield* wait4(p)).toBe(0);
		expect(p.lines[1]).toMatch(/^64 bytes from 2001:db8:2::2, icmp_seq=0 hlim=64 time=/);
	});
});

test("mistakes on the command line are answered in FreeBSD's words", () => {
	const kernel = world();
	inside(kernel, function* () {
		const cases: [string, number, string][] = [
			["ping -c 0 1.2.3.4", 64, "ping: invalid count of packets to transmit: `0'"],
			["ping -s 70000 1.2.3.4", 64, "ping: packet size too large: 70000 > 65507"],
			["ping nosuchhost", 68, "ping: cannot resolve nosuchhost: Unknown host"],
			["ping -x 1.2.3.4", 64, "ping: illegal option -- x"],
		];
		for (const [command, status, text] of cases) {
			const p = yield* sh(command);
			expect([p.p_xstat, p.errors[0]]).toEqual([status, text]);
		}
	});
	expect_clean(kernel);
});
