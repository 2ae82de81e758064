/**
 * The CPU time of every thread, to the ns, by what it was spent on: the functions that were running, and the cost they paid.
 *
 * A thread's own clock is the CPU time it has used plus what it has charged and not yet lived through. Whenever that clock is
 * looked at, what it has gained since the last look belongs to the costs read in between. Context switches, interrupts and
 * spinning are in the CPU's and the locks' own books and are taken from there. So the parts add up to the thread's CPU
 * time whatever the kernel charges; what was charged before anybody listened is `unseen`.
 *
 * Listening changes nothing: values are handed on as they are, and nothing is charged.
 */
import { type lock_object, lockstat_spin } from "../../src/kernel/lock/lock.ts";
import { name_all } from "../../src/kernel/sched/frame.ts";
import { curkernel } from "../../src/kernel/sched/kernel.ts";
import { curthread, hostthread, sched_jitter, type thread } from "../../src/kernel/sched/thread.ts";
import {
	in_interrupt,
	type pcpu,
	pcpu_find,
	sched_off_cpu,
	sched_on_cpu,
	sched_settle,
} from "../../src/kernel/sched/ule.ts";
import type { CostName } from "../../src/machine/cost/table.ts";
import { listenToCosts } from "./costs.ts";
import { type Path, PathFinder } from "./path.ts";

/** What a thread's time goes to. Jitter is work that took a little longer or shorter than its cost. */
export type Kind = "work" | "jitter" | "spin" | "interrupt" | "switch";

/**
 * `td` spent `ns` on `path`, on CPU `cpu`. Time may be booked a little before it has passed; when less passes, or more, the
 * difference is booked to the same path, so `ns` can be negative.
 */
export type Book = (td: thread, cpu: number, kind: Kind, path: Path, ns: number) => void;

/** More than a thread charges for before it waits for the clock. */
const RECENT_MAX = 1024;

/** Bookings in the order they were made. */
class Bookings {
	readonly paths: Path[] = [];
	readonly ns: number[] = [];

	push(path: Path, ns: number): void {
		this.paths.push(path);
		this.ns.push(ns);
		if (this.ns.length < 2 * RECENT_MAX) return;
		this.paths.splice(0, RECENT_MAX);
		this.ns.splice(0, RECENT_MAX);
	}

	clear(): void {
		this.paths.length = 0;
		this.ns.length = 0;
	}
}

class Account {
	readonly td: thread;
	/** its clock, as far as it is booked, ns */
	booked: number;
	/** where it was when it last read a cost */
	at: Path;
	/** costs read since its clock last moved: all in the same function */
	readonly reads: CostName[] = [];
	readonly values: number[] = [];
	/** what was booked last, and gets what nobody names */
	last: Path;
	/** bookings whose time may not have passed yet, and those taken back because it had not */
	readonly recent = new Bookings();
	readonly owed = new Bookings();

	constructor(td: thread, nowhere: Path, unseen: Path) {
		this.td = td;
		this.booked = td.td_runtime;
		this.at = nowhere;
		this.last = unseen;
	}
}

/** The interrupts and context switches of a CPU that are booked already, ns. */
interface CpuBooks {
	interrupt_ns: number;
	switch_ns: number;
}

export class Ledger {
	private readonly finder: PathFinder;
	private readonly book: Book;
	private readonly detach: (() => void)[];
	private readonly accounts = new Map<thread, Account>();
	private readonly cpus: CpuBooks[];
	private readonly interrupt: Path;
	private readonly contextSwitch: Path;
	private readonly unseen: Path;
	private readonly stolen: Path;
	private readonly pollEnd: Path;
	private readonly onRead = (name: CostName, value: number): void => this.read(name, value);

