/**
 * Which functions of the simulated kernel are running: its call stack.
 *
 * What a thread has called since it went on is on the host's stack; the functions that wait for these hang on the thread as
 * frames (src/kernel/sched/frame.ts). Taking V8's stack trace costs tens of microseconds. The way from one charge to the
 * next is nearly always the same, though: where only one was ever found it is taken on trust, where there are several a few
 * names tell which, and every so often all are looked at again.
 */
import { type Frame, frame_name, source_name } from "../../src/kernel/sched/frame.ts";
import { curthread } from "../../src/kernel/sched/thread.ts";

/** A function, and the functions it was called from: a node of the tree of all call stacks seen. */
export class Path {
	readonly name: string;
	readonly parent: Path | null;
	readonly depth: number;
	private readonly children = new Map<string, Path>();
	/** where threads were found next, by the cost they read there */
	readonly ways = new Map<string, Way>();

	constructor(name: string, parent: Path | null) {
		this.name = name;
		this.parent = parent;
		this.depth = parent === null ? 0 : parent.depth + 1;
	}

	/** The same path, and `name` called from there. */
	child(name: string): Path {
		let child = this.children.get(name);
		if (child === undefined) {
			child = new Path(name, this);
			this.children.set(name, child);
		}
		return child;
	}

	/** Names from the outermost function to this one; the root has none. */
	names(): string[] {
		const names: string[] = [];
		for (let path: Path = this; path.parent !== null; path = path.parent) names.push(path.name);
		return names.reverse();
	}

	/** The part of it that ends in a function called `name`, the innermost of them; null if there is none. */
	upTo(name: string): Path | null {
		for (let path: Path | null = this; path !== null; path = path.parent) if (path.name === name) return path;
		return null;
	}

	/** Whether this is `outer` or something called from there. */
	within(outer: Path): boolean {
		let path: Path = this;
		while (path.depth > outer.depth) path = path.parent as Path;
		return path === outer;
	}
}

/** Where threads were found next, and how sure that is. */
class Way {
	/** all places they were found at */
	readonly to: Path[];
	seen = 1;
	constructor(to: Path) {
		this.to = [to];
	}
}

/** So often a way must have been looked at before it is trusted, */
const TRUSTED = 8;
/** and each time after so many it is looked at again. */
const CHECK_EVERY = 128;

/** More than the deepest stack of the kernel has, the host's frames between them and those below them included. */
const ALL_FRAMES = 160;
/** Enough to tell two places apart that were reached from the same one. */
const FEW_FRAMES = 8;

/** Host functions that say nothing: a function that waited going on, a helper that only charges for a lock. */
const SILENT = new Set(["next", "step", "later", "wait_then", "resume_after_wait", "resume_generator", "charge_lock"]);

/** What lets a thread go on: where its functions on the host's stack end. */
const BOTTOM = "run_thread";
/** What runs a generator for the function that called it, which has the same name. */
const RUNS_GENERATOR = "generator";

/** The compiler's names for functions that have none, or that of what holds them. */
const GIVEN = /^\$(.+?)\d+$/;

/** These are macros in C, and only call the function of the lock: not saved where they wait. */
const LOCK_MACRO = /^[A-Z0-9_]+_(?:[RW]?LOCK|[RW]?UNLOCK)$/;

/** Called by the table of costs when one is read. */
type Reader = (...args: never[]) => unknown;

/**
 * Our kernel has some functions in halves: what follows a wait, or needs none, is a function of its own, and so is the way of a
 * contested lock, which is all that is left of it once it has waited.
 */
const HALF = /_(?:later|now)$/;

/**
 * Names of the functions that called `reader`, innermost first: at most `frames` of the host's, and of those that wait for them.
 */
function callers(reader: Reader, frames: number, waiting: Frame | null): string[] {
	const names: string[] = [];
	let half = false;
	const add = (name: string): void => {
		const given = name.replace(GIVEN, "$1");
		const whole = given.replace(HALF, "");
		if (LOCK_MACRO.test(whole) || names.at(-1) === `${whole}_contested`) return;
		const again = whole === names.at(-1) && (half || whole !== given);
		half = whole !== given;
		if (!again) names.push(whole);
	};
	// the first is the entry of the table of costs that is read
	const host = hostStack(reader, frames).slice(1);
	for (let i = 0; i < host.length; i++) {
		if (host[i] === BOTTOM) {
			let left = frames;
			for (let frame = waiting; frame !== null && left > 0; frame = frame.up, left--) add(frame_name(frame));
			break;
		}
		if (host[i] === RUNS_GENERATOR) i++;
		else if (!SILENT.has(host[i])) add(source_name(host[i]));
	}
	return names;
}

function hostStack(reader: Reader, frames: number): string[] {
	const { prepareStackTrace, stackTraceLimit } = Error;
	Error.stackTraceLimit = frames;
	Error.prepareStackTrace = (_error, sites) => sites.map((site) => site.getFunctionName() ?? "(anonymous)");
	const holder: { stack?: unknown } = {};
	try {
		Error.captureStackTrace(holder, reader);
		return holder.stack as string[];
	} finally {
		Error.stackTraceLimit = stackTraceLimit;
		Error.prepareStackTrace = prepareStackTrace;
	}
}

/** Whether the innermost functions of `path` are those of `names`. */
function endsIn(path: Path, names: readonly string[]): boolean {
	let at: Path | null = path;
	for (const name of names) {
		if (at === null || at.name !== name) return false;
		at = at.parent;
	}
	return true;
}

export class PathFinder {
	readonly root = new Path("", null);
	/** looks each time */
	private readonly exact: boolean;
	/** the functions of the running thread that wait */
	private readonly waiting: () => Frame | null;

	constructor(exact: boolean, waiting: () => Frame | null = () => curthread.td_frame) {
		this.exact = exact;
		this.waiting = waiting;
	}

	/** The path of the running thread, which was at `from` when it last read a cost, and now reads `cost`, as `reader` is told. */
	find(from: Path, cost: string, reader: Reader): Path {
		const way = from.ways.get(cost);
		if (way === undefined) {
			const to = this.look(reader);
			from.ways.set(cost, new Way(to));
			return to;
		}
		way.seen++;
		if (!this.exact && way.seen > TRUSTED && way.seen % CHECK_EVERY !== 0) {
			if (way.to.length === 1) return way.to[0];
			const names = callers(reader, FEW_FRAMES, this.waiting());
			const fits = way.to.filter((path) => endsIn(path, names));
			if (fits.length === 1) return fits[0];
		}
		const to = this.look(reader);
		if (!way.to.includes(to)) way.to.push(to);
		return to;
	}

	private look(reader: Reader): Path {
		let path = this.root;
		for (const name of callers(reader, ALL_FRAMES, this.waiting()).reverse()) path = path.child(name);
		return path;
	}
}
