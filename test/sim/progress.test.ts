import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startProgress } from "../../sim/progress.ts";

beforeEach(() => {
	vi.useFakeTimers();
});
afterEach(() => {
	vi.useRealTimers();
});

function stream(isTTY: boolean): { written: string[]; stream: NodeJS.WriteStream } {
	const written: string[] = [];
	const fake = { isTTY, write: (text: string) => written.push(text) > 0 };
	return { written, stream: fake as unknown as NodeJS.WriteStream };
}

test("nothing is said of what takes less than two seconds", () => {
	const { written, stream: out } = stream(true);
	const progress = startProgress("compare", out);
	vi.advanceTimersByTime(1_900);
	progress.update(1, 2);
	progress.finish();
	expect(written).toEqual([]);
});

test("on a terminal there is one line, rewritten, and none at the end", () => {
	const { written, stream: out } = stream(true);
	const progress = startProgress("compare", out);
	vi.advanceTimersByTime(3_000);
	progress.update(1, 3);
	vi.advanceTimersByTime(3_000);
	progress.update(2, 3);
	progress.finish();
	expect(written).toEqual([
		"\r\x1b[Kcompare: 1 of 3 runs, about 6 s left",
		"\r\x1b[Kcompare: 2 of 3 runs, about 3 s left",
		"\r\x1b[K",
	]);
});

test("into a file goes a plain line for each quarter", () => {
	const { written, stream: out } = stream(false);
	const progress = startProgress("compare", out);
	vi.advanceTimersByTime(3_000);
	for (let done = 1; done <= 8; done++) progress.update(done, 8);
	progress.finish();
	expect(written).toEqual(["compare: 2 of 8 runs\n", "compare: 4 of 8 runs\n", "compare: 6 of 8 runs\n"]);
});
