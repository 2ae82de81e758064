/** uma(9) and malloc(9): reuse, limits, secondary zones, leaks, fail points. */
import { beforeEach, describe, expect, test } from "vitest";
import {
	free_account,
	MALLOC_DEFINE,
	malloc_account,
	malloc_leaks,
	malloc_uninit,
} from "../../../src/kernel/mbuf/malloc.ts";
import {
	M_NOWAIT,
	M_WAITOK,
	M_ZERO,
	UMA_ALIGN_PTR,
	uma_leaks,
	uma_printf,
	uma_set_fault,
	uma_zalloc,
	uma_zalloc_arg,
	uma_zcreate,
	uma_zdestroy,
	uma_zfree,
	type uma_zone,
	uma_zone_get_cur,
	uma_zone_list,
	uma_zone_reclaim,
	uma_zone_set_max,
	uma_zone_set_warning,
	uma_zsecond_create,
} from "../../../src/kernel/mbuf/uma.ts";
import { hostthread, set_curthread } from "../../../src/kernel/sched/thread.ts";
import type { Machine } from "../../../src/machine/machine.ts";
import { boot } from "./support.ts";

class thing {
	value = 0;
}

let machine: Machine;
beforeEach(() => {
	machine = boot();
});

function onCpu(cpu: number): void {
	set_curthread(hostthread, machine.cpus[cpu]!);
}

function zone(size = 128, flags = 0): uma_zone<thing> {
	return uma_zcreate<thing>("thing", size, null, null, null, null, UMA_ALIGN_PTR, flags, () => new thing());
}

function messages(f: () => void): string[] {
	const seen: string[] = [];
	const stop = uma_printf.listen((message) => seen.push(message));
	f();
	stop();
	return seen;
}

