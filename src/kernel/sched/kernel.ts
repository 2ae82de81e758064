/**
 * The kernel as a whole: per-kernel and per-vnet variables, SYSINIT, the clock, random numbers, panic.
 *
 * Several kernels can live in one process, one of them running at a time. A variable that C would make global is declared
 * with KERNEL_GLOBAL or VNET_DEFINE, which give back an accessor, much as the linker sets do in FreeBSD.
 *
 * @see sys/kernel.h, sys/vnet.h, kern_shutdown.c
 */
import type { Machine } from "../../machine/machine.ts";
import type { RandomStream } from "../../machine/random.ts";
import { type Release, type ReleaseTraits, releaseTraits } from "../release.ts";
import { type Priorities, prioritiesOf } from "./priority.ts";
import { type Blocking, charge, curthread, own_time, set_machine, thread } from "./thread.ts";

export interface KernelOptions {
	readonly release?: Release;
	/** leave out the ciphers' arithmetic and payload copies; the schedule stays the same */
	readonly cost_only?: boolean;
	/** wall clock at boot, seconds since 1970: a run has a date, not the host's */
	readonly boottime_s?: number;
	/** the first number packets get from whoever follows them; of several machines in one run, each has its own */
	readonly first_packet_id?: number;
	/** loader tunables and other settings read with TUNABLE_FETCH */
	readonly tunables?: Readonly<Record<string, string>>;
}

/** A virtual network stack's variables. Made and destroyed by jail/vnet.ts. */
export class vnet {
	readonly vnet_id: number;
	vnet_name: string;
	readonly vnet_data: unknown[] = [];
	vnet_shutdown = false;
	vnet_sockcnt = 0;
	vnet_ifcnt = 0;
	constructor(id: number, name: string) {
		this.vnet_id = id;
		this.vnet_name = name;
	}
}

/** 2021-11-11, the day the change to the driver was written. */
const DEFAULT_BOOTTIME_S = 1_636_588_800;

export class Kernel {
	readonly machine: Machine;
	readonly traits: ReleaseTraits;
	readonly priorities: Priorities;
	readonly cost_only: boolean;
	readonly boottime_s: number;
	readonly tunables: Readonly<Record<string, string>>;
	readonly first_packet_id: number;
	readonly globals: unknown[] = [];
	readonly random: RandomStream;
	readonly hz: number;
	readonly tick_ns: number;
	next_tid = 100_000;

	constructor(machine: Machine, options: KernelOptions = {}) {
		this.machine = machine;
		this.traits = releaseTraits(options.release ?? "13.0");
		this.priorities = prioritiesOf(this.traits.release);
		this.cost_only = options.cost_only ?? false;
		this.boottime_s = options.boottime_s ?? DEFAULT_BOOTTIME_S;
		this.tunables = options.tunables ?? {};
		this.first_packet_id = options.first_packet_id ?? 1;
		this.random = machine.random.stream("arc4random");
		this.hz = machine.profile.hz;
		this.tick_ns = 1_000_000_000 / this.hz;
	}
}

/** the kernel that runs now */
export let curkernel: Kernel;

/** A variable of the kernel that runs; those of the others are in their `globals` meanwhile. */
interface Variable {
	value: unknown;
}

const variables: Variable[] = [];

/** Makes `kernel` the running one; whoever drives a machine calls this first. */
export function set_curkernel(kernel: Kernel): void {
	const before = curkernel;
	if (kernel !== before) {
		for (let slot = 0; slot < variables.length; slot++) {
			const variable = variables[slot];
			if (before !== undefined) before.globals[slot] = variable.value;
			variable.value = kernel.globals[slot];
		}
		curkernel = kernel;
	}
	set_machine(kernel.machine);
}

let vnet_slots = 0;

/** Gives a variable its first value: apart from the accessor, which the host then copies to wherever it is called. */
function make<T>(variable: Variable, init: () => T): T {
	const made = init();
	variable.value = made;
	return made;
}

/** Declares a variable of the kernel; returns its accessor. Made on first use. */
export function KERNEL_GLOBAL<T>(init: () => T): () => T {
	const variable: Variable = { value: undefined };
	variables.push(variable);
	return () => {
		const { value } = variable;
		return value !== undefined ? (value as T) : make(variable, init);
	};
}

function vnet_make<T>(vn: vnet, slot: number, init: () => T): T {
	const made = init();
	vn.vnet_data[slot] = made;
	return made;
}

/** Declares a variable of every vnet; returns an accessor for the current one's. Made on first use. */
export function VNET_DEFINE<T>(init: () => T): () => T {
	const slot = vnet_slots++;
	return () => {
		const vn = curthread.td_vnet;
		if (vn === null) throw new KernelPanic("VNET access without curvnet");
		const value = vn.vnet_data[slot];
		return value !== undefined ? (value as T) : vnet_make(vn, slot, init);
	};
}

export function curvnet(): vnet {
	const vn = curthread.td_vnet;
	if (vn === null) throw new KernelPanic("curvnet is NULL");
	return vn;
}

/** Enters `vn`; the returned value goes to CURVNET_RESTORE. */
export function CURVNET_SET(vn: vnet): vnet | null {
	const saved = curthread.td_vnet;
	curthread.td_vnet = vn;
	return saved;
}

export function CURVNET_RESTORE(saved: vnet | null): void {
	curthread.td_vnet = saved;
}

/** Thrown by panic(9); the run ends, and whoever drives the machine prints what FreeBSD would. */
export class KernelPanic extends Error {
	constructor(message: string) {
		super(message);
		this.name = "KernelPanic";
	}
}

export function panic(message: string): never {
	throw new KernelPanic(message);
}

