/**
 * jail(8), jexec(8) and jls(8).
 *
 * jail -c makes a persistent jail from parameters on the command line (name=, vnet, children.max=); jail -r kills what runs in
 * one and removes it. FreeBSD's kernel does the killing; here the program does, because processes are user code to the kernel.
 * The jail's network stack goes a little later, when the last thing that refers to it does.
 *
 * @see jail.c, command.c run_command, jexec.c, jls.c; kern_jail.c
 */
import { EEXIST, EINVAL, EPERM, type Errno, strerror } from "../kernel/errno.ts";
import { allprison, prison_create, prison_ischild, prison_remove } from "../kernel/jail/jail.ts";
import { PRIV_JAIL_ATTACH, PRIV_JAIL_REMOVE, PRIV_JAIL_SET, priv_check } from "../kernel/jail/priv.ts";
import { type Blocking, charge, cost, curthread } from "../kernel/sched/thread.ts";
import { find_program } from "./bin.ts";
import { getopt, integer } from "./getopt.ts";
import { find_jail } from "./ifconfig.ts";
import { fork_exec, kill_prison, type process, wait4 } from "./process.ts";
import { sysret } from "./syscall.ts";

function usage(proc: process): number {
	proc.stderr("usage: jail [-c | -r] [param=value ...]");
	return 1;
}

/** jail_set(2) with JAIL_CREATE */
function* jail_set(proc: process, name: string, vnet: boolean, childmax: number): Blocking<Errno> {
	charge(cost.syscall);
	let error = priv_check(curthread, PRIV_JAIL_SET);
	if (error === 0) {
		const pr = yield* prison_create(proc.p_ucred.cr_prison, { name, vnet, childmax });
		if (typeof pr === "number") error = pr;
	}
	yield* sysret(proc);
	return error;
}

function* create(proc: process, params: readonly string[]): Blocking<number> {
	let name = "";
	let vnet = false;
	let childmax = 0;
	for (const param of params) {
		const [key, value = ""] = param.split("=", 2);
		if (key === "name" || key === "jid") name = value;
		else if (key === "vnet") vnet = true;
		else if (key === "children.max") childmax = integer(value) ?? 0;
		else if (key !== "persist" && key !== "path" && key !== "host.hostname") {
			return proc.warn(`unknown parameter: ${key}`);
		}
	}
	if (name === "") return proc.warn("no jail specified");
	const error = yield* jail_set(proc, name, vnet, childmax);
	if (error === 0) {
		proc.stdout(`${name}: created`);
		return 0;
	}
	if (error === EEXIST) return proc.warn(`jail "${name}" already exists`);
	if (error === EPERM) return proc.warn("jail_set: Operation not permitted");
	return proc.warn(`${name}: jail_set: ${strerror(error)}`);
}

/** jail_remove(2) */
function* remove(proc: process, name: string): Blocking<number> {
	const pr = find_jail(proc, name);
	if (pr === null) return proc.warn(`"${name}" not found`);
	charge(cost.syscall);
	let error = priv_check(curthread, PRIV_JAIL_REMOVE);
	if (error === 0) {
		yield* kill_prison(pr);
		error = yield* prison_remove(pr);
	}
	yield* sysret(proc);
	if (error !== 0) return proc.warn(`${name}: jail_remove: ${strerror(error)}`);
	proc.stdout(`${name}: removed`);
	return 0;
}

export function* jail(proc: process, argv: readonly string[]): Blocking<number> {
	const parsed = getopt(argv, "crqv");
	if (parsed.error !== "") return usage(proc);
	const verb = parsed.options.find((o) => o.name === "c" || o.name === "r")?.name;
	if (verb === undefined || parsed.operands.length === 0) return usage(proc);
	if (verb === "c") return yield* create(proc, parsed.operands);
	let code = 0;
	for (const name of parsed.operands) code = (yield* remove(proc, name)) || code;
	return code;
}

/** jexec: runs a program in a jail and waits for it. */
export function* jexec(proc: process, argv: readonly string[]): Blocking<number> {
	const [name, command, ...args] = argv;
	if (name === undefined || command === undefined) {
		proc.stderr("usage: jexec [-l] [-u username | -U username] jail [command ...]");
		return 1;
	}
	const pr = find_jail(proc, name);
	if (pr === null) return proc.warn(`jail "${name}" not found`);
	charge(cost.syscall);
	const error = priv_check(curthread, PRIV_JAIL_ATTACH) || (pr.pr_parent === null ? EINVAL : 0);
	if (error !== 0) return proc.warn(`jail_attach(${name}): ${strerror(error)}`);
	const program = find_program(command);
	if (program === null) return proc.warn(`execvp: ${command}: No such file or directory`);
	const child = fork_exec(proc, command, program, args, { jail: pr });
	child.stdin = proc.stdin;
	const status = yield* wait4(child);
	proc.lines.push(...child.lines);
	proc.errors.push(...child.errors);
	return status;
}

/** jls: the jails below this one. */
export function* jls(proc: process): Blocking<number> {
	const mine = proc.p_ucred.cr_prison;
	proc.stdout("   JID  IP Address      Hostname                      Path");
	for (const pr of allprison()) {
		if (!prison_ischild(mine, pr)) continue;
		proc.stdout(`${`${pr.pr_id}`.padStart(6)}  ${"".padEnd(15)} ${pr.pr_name.padEnd(29)} /`);
	}
	return 0;
}
