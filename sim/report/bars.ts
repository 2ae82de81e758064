/** One bar for each CPU: what it did with its time. */
import type { CpuTime } from "../metrics.ts";

const WIDTH = 50;

/** In order from the left; what is left over is idle. */
const PARTS: readonly { readonly mark: string; readonly name: string; readonly of: (cpu: CpuTime) => number }[] = [
	{ mark: "#", name: "useful", of: (cpu) => cpu.busy_ns - cpu.wasted_ns - cpu.spin_ns },
	{ mark: "s", name: "spinning on locks", of: (cpu) => cpu.spin_ns },
	{ mark: "x", name: "woken for nothing", of: (cpu) => cpu.wasted_ns },
	{ mark: "w", name: "waking up", of: (cpu) => cpu.wake_ns },
	{ mark: "~", name: "polling for work", of: (cpu) => cpu.poll_ns },
];

export const BAR_LEGEND = `${PARTS.map((part) => `${part.mark} ${part.name}`).join("   ")}   . halted`;

/** Marks are laid by running sums, so that a bar is always full and rounding never adds up. */
export function cpuBar(cpu: CpuTime): string {
	const total = cpu.busy_ns + cpu.wake_ns + cpu.poll_ns + cpu.idle_ns;
	let bar = "";
	let sum = 0;
	for (const part of PARTS) {
		sum += Math.max(0, part.of(cpu));
		const end = total === 0 ? 0 : Math.min(WIDTH, Math.round((sum * WIDTH) / total));
		bar += part.mark.repeat(Math.max(0, end - bar.length));
	}
	return bar.padEnd(WIDTH, ".");
}

/** With more CPUs than this, a picture of each says less than a picture of all. */
const CPUS_SHOWN = 16;

function busyShare(cpu: CpuTime): number {
	const total = cpu.busy_ns + cpu.wake_ns + cpu.poll_ns + cpu.idle_ns;
	return total === 0 ? 0 : cpu.busy_ns / total;
}

/** One line with a name before the bar. */
function line(name: string, width: number, cpu: CpuTime): string {
	return `${name.padEnd(width)} |${cpuBar(cpu)}| ${String(Math.round(busyShare(cpu) * 100)).padStart(3)} % busy`;
}

/** `cpu0 |####xx~~..| 61 % busy`, a line for each CPU; of many CPUs the average, the busiest and the idlest. */
export function cpuBars(cpus: readonly CpuTime[]): string[] {
	if (cpus.length <= CPUS_SHOWN) {
		const width = `cpu${cpus.length - 1}`.length;
		return cpus.map((cpu) => line(`cpu${cpu.cpu}`, width, cpu));
	}
	const sum: CpuTime = { ...cpus[0] };
	for (const field of ["busy_ns", "wasted_ns", "spin_ns", "wake_ns", "poll_ns", "idle_ns"] as const) {
		sum[field] = cpus.reduce((total, cpu) => total + cpu[field], 0);
	}
	const ranked = [...cpus].sort((a, b) => busyShare(b) - busyShare(a) || a.cpu - b.cpu);
	const rows: [string, CpuTime][] = [
		[`average of ${cpus.length}`, sum],
		[`busiest, cpu${ranked[0].cpu}`, ranked[0]],
		[`idlest, cpu${ranked[ranked.length - 1].cpu}`, ranked[ranked.length - 1]],
	];
	const width = Math.max(...rows.map(([name]) => name.length));
	return rows.map(([name, cpu]) => line(name, width, cpu));
}
