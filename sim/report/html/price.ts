/** Sections about the price: wakeups, CPU time, C-states, energy, on metal and in a virtual machine; locks; sensitivity. */
import { findProfile } from "../../../src/machine/profile.ts";
import { type Cell, type Comparison, mean } from "../../compare.ts";
import { ENERGY_FORMULA } from "../../energy.ts";
import type { LockUse } from "../../metrics.ts";
import type { RunResult } from "../../result.ts";
import { grouped, percent, readableTime } from "../../units.ts";
import { element, type Markup } from "../markup.ts";
import type { ReportData } from "../plan.ts";
import type { Sensitivity } from "../sensitivity.ts";
import { type BarGroup, bars, stacks } from "../svg/bars.ts";
import { tornado } from "../svg/ranges.ts";
import { counts, label, price, sumLocks } from "../text.ts";
import { code, dataTable, figure, numbers, paragraph, section } from "./parts.ts";

const LOCKS_DRAWN = 5;
const COSTS_DRAWN = 15;

interface Place {
	readonly heading: string;
	readonly cells: readonly Cell[];
}

/** The machine of the comparison and the other one; of each, every policy with the first cipher. */
function places({ comparison, elsewhere }: ReportData): Place[] {
	return [comparison, elsewhere].map(({ options, cells }) => {
		const { machine } = options.base;
		const virtual = findProfile(machine)?.virtualised === true;
		return {
			heading: `${machine}, ${virtual ? "a virtual machine" : "bare metal"}`,
			cells: cells.filter((cell) => cell.crypto === options.cryptos[0]),
		};
	});
}

const CPU_PARTS = [
	{ what: "crypto", name: "useful" },
	{ what: "spin", name: "spinning on locks" },
	{ what: "nothing", name: "woken for nothing" },
	{ what: "wake", name: "waking up" },
	{ what: "poll", name: "polling" },
	{ what: "halt", name: "halted" },
] as const;

function whole(run: RunResult): number {
	return run.cpu_busy_ns + run.cpu_wake_ns + run.cpu_poll_ns + run.cpu_idle_ns || 1;
}

function cpuShares(runs: readonly RunResult[]): number[] {
	const parts = runs.map((run) =>
		[
			run.cpu_busy_ns - run.cpu_wasted_ns - run.cpu_spin_ns,
			run.cpu_spin_ns,
			run.cpu_wasted_ns,
			run.cpu_wake_ns,
			run.cpu_poll_ns,
			run.cpu_idle_ns,
		].map((ns) => Math.max(0, ns) / whole(run)),
	);
	return CPU_PARTS.map((_, i) => mean(parts.map((shares) => shares[i])));
}

/** Energy for one bit carried, nJ; not a number if nothing was carried. */
function energyPerBit(run: RunResult): number {
	return (run.energy_proxy_j * 1e18) / (run.throughput_bps * run.duration_ns || Number.NaN);
}

interface Price {
	readonly name: string;
	readonly of: (run: RunResult) => number;
	readonly show: (value: number) => string;
}

const perSecond =
	(pick: (run: RunResult) => number) =>
	(run: RunResult): number =>
		(pick(run) * 1e9) / run.duration_ns;
const twoDecimals = (value: number): string => (Number.isFinite(value) ? value.toFixed(2) : "–");

const PRICES: readonly Price[] = [
	{ name: "threads woken per second", of: perSecond((run) => run.wakeups), show: grouped },
	{ name: "IPIs per second", of: perSecond((run) => run.ipis), show: grouped },
	{ name: "CPUs woken from a halt per second", of: perSecond((run) => run.cpu_wakeups), show: grouped },
	{ name: "energy proxy, W", of: perSecond((run) => run.energy_proxy_j), show: twoDecimals },
	{ name: "energy proxy, nJ per bit carried", of: energyPerBit, show: twoDecimals },
];

function priceBars(
	id: string,
	title: string,
	prices: readonly number[],
	where: readonly Place[],
	policies: readonly string[],
): Markup {
	const [which] = prices;
	const { of, show } = PRICES[which];
	const groups: BarGroup[] = where.map(({ heading, cells }) => ({
		heading,
		rows: cells.map((cell) => {
			const value = mean(cell.runs.map(of));
			return {
				label: cell.policy,
				value: Number.isFinite(value) ? value : 0,
				shown: show(value),
				series: policies.indexOf(cell.policy),
			};
		}),
	}));
	const told = groups.flatMap((group) => group.rows.map((row) => `${group.heading}, ${row.label}: ${row.shown}.`));
	return bars({ id, title, description: told.join(" ") }, groups);
}