	/** Listens to the kernel that runs now, from now on. `exact`: the call stack is looked at each time, at ten times the host time. */
	constructor(book: Book, exact = false) {
		this.book = book;
		this.finder = new PathFinder(exact);
		const { root } = this.finder;
		this.interrupt = root.child("interrupt");
		this.contextSwitch = root.child("context switch");
		this.unseen = root.child("unseen");
		this.stolen = root.child("sched_idletd").child("tdq_idled");
		this.pollEnd = root.child("sched_idletd").child("idle_poll");
		sched_settle();
		this.cpus = curkernel.machine.cpus.map(({ interrupt_ns, switch_ns }) => ({ interrupt_ns, switch_ns }));
		for (const cpu of curkernel.machine.cpus) {
			const pc = pcpu_find(cpu.id);
			this.account(pc.pc_curthread);
			this.account(pc.pc_idlethread);
		}
		this.detach = [
			name_all(),
			listenToCosts(this.onRead),
			sched_on_cpu.listen((td, cpu) => this.onCpu(td, cpu)),
			sched_off_cpu.listen((td, cpu) => {
				const account = this.account(td);
				this.charge(account, this.own(account, pcpu_find(cpu), td.td_runtime + td.td_pending, false));
			}),
			sched_jitter.listen((td, ns) => this.jitter(td, ns)),
			lockstat_spin.listen((lock, td, ns) => this.spun(lock, td, ns)),
		];
	}

	/** Where the running thread was when it last read a cost. */
	pathOf(td: thread): Path {
		return this.account(td).at;
	}

	/** Brings the running thread's account up to its own clock. Nothing in an interrupt, whose time is not the thread's. */
	observe(): void {
		const td = curthread;
		if (td === hostthread || in_interrupt()) return;
		this.running(this.account(td));
	}

	/** Brings all accounts up to the machine's clock exactly: what has not passed yet is taken back, and booked when it has. */
	settle(): void {
		sched_settle();
		for (const cpu of curkernel.machine.cpus) {
			const pc = pcpu_find(cpu.id);
			const account = this.account(pc.pc_curthread);
			if (pc.idle) this.idle(pc);
			else this.charge(account, this.own(account, pc, account.td.td_runtime, false));
		}
		for (const account of this.accounts.values()) this.charge(account, account.td.td_runtime - account.booked);
	}

	/** Stops listening. */
	close(): void {
		for (const detach of this.detach.splice(0)) detach();
	}

	private account(td: thread): Account {
		let account = this.accounts.get(td);
		if (account === undefined) {
			account = new Account(td, this.finder.root, this.unseen);
			this.accounts.set(td, account);
		}
		return account;
	}

	private read(name: CostName, value: number): void {
		const td = curthread;
		if (td === hostthread || in_interrupt()) return;
		const account = this.account(td);
		this.running(account);
		const at = this.finder.find(account.at, name, this.onRead);
		if (at !== account.at) {
			account.reads.length = 0;
			account.values.length = 0;
			account.at = at;
		}
		account.reads.push(name);
		account.values.push(value);
	}

	private running(account: Account): void {
		const { td } = account;
		if (td.td_pending === 0) account.recent.clear();
		this.charge(account, this.own(account, pcpu_find(td.td_cpu), td.td_runtime + td.td_pending, true));
	}

	/**
	 * What a thread's clock has gained by its own doing. What its CPU did meanwhile is booked.
	 *
	 * @param unpaid whether `clock` holds the interrupts and the switch that are still under way
	 */
	private own(account: Account, pc: pcpu, clock: number, unpaid: boolean): number {
		const books = this.cpus[pc.pc_cpuid];
		const interrupt = pc.cpu.interrupt_ns + (unpaid ? pc.intr_left : 0) - books.interrupt_ns;
		if (interrupt !== 0) {
			books.interrupt_ns += interrupt;
			account.booked += interrupt;
			this.book(account.td, pc.pc_cpuid, "interrupt", this.interrupt, interrupt);
		}
		const switching = pc.cpu.switch_ns + (unpaid ? pc.switch_left : 0) - books.switch_ns;
		if (switching !== 0) {
			books.switch_ns += switching;
			account.booked += switching;
			this.book(account.td, pc.pc_cpuid, "switch", this.contextSwitch, switching);
		}
		return clock - account.booked;
	}

