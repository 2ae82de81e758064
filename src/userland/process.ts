/**
 * Processes: what a program needs around its thread. A credential, open sockets, output, an exit status.
 *
 * A program is a generator that returns its exit status. Each process has one thread. Descriptors are the sockets themselves; only
 * a process's last close and its end look at the list. Of the signals there is SIGKILL: it wakes the process from whatever socket it
 * sleeps on, and the process ends when its system call returns.
 *
 * @see kern_fork.c, kern_exit.c exit1, kern_sig.c sigexit
 */
import { EINTR } from "../kernel/errno.ts";
import type { prison } from "../kernel/jail/jail.ts";
import { cred0, prison_ischild, thread_crfree, thread_setcred } from "../kernel/jail/jail.ts";
import { crget, crhold, type ucred } from "../kernel/jail/ucred.ts";
import { MTX_DEF, mtx, mtx_init, mtx_lock, mtx_unlock } from "../kernel/lock/mutex.ts";
import { KERNEL_GLOBAL, priorities, type vnet } from "../kernel/sched/kernel.ts";
import { uthread_add } from "../kernel/sched/kthread.ts";
import { msleep, wakeup } from "../kernel/sched/sleepqueue.ts";
import { type Blocking, charge, cost, type thread } from "../kernel/sched/thread.ts";
import { selwakeup } from "../kernel/socket/select.ts";
import { SOLISTENING, type socket } from "../kernel/socket/socket.ts";
import { SOCKBUF_LOCK, sorwakeup_locked, sowwakeup_locked } from "../kernel/socket/uipc_sockbuf.ts";
import { SOCK_LOCK, SOCK_UNLOCK, soclose } from "../kernel/socket/uipc_socket.ts";

/** What runs in a process. `argv` does not begin with the program's name; getopt(3) starts at 1, we at 0. */
export type program = (proc: process, argv: readonly string[]) => Blocking<number>;

export type console_t = (line: string, proc: process) => void;

export const SIGKILL = 9;

/** Unwinds a program that calls exit(3) or is killed; nobody but the process's own thread catches it. */
export class process_exit extends Error {
	readonly status: number;
	constructor(status: number) {
		super(`exit ${status}`);
		this.name = "process_exit";
		this.status = status;
	}
}

class process_state {
	readonly allproc: Array<process> = [];
	lastpid = 0;
}

const state = KERNEL_GLOBAL(() => new process_state());

export class process {
	readonly p_pid: number;
	readonly p_comm: string;
	readonly p_ucred: ucred;
	readonly p_program: program;
	readonly p_args: readonly string[];
	readonly p_mtx = new mtx();
	p_td: thread | null = null;
	/** open sockets */
	readonly p_fd = new Set<socket>();
	/** has been sent SIGKILL */
	p_killed = false;
	p_exited = false;
	/** exit status; 128 and the signal's number if it was killed, as a shell says it */
	p_xstat = 0;
	/** all it has written, both to standard output and standard error, in lines */
	readonly lines: string[] = [];
	/** what it wrote to standard error */
	readonly errors: string[] = [];
	/** where lines go as they are written */
	readonly console: console_t | null;
	/** what the program shows of itself while it runs, to whoever measures from outside */
	p_data: unknown = null;
	/** what it reads from standard input */
	stdin = "";

	constructor(
		pid: number,
		name: string,
		cred: ucred,
		prog: program,
		argv: readonly string[],
		console: console_t | null,
	) {
		this.p_pid = pid;
		this.p_comm = name;
		this.p_ucred = cred;
		this.p_program = prog;
		this.p_args = argv;
		this.console = console;
		mtx_init(this.p_mtx, "process lock", null, MTX_DEF);
	}

	get p_vnet(): vnet {
		return this.p_ucred.cr_vnet();
	}

	/** Writes a line to standard output. */
	stdout(line: string): void {
		charge(cost.tty_line);
		this.lines.push(line);
		if (this.console !== null) this.console(line, this);
	}

	/** Writes a line to standard error. */
	stderr(line: string): void {
		this.errors.push(line);
		this.stdout(line);
	}

	/** err(3) without the exit: "program: message" on standard error. @returns `status`, for the program to return */
	warn(message: string, status = 1): number {
		this.stderr(`${this.p_comm}: ${message}`);
		return status;
	}
}

