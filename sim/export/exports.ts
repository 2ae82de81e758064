/** All the exporters of one run: they begin together, and either all their files are made or none. */
import { CpuTimeByStack } from "../profile/stacks.ts";
import type { ExportContext, Exporter, RunContext } from "./export.ts";
import { Budget, OutFile } from "./file.ts";
import { followPackets } from "./follow.ts";
import { KtrExport } from "./ktr.ts";
import { PcapngExport } from "./pcapng.ts";
import { PerfettoExport } from "./perfetto.ts";
import { type ExportPlan, type Format, outputFile } from "./plan.ts";
import { SpeedscopeExport } from "./speedscope.ts";
import { StacksExport } from "./stacks.ts";

const MAKERS: Readonly<Record<Format, new (file: OutFile, context: ExportContext) => Exporter>> = {
	pcapng: PcapngExport,
	ktr: KtrExport,
	perfetto: PerfettoExport,
	stacks: StacksExport,
	speedscope: SpeedscopeExport,
};

export class Exports {
	private readonly files: OutFile[] = [];
	private readonly exporters: Exporter[] = [];
	private readonly unfollow: () => void;

	/** Begins to listen to the kernel that runs now. */
	constructor(plan: ExportPlan, run: RunContext) {
		this.unfollow = followPackets();
		let time: CpuTimeByStack | null = null;
		const cpuTime = (): CpuTimeByStack => {
			time ??= new CpuTimeByStack();
			return time;
		};
		const context: ExportContext = { ...run, cpuTime };
		const budget = new Budget(plan.max_bytes);
		try {
			for (const format of plan.formats) {
				const file = new OutFile(outputFile(plan, format), budget);
				this.files.push(file);
				this.exporters.push(new MAKERS[format](file, context));
			}
		} catch (error) {
			this.abort();
			throw error;
		}
	}

	/** The run is over: completes the files. */
	commit(): void {
		this.unfollow();
		for (const exporter of this.exporters.splice(0)) {
			exporter.close();
			exporter.finish();
		}
		// only when all are on the disk does the first get its name
		for (const file of this.files) file.complete();
		for (const file of this.files) file.commit();
	}

	/** The run came to nothing: so do the files. Harmless after a commit. */
	abort(): void {
		this.unfollow();
		for (const exporter of this.exporters.splice(0)) exporter.close();
		for (const file of this.files) file.abort();
	}
}