export function KASSERT(condition: boolean, message: string): void {
	if (!condition) throw new KernelPanic(message);
}

export function MPASS(condition: boolean, what = "condition"): void {
	if (!condition) throw new KernelPanic(`Assertion ${what} failed`);
}

export function mp_ncpus(): number {
	return curkernel.machine.cpus.length;
}

export function hz(): number {
	return curkernel.hz;
}

/** hardclock ticks since boot */
export function ticks(): number {
	return Math.floor(curkernel.machine.events.now / curkernel.tick_ns);
}

/** Time since boot as the running thread sees it, ns. */
export function sbinuptime(): number {
	return own_time();
}

/** Time since boot as of the last tick, ns: cheap and coarse. */
export function getsbinuptime(): number {
	return ticks() * curkernel.tick_ns;
}

export interface timespec {
	tv_sec: number;
	tv_nsec: number;
}

/** Wall clock. */
export function nanotime(): timespec {
	const now = sbinuptime();
	const sec = Math.floor(now / 1_000_000_000);
	return { tv_sec: curkernel.boottime_s + sec, tv_nsec: now - sec * 1_000_000_000 };
}

/** the first number for packets that are followed */
export function first_packet_id(): number {
	return curkernel.first_packet_id;
}

export function release(): Release {
	return curkernel.traits.release;
}

export function release_traits(): ReleaseTraits {
	return curkernel.traits;
}

export function priorities(): Priorities {
	return curkernel.priorities;
}

export function cost_only(): boolean {
	return curkernel.cost_only;
}

export function TUNABLE_FETCH(name: string): string | null {
	return curkernel.tunables[name] ?? null;
}

export function arc4random(): number {
	return curkernel.random.uint32();
}

export function arc4random_buf(buf: Uint8Array): void {
	curkernel.random.fill(buf);
}

export function arc4random_uniform(bound: number): number {
	return curkernel.random.uniform(bound);
}

/** Makes a thread that is not running yet; kthread_add starts one. */
export function thread_alloc(name: string, priority: number): thread {
	return new thread(curkernel.next_tid++, name, priority);
}

// SYSINIT subsystems, in boot order. @see sys/kernel.h
export const SI_SUB_MBUF = 0x2700000;
export const SI_SUB_TASKQ = 0x2880000;
export const SI_SUB_EPOCH = 0x2888000;
export const SI_SUB_SMP = 0x2900000;
export const SI_SUB_SOFTINTR = 0x2a00000;
export const SI_SUB_INIT_IF = 0x3000000;
export const SI_SUB_DRIVERS = 0x3100000;
export const SI_SUB_CONFIGURE = 0x3800000;
export const SI_SUB_CLOCKS = 0x4800000;
export const SI_SUB_VNET_PRELINK = 0x1e00000;
export const SI_SUB_VNET = 0x5400000;
export const SI_SUB_PSEUDO = 0x7000000;
export const SI_SUB_PROTO_BEGIN = 0x8000000;
export const SI_SUB_PROTO_PFIL = 0x8100000;
export const SI_SUB_PROTO_MC = 0x8300000;
export const SI_SUB_PROTO_IF = 0x8400000;
export const SI_SUB_PROTO_DOMAIN = 0x8800000;
export const SI_SUB_PROTO_IFATTACHDOMAIN = 0x8808000;
export const SI_SUB_PROTO_END = 0x8ffffff;
export const SI_SUB_VNET_DONE = 0xdc00000;

export const SI_ORDER_FIRST = 0;
export const SI_ORDER_SECOND = 1;
export const SI_ORDER_THIRD = 2;
export const SI_ORDER_MIDDLE = 0x1000000;
export const SI_ORDER_ANY = 0xfffffff;

export interface sysinit {
	readonly name: string;
	readonly subsystem: number;
	readonly order: number;
	readonly func: () => Blocking<void>;
}

const sysinits: sysinit[] = [];
const vnet_sysinits: sysinit[] = [];
const vnet_sysuninits: sysinit[] = [];

function by_order(a: sysinit, b: sysinit): number {
	return a.subsystem - b.subsystem || a.order - b.order || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

function register(list: sysinit[], name: string, subsystem: number, order: number, func: () => Blocking<void>): void {
	list.push({ name, subsystem, order, func });
	list.sort(by_order);
}

/** Runs `func` once at boot of every kernel, ordered by subsystem, order and name, whatever the order of imports. */
export function SYSINIT(name: string, subsystem: number, order: number, func: () => Blocking<void>): void {
	register(sysinits, name, subsystem, order, func);
}

/** Runs `func` for every vnet when it is made, with it as curvnet. */
export function VNET_SYSINIT(name: string, subsystem: number, order: number, func: () => Blocking<void>): void {
	register(vnet_sysinits, name, subsystem, order, func);
}

/** Runs `func` for every vnet when it is destroyed, in reverse order. */
export function VNET_SYSUNINIT(name: string, subsystem: number, order: number, func: () => Blocking<void>): void {
	register(vnet_sysuninits, name, subsystem, order, func);
}

/** mi_startup: runs all SYSINITs. */
export function* mi_startup(): Blocking<void> {
	for (const s of sysinits) yield* s.func();
}

export function* vnet_sysinit(): Blocking<void> {
	for (const s of vnet_sysinits) yield* s.func();
}

export function* vnet_sysuninit(): Blocking<void> {
	for (let i = vnet_sysuninits.length - 1; i >= 0; i--) yield* vnet_sysuninits[i].func();
}

/** DELAY(9) and user-mode computing alike: burns `ns` of CPU time. */
export function DELAY(ns: number): void {
	charge(ns);
}
