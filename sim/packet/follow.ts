/**
 * Follows one packet: finds out when it is made, then makes the same run again and records what happens around that time.
 *
 * A run is the same each time, so only a short part of the second one has to be recorded, and that in every detail.
 */
import { set_curkernel } from "../../src/kernel/sched/kernel.ts";
import { Event } from "../../src/machine/event.ts";
import type { Driver } from "../driver.ts";
import { UsageError } from "../errors.ts";
import type { RunOptions } from "../options.ts";
import { type Run, watch } from "../run.ts";
import { formatDuration, grouped } from "../units.ts";
import { type Layer, layersOf } from "./layers.ts";
import { type Life, type Missing, tellLife } from "./life.ts";
import { Recorder } from "./recorder.ts";
import { KINDS, Search, type Selector } from "./select.ts";

/** How often to look whether something has happened, simulated ns. */
const STEP_NS = 50_000;
/** Recording begins so long before the packet is seen; longer ago if that was too late. */
const BEFORE_NS = 200_000;
const BEFORE_MAX_NS = 100_000_000;
/** A packet that has not arrived after this has been lost. */
const LIFE_MAX_NS = 50_000_000;

export interface Followed {
	readonly life: Life;
	readonly layers: readonly Layer[];
}

/** Told now and then how many runs of how many are done. */
type Progress = (done: number, total: number) => void;
/** one to find the packet, one to record it */
const RUNS = 2;

/** Lets the run go on until `done`, at most to the end of the measured interval and `more` ns beyond. */
function go(run: Run, search: Search, more: number, done: () => boolean, tick: () => void): void {
	const { warmup_ns, duration_ns } = run.options;
	run.begin();
	if (!done()) run.passUntil(warmup_ns);
	search.mark();
	const end = run.machine.now + duration_ns + more;
	while (!done() && run.machine.now < end) {
		run.pass(STEP_NS);
		tick();
	}
}

/** When the packet passes its first tap, ns since boot. */
function find(run: Run, selector: Selector, progress: Progress): number {
	let time = -1;
	set_curkernel(run.kernel);
	const search = new Search(selector, () => {
		time = run.machine.now;
	});
	go(
		run,
		search,
		0,
		() => time >= 0,
		() => progress(0, RUNS),
	);
	if (time >= 0) return time;
	const { description } = KINDS[selector.kind];
	const what = `${selector.kind} (${description})`;
	throw new UsageError(
		`packet: no number ${grouped(selector.number)} of ${what}: ${grouped(search.seen)} in ${formatDuration(run.options.duration_ns)}; a longer --duration has more`,
	);
}

/** Records the packet that passes its first tap at `time`, from `before` ns earlier on. */
function record(
	run: Run,
	driver: Driver,
	selector: Selector,
	time: number,
	before: number,
	tick: () => void,
): Followed | Missing {
	let recorder: Recorder | null = null;
	let life: Life | Missing = "end";
	const begin = new Event({
		fire() {
			recorder = new Recorder(driver);
		},
	});
	run.machine.events.schedule(begin, Math.max(run.machine.now, time - before));
	set_curkernel(run.kernel);
	const search = new Search(selector, (m) => recorder?.follow(m));
	const done = (): boolean => {
		if (recorder === null || recorder.packet === 0) return false;
		life = tellLife(recorder);
		return life !== "end" || run.machine.now > time + LIFE_MAX_NS;
	};
	try {
		go(run, search, LIFE_MAX_NS, done, tick);
		if (typeof life === "string" || recorder === null) return life;
		return { life, layers: layersOf(recorder, life as Life) };
	} finally {
		(recorder as Recorder | null)?.close();
		search.close();
	}
}

/** Follows the packet `selector` names through a run of `options`. */
export async function followPacket(options: RunOptions, selector: Selector, progress: Progress): Promise<Followed> {
	if (options.cost_only) throw new UsageError("--cost-only: packets have no contents then; leave it out");
	const time = await watch(options, (run) => find(run, selector, progress));
	for (let before = BEFORE_NS; before <= BEFORE_MAX_NS; before *= 5) {
		const followed = await watch(options, (run, driver) =>
			record(run, driver, selector, time, before, () => progress(1, RUNS)),
		);
		if (followed === "end") {
			throw new UsageError(`packet: it never arrives; it is lost on its way: ifwg run shows drops`);
		}
		if (followed !== "beginning") return followed;
	}
	throw new Error("the beginning of the packet's life was not found");
}