	/** Books what a thread's clock has gained, or lost, to what it read. */
	private charge(account: Account, gained: number): void {
		if (gained === 0) return;
		account.booked += gained;
		if (gained < 0) {
			this.takeBack(account, -gained);
			return;
		}
		const left = this.payOwed(account, gained);
		if (left === 0) return;
		const { reads, values } = account;
		// of several costs, those read last that add up to the charge have their own each; else the first has it all
		let sum = 0;
		let from = values.length;
		while (from > 0 && sum < left) sum += values[--from];
		if (sum === left) for (; from < values.length; from++) this.work(account, reads[from], values[from]);
		else if (reads.length > 0) this.work(account, reads[0], left);
		else this.post(account, account.last, left);
		reads.length = 0;
		values.length = 0;
	}

	private work(account: Account, name: CostName, ns: number): void {
		if (ns !== 0) this.post(account, account.at.name === name ? account.at : account.at.child(name), ns);
	}

	private post(account: Account, path: Path, ns: number): void {
		account.last = path;
		account.recent.push(path, ns);
		this.book(account.td, account.td.td_cpu, "work", path, ns);
	}

	private takeBack(account: Account, ns: number): void {
		const { recent, owed, td } = account;
		let left = ns;
		while (left > 0 && recent.ns.length > 0) {
			const path = recent.paths.pop() as Path;
			const booked = recent.ns.pop() as number;
			const taken = Math.min(booked, left);
			left -= taken;
			if (booked > taken) recent.push(path, booked - taken);
			owed.push(path, taken);
			this.book(td, td.td_cpu, "work", path, -taken);
		}
		if (left > 0) this.book(td, td.td_cpu, "work", account.last, -left);
	}

	/** @returns what is left of `ns` when what was taken back is booked again */
	private payOwed(account: Account, ns: number): number {
		const { owed } = account;
		let left = ns;
		while (left > 0 && owed.ns.length > 0) {
			const path = owed.paths.pop() as Path;
			const due = owed.ns.pop() as number;
			const paid = Math.min(due, left);
			left -= paid;
			if (due > paid) owed.push(path, due - paid);
			this.post(account, path, paid);
		}
		return left;
	}

	private onCpu(td: thread, cpu: number): void {
		const pc = pcpu_find(cpu);
		this.idle(pc);
		const before = td.td_runtime > 0 && !this.accounts.has(td);
		const account = this.account(td);
		// what it was charged while it did not run: an idle CPU's trouble to take it over
		const gained = this.own(account, pc, td.td_runtime + td.td_pending, true);
		if (gained > 0) {
			account.booked += gained;
			const left = this.payOwed(account, gained);
			if (left > 0) this.post(account, before ? this.unseen : this.stolen, left);
		} else this.charge(account, gained);
	}

	/** The idle thread's time: interrupts, the switch to it, and the end of polling. */
	private idle(pc: pcpu): void {
		const account = this.account(pc.pc_idlethread);
		const rest = this.own(account, pc, account.td.td_runtime, false);
		if (rest === 0) return;
		account.booked += rest;
		this.book(account.td, pc.pc_cpuid, "work", this.pollEnd, rest);
	}

	/** All that the thread has charged and not lived through takes a little longer, or shorter. */
	private jitter(td: thread, ns: number): void {
		if (td === hostthread) return;
		const account = this.account(td);
		this.running(account);
		account.booked += ns;
		const { recent } = account;
		const total = recent.ns.reduce((sum, part) => sum + part, 0);
		if (total === 0) {
			this.book(td, td.td_cpu, "jitter", account.last, ns);
			return;
		}
		let before = 0;
		let given = 0;
		for (let i = 0; i < recent.ns.length; i++) {
			before += recent.ns[i];
			const part = Math.round((ns * before) / total) - given;
			given += part;
			recent.ns[i] += part;
			if (part !== 0) this.book(td, td.td_cpu, "jitter", recent.paths[i], part);
		}
	}

	/** A thread has spun for a lock: where it asked for it, and for which. */
	private spun(lock: lock_object, td: thread, ns: number): void {
		const account = this.account(td);
		const pc = pcpu_find(td.td_cpu);
		const gained = this.own(account, pc, td.td_runtime + td.td_pending, false);
		const spinning = Math.min(ns, gained);
		if (spinning > 0) {
			account.booked += spinning;
			this.book(td, td.td_cpu, "spin", account.at.child(`spin on ${lock.lo_name}`), spinning);
		}
		this.charge(account, gained - Math.max(0, spinning));
	}
}