describe("reuse", () => {
	test("a CPU gets back first what it freed last", () => {
		const z = zone();
		const items = Array.from({ length: 10 }, () => uma_zalloc(z, M_NOWAIT)!);
		expect(new Set(items).size).toBe(10);
		for (const item of items) uma_zfree(z, item);
		expect(uma_zone_get_cur(z)).toBe(0);
		expect(items.map(() => uma_zalloc(z, M_NOWAIT))).toEqual([...items].reverse());
		expect(items.map(() => uma_zalloc(z, M_NOWAIT)).some((item) => items.includes(item!))).toBe(false);
	});

	test("what a CPU has freed is in its own cache: another pays for a bucket of its own", () => {
		const z = zone();
		uma_zfree(z, uma_zalloc(z, M_NOWAIT));
		const { free } = uma_zone_list()[0]!;
		onCpu(1);
		uma_zalloc(z, M_NOWAIT);
		expect(uma_zone_list()[0]!.free).toBe(2 * free - 1);
	});

	test("the object freed last is used first, whichever CPU freed it", () => {
		const z = zone();
		const items = [uma_zalloc(z, M_NOWAIT)!, uma_zalloc(z, M_NOWAIT)!];
		onCpu(1);
		uma_zfree(z, uma_zalloc(z, M_NOWAIT));
		uma_zfree(z, items[0]!);
		uma_zfree(z, items[1]!);
		onCpu(0);
		expect(uma_zalloc(z, M_NOWAIT)).toBe(items[1]);
		expect(uma_zalloc(z, M_NOWAIT)).toBe(items[0]);
	});

	test("full buckets go through the zone from a CPU that frees to one that allocates", () => {
		const z = zone(2048);
		for (let round = 0; round < 50; round++) {
			onCpu(0);
			const items = Array.from({ length: 40 }, () => uma_zalloc(z, M_NOWAIT)!);
			onCpu(1);
			for (const item of items) uma_zfree(z, item);
		}
		expect(uma_zone_get_cur(z)).toBe(0);
		const { free, requests } = uma_zone_list()[0]!;
		expect(requests).toBe(2000);
		expect(free).toBeLessThan(80);
	});

	test("a cache hit costs uma_zalloc, a bucket more", () => {
		const z = zone();
		uma_zfree(z, uma_zalloc(z, M_NOWAIT));
		const before = hostthread.td_pending;
		uma_zfree(z, uma_zalloc(z, M_NOWAIT));
		expect(hostthread.td_pending - before).toBe(machine.costs.uma_zalloc + machine.costs.uma_zfree);
		onCpu(2);
		const miss = hostthread.td_pending;
		uma_zalloc(z, M_NOWAIT);
		expect(hostthread.td_pending - miss).toBeGreaterThan(machine.costs.uma_zalloc + machine.costs.uma_bucket);
	});

	test("ctor and dtor run each time; init and fini when an item enters and leaves the zone", () => {
		const log: string[] = [];
		const z = uma_zcreate<thing, number>(
			"logged",
			4096,
			(item, arg) => {
				item.value = arg;
				log.push("ctor");
				return arg < 0 ? 1 : 0;
			},
			() => log.push("dtor"),
			() => {
				log.push("init");
				return 0;
			},
			() => log.push("fini"),
			UMA_ALIGN_PTR,
			0,
			() => new thing(),
		);
		const a = uma_zalloc_arg(z, 7, M_NOWAIT)!;
		expect(a.value).toBe(7);
		uma_zfree(z, a);
		expect(uma_zalloc_arg(z, -1, M_NOWAIT)).toBeNull();
		expect(uma_zdestroy(z)).toBe(0);
		// two to a bucket at this size
		expect(log).toEqual(["init", "init", "ctor", "dtor", "ctor", "fini", "fini"]);
	});

	test("M_ZERO clears byte arrays", () => {
		const z = uma_zcreate<Uint8Array>("b", 16, null, null, null, null, UMA_ALIGN_PTR, 0, () => new Uint8Array(16));
		const b = uma_zalloc(z, M_NOWAIT)!;
		b.fill(1);
		uma_zfree(z, b);
		expect(uma_zalloc(z, M_NOWAIT | M_ZERO)).toEqual(new Uint8Array(16));
	});

	test("not in a critical section", () => {
		const z = zone();
		hostthread.td_critnest++;
		expect(() => uma_zalloc(z, M_NOWAIT)).toThrow("critical section");
		hostthread.td_critnest--;
	});
});

describe("limits", () => {
	test("count what other CPUs cache: one CPU may fail while another has free items", () => {
		const z = zone(1024);
		uma_zone_set_max(z, 16);
		uma_zone_set_warning(z, "kern.things limit reached");
		uma_zfree(z, uma_zalloc(z, M_NOWAIT));
		onCpu(1);
		const seen = messages(() => {
			expect(uma_zalloc(z, M_NOWAIT)).toBeNull();
			expect(uma_zalloc(z, M_NOWAIT)).toBeNull();
		});
		expect(seen).toEqual(["[zone: thing] kern.things limit reached"]);
		expect(z.uz_fails).toBe(2);
		onCpu(0);
		expect(uma_zalloc(z, M_NOWAIT)).not.toBeNull();
	});

	test("M_WAITOK is granted all the same, and counted", () => {
		const z = zone(1024);
		uma_zone_set_max(z, 2);
		const items = [1, 2, 3].map(() => uma_zalloc(z, M_WAITOK)!);
		expect(z.uz_sleeps).toBe(1);
		for (const item of items) uma_zfree(z, item);
		expect(uma_leaks()).toEqual([]);
	});
});

