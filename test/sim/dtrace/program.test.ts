/** Programs: what they compute, what they print, and what is said of those that make no sense. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { scalar, type Table, type Value } from "../../../sim/dtrace/aggregation.ts";
import { printTables, tableData } from "../../../sim/dtrace/print.ts";
import { describes } from "../../../sim/dtrace/probes.ts";
import { Program } from "../../../sim/dtrace/program.ts";
import { UsageError } from "../../../sim/errors.ts";
import { SDT_PROBE_DEFINE } from "../../../src/kernel/probe/probe.ts";
import { thread } from "../../../src/kernel/sched/thread.ts";
import "../../../src/kernel/sched/ule.ts";

const hit = SDT_PROBE_DEFINE<[n: number, s: string, td: thread | null, flag: boolean]>(
	"test:dtrace::hit",
	"n: number, s: string, td: thread, flag: boolean",
);
const miss = SDT_PROBE_DEFINE<[n: number]>("test:dtrace::miss", "n: number");

const FACTS = { policy: "all-cpus", seed: 1, one_of_many: false };
const td = new thread(7, "wg_tqg_7", 8);

/** What a program has come to after the probe was hit with each of `firings`. */
function tablesOf(text: string, firings: readonly (readonly [n: number, s?: string])[], facts = FACTS): Table[] {
	const program = new Program(text, facts);
	const detach = program.attach();
	for (const [n, s] of firings) hit.on?.(n, s ?? "", td, n > 0);
	detach();
	expect(hit.on).toBeNull();
	return program.tables();
}

function rowsOf(table: Table): Map<string, number> {
	return new Map(table.rows.map(({ keys, cell }) => [JSON.stringify(keys), scalar(table.action, cell)]));
}

/** The value of an expression, which is 0 for n. */
function resultOf(expression: string): number {
	const [table] = tablesOf(`hit { max(${expression}) }`, [[0]]);
	return scalar("max", table.rows[0].cell);
}

describe("what a program computes", () => {
	test("is what somebody would find who wrote down every firing", () => {
		const firing = fc.tuple(fc.integer({ min: -9, max: 9 }), fc.constantFrom("a", "b", "", 'say "so"', "a,b"));
		fc.assert(
			fc.property(fc.array(firing, { maxLength: 60 }), fc.integer({ min: -9, max: 9 }), (firings, least) => {
				const tables = tablesOf(
					`hit /n >= ${least}/ { @n[s, n % 3] = count(); @t[s] = sum(n * n - 1); @low = min(n) }`,
					firings,
				);
				const n = new Map<string, number>();
				const t = new Map<string, number>();
				const kept = firings.filter(([value]) => value >= least);
				for (const [value, s] of kept) {
					const key = JSON.stringify([s, (value % 3) + 0]);
					n.set(key, (n.get(key) ?? 0) + 1);
					t.set(JSON.stringify([s]), (t.get(JSON.stringify([s])) ?? 0) + value * value - 1);
				}
				expect(rowsOf(tables[0])).toEqual(n);
				expect(rowsOf(tables[1])).toEqual(t);
				expect([...rowsOf(tables[2]).values()]).toEqual(
					kept.length === 0 ? [] : [Math.min(...kept.map(([value]) => value))],
				);
			}),
		);
	});

	test("operators bind as in C", () => {
		// of these, JavaScript has the same precedence and, as numbers, the same results
		const operator = fc.constantFrom("+", "-", "*", "<", "<=", ">", ">=", "==", "!=", "&", "|", "^");
		const operand = fc.tuple(fc.constantFrom("", "", "-", "~", "!"), fc.integer({ min: 0, max: 9 }));
		fc.assert(
			fc.property(fc.array(fc.tuple(operator, operand), { minLength: 1, maxLength: 6 }), (parts) => {
				const text = `3 ${parts.map(([sign, [unary, n]]) => `${sign} ${unary}${n}`).join(" ")}`;
				const expected: unknown = new Function(`return ${text}`)();
				expect(resultOf(text)).toBe(Number(expected) + 0);
			}),
		);
	});

	test.each<[string, number]>([
		["7 / 2", 3],
		["-7 / 2", -3],
		["-7 % 3", -1],
		["1 << 40", 2 ** 40],
		["0xff00 >> 8", 255],
		["(1 << 40) | 1", 2 ** 40 + 1],
		["2 && 3", 1],
		["0 || 0", 0],
		["1 ^^ 1", 0],
		['s == "" ? 10 : 20', 10],
		["flag", 0],
		["td->td_tid", 7],
		["args[2]->td_tid", 7],
		["td.td_priority", 8],
		['td->td_name == "wg_tqg_7"', 1],
		["td->td_vnet->vnet_id", 0],
		["/* a remark */ 5", 5],
		["seed", 1],
		['probename == "test:dtrace::hit"', 1],
	])("%s", (text, expected) => {
		expect(resultOf(text)).toBe(expected);
	});

	test("a slash in brackets divides, one outside ends the condition", () => {
		expect(tablesOf("hit /(n / 2) == 3/ { count() }", [[6], [7], [8]])[0].rows[0].cell.count).toBe(2);
	});

	test("variables carry a value from one firing to the next, and begin as 0", () => {
		const [table] = tablesOf("hit { @ = max(n - last); last = n; }", [[5], [7], [20], [21]]);
		expect(scalar("max", table.rows[0].cell)).toBe(13);
	});

	test("arrays have an element for each key, threads a variable each", () => {
		const text = "hit { seen[s] = seen[s] + 1; self->n = n; } hit /seen[s] > 1/ { sum(self->n) by s }";
		const firings = [
			[1, "a"],
			[2, "a"],
			[3, "b"],
			[4, "a"],
		] as const;
		expect(rowsOf(tablesOf(text, firings)[0])).toEqual(new Map([['["a"]', 6]]));
	});

	test("a division by zero counts for nothing, and is told of", () => {
		const program = new Program("hit { sum(12 / n) }", FACTS);
		const detach = program.attach();
		for (const n of [0, 3, 0]) hit.on?.(n, "", td, true);
		detach();
		expect(scalar("sum", program.tables()[0].rows[0].cell)).toBe(4);
		expect(program.complaints()).toEqual(["test:dtrace::hit: division by zero: 2 firings left out"]);
	});

	test("of several policies, each has rows of its own", () => {
		const facts = { ...FACTS, one_of_many: true };
		const keys = (text: string): readonly Value[] => tablesOf(text, [[4]], facts)[0].rows[0].keys;
		expect(keys("hit { count() by n }")).toEqual(["all-cpus", 4]);
		expect(keys("hit { count() by n, policy }")).toEqual([4, "all-cpus"]);
	});
});

