/** Small machines for the scheduler's tests, and random programs that take every kind of lock in every way. */
import fc from "fast-check";
import { boot } from "../../../src/kernel/boot.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../../../src/kernel/lock/epoch.ts";
import {
	MTX_DEF,
	MTX_SPIN,
	mtx,
	mtx_init,
	mtx_lock,
	mtx_lock_spin,
	mtx_unlock,
	mtx_unlock_spin,
} from "../../../src/kernel/lock/mutex.ts";
import {
	rm_init,
	rm_priotracker,
	rm_rlock,
	rm_runlock,
	rm_wlock,
	rm_wunlock,
	rmlock,
} from "../../../src/kernel/lock/rmlock.ts";
import { rw_init, rw_rlock, rw_runlock, rw_wlock, rw_wunlock, rwlock } from "../../../src/kernel/lock/rwlock.ts";
import { sx, sx_init, sx_slock, sx_sunlock, sx_xlock, sx_xunlock } from "../../../src/kernel/lock/sx.ts";
import { type Kernel, type KernelOptions, set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { kthread_add, kthread_add_bound } from "../../../src/kernel/sched/kthread.ts";
import { pause, pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, charge, hostthread, sync, type thread } from "../../../src/kernel/sched/thread.ts";
import { pcpu_find, sched_settle } from "../../../src/kernel/sched/ule.ts";
import { Machine, type MachineOptions } from "../../../src/machine/machine.ts";
import { findProfile, type MachineProfile } from "../../../src/machine/profile.ts";

export function profile(name: string): MachineProfile {
	const found = findProfile(name);
	if (found === undefined) throw new Error(`no profile ${name}`);
	return found;
}

/** xeon-d, and no dice: every stretch of work takes exactly what is charged for it. */
export const exact: MachineProfile = { ...profile("xeon-d"), jitter_permille: 0 };

export function bootOn(options: Partial<MachineOptions> = {}, kernel: KernelOptions = {}): Kernel {
	return boot(new Machine({ profile: exact, cpus: 4, ...options }), kernel);
}

/** Lets time pass until all `tds` have ended. Says which have not, if the limit is reached. */
export function finish(kernel: Kernel, tds: readonly thread[], limit_ns = 1_000_000_000): void {
	set_curkernel(kernel);
	const { machine } = kernel;
	const end = machine.now + limit_ns;
	machine.horizon = end;
	while (tds.some((td) => !td.td_exited) && machine.events.step(end));
	const stuck = tds.filter((td) => !td.td_exited);
	if (stuck.length > 0) {
		const what = stuck.map(
			(td) => `${td.td_name} on CPU ${td.td_cpu} (${td.td_wmesg || td.td_blocked?.lo_name || td.td_spinlock?.lo_name})`,
		);
		throw new Error(`not finished: ${what.join(", ")}`);
	}
}

/** Lets `ns` of simulated time pass. */
export function pass(kernel: Kernel, ns: number): void {
	set_curkernel(kernel);
	kernel.machine.run(kernel.machine.now + ns);
}

/** As a kernel thread: `main` on `cpu` alone, or anywhere when that is -1. */
export function start(kernel: Kernel, name: string, priority: number, cpu: number, main: () => Blocking<void>): thread {
	set_curkernel(kernel);
	hostthread.td_cpu = 0;
	return cpu < 0
		? kthread_add(main, undefined, name, priority)
		: kthread_add_bound(main, undefined, name, priority, cpu);
}

/** Computes for `ns`, as one stretch. */
export function* work(ns: number): Blocking<void> {
	charge(ns);
	yield* sync();
}

/** What the books of each CPU must say at any moment. Returns what is wrong with them. */
export function wrongBooks(kernel: Kernel): string[] {
	set_curkernel(kernel);
	sched_settle();
	const wrong: string[] = [];
	for (const cpu of kernel.machine.cpus) {
		const halted = cpu.cstate_ns.reduce((sum, ns) => sum + ns, 0);
		const sum = cpu.busy_ns + cpu.poll_ns + cpu.wake_ns + halted;
		if (sum !== kernel.machine.now) wrong.push(`CPU ${cpu.id}: ${sum} ns booked of ${kernel.machine.now}`);
		const parts = cpu.spin_ns + cpu.switch_ns + cpu.interrupt_ns;
		if (parts > cpu.busy_ns) wrong.push(`CPU ${cpu.id}: parts ${parts} ns of ${cpu.busy_ns} busy`);
		const pc = pcpu_find(cpu.id);
		if (cpu.idle && pc.tdq_load > 0 && !pc.tdq_owepreempt) wrong.push(`CPU ${cpu.id}: idle with load ${pc.tdq_load}`);
	}
	return wrong;
}

/** One turn of a thread: the locks it takes, in their order, and what it does with them held. */
export interface Turn {
	/** index into the locks, each with the mode to take it in */
	readonly take: readonly { readonly lock: number; readonly exclusive: boolean }[];
	readonly hold_ns: number;
	readonly rest: "compute" | "sleep" | "tick" | "epoch";
	readonly rest_ns: number;
}

export interface Program {
	readonly seed: number;
	readonly cpus: number;
	readonly threads: readonly { readonly priority: number; readonly cpu: number; readonly turns: readonly Turn[] }[];
}

/** Two of each kind, in the one order in which they may be taken: sleepable, blockable, spin. */
const LOCKS = 10;

const turn: fc.Arbitrary<Turn> = fc.record({
	take: fc
		.uniqueArray(fc.record({ lock: fc.nat(LOCKS - 1), exclusive: fc.boolean() }), {
			selector: (step) => step.lock,
			minLength: 1,
			maxLength: 3,
		})
		.map((steps) => steps.sort((a, b) => a.lock - b.lock)),
	hold_ns: fc.oneof(fc.nat(300), fc.nat(20_000), fc.constant(300_000)),
	rest: fc.constantFrom("compute", "sleep", "tick", "epoch"),
	rest_ns: fc.nat(30_000),
});

export const program: fc.Arbitrary<Program> = fc.record({
	seed: fc.nat(),
	cpus: fc.integer({ min: 1, max: 5 }),
	threads: fc.array(
		fc.record({
			priority: fc.constantFrom(8, 24, 28, 40, 108, 152, 153),
			cpu: fc.integer({ min: -3, max: 4 }),
			turns: fc.array(turn, { minLength: 1, maxLength: 6 }),
		}),
		{ minLength: 1, maxLength: 9 },
	),
});

/** The locks of a program, and how many hold each now: what makes a lock a lock is checked on every acquisition. */
class Locks {
	readonly sx = [new sx(), new sx()];
	readonly mtx = [new mtx(), new mtx()];
	readonly rw = [new rwlock(), new rwlock()];
	readonly rm = [new rmlock(), new rmlock()];
	readonly spin = [new mtx(), new mtx()];
	private readonly readers: number[] = new Array(LOCKS).fill(0);
	private readonly writers: number[] = new Array(LOCKS).fill(0);
	readonly violations: string[] = [];
	/** times two held a lock at once, which only readers may */
	shared = 0;

	constructor() {
		for (let i = 0; i < 2; i++) {
			sx_init(this.sx[i], `sx${i}`);
			mtx_init(this.mtx[i], `mtx${i}`, null, MTX_DEF);
			rw_init(this.rw[i], `rw${i}`);
			rm_init(this.rm[i], `rm${i}`);
			mtx_init(this.spin[i], `spin${i}`, null, MTX_SPIN);
		}
	}

	*take(at: number, exclusive: boolean, tracker: rm_priotracker): Blocking<void> {
		const i = at & 1;
		const kind = at >> 1;
		if (kind === 0) yield* exclusive ? sx_xlock(this.sx[i]) : sx_slock(this.sx[i]);
		else if (kind === 1) yield* mtx_lock(this.mtx[i]);
		else if (kind === 2) yield* exclusive ? rw_wlock(this.rw[i]) : rw_rlock(this.rw[i]);
		else if (kind === 3) yield* exclusive ? rm_wlock(this.rm[i]) : rm_rlock(this.rm[i], tracker);
		else yield* mtx_lock_spin(this.spin[i]);
		if (exclusive || kind === 1 || kind === 4) this.writers[at]++;
		else if (this.readers[at]++ > 0) this.shared++;
		if (this.writers[at] > 1 || (this.writers[at] === 1 && this.readers[at] > 0)) {
			this.violations.push(`lock ${at}: ${this.writers[at]} writers, ${this.readers[at]} readers`);
		}
	}

	*drop(at: number, exclusive: boolean, tracker: rm_priotracker): Blocking<void> {
		const i = at & 1;
		const kind = at >> 1;
		yield* sync();
		if (exclusive || kind === 1 || kind === 4) this.writers[at]--;
		else this.readers[at]--;
		if (kind === 0) yield* exclusive ? sx_xunlock(this.sx[i]) : sx_sunlock(this.sx[i]);
		else if (kind === 1) yield* mtx_unlock(this.mtx[i]);
		else if (kind === 2) yield* exclusive ? rw_wunlock(this.rw[i]) : rw_runlock(this.rw[i]);
		else if (kind === 3) yield* exclusive ? rm_wunlock(this.rm[i]) : rm_runlock(this.rm[i], tracker);
		else yield* mtx_unlock_spin(this.spin[i]);
	}
}

function* main(locks: Locks, turns: readonly Turn[]): Blocking<void> {
	for (const { take, hold_ns, rest, rest_ns } of turns) {
		const trackers = take.map(() => new rm_priotracker());
		for (const [i, step] of take.entries()) yield* locks.take(step.lock, step.exclusive, trackers[i]);
		charge(hold_ns);
		for (let i = take.length - 1; i >= 0; i--) yield* locks.drop(take[i].lock, take[i].exclusive, trackers[i]);
		if (rest === "epoch") NET_EPOCH_ENTER();
		if (rest === "sleep") yield* pause_sbt("rest", rest_ns + 1);
		else if (rest === "tick") yield* pause("rest", 1);
		else yield* work(rest_ns);
		if (rest === "epoch") NET_EPOCH_EXIT();
	}
}

/** Starts the threads of a program. */
export function startProgram(kernel: Kernel, { threads }: Program): { locks: Locks; tds: thread[] } {
	set_curkernel(kernel);
	const locks = new Locks();
	const cpus = kernel.machine.cpus.length;
	const tds = threads.map(({ priority, cpu, turns }, i) =>
		start(kernel, `t${i}`, priority, cpu < cpus ? cpu : -1, () => main(locks, turns)),
	);
	return { locks, tds };
}
