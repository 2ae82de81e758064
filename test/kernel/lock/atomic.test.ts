/** Shared fields without a lock: the same whether the compiler knows which field it is or not. */
import { expect, test } from "vitest";
import { load, load_read_mostly, race_load, race_store, store } from "../../../src/kernel/lock/atomic.ts";
import { type Blocking, charge, own_time, sync_exactly } from "../../../src/kernel/sched/thread.ts";
import { LEAD_NS, READ_MOSTLY_LEADS } from "../../../src/machine/lead.ts";
import { bootOn, finish, start } from "../sched/support.ts";

interface Shared {
	word: number;
}

/** What is done to `shared` in two ways: by a name in the code, and by one that only turns up when it runs. */
interface Way {
	get(shared: Shared): Blocking<number>;
	put(shared: Shared, value: number): Blocking<void>;
}

const named: Way = {
	*get(shared) {
		return yield* load(shared, "word");
	},
	*put(shared, value) {
		yield* store(shared, "word", value);
	},
};

function found(field: keyof Shared): Way {
	return {
		*get(shared) {
			return yield* load(shared, field);
		},
		*put(shared, value) {
			yield* store(shared, field, value);
		},
	};
}

/** Two threads write to one field and read it, sometimes so far ahead of the clock that they have to wait; all they saw, and when. */
function race(way: Way): unknown[] {
	const kernel = bootOn({ cpus: 2 });
	const shared: Shared = { word: 0 };
	const log: unknown[] = [];
	race_load.on = (object, field, td) => log.push(["load", object === shared, field, td.td_name]);
	race_store.on = (object, field, td) => log.push(["store", object === shared, field, td.td_name]);
	const thread = (cpu: number, pace: number): ReturnType<typeof start> =>
		start(kernel, `thread ${cpu}`, 40, cpu, function* () {
			yield* sync_exactly();
			for (let i = 0; i < 20; i++) {
				charge(pace);
				const before = yield* way.get(shared);
				charge(pace);
				yield* way.put(shared, before + 1);
				log.push([cpu, before, own_time()]);
			}
		});
	try {
		finish(kernel, [thread(0, LEAD_NS / 4), thread(1, LEAD_NS + 50)]);
	} finally {
		race_load.on = null;
		race_store.on = null;
	}
	return [...log, shared.word, kernel.machine.event_count];
}

test("a field is read and written when its turn has come, and whoever watches is told", () => {
	const log = race(named);
	expect(log).toEqual(race(found("word")));
	expect(log.filter((entry) => Array.isArray(entry) && entry[2] === "word")).toHaveLength(80);
	// each saw what the other had written, and some of it was lost
	expect(log.at(-2)).toBeLessThan(40);
	expect(log.at(-2)).toBeGreaterThan(20);
});

test("what hardly ever changes may be an older value, but not much older", () => {
	const age = (ahead: number, lead_ns: number): number => {
		const kernel = bootOn({ cpus: 2, lead_ns });
		const shared: Shared = { word: 0 };
		let seen = -1;
		const writer = start(kernel, "writer", 40, 0, function* () {
			for (let i = 1; i <= 100; i++) {
				charge(100);
				yield* sync_exactly();
				yield* store(shared, "word", own_time());
			}
		});
		const reader = start(kernel, "reader", 40, 1, function* () {
			charge(2_000);
			yield* sync_exactly();
			charge(ahead);
			seen = own_time() - (yield* load_read_mostly(shared, "word"));
		});
		finish(kernel, [writer, reader]);
		return seen;
	};
	const most = READ_MOSTLY_LEADS * LEAD_NS;
	expect(age(3_000, 0)).toBeLessThan(500);
	expect(age(3_000, LEAD_NS)).toBeGreaterThan(2_500);
	expect(age(most + 1, LEAD_NS)).toBeLessThan(500);
});
