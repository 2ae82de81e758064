/** The validation page: every published figure beside ours on the same work, and whether they agree. */
import type { RunOptions } from "../options.ts";
import { published } from "../published.ts";
import { indent, markdownTable, table } from "../report/table.ts";
import type { RunResult } from "../result.ts";
import { changeCheck } from "./change.ts";
import type { Check, Row, Verdict } from "./check.ts";
import { elsewhereCheck, handoffCheck } from "./elsewhere.ts";
import { powerCheck } from "./power.ts";
import { profileCheck } from "./profile.ts";
import { streamsCheck } from "./streams.ts";

export interface Section {
	readonly title: string;
	readonly work: string;
	readonly rows: readonly Row[];
}

export function allChecks(seeds: readonly number[]): Check[] {
	return [
		changeCheck(seeds),
		streamsCheck(seeds),
		profileCheck(seeds[0]),
		handoffCheck(seeds),
		powerCheck(seeds),
		elsewhereCheck(),
	];
}

/** Makes all runs by `runAll`, which gives results in the order of the jobs, and judges them. */
export async function validate(
	checks: readonly Check[],
	runAll: (jobs: readonly RunOptions[]) => Promise<readonly RunResult[]>,
	onDone: (done: number, total: number) => void = () => {},
): Promise<Section[]> {
	const results = await runAll(checks.flatMap((check) => check.jobs));
	const sections: Section[] = [];
	let at = 0;
	for (const { title, work, jobs, judge } of checks) {
		const rows = await judge(results.slice(at, at + jobs.length));
		at += jobs.length;
		sections.push({ title, work, rows });
		onDone(sections.length, checks.length);
	}
	return sections;
}

const VERDICTS: readonly Verdict[] = ["agree", "disagree", "cannot be compared"];

/** How many lines of each verdict. */
function tally(sections: readonly Section[]): string {
	const rows = sections.flatMap((section) => section.rows);
	return VERDICTS.map((verdict) => `${verdict}: ${rows.filter((row) => row.verdict === verdict).length}`).join(", ");
}

function cells(rows: readonly Row[]): string[][] {
	return [
		["", "published", "ours", "to agree", "verdict"],
		...rows.map(({ name, ours, verdict }) => {
			const { what, published: theirs, expected } = published[name];
			return [what, theirs, ours, expected === "printed" ? "" : expected, verdict];
		}),
	];
}

export function renderValidation(sections: readonly Section[]): string {
	return [
		"Published figures beside ours.",
		tally(sections),
		...sections.flatMap(({ title, work, rows }) => [
			"",
			title,
			...indent([
				work.replaceAll("`", ""),
				...table(cells(rows), [0, 4]),
				...rows.filter((row) => row.verdict === "disagree").map((row) => `${published[row.name].what}: ${row.why}`),
			]),
		]),
	].join("\n");
}

/** The page docs/validation.md. */
export function validationMarkdown(sections: readonly Section[], command: string): string {
	return [
		"# Beside what was measured",
		"",
		"Every figure published of this driver on FreeBSD that we know, beside ours on the same work, or the nearest there is. None was fitted;",
		"where constants were bounded by what they are compared with, the text says so. What does not agree stays here.",
		"",
		`Lines that ${tally(sections)}.`,
		...sections.flatMap(({ title, work, rows }) => {
			const [heading, ...body] = cells(rows);
			return [
				"",
				`## ${title}`,
				"",
				work,
				"",
				...markdownTable(
					[
						[...heading, "why", "source"],
						...body.map((row, i) => [
							...row.slice(0, 4),
							rows[i].verdict === "disagree" ? `**${row[4]}**` : row[4],
							rows[i].why,
							published[rows[i].name].source,
						]),
					],
					[0, 1, 2, 3, 4, 5, 6],
				),
			];
		}),
		"",
		`Made by \`${command}\`.`,
		"",
	].join("\n");
}