describe("descriptions of probes", () => {
	test.each<[string, string, boolean]>([
		["sched:::on-cpu", "sched:::on-cpu", true],
		["on-cpu", "sched:::on-cpu", true],
		["sched:::", "sched:::on-cpu", true],
		["::on-cpu", "sched:::on-cpu", true],
		["sched:::o*", "sched:::off-cpu", true],
		["sched:::o?-cpu", "sched:::on-cpu", true],
		["sched:::o?-cpu", "sched:::off-cpu", false],
		["sched", "sched:::on-cpu", false],
		["wg:noise::*", "wg:noise::handshake-secrets", true],
		["a:sched:::on-cpu", "sched:::on-cpu", false],
		["sched:::on.cpu", "sched:::on-cpu", false],
	])("%s and %s: %s", (description, name, expected) => {
		expect(describes(description, name)).toBe(expected);
	});

	test("one clause may have several probes, each with its own arguments", () => {
		const program = new Program("hit, miss { count() by probename, n }", FACTS);
		const detach = program.attach();
		hit.on?.(1, "", null, false);
		miss.on?.(1);
		detach();
		expect([...rowsOf(program.tables()[0]).keys()]).toEqual(['["test:dtrace::hit",1]', '["test:dtrace::miss",1]']);
		expect(() => new Program("hit, miss { count() by s }", FACTS)).toThrow(/test:dtrace::miss has no s/);
	});
});

