/** The module as a whole: what loading needs, and what unloading leaves. */
import { describe, expect, test } from "vitest";
import { crypto_get_driverid, crypto_unregister_all } from "../../../src/crypto/ocf/crypto.ts";
import {
	CRYPTOCAP_F_SOFTWARE,
	CRYPTOCAP_F_SYNC,
	CRYPTODEV_PROBE_ACCEL_SOFTWARE,
	type cryptodev,
} from "../../../src/crypto/ocf/cryptodev.ts";
import { WG_GENERATION_TUNABLE, type wg_generation_name } from "../../../src/dev/wg/generation.ts";
import { wg_module_event_handler, wg_xmit } from "../../../src/dev/wg/if_wg.ts";
import { selftest_message } from "../../../src/dev/wg/selftest/printf.ts";
import { WG_CRYPTO_TUNABLE } from "../../../src/dev/wg/wg_crypto.ts";
import { boot, runUntilExit } from "../../../src/kernel/boot.ts";
import { EAGAIN, ENOTRECOVERABLE, EOPNOTSUPP } from "../../../src/kernel/errno.ts";
import { ifunit } from "../../../src/kernel/ifnet/if.ts";
import { NET_EPOCH_DRAIN_CALLBACKS } from "../../../src/kernel/lock/epoch.ts";
import { malloc_leaks } from "../../../src/kernel/mbuf/malloc.ts";
import { uma_leaks, uma_set_fault } from "../../../src/kernel/mbuf/uma.ts";
import { MOD_LOAD, MOD_UNLOAD, module_register_init } from "../../../src/kernel/module.ts";
import { AF_INET } from "../../../src/kernel/netinet/in.ts";
import { Kernel, mi_startup, set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { uthread_add } from "../../../src/kernel/sched/kthread.ts";
import { type Blocking, DONE, done } from "../../../src/kernel/sched/thread.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { findProfile } from "../../../src/machine/profile.ts";
import { connected_rigs, ipv4_packet, mbuf_of, settle, wg_world } from "./rig.ts";
import { inThread } from "./support.ts";

/** What is allocated now, a line each, without addresses of interfaces and other things that are not the driver's. */
function allocated(): string[] {
	return [
		...malloc_leaks()
			.filter(({ type }) => ["WG", "NOISE", "nvlist"].includes(type))
			.map(({ type, allocations }) => `${type}: ${allocations}`),
		...uma_leaks().map((leak) => JSON.stringify(leak)),
	];
}

test.each(["2021-11", "2021-11-rr", "2022-09", "main", "blake2-library"] as const)(
	"%s: unloading with traffic destroys the interfaces and leaves nothing",
	(generation) => {
		inThread(wg_world(generation, { cpus: 4 }), function* () {
			const before = allocated();
			const [a, b] = yield* connected_rigs();
			a.other = null;
			for (let i = 0; i < 300; i++)
				yield* wg_xmit(a.ifp, mbuf_of(ipv4_packet(0x0a000001, 0x0a000002)), AF_INET, a.ifp.if_mtu);
			expect(yield* wg_module_event_handler(MOD_UNLOAD)).toBe(0);
			for (let i = 0; i < 3; i++) yield* NET_EPOCH_DRAIN_CALLBACKS();
			yield* settle();
			expect(ifunit("wg0")).toBe(null);
			expect(ifunit("wg1")).toBe(null);
			expect(b.sc.sc_peers_num).toBe(0);
			expect(allocated()).toEqual(before);
		});
	},
);

test("a module event that is neither is EOPNOTSUPP", () => {
	inThread(wg_world(), function* () {
		expect(yield* wg_module_event_handler(3)).toBe(EOPNOTSUPP);
	});
});

/** A kernel that runs the driver's self-tests when it loads the driver, and what they said. */
function world_with_selftests(generation: wg_generation_name): [Kernel, string[]] {
	const messages: string[] = [];
	const stop = selftest_message.listen((message) => messages.push(message));
	const machine = new Machine({ profile: findProfile("xeon-d")!, cpus: 2, seed: 1 });
	const kernel = new Kernel(machine, {
		tunables: { [WG_GENERATION_TUNABLE]: generation, [WG_CRYPTO_TUNABLE]: "own", "net.wg.selftests": "1" },
	});
	set_curkernel(kernel);
	// they sleep for longer than booting takes otherwise
	const init = uthread_add(mi_startup, undefined, "init");
	if (!runUntilExit(kernel, init, 60e9)) throw new Error("the self-tests did not end");
	stop();
	return [kernel, messages];
}

test("the self-tests run when the module is loaded, if asked for; when they fail it is not", () => {
	const [kernel, messages] = world_with_selftests("2022-09");
	expect(messages).toEqual([
		"allowedips self-tests: pass\n",
		"nonce counter self-test: pass\n",
		"cookie_ratelimit_timings_test: pass\n",
		"cookie_ratelimit_capacity_test: pass\n",
		"cookie_ratelimit_gc_test: pass\n",
		"cookie_mac_test: pass\n",
	]);
	inThread(kernel, function* () {
		expect(yield* wg_module_event_handler(MOD_UNLOAD)).toBe(0);
		// no memory for a self-test's peers
		uma_set_fault((zone) => zone === "WG");
		expect(yield* wg_module_event_handler(MOD_LOAD)).toBe(ENOTRECOVERABLE);
		uma_set_fault(null);
		// everything was taken back, so there is nothing in the way
		expect(yield* wg_module_event_handler(MOD_LOAD)).toBe(0);
	});
});

test("main does not have the self-tests", () => {
	expect(world_with_selftests("main")[1]).toEqual([]);
});

test("what was unloaded can be loaded again", () => {
	inThread(wg_world(), function* () {
		expect(yield* wg_module_event_handler(MOD_UNLOAD)).toBe(0);
		expect(yield* wg_module_event_handler(MOD_LOAD)).toBe(0);
	});
});

/** A driver of crypto(9) that outbids the others and has no room for a session. */
class busy_driver implements cryptodev {
	readonly nameunit = "busy0";
	cryptodev_probesession(): number {
		return CRYPTODEV_PROBE_ACCEL_SOFTWARE;
	}
	cryptodev_newsession(): Blocking<number> {
		return done(EAGAIN);
	}
	cryptodev_freesession(): Blocking<void> {
		return DONE;
	}
	cryptodev_process(): Blocking<number> {
		return done(EAGAIN);
	}
}

describe("a module that cannot be loaded, as crypto(9) has no session for it", () => {
	function load_without_crypto(generation: wg_generation_name): void {
		const machine = new Machine({ profile: findProfile("xeon-d")!, cpus: 2, seed: 1 });
		const kernel = boot(machine, {
			tunables: { [WG_GENERATION_TUNABLE]: generation, [WG_CRYPTO_TUNABLE]: "cryptosoft" },
		});
		inThread(kernel, function* () {
			expect(yield* wg_module_event_handler(MOD_UNLOAD)).toBe(0);
			const before = allocated();
			const id = yield* crypto_get_driverid(new busy_driver(), () => ({}), CRYPTOCAP_F_SOFTWARE | CRYPTOCAP_F_SYNC);
			expect(yield* module_register_init(wg_module_event_handler)).toBe(EAGAIN);
			expect(allocated()).toEqual(before);
			yield* crypto_unregister_all(id);
			expect(yield* module_register_init(wg_module_event_handler)).toBe(0);
		});
	}

	test("2022-09 takes back what it did, and is then told to unload, which does it again (BZ-T5)", () => {
		expect(() => load_without_crypto("2022-09")).toThrow(/osd_deregister: unused slot/);
	});

	test.each(["main", "blake2-library"] as const)("%s leaves nothing behind, and can be loaded later", (generation) => {
		load_without_crypto(generation);
	});
});

test("2021-11 whose self-tests fail stays registered with jails and has no zone (BZ-62)", () => {
	const [kernel] = world_with_selftests("2021-11");
	inThread(kernel, function* () {
		expect(yield* wg_module_event_handler(MOD_UNLOAD)).toBe(0);
		uma_set_fault((zone) => zone === "WG");
		expect(yield* wg_module_event_handler(MOD_LOAD)).toBe(ENOTRECOVERABLE);
		uma_set_fault(null);
	});
	// jails and ratelimiters are still there to be taken back, the zone is not
	expect(() => inThread(kernel, () => wg_module_event_handler(MOD_UNLOAD))).toThrow(/wg packet destroyed twice/);
});
