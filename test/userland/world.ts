/** A booted machine for tests of programs: runs a thread to its end, and looks for leaks afterwards. */
import { expect } from "vitest";
import { boot, runUntilExit, spawn } from "../../src/kernel/boot.ts";
import "../../src/kernel/ifnet/if_epair.ts";
import "../../src/kernel/ifnet/if_loop.ts";
import { ifnet_count } from "../../src/kernel/ifnet/if.ts";
import { allprison, cred0 } from "../../src/kernel/jail/jail.ts";
import { cred_count, crhold } from "../../src/kernel/jail/ucred.ts";
import { vnet_foreach, vnet0 } from "../../src/kernel/jail/vnet.ts";
import { malloc_leaks } from "../../src/kernel/mbuf/malloc.ts";
import { uma_leaks } from "../../src/kernel/mbuf/uma.ts";
import "../../src/kernel/netinet/inet.ts";
import "../../src/kernel/netinet/tcp_usrreq.ts";
import { thread_crfree, thread_setcred } from "../../src/kernel/jail/jail.ts";
import type { Kernel, KernelOptions } from "../../src/kernel/sched/kernel.ts";
import { type Blocking, curthread } from "../../src/kernel/sched/thread.ts";
import { numopensockets } from "../../src/kernel/socket/uipc_socket.ts";
import { Machine, type MachineOptions } from "../../src/machine/machine.ts";
import { findProfile, type MachineProfile } from "../../src/machine/profile.ts";
import { find_program } from "../../src/userland/bin.ts";
import { allproc, type process, system } from "../../src/userland/process.ts";
import { type testbed, testbed_destroy, type testbed_options, testbed_two_jails } from "../../src/userland/testbed.ts";

export const xeon = findProfile("xeon-d") as MachineProfile;

export function world(options: KernelOptions = {}, machine: Partial<MachineOptions> = {}): Kernel {
	return boot(new Machine({ profile: xeon, ...machine }), options);
}

/** Runs `main` as root of the base system until it ends. */
export function inside<T>(kernel: Kernel, main: () => Blocking<T>, limit_s = 400): T {
	const box: { value?: T } = {};
	const td = spawn(kernel, "test", function* () {
		curthread.td_ucred = null;
		thread_setcred(curthread, crhold(cred0()));
		box.value = yield* main();
		thread_crfree(curthread);
	});
	expect(runUntilExit(kernel, td, limit_s * 1e9)).toBe(true);
	return box.value as T;
}

/** Nothing may be left: packets, zone items, sockets, processes, jails, credentials but the base system's. */
export function expect_clean(kernel: Kernel): void {
	// epoch callbacks and task queues finish
	kernel.machine.run(kernel.machine.now + 100_000_000);
	expect(uma_leaks()).toEqual([]);
	expect(malloc_leaks()).toEqual([]);
	expect(numopensockets()).toBe(0);
	expect(allproc()).toEqual([]);
	expect(allprison().length).toBe(1);
	expect(vnet_foreach()).toEqual([vnet0()]);
	// lo0
	expect(ifnet_count()).toBe(1);
	expect(cred_count().inuse).toBeLessThanOrEqual(2);
}

/** Runs one command line to its end. */
export function* sh(command: string): Blocking<process> {
	const [name, ...args] = command.split(" ");
	const program = find_program(name);
	if (program === null) throw new Error(`${name}: not found`);
	return yield* system(null, name, program, args);
}

/** Runs `body` in a test bed, which is gone afterwards without a trace. */
export function with_testbed<T>(
	options: testbed_options,
	body: (tb: testbed) => Blocking<T>,
	kernel: Kernel = world(),
): T {
	const result = inside(kernel, function* () {
		const tb = yield* testbed_two_jails(options);
		const value = yield* body(tb);
		expect(yield* testbed_destroy(tb)).toBe(true);
		return value;
	});
	expect_clean(kernel);
	return result;
}
