/**
 * A simulated CPU: what it is doing, since when, and what that has cost so far.
 *
 * The machine knows nothing of threads: the kernel's scheduler tells a CPU when it becomes busy or idle, and gets back how
 * long waking it takes. Idle CPUs sink into deeper C-states with time, by the residencies of the profile.
 */
import type { CState, MachineProfile } from "./profile.ts";
import { wide_fields } from "./shape.ts";

export class Cpu {
	readonly id: number;
	/** non-idle time, ns: work, spinning, switching, interrupts */
	busy_ns = 0;
	/** part of busy_ns: waiting for a lock whose owner runs */
	spin_ns = 0;
	/** part of busy_ns: context switches */
	switch_ns = 0;
	/** part of busy_ns: interrupts, IPIs included */
	interrupt_ns = 0;
	/** time on the way out of C-states, ns */
	wake_ns = 0;
	/** time in the idle thread's polling loop, ns: awake, but no work */
	poll_ns = 0;
	/** time halted, ns, per C-state of the profile */
	readonly cstate_ns: Float64Array;
	/** how often each C-state was left */
	readonly cstate_exits: Float64Array;
	ipis_received = 0;
	context_switches = 0;
	/** wakeups out of a halt (not out of polling) */
	wakeups = 0;
	/** when it became idle, ns; -1 while busy */
	idle_since = 0;
	/** until when the idle thread polls before it halts, ns; 0 when it does not */
	poll_until = 0;

	/** until when the present idle period is in the books already, ns */
	booked = 0;
	private readonly cstates: readonly CState[];

	constructor(id: number, profile: Pick<MachineProfile, "cstates">) {
		this.id = id;
		this.cstates = profile.cstates;
		this.cstate_ns = new Float64Array(profile.cstates.length);
		this.cstate_exits = new Float64Array(profile.cstates.length);
	}

	get idle(): boolean {
		return this.idle_since >= 0;
	}

	/** True while the idle thread polls for work: a store by another CPU is enough to wake it. */
	polling(now: number): boolean {
		return this.idle_since >= 0 && now < this.poll_until;
	}

	enterIdle(now: number, poll_ns: number): void {
		this.idle_since = now;
		this.booked = now;
		this.poll_until = poll_ns > 0 ? now + poll_ns : 0;
	}

	/**
	 * Ends the idle period and accounts for it.
	 *
	 * @returns exit latency in ns: 0 out of polling, else that of the C-state the CPU had sunk into
	 */
	exitIdle(now: number): number {
		const state = this.book(now);
		this.idle_since = -1;
		if (state < 0) return 0;
		this.cstate_exits[state]++;
		this.wakeups++;
		return this.cstates[state].exit_latency_ns;
	}

	/**
	 * Brings the books up to `now`, so that busy, waking, polling and halted time add up to the time that has passed. An idle
	 * period goes on as if nothing had been: the CPU sinks no less deep for having been looked at.
	 */
	settle(now: number): void {
		if (this.idle_since >= 0) this.book(now);
	}

	/** Books the idle time since the last call. @returns the C-state the CPU is in at `now`, -1 while it polls */
	private book(now: number): number {
		const since = this.idle_since;
		const polls = this.poll_until > since;
		const halted_since = polls ? Math.min(this.poll_until, now) : since;
		if (halted_since > this.booked) {
			this.poll_ns += halted_since - this.booked;
			this.booked = halted_since;
		}
		if (polls && now <= halted_since) return -1;
		const halted = now - halted_since;
		let state = 0;
		for (let i = 1; i < this.cstates.length; i++) if (halted >= this.cstates[i].residency_ns) state = i;
		this.cstate_ns[state] += now - this.booked;
		this.booked = now;
		return state;
	}
}

wide_fields(
	new Cpu(0, { cstates: [] }),
	"busy_ns",
	"spin_ns",
	"switch_ns",
	"interrupt_ns",
	"wake_ns",
	"poll_ns",
	"idle_since",
	"poll_until",
	"booked",
);
