import { expect, test } from "vitest";
import { WG_GENERATION_TUNABLE } from "../../src/dev/wg/generation.ts";
import "../../src/dev/wg/if_wg.ts";
import { V_ip } from "../../src/kernel/netinet/ip_var.ts";
import { CURVNET_RESTORE, CURVNET_SET } from "../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../src/kernel/sched/thread.ts";
import { find_program } from "../../src/userland/bin.ts";
import { allproc, fork_exec, kill, type process, system, wait4 } from "../../src/userland/process.ts";
import { testbed_exec, type testbed_side } from "../../src/userland/testbed.ts";
import { expect_clean, inside, sh, with_testbed, world } from "./world.ts";

function* at(side: testbed_side, command: string): Blocking<process> {
	const [name, ...args] = command.split(" ");
	return yield* system(null, name, find_program(name)!, args, { jail: side.jail });
}

function* ping(side: testbed_side, to: string): Blocking<number> {
	return (yield* at(side, `ping -c 1 -t 1 ${to}`)).p_xstat;
}

test("wg_basic_netmap: with a bridge between driver and stack pings work as without, both ways, also forwarded ones", () => {
	const kernel = world({ tunables: { [WG_GENERATION_TUNABLE]: "main" } });
	with_testbed(
		{},
		function* (tb) {
			const [one, two] = tb.sides;
			for (const [side, other, nobody] of [
				[one, two, "169.254.0.4"],
				[two, one, "169.254.0.3"],
			] as const) {
				const key = Buffer.from(other.public_key).toString("base64");
				const set = yield* at(side, `wg set wg0 peer ${key} allowed-ips ${other.inner}/32,${nobody}/32`);
				expect(set.lines).toEqual([]);
				const saved = CURVNET_SET(side.jail.pr_vnet);
				V_ip().ipforwarding = 1;
				CURVNET_RESTORE(saved);
			}
			const bridge = testbed_exec(one, "bridge -w 0 -i netmap:wg0 -i netmap:wg0^");
			yield* pause_sbt("bridge", 1_000_000);
			expect(allproc()).toContain(bridge);
			expect(yield* ping(one, two.inner)).toBe(0);
			expect(yield* ping(two, one.inner)).toBe(0);
			// nobody has these: the other side sends them on, back into the tunnel, until their time to live is up
			expect(yield* ping(one, "169.254.0.4")).toBe(2);
			expect(yield* ping(two, "169.254.0.3")).toBe(2);
			expect(yield* ping(one, two.inner)).toBe(0);
			expect(yield* ping(two, one.inner)).toBe(0);

			yield* kill(bridge);
			expect(yield* wait4(bridge)).toBe(128 + 9);
			// and it is as if it had never been there
			expect(yield* ping(one, two.inner)).toBe(0);
		},
		kernel,
	);
});

test("mistakes are said, and nothing stays in netmap mode", () => {
	const kernel = world({ tunables: { [WG_GENERATION_TUNABLE]: "main" } });
	inside(kernel, function* () {
		yield* sh("ifconfig wg create");
		for (const ports of [
			"-i netmap:wg0",
			"-i wg0 -i wg0^",
			"-i netmap:wg0 -i netmap:wg0",
			"-i netmap:wg0 -i netmap:wg1^",
		]) {
			expect((yield* sh(`bridge ${ports}`)).lines[0]).toMatch(/^usage: bridge /);
		}
		expect((yield* sh("bridge -i netmap:wg7 -i netmap:wg7^")).lines).toEqual([
			"bridge: cannot open netmap:wg7: No such device or address",
		]);
		const first = fork_exec(null, "bridge", find_program("bridge")!, ["-i", "netmap:wg0", "-i", "netmap:wg0^"]);
		yield* pause_sbt("bridge", 1_000_000);
		expect((yield* sh("bridge -i netmap:wg0 -i netmap:wg0^")).lines).toEqual([
			"bridge: cannot open netmap:wg0: Device busy",
		]);
		yield* kill(first);
		yield* wait4(first);
		// an interface that goes while a program has it
		const second = fork_exec(null, "bridge", find_program("bridge")!, ["-i", "netmap:wg0", "-i", "netmap:wg0^"]);
		yield* pause_sbt("bridge", 1_000_000);
		yield* sh("ifconfig wg0 destroy");
		yield* kill(second);
		yield* wait4(second);
	});
	expect_clean(kernel);
});
