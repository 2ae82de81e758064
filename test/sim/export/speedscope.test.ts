/** The profile for speedscope.app: the shape its file format asks for, and the same time as the collapsed stacks. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { outputFile, planExports } from "../../../sim/export/plan.ts";
import { parseRunOptions } from "../../../sim/options.ts";
import { simulate } from "../../../sim/run.ts";
import { exportRun } from "./support.ts";

interface Profile {
	type: string;
	name: string;
	unit: string;
	startValue: number;
	endValue: number;
	samples: number[][];
	weights: number[];
}

const raw = { costOnly: true, cpus: "2" };

function sum(weights: readonly number[]): number {
	return weights.reduce((total, weight) => total + weight, 0);
}

test("a profile has the shape of the format, and adds up to the busy time of the stacks", async () => {
	const { file, directory } = await exportRun("speedscope", raw);
	const options = parseRunOptions({ duration: "1ms", warmup: "500us", ...raw });
	const both = planExports({ out: `${directory}/both`, export: "stacks,speedscope" }, options)!;
	await simulate(options, both);
	const busy = Number(/^# busy: ([0-9]+) ns$/m.exec(readFileSync(outputFile(both, "stacks"), "utf8"))?.[1]);
	expect(readFileSync(outputFile(both, "speedscope"), "utf8") === readFileSync(file, "utf8")).toBe(true);
	const data = JSON.parse(readFileSync(file, "utf8"));
	expect(Object.keys(data).sort()).toEqual(["$schema", "activeProfileIndex", "exporter", "name", "profiles", "shared"]);
	expect(data.$schema).toBe("https://www.speedscope.app/file-format-schema.json");
	const frames: { name: string }[] = data.shared.frames;
	expect(frames.every((frame) => typeof frame.name === "string" && frame.name !== "")).toBe(true);
	expect(new Set(frames.map((frame) => frame.name)).size).toBe(frames.length);
	const profiles: Profile[] = data.profiles;
	expect(profiles.map((profile) => profile.name)).toEqual(["all CPUs", "CPU 0", "CPU 1"]);
	for (const profile of profiles) {
		expect(profile).toMatchObject({ type: "sampled", unit: "nanoseconds", startValue: 0 });
		expect(profile.samples.length).toBe(profile.weights.length);
		expect(sum(profile.weights)).toBe(profile.endValue);
		expect(profile.weights.every((weight) => Number.isInteger(weight) && weight > 0)).toBe(true);
		const known = (index: number): boolean => Number.isInteger(index) && index >= 0 && index < frames.length;
		expect(profile.samples.every((sample) => sample.length > 1 && sample.every(known))).toBe(true);
	}
	expect(profiles[0].endValue).toBe(busy);
	expect(profiles[1].endValue + profiles[2].endValue).toBe(busy);
});

test("the same run makes the same file", async () => {
	const [one, other] = [await exportRun("speedscope", raw), await exportRun("speedscope", raw)];
	expect(readFileSync(one.file, "utf8") === readFileSync(other.file, "utf8")).toBe(true);
});
