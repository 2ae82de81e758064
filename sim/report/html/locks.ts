/** How long threads wait for locks. */
import { mean } from "../../compare.ts";
import type { LockUse } from "../../metrics.ts";
import type { RunResult } from "../../result.ts";
import { grouped, percent } from "../../units.ts";
import { element, type Markup } from "../markup.ts";
import type { ReportData } from "../plan.ts";
import { type BarGroup, bars } from "../svg/bars.ts";
import { sumLocks } from "../text.ts";
import { dataTable, figure, numbers, paragraph, time } from "./parts.ts";

const LOCKS_DRAWN = 5;
/** A lock waited for less than this share of the time is in the table only. */
const LOCK_WORTH_DRAWING = 0.0005;

/** Time spent waiting for a lock, per second of all CPUs' time. */
function waitShare(lock: LockUse, runs: readonly RunResult[]): number {
	return (lock.spin_ns + lock.block_ns) / mean(runs.map((run) => run.duration_ns));
}

export function lockFigure({ comparison }: ReportData): Markup {
	const { options } = comparison;
	const cells = comparison.cells.filter((cell) => cell.crypto === options.cryptos[0]);
	const locks = cells.map((cell) => sumLocks(cell.runs).filter((lock) => lock.contested > 0));
	if (locks.every((list) => list.length === 0)) {
		return paragraph("Nobody waited for a lock.");
	}
	const worst = new Map<string, number>();
	for (const [i, list] of locks.entries()) {
		for (const lock of list) {
			worst.set(lock.name, Math.max(worst.get(lock.name) ?? 0, waitShare(lock, cells[i].runs)));
		}
	}
	const ordered = [...worst.keys()].sort((a, b) => worst.get(b)! - worst.get(a)! || (a < b ? -1 : 1));
	const names = ordered.slice(0, LOCKS_DRAWN).filter((name, i) => i === 0 || worst.get(name)! >= LOCK_WORTH_DRAWING);
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
	return figure(
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
					time(lock.spin_ns),
					time(lock.block_ns),
				]),
			),
			{ caption: `Per run, ${options.cryptos[0]} crypto` },
		),
	);
}