describe("a program that makes no sense is refused with one line that says where", () => {
	test.each<[string, RegExp]>([
		["", /^trace: column 1: the program is empty/],
		["hit", /column 4: expected "\{" before what to do, not the end/],
		["hit {}", /column 6: nothing to do/],
		["hit { count() ", /column 15: expected ";" or "\}", not the end/],
		["sched:::onn-cpu { count() }", /column 1: no probe sched:::onn-cpu; did you mean sched:::on-cpu/],
		["nonsense { count() }", /column 1: no probe nonsense: ifwg list probes/],
		["hit { cuont() }", /column 7: no action cuont\(\); did you mean count\?/],
		["hit { sum() }", /column 7: write sum\(value\); 0 values are given/],
		["hit { sum(m) }", /column 11: test:dtrace::hit has no m; did you mean|; there is n, s, td, flag/],
		["hit { sum(s) }", /column 11: what sum\(\) is given must be a number, not a text/],
		["hit { sum(td) }", /column 11: what sum\(\) is given is a thread; name one of its fields: td_tid/],
		["hit { sum(td->td_tidd) }", /column 15: no td_tidd in thread; did you mean td_tid/],
		["hit { sum(td->constructor) }", /column 15: no constructor in thread/],
		["hit { sum(n->x) }", /column 14: a number has no fields/],
		["hit { sum(args[9]) }", /column 11: test:dtrace::hit has 4 arguments/],
		["hit { count() by td }", /column 18: a key is a thread/],
		["hit { @[s] = count(); @[n] = count(); }", /column 23: @ has other keys before/],
		["hit { @a = count(); @a = sum(n); }", /column 21: @a is count\(\) before/],
		["hit { lquantize(n, 0, 10, 0) }", /the step must be 1 or more/],
		["hit { lquantize(n, 10, 0) }", /no step fits/],
		["hit { lquantize(n, n, 10) }", /column 20: lquantize: bounds and step must be plain numbers/],
		['hit { x = 1; x = "a"; }', /column 14: x is a number before/],
		["hit { sum(seen[s]) }", /column 11: nothing is ever assigned to seen\[\]/],
		["hit { sum(self->x) }", /column 11: nothing is ever assigned to self->x/],
		["hit { n = 1; }", /column 7: n cannot be assigned to/],
		["hit { timestamp = 1; }", /timestamp cannot be assigned to/],
		['hit /n == "a"/ { count() }', /column 8: == compares a number with a text/],
		['hit { sum("abc) }', /column 11: a text that does not end/],
		["hit { sum(9007199254740993) }", /column 11: 9007199254740993 is too large/],
		["hit\n{\n  sum(q) }", /^trace: line 3, column 7: test:dtrace::hit has no q/],
		[`hit { sum(${"(".repeat(5000)}1${")".repeat(5000)}) }`, /deeper than 100 levels/],
		["hit { sum(n # 1) }", /column 13: what is "#"\?/],
	])("%s", (text, message) => {
		let said = "";
		try {
			new Program(text, FACTS);
		} catch (error) {
			if (!(error instanceof UsageError)) throw error;
			said = error.message;
		}
		expect(said).toMatch(message);
		expect(said).not.toContain("\n");
	});

	test("whatever is written, there is a program or one line", () => {
		const piece = fc.constantFrom(
			...'hit { } ( ) [ ] / @ = , ; n s td -> + - by count sum quantize 1 "a" ? : self'.split(" "),
		);
		fc.assert(
			fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
				try {
					new Program(pieces.join(" "), FACTS);
				} catch (error) {
					expect(error).toBeInstanceOf(UsageError);
					expect((error as Error).message).not.toContain("\n");
				}
			}),
		);
	});
});

describe("it is printed as dtrace(1) prints it", () => {
	test("a distribution: bars of 40, the empty rows at the ends", () => {
		// 4 of 5 are 32 characters, 1 of 5 is 8
		const tables = tablesOf("hit { quantize(n) by s }", [
			[20_000, "bash"],
			[17_000, "bash"],
			[32_767, "bash"],
			[16_384, "bash"],
			[131_072, "bash"],
		]);
		expect(printTables(tables)).toEqual([
			"  bash                                              ",
			"           value  ------------- Distribution ------------- count    ",
			"            8192 |                                         0        ",
			"           16384 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@         4        ",
			"           32768 |                                         0        ",
			"           65536 |                                         0        ",
			"          131072 |@@@@@@@@                                 1        ",
			"          262144 |                                         0        ",
			"",
		]);
	});

	test("a linear distribution, with what lies beyond its ends", () => {
		const tables = tablesOf("hit { lquantize(n, 0, 10, 5) }", [[-3], [2], [12], [99]]);
		expect(printTables(tables)).toEqual([
			"",
			"           value  ------------- Distribution ------------- count    ",
			"             < 0 |@@@@@@@@@@                               1        ",
			"               0 |@@@@@@@@@@                               1        ",
			"               5 |                                         0        ",
			"           >= 10 |@@@@@@@@@@@@@@@@@@@@                     2        ",
			"",
		]);
	});

	test("numbers: keys in columns, smallest first; several aggregations under their names", () => {
		const tables = tablesOf("hit { @t[s, n] = sum(n); @c = count(); }", [
			[3, "b"],
			[2, "a"],
			[2, "b"],
		]);
		expect(printTables(tables)).toEqual([
			"@t",
			`  a${" ".repeat(49)}        2                2`,
			`  b${" ".repeat(49)}        2                2`,
			`  b${" ".repeat(49)}        3                3`,
			"",
			"@c",
			"                3",
		]);
		expect(tableData(tables[0])).toMatchObject({
			name: "t",
			action: "sum",
			keys: ["s", "n"],
			rows: [{ keys: ["a", 2], value: 2 }, {}, {}],
		});
	});
});
