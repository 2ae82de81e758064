/** What a policy costs in wakeups, CPU time, C-states and energy, on bare metal and in a virtual machine. */
import { findProfile } from "../../../src/machine/profile.ts";
import { type Cell, type Comparison, mean } from "../../compare.ts";
import { ENERGY_FORMULA } from "../../energy.ts";
import type { RunResult } from "../../result.ts";
import { grouped, percent } from "../../units.ts";
import { type Content, element, type Markup } from "../markup.ts";
import type { ReportData } from "../plan.ts";
import { type BarGroup, bars, type Part, stacks } from "../svg/bars.ts";
import { counts, label, price } from "../text.ts";
import { dataTable, figure, numbers, paragraph, section } from "./parts.ts";

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

const AWAKE_PARTS: readonly Part[] = [
	{ what: "crypto", name: "useful" },
	{ what: "spin", name: "spinning on locks" },
	{ what: "nothing", name: "woken for nothing" },
	{ what: "wake", name: "waking up" },
	{ what: "poll", name: "polling" },
];
/** Looks of C-states, the shallowest first; what is deeper than the last looks like it. */
const HALTED = ["halt", "mid", "deep"];

/** All parts of a CPU's time; machines call their C-states differently. */
function cpuParts(where: readonly Place[]): Part[] {
	const halted = HALTED.map((what, depth) => {
		const names = where.flatMap(({ cells }) => {
			const states = cells[0].runs[0].cstates;
			return states.filter((_, i) => Math.min(i, HALTED.length - 1) === depth).map((state) => state.name);
		});
		return { what, name: [...new Set(names)].join(", ") };
	});
	return [
		...AWAKE_PARTS,
		...halted.filter((part) => part.name !== "").map((part) => ({ ...part, name: `halted: ${part.name}` })),
	];
}

function whole(run: RunResult): number {
	return run.cpu_busy_ns + run.cpu_wake_ns + run.cpu_poll_ns + run.cpu_idle_ns || 1;
}

/** Shares of the parts, in their order. */
function cpuShares(runs: readonly RunResult[]): number[] {
	const shares = runs.map((run) => {
		const halted = HALTED.map(() => 0);
		run.cstates.forEach((state, i) => {
			halted[Math.min(i, HALTED.length - 1)] += state.ns;
		});
		const useful = run.cpu_busy_ns - run.cpu_wasted_ns - run.cpu_spin_ns;
		const awake = [useful, run.cpu_spin_ns, run.cpu_wasted_ns, run.cpu_wake_ns, run.cpu_poll_ns];
		return [...awake, ...halted].map((ns) => Math.max(0, ns) / whole(run));
	});
	return shares[0].map((_, i) => mean(shares.map((one) => one[i])));
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

const WAKEUPS: readonly Price[] = [
	{ name: "threads woken/s", of: perSecond((run) => run.wakeups), show: grouped },
	{ name: "IPIs/s", of: perSecond((run) => run.ipis), show: grouped },
	{ name: "CPUs woken from a halt/s", of: perSecond((run) => run.cpu_wakeups), show: grouped },
];

const ENERGY: readonly Price[] = [
	{ name: "energy proxy, W", of: perSecond((run) => run.energy_proxy_j), show: twoDecimals },
	{ name: "nJ per bit carried", of: energyPerBit, show: twoDecimals },
];

/** Bars of one price, and a table of it with its kin. */
function priceFigure(
	id: string,
	message: Content,
	drawn: Price,
	prices: readonly Price[],
	where: readonly Place[],
	policies: readonly string[],
): Markup {
	const groups: BarGroup[] = where.map(({ heading, cells }) => ({
		heading,
		rows: cells.map((cell) => {
			const value = mean(cell.runs.map(drawn.of));
			return {
				label: cell.policy,
				value: Number.isFinite(value) ? value : 0,
				shown: drawn.show(value),
				series: policies.indexOf(cell.policy),
			};
		}),
	}));
	const told = groups.flatMap((group) => group.rows.map((row) => `${group.heading}, ${row.label}: ${row.shown}.`));
	const rows = where.flatMap(({ heading, cells }) =>
		cells.map((cell) => [`${heading}: ${cell.policy}`, ...prices.map(({ of, show }) => show(mean(cell.runs.map(of))))]),
	);
	return figure(
		message,
		bars({ id, title: drawn.name, description: told.join(" ") }, groups),
		dataTable(numbers("", ...prices.map((one) => one.name)), rows),
	);
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

/** Labels of the text report are indented by blanks. */
function indented(text: string): Content {
	return text.startsWith(" ") ? element("span", { class: "indent" }, text.trimStart()) : text;
}

/** The table of the text report. */
function priceTable({ cells }: Comparison): Markup {
	return dataTable(
		numbers("", ...cells.map(label)),
		[...counts, ...price].map((row) => [indented(row.label), ...cells.map((cell) => row.of(cell.runs))]),
	);
}

export function powerSection(data: ReportData): Markup {
	const where = places(data);
	const { policies } = data.comparison.options;
	const parts = cpuParts(where);
	const shares = where.map(({ heading, cells }) => ({
		heading,
		rows: cells.map((cell) => ({ label: cell.policy, shares: cpuShares(cell.runs) })),
	}));
	const told = shares.flatMap(({ heading, rows }) =>
		rows.map(
			(row) =>
				`${heading}, ${row.label}: ${parts.map((part, i) => `${part.name} ${percent(row.shares[i])}`).join(", ")}.`,
		),
	);
	return section(
		"power",
		"Wakeups, idle states and energy",
		element(
			"div",
			{ class: "pair" },
			figure(
				[element("b", {}, "Time of all CPUs. "), "One that polls or wakes up is awake without doing anything."],
				stacks(
					{ id: "fig-cpu-time", title: "What the CPUs did with their time", description: told.join(" ") },
					parts,
					shares,
				),
				cstateTable(where),
			),
			element(
				"div",
				{},
				priceFigure(
					"fig-wakeups",
					[element("b", {}, "Threads woken per second.")],
					WAKEUPS[0],
					WAKEUPS,
					where,
					policies,
				),
				priceFigure(
					"fig-energy",
					[element("b", {}, "Energy proxy, nJ per bit carried."), " No measurement: for ratios on one machine."],
					ENERGY[1],
					ENERGY,
					where,
					policies,
				),
			),
		),
		paragraph(
			`${data.elsewhere.options.base.machine}: one run for each policy, seed ${data.elsewhere.options.seeds[0]}. Energy proxy: ${ENERGY_FORMULA}.`,
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