function cstateTable(where: readonly Place[]): Markup {
	const rows = where.flatMap(({ heading, cells }) => {
		const names = cells[0].runs[0].cstates.map((state) => state.name);
		return [
			[`${heading}: busy`, ...cells.map((cell) => percent(mean(cell.runs.map((run) => run.cpu_busy_ns / whole(run)))))],
			[
				`${heading}: polling`,
				...cells.map((cell) => percent(mean(cell.runs.map((run) => run.cpu_poll_ns / whole(run))))),
			],
			...names.map((name, i) => [
				`${heading}: ${name}`,
				...cells.map((cell) => percent(mean(cell.runs.map((run) => run.cstates[i].ns / whole(run))))),
			]),
		];
	});
	return dataTable(numbers("", ...where[0].cells.map((cell) => cell.policy)), rows, {
		caption: "Where CPUs spend their time, C-states included",
	});
}

export function powerSection(data: ReportData): Markup {
	const where = places(data);
	const { policies } = data.comparison.options;
	const shares = where.map(({ heading, cells }) => ({
		heading,
		rows: cells.map((cell) => ({ label: cell.policy, shares: cpuShares(cell.runs) })),
	}));
	const told = shares.flatMap(({ heading, rows }) =>
		rows.map(
			(row) =>
				`${heading}, ${row.label}: ${CPU_PARTS.map((part, i) => `${part.name} ${percent(row.shares[i])}`).join(", ")}.`,
		),
	);
	const table = dataTable(
		numbers("", ...where.flatMap(({ cells }) => cells.map((cell) => cell.policy))),
		PRICES.map(({ name, of, show }) => [
			name,
			...where.flatMap(({ cells }) => cells.map((cell) => show(mean(cell.runs.map(of))))),
		]),
		{
			caption: where.map(({ heading, cells }) => `${heading}: ${cells.length} columns, ${runsText(cells)}`).join("; "),
		},
	);
	return section(
		"power",
		"Wakeups, idle states and energy",
		element(
			"div",
			{ class: "pair" },
			figure(
				[element("b", {}, "CPU time of all CPUs. "), "A CPU that polls or wakes is awake without doing anything."],
				stacks(
					{ id: "fig-cpu-time", title: "What the CPUs did with their time", description: told.join(" ") },
					CPU_PARTS,
					shares,
				),
				cstateTable(where),
			),
			element(
				"div",
				{},
				figure(
					[element("b", {}, "Threads woken per second. ")],
					priceBars("fig-wakeups", "Threads woken per second", [0], where, policies),
					table,
				),
				figure(
					[element("b", {}, "Energy proxy, nJ per bit carried. "), "No measurement; for ratios on one machine."],
					priceBars("fig-energy", "Energy proxy for one bit carried, in nJ", [4], where, policies),
					table,
				),
			),
		),
		paragraph(
			`The second machine was run once per policy, with seed ${data.elsewhere.options.seeds[0]}. Energy proxy: ${ENERGY_FORMULA}.`,
		),
		element(
			"details",
			{},
			element("summary", {}, "Everything counted, every policy and cipher"),
			"\n",
			priceTable(data.comparison),
		),
	);
}

function runsText(cells: readonly Cell[]): string {
	const n = cells[0].runs.length;
	return n === 1 ? "one run each" : `averages of ${n} runs`;
}

/** The table of the text report. */
function priceTable({ cells }: Comparison): Markup {
	return dataTable(
		numbers("", ...cells.map(label)),
		[...counts, ...price].map((row) => [row.label, ...cells.map((cell) => row.of(cell.runs))]),
	);
}

/** Time spent waiting for a lock, per second of all CPUs' time. */
function waitShare(lock: LockUse, runs: readonly RunResult[]): number {
	return (lock.spin_ns + lock.block_ns) / mean(runs.map((run) => run.duration_ns));
}