describe("leaks", () => {
	test("are listed by zone", () => {
		const z = zone();
		uma_zalloc(z, M_NOWAIT);
		expect(uma_leaks()).toEqual([{ zone: "thing", used: 1 }]);
	});

	test("a destroyed zone says so, in FreeBSD's words", () => {
		const z = zone(3000);
		for (let i = 0; i < 3; i++) uma_zalloc(z, M_NOWAIT);
		expect(messages(() => expect(uma_zdestroy(z)).toBe(3))).toEqual([
			"Freed UMA keg (thing) was not empty (3 items).  Lost 3 pages of memory.",
		]);
		expect(uma_leaks()).toEqual([{ zone: "thing", used: 3 }]);
		expect(() => uma_zdestroy(z)).toThrow("twice");
	});

	test("what a secondary zone's cached items hold is no leak", () => {
		const inner = zone();
		const master = zone();
		const held = new Map<thing, thing>();
		const outer = uma_zsecond_create<thing>(
			"outer",
			null,
			null,
			(item, flags) => {
				const got = uma_zalloc(inner, flags);
				if (got === null) return 12;
				held.set(item, got);
				return 0;
			},
			(item) => uma_zfree(inner, held.get(item)!),
			master,
		);
		outer.uz_holds = inner as unknown as uma_zone<object, never>;
		const a = uma_zalloc(outer, M_NOWAIT)!;
		expect(uma_leaks()).toEqual([{ zone: "outer", used: 1 }]);
		uma_zfree(outer, a);
		expect(uma_leaks()).toEqual([]);
		expect(uma_zone_get_cur(inner)).toBeGreaterThan(0);
		expect(uma_zdestroy(outer)).toBe(0);
		expect(uma_zone_get_cur(inner)).toBe(0);
	});

	test("of malloc types, too", () => {
		const M_TEST = MALLOC_DEFINE("Test", "a test");
		expect(malloc_account(M_TEST, 100, M_WAITOK)).toBe(true);
		expect(malloc_account(M_TEST, 50, M_WAITOK)).toBe(true);
		free_account(M_TEST, 100);
		expect(malloc_leaks()).toEqual([{ type: "Test", allocations: 1, bytes: 50 }]);
		expect(messages(() => malloc_uninit(M_TEST))).toEqual([
			"Warning: memory type Test leaked memory on destroy (1 allocations, 50 bytes leaked).",
		]);
		boot();
		expect(malloc_leaks()).toEqual([]);
	});
});

describe("fail points", () => {
	test("fail M_NOWAIT allocations only", () => {
		const z = zone();
		const M_TEST = MALLOC_DEFINE("Test2", "another");
		uma_set_fault((name) => name === "thing" || name === "Test2");
		expect(uma_zalloc(z, M_NOWAIT)).toBeNull();
		expect(malloc_account(M_TEST, 1, M_NOWAIT)).toBe(false);
		uma_zfree(z, uma_zalloc(z, M_WAITOK));
		expect(z.uz_fails).toBe(1);
		uma_set_fault(null);
		expect(uma_zalloc(z, M_NOWAIT)).not.toBeNull();
	});
});

describe("vm.debug.divisor", () => {
	beforeEach(() => {
		machine = boot({ tunables: { "vm.debug.divisor": "1" } });
	});

	test("catches a double free", () => {
		const z = zone();
		const item = uma_zalloc(z, M_NOWAIT);
		uma_zfree(z, item);
		expect(() => uma_zfree(z, item)).toThrow("Duplicate free of item in zone thing");
	});

	test("catches a write after free", () => {
		const z = uma_zcreate<Uint8Array>("b", 8, null, null, null, null, UMA_ALIGN_PTR, 0, () => new Uint8Array(8));
		const item = uma_zalloc(z, M_NOWAIT)!;
		uma_zfree(z, item);
		item[5] = 1;
		expect(() => uma_zalloc(z, M_NOWAIT)).toThrow("Memory modified after free in zone b at byte 5");
	});
});

test("a reclaimed zone gives its full buckets back to the keg, and keeps those of the CPUs", () => {
	const z = zone(2048);
	const items = Array.from({ length: 100 }, () => uma_zalloc(z, M_NOWAIT)!);
	for (const item of items) uma_zfree(z, item);
	uma_zone_reclaim(z);
	expect(z.uz_items).toBeLessThanOrEqual(16);
});