/** All processes that have not ended, by pid. */
export function allproc(): ReadonlyArray<process> {
	return state().allproc;
}

export interface exec_options {
	readonly console?: console_t | null;
	/** it runs as root of this jail instead, as jexec(8) arranges */
	readonly jail?: prison;
	/** what it reads from standard input */
	readonly stdin?: string;
}

/**
 * fork(2) and execve(2): starts `prog` in a process of its own.
 *
 * @param parent whose jail and console it inherits; null: it runs as root of the base system
 */
export function fork_exec(
	parent: process | null,
	name: string,
	prog: program,
	argv: readonly string[],
	options: exec_options = {},
): process {
	const s = state();
	const cred = options.jail !== undefined ? crget(0, options.jail) : crhold(parent === null ? cred0() : parent.p_ucred);
	const output = options.console === undefined ? (parent?.console ?? null) : options.console;
	const p = new process(++s.lastpid, name, cred, prog, argv, output);
	p.stdin = options.stdin ?? "";
	s.allproc.push(p);
	charge(cost.fork_exec);
	const td = uthread_add(process_main, p, name);
	// the thread was given its creator's credential, without a reference
	td.td_ucred = null;
	thread_setcred(td, cred);
	p.p_td = td;
	return p;
}

function* process_main(p: process): Blocking<void> {
	try {
		p.p_xstat = yield* p.p_program(p, p.p_args);
	} catch (reason) {
		if (!(reason instanceof process_exit)) throw reason;
		p.p_xstat = reason.status;
	}
	yield* exit1(p);
}

/** The end of a process: closes what is open, gives the credential back, tells the parent. */
function* exit1(p: process): Blocking<void> {
	for (const so of p.p_fd) {
		p.p_fd.delete(so);
		yield* soclose(so);
	}
	thread_crfree(p.p_td as thread);
	const procs = state().allproc;
	procs.splice(procs.indexOf(p), 1);
	yield* mtx_lock(p.p_mtx);
	p.p_exited = true;
	yield* wakeup(p);
	yield* mtx_unlock(p.p_mtx);
}

/** wait4(2): waits until the process has ended. @returns its exit status */
export function* wait4(p: process): Blocking<number> {
	yield* mtx_lock(p.p_mtx);
	while (!p.p_exited) yield* msleep(p, p.p_mtx, priorities().PSOCK, "wait", 0);
	yield* mtx_unlock(p.p_mtx);
	return p.p_xstat;
}

/** system(3): runs a program to its end. @returns the ended process, with its output and exit status */
export function* system(
	parent: process | null,
	name: string,
	prog: program,
	argv: readonly string[],
	options: exec_options = {},
): Blocking<process> {
	const p = fork_exec(parent, name, prog, argv, options);
	yield* wait4(p);
	return p;
}

/** Wakes a thread that sleeps on a socket, whichever way. */
function* interrupt_socket(so: socket): Blocking<void> {
	yield* SOCK_LOCK(so);
	if (so.so_error === 0) so.so_error = EINTR;
	if (SOLISTENING(so)) {
		yield* selwakeup(so.so_rcv.sb_sel);
		yield* SOCK_UNLOCK(so);
		yield* wakeup(so.sol_comp);
		return;
	}
	yield* SOCK_UNLOCK(so);
	yield* wakeup(so.so_timeo);
	yield* SOCKBUF_LOCK(so.so_rcv);
	yield* sorwakeup_locked(so);
	yield* SOCKBUF_LOCK(so.so_snd);
	yield* sowwakeup_locked(so);
}

/** kill(2) with SIGKILL: the process ends when it next returns from a system call. */
export function* kill(p: process): Blocking<void> {
	if (p.p_exited) return;
	p.p_killed = true;
	for (const so of [...p.p_fd]) yield* interrupt_socket(so);
}

/** Kills all processes of a jail and of the jails in it, and waits until they have ended. @see kern_jail.c prison_remove_one */
export function* kill_prison(pr: prison): Blocking<void> {
	const doomed = allproc().filter((p) => p.p_ucred.cr_prison === pr || prison_ischild(pr, p.p_ucred.cr_prison));
	for (const p of doomed) yield* kill(p);
	for (const p of doomed) yield* wait4(p);
}
