/** CPU time added up by CPU, thread and call stack: what profiles are made of. */
import { curkernel } from "../../src/kernel/sched/kernel.ts";
import type { thread } from "../../src/kernel/sched/thread.ts";
import { Ledger } from "./ledger.ts";
import type { Path } from "./path.ts";

export interface Stack {
	readonly cpu: number;
	/** the thread's name; threads of one name are one */
	readonly thread: string;
	/** from the outermost, and last the cost that was paid or what else the time went to */
	readonly functions: readonly string[];
	readonly ns: number;
}

export interface Stacks {
	/** add up to busy_ns */
	readonly stacks: Stack[];
	/** busy time of all CPUs */
	readonly busy_ns: number;
}

function busy(): number {
	return curkernel.machine.cpus.reduce((sum, cpu) => sum + cpu.busy_ns, 0);
}

export class CpuTimeByStack {
	private readonly ledger: Ledger;
	/** for each CPU and name of a thread */
	private readonly times: Map<string, Map<Path, number>>[];
	private busy_before: number;

	/** Listens to the kernel that runs now. */
	constructor() {
		this.times = curkernel.machine.cpus.map(() => new Map());
		this.ledger = new Ledger((td, cpu, _kind, path, ns) => this.add(td, cpu, path, ns));
		this.busy_before = busy();
	}

	private add(td: thread, cpu: number, path: Path, ns: number): void {
		const threads = this.times[cpu];
		let paths = threads.get(td.td_name);
		if (paths === undefined) {
			paths = new Map();
			threads.set(td.td_name, paths);
		}
		paths.set(path, (paths.get(path) ?? 0) + ns);
	}

	/** Forgets what was counted until now. */
	reset(): void {
		this.ledger.settle();
		for (const threads of this.times) threads.clear();
		this.busy_before = busy();
	}

	/** What was counted since the last reset, up to the machine's clock. */
	read(): Stacks {
		this.ledger.settle();
		const stacks: Stack[] = [];
		this.times.forEach((threads, cpu) => {
			for (const [name, paths] of threads) {
				for (const [path, ns] of paths) {
					if (ns !== 0) stacks.push({ cpu, thread: name, functions: path.names(), ns });
				}
			}
		});
		return { stacks, busy_ns: busy() - this.busy_before };
	}

	/** Stops listening. */
	close(): void {
		this.ledger.close();
	}
}
