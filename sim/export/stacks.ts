/**
 * Collapsed stacks of simulated CPU time, for flamegraph.pl, speedscope and Perfetto: CPU, thread, the functions called, the
 * cost they paid, and the ns spent there.
 *
 * They cover the whole run, set-up included, and add up to the busy time of all CPUs, to the ns. Time spinning for a lock
 * stands below the function that wants it; interrupts are those of the thread they hit.
 */
import type { CpuTimeByStack } from "../profile/stacks.ts";
import type { ExportContext, Exporter } from "./export.ts";
import type { OutFile } from "./file.ts";

/** A name in a stack, where `;` ends it. */
export function frame(name: string): string {
	return name.replaceAll(";", ",");
}

export class StacksExport implements Exporter {
	private readonly file: OutFile;
	private readonly time: CpuTimeByStack;

	constructor(file: OutFile, context: ExportContext) {
		this.file = file;
		this.time = context.cpuTime();
	}

	close(): void {
		this.time.close();
	}

	finish(): void {
		const { stacks, busy_ns } = this.time.read();
		this.file.text(`# busy: ${busy_ns} ns\n`);
		const lines = stacks.map(
			({ cpu, thread, functions, ns }) => `${[`CPU ${cpu}`, thread, ...functions].map(frame).join(";")} ${ns}\n`,
		);
		for (const line of lines.sort()) this.file.text(line);
	}
}
