/**
 * Vector registers in the kernel. Code that wants them either lets the kernel save them for as long as it needs, or, with
 * FPU_KERN_NOCTX, may use them inside one critical section in which nothing else can: a preemption waits until the end.
 *
 * Only what takes time or holds up the scheduler is modelled, so there are no registers here. Saving the state of a thread that used
 * them before is left out, for kernel threads do not.
 *
 * @see sys/amd64/amd64/fpu.c
 */
import { KASSERT, KERNEL_GLOBAL, mp_ncpus } from "../../kernel/sched/kernel.ts";
import {
	advance_unseen,
	type Blocking,
	charge,
	cost,
	curcpu,
	curthread,
	DONE,
	later,
} from "../../kernel/sched/thread.ts";
import { critical_enter, critical_exit_late } from "../../kernel/sched/ule.ts";

/** Where a section with context saves the registers it found. @see fpu.c fpu_kern_alloc_ctx */
export class fpu_kern_ctx {
	inuse = false;
}

class fpu_state {
	/** per CPU: it is inside a section without context */
	readonly nosave = new Array<boolean>(mp_ncpus()).fill(false);
}

const fpu = KERNEL_GLOBAL(() => new fpu_state());

/** The running kernel thread may use the registers from now on. @see fpu.c fpu_kern_thread */
export function fpu_kern_thread(): void {
	curthread.td_kernfpu = true;
}

/** @see fpu.c is_fpu_kern_thread */
export function is_fpu_kern_thread(): boolean {
	return curthread.td_kernfpu;
}

/**
 * Begins a section with FPU_KERN_NOCTX. What the thread did before can still be preempted, from here on nothing can.
 *
 * @see fpu.c fpu_kern_enter
 */
export function fpu_kern_enter(): Blocking<void> {
	return advance_unseen() ? enter(fpu().nosave) : later(enter, fpu().nosave);
}

function enter(nosave: boolean[]): Blocking<void> {
	critical_enter();
	KASSERT(!nosave[curcpu()], "recursive fpu_kern_enter while in PCB_FPUNOSAVE state");
	nosave[curcpu()] = true;
	charge(cost.fpu_kern);
	return DONE;
}

/**
 * Ends the section. The time spent inside passes with preemption still held up; what became due meanwhile happens after it.
 *
 * @see fpu.c fpu_kern_leave
 */
export function fpu_kern_leave(): Blocking<void> {
	fpu().nosave[curcpu()] = false;
	return critical_exit_late();
}

/**
 * Begins a section with a context, in which the thread can be preempted: the registers it found are saved there, and its own are
 * switched with it.
 *
 * @see fpu.c fpu_kern_enter with FPU_KERN_NORMAL
 */
export function fpu_kern_enter_ctx(ctx: fpu_kern_ctx): void {
	KASSERT(!ctx.inuse, "using inuse ctx");
	KASSERT(!fpu().nosave[curcpu()], "recursive fpu_kern_enter while in PCB_FPUNOSAVE state");
	ctx.inuse = true;
	charge(cost.fpu_kern_ctx);
}

/** @see fpu.c fpu_kern_leave */
export function fpu_kern_leave_ctx(ctx: fpu_kern_ctx): void {
	KASSERT(ctx.inuse, "leaving not inuse ctx");
	ctx.inuse = false;
}