export function lockSection({ comparison }: ReportData): Markup {
	const { options } = comparison;
	const cells = comparison.cells.filter((cell) => cell.crypto === options.cryptos[0]);
	const locks = cells.map((cell) => sumLocks(cell.runs).filter((lock) => lock.contested > 0));
	if (locks.every((list) => list.length === 0)) {
		return section("locks", "Locks", paragraph("Nobody waited for a lock."));
	}
	const worst = new Map<string, number>();
	for (const [i, list] of locks.entries()) {
		for (const lock of list) {
			worst.set(lock.name, Math.max(worst.get(lock.name) ?? 0, waitShare(lock, cells[i].runs)));
		}
	}
	const names = [...worst.keys()]
		.sort((a, b) => worst.get(b)! - worst.get(a)! || (a < b ? -1 : 1))
		.slice(0, LOCKS_DRAWN);
	const groups: BarGroup[] = names.map((name) => ({
		heading: name,
		rows: cells.map((cell, i) => {
			const lock = locks[i].find((one) => one.name === name);
			const value = lock === undefined ? 0 : waitShare(lock, cell.runs);
			const contested = lock === undefined ? 0 : lock.contested / lock.acquisitions;
			return {
				label: cell.policy,
				value,
				shown: `${percent(value)}, contested ${percent(contested)}`,
				series: options.policies.indexOf(cell.policy),
			};
		}),
	}));
	const told = groups.flatMap((group) => group.rows.map((row) => `${group.heading}, ${row.label}: ${row.shown}.`));
	return section(
		"locks",
		"Locks",
		figure(
			[
				element("b", {}, "Time threads waited for a lock, "),
				"as a share of the time measured: 100 % is one thread waiting all the time. Beside it, how many acquisitions found the lock taken.",
			],
			bars({ id: "fig-locks", title: "Locks most waited for", description: told.join(" ") }, groups),
			dataTable(
				numbers("", "acquired", "contested", "spinning", "blocked"),
				cells.flatMap((cell, i) =>
					locks[i].map((lock) => [
						`${cell.policy}: ${lock.name}`,
						grouped(lock.acquisitions),
						percent(lock.contested / lock.acquisitions),
						readableTime(lock.spin_ns),
						readableTime(lock.block_ns),
					]),
				),
				{ caption: `Per run, ${options.cryptos[0]} crypto` },
			),
		),
	);
}

export function sensitivitySection(sensitivity: Sensitivity | null): Markup {
	const title = "If the costs are wrong";
	if (sensitivity === null) {
		return section(
			"sensitivity",
			title,
			paragraph(
				"Every cost of the model has a plausible range from its source. This report was made without a study of what happens within these ranges: ",
				code("ifwg sensitivity --json > study.json"),
				" makes one, and ",
				code("--sensitivity study.json"),
				" draws it here.",
			),
		);
	}
	const { rows, conclusions, points, machine, cpus } = sensitivity;
	const far = (row: (typeof rows)[number]): number =>
		Math.max(row.low, row.high, row.base) - Math.min(row.low, row.high, row.base);
	const drawn = [...rows].sort((a, b) => far(b) - far(a)).slice(0, COSTS_DRAWN);
	const ratio = (value: number): string => value.toFixed(2);
	const [most] = drawn;
	return section(
		"sensitivity",
		title,
		most === undefined
			? null
			: figure(
					[
						element("b", {}, "Throughput ratio, round-robin : all-cpus, when one cost is wrong. "),
						`${machine}, ${cpus} CPUs. − is the low end of the cost's range, + the high end; the ${drawn.length} of ${rows.length} costs that move the ratio most.`,
					],
					tornado(
						{
							id: "fig-sensitivity",
							title: "How far each cost moves the throughput ratio",
							description: `${most.name} moves it most: from ${ratio(Math.min(most.low, most.high))} to ${ratio(Math.max(most.low, most.high))}.`,
						},
						drawn,
						ratio,
						{ value: 1, name: "no difference" },
					),
					dataTable(
						numbers("cost", "low end", "as it is", "high end"),
						rows.map((row) => [row.name, ratio(row.low), ratio(row.base), ratio(row.high)]),
					),
				),
		conclusions.length === 0
			? null
			: dataTable(
					numbers(`All costs at once, ${points} points`, "holds in", "95 % interval"),
					conclusions.map((one) => [one.text, percent(one.share), `${percent(one.low)} to ${percent(one.high)}`]),
				),
	);
}
