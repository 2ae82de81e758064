import fc from "fast-check";
import { expect, test } from "vitest";
import "../../src/dev/wg/if_wg.ts";
import type { Blocking } from "../../src/kernel/sched/thread.ts";
import { key_from_base64, key_to_base64 } from "../../src/userland/base64.ts";
import { read_file, write_file } from "../../src/userland/file.ts";
import { type process, wait4 } from "../../src/userland/process.ts";
import { testbed_exec, type testbed_side } from "../../src/userland/testbed.ts";
import { parse_endpoint } from "../../src/userland/wg_ipc.ts";
import { expect_clean, inside, sh, with_testbed, world } from "./world.ts";

const A = "GtzAsFHxZMYR7s1FX/DPLvqNFXyGx1vl2Yge3B5Z6XU=";

function* at(side: testbed_side, command: string): Blocking<process> {
	const p = testbed_exec(side, command);
	yield* wait4(p);
	return p;
}

test("a key is 44 characters and exactly 32 bytes, both ways", () => {
	fc.assert(
		fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (key) => {
			const text = key_to_base64(key);
			expect(text).toBe(Buffer.from(key).toString("base64"));
			expect(key_from_base64(text)).toEqual(key);
		}),
	);
	for (const bad of ["", A.slice(1), `${A}=`, A.replace("=", "A"), A.replace("G", "!"), A.replace("U=", "V=")]) {
		expect(key_from_base64(bad)).toBeNull();
	}
});

test("endpoints are struct sockaddr in memory", () => {
	expect(parse_endpoint("192.0.2.1:51820")).toEqual(
		Uint8Array.of(16, 2, 0xca, 0x6c, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0),
	);
	expect(parse_endpoint("[2001:db8::1]:1")?.length).toBe(28);
	for (const bad of ["192.0.2.1", "192.0.2.1:70000", "host:1", "2001:db8::1:1", "[192.0.2.1]:1"]) {
		expect(parse_endpoint(bad)).toBeNull();
	}
});

test("genkey makes a clamped key, and pubkey its public one", () => {
	const kernel = world();
	inside(kernel, function* () {
		const key = (yield* sh("wg genkey")).lines[0];
		const bytes = key_from_base64(key)!;
		expect([bytes[0] & 7, bytes[31] & 0xc0]).toEqual([0, 0x40]);
		// RFC 7748, section 6.1: Alice's keys
		write_file("/key", "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n");
		expect((yield* sh("wg pubkey /key")).lines).toEqual(["hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="]);
	});
	expect_clean(kernel);
});

test("mistakes are answered in wg(8)'s words", () => {
	const kernel = world();
	inside(kernel, function* () {
		yield* sh("ifconfig wg create");
		const cases: [string, string][] = [
			["wg show nosuch0", "Unable to access interface: Device not configured"],
			["wg set nosuch0 listen-port 1", "Unable to modify interface: Device not configured"],
			["wg set wg0 listen-port 70000", "Port is not valid: `70000'"],
			["wg set wg0 private-key /nosuchfile", "fopen: No such file or directory"],
			["wg set wg0 peer short", "Key is not the correct length or format: `short'"],
			[`wg set wg0 peer ${A} endpoint nowhere`, "Unable to find port of endpoint: `nowhere'"],
			[`wg set wg0 peer ${A} allowed-ips 10.0.0.0/33`, "Unable to parse IP address: `10.0.0.0/33'"],
			[
				`wg set wg0 peer ${A} persistent-keepalive 65536`,
				"Persistent keepalive interval is neither 0/off nor 1-65535: `65536'",
			],
			["wg set wg0 bogus 1", "Invalid argument: bogus"],
			["wg bogus", "Invalid subcommand: `bogus'"],
			["wg show lo0", "Unable to access interface: Operation not supported"],
		];
		for (const [command, text] of cases) {
			const p = yield* sh(command);
			expect([command, p.p_xstat, p.errors[0]]).toEqual([command, 1, text]);
		}
		yield* sh("ifconfig wg0 destroy");
	});
	expect_clean(kernel);
});

test("what is set is shown, saved and loaded again; what is removed is gone", () => {
	const kernel = world();
	inside(kernel, function* () {
		yield* sh("ifconfig wg create");
		write_file("/psk", "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=");
		write_file("/key", "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=");
		const set = yield* sh(
			`wg set wg0 listen-port 51820 fwmark 0x7b private-key /key peer ${A} preshared-key /psk endpoint [2001:db8::1]:123 persistent-keepalive 25 allowed-ips 10.0.0.0/8,2001:db8::/32`,
		);
		expect(set.lines).toEqual([]);
		const shown = (yield* sh("wg show wg0")).lines;
		expect(shown).toEqual([
			"interface: wg0",
			"  public key: hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=",
			"  private key: (hidden)",
			"  listening port: 51820",
			"  fwmark: 0x7b",
			"",
			`peer: ${A}`,
			"  preshared key: (hidden)",
			"  endpoint: [2001:db8::1]:123",
			expect.stringMatching(/^ {2}allowed ips: (10\.0\.0\.0\/8, 2001:db8::\/32|2001:db8::\/32, 10\.0\.0\.0\/8)$/),
			"  persistent keepalive: every 25 seconds",
		]);
		const conf = (yield* sh("wg showconf wg0")).lines.join("\n");
		write_file("/conf", conf);
		expect(read_file("/conf")).toContain("[Peer]");
		expect((yield* sh(`wg set wg0 peer ${A} remove`)).p_xstat).toBe(0);
		expect((yield* sh("wg show wg0 peers")).lines).toEqual([]);
		expect((yield* sh("wg setconf wg0 /conf")).lines).toEqual([]);
		const again = (yield* sh("wg showconf wg0")).lines.join("\n");
		expect(
			again
				.split("\n")
				.sort()
				.join()
				.replace(/AllowedIPs[^,]*,[^,]*/, ""),
		).toBe(
			conf
				.split("\n")
				.sort()
				.join()
				.replace(/AllowedIPs[^,]*,[^,]*/, ""),
		);
		yield* sh("ifconfig wg0 destroy");
	});
	expect_clean(kernel);
});

test("wg_basic: a ping through the tunnel, one way and then the other, and both sides know of it", () => {
	with_testbed({}, function* (tb) {
		const there = yield* at(tb.sides[0], "ping -c 1 -t 5 169.254.0.2");
		expect(there.p_xstat).toBe(0);
		const back = yield* at(tb.sides[1], "ping -c 1 169.254.0.1");
		expect(back.p_xstat).toBe(0);
		const shown = (yield* at(tb.sides[0], "wg show")).lines;
		expect(shown.some((line) => line.startsWith("  latest handshake: "))).toBe(true);
		expect(shown.some((line) => / {2}transfer: .* received, .* sent/.test(line))).toBe(true);
	});
});

test("the tunnel runs over IPv6 as well, with IPv6 inside", () => {
	with_testbed({ outer: "inet6", inner: "inet6" }, function* (tb) {
		expect((yield* at(tb.sides[0], "ping -c 1 -t 5 2001:db8:1::2")).p_xstat).toBe(0);
	});
});

test("iperf3 through the tunnel, both ways", () => {
	with_testbed({}, function* (tb) {
		testbed_exec(tb.sides[1], "iperf3 -s");
		for (const reverse of ["", " -R"]) {
			const client = yield* at(tb.sides[0], `iperf3 -c 169.254.0.2 -t 4ms -J${reverse}`);
			const { end } = JSON.parse(client.lines.join("\n"));
			expect(end.sum_received.bytes).toBeGreaterThan(100_000);
		}
	});
});
