/**
 * Simulated CPU time as a profile for speedscope.app: the stacks of stacks.txt as one profile of all CPUs, by thread, and
 * one of each CPU. Each adds up to the busy time it covers, to the ns.
 *
 * @see speedscope's file-format-spec.ts: SampledProfile
 */
import type { CpuTimeByStack, Stack } from "../profile/stacks.ts";
import type { ExportContext, Exporter } from "./export.ts";
import type { OutFile } from "./file.ts";

const SCHEMA = "https://www.speedscope.app/file-format-schema.json";

export class SpeedscopeExport implements Exporter {
	private readonly file: OutFile;
	private readonly command: string;
	private readonly cpus: number;
	private readonly time: CpuTimeByStack;
	private readonly frames = new Map<string, number>();

	constructor(file: OutFile, { command, options, cpuTime }: ExportContext) {
		this.file = file;
		this.time = cpuTime();
		this.command = command;
		this.cpus = options.cpus;
	}

	private frame(name: string): number {
		let index = this.frames.get(name);
		if (index === undefined) {
			index = this.frames.size;
			this.frames.set(name, index);
		}
		return index;
	}

	/** Each stack is one sample, weighed by its time. */
	private profile(name: string, stacks: readonly Stack[]): void {
		const busy = stacks.reduce((sum, { ns }) => sum + ns, 0);
		const head = { type: "sampled", name, unit: "nanoseconds", startValue: 0, endValue: busy };
		this.file.text(`${JSON.stringify(head).slice(0, -1)},"samples":[`);
		stacks.forEach(({ thread, functions }, i) => {
			const sample = [thread, ...functions].map((frame) => this.frame(frame));
			this.file.text(`${i === 0 ? "" : ","}\n${JSON.stringify(sample)}`);
		});
		this.file.text(`],"weights":[`);
		stacks.forEach(({ ns }, i) => {
			this.file.text(`${i === 0 ? "" : ","}${ns}`);
		});
		this.file.text("]}");
	}

	close(): void {
		this.time.close();
	}

	finish(): void {
		const { stacks } = this.time.read();
		const head = { $schema: SCHEMA, name: this.command, exporter: "ifwg", activeProfileIndex: 0 };
		this.file.text(`${JSON.stringify(head).slice(0, -1)},"profiles":[`);
		this.profile("all CPUs", stacks);
		for (let cpu = 0; cpu < this.cpus; cpu++) {
			this.file.text(",\n");
			this.profile(
				`CPU ${cpu}`,
				stacks.filter((stack) => stack.cpu === cpu),
			);
		}
		const frames = [...this.frames.keys()].map((name) => ({ name }));
		this.file.text(`],"shared":{"frames":[`);
		frames.forEach((frame, i) => {
			this.file.text(`${i === 0 ? "" : ","}${JSON.stringify(frame)}`);
		});
		this.file.text("]}}\n");
	}
}
