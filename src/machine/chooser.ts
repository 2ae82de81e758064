/**
 * The chooser: the one place where a run can go another way without anything else changing.
 *
 * Where several things could happen next (events of equal time, which waiter, which idle CPU), the machine asks. Without a
 * chooser the answer is what FreeBSD would do, which is always offered first. A run is repeated from the list of answers.
 */
export type ChoiceKind = "tie" | "waiter" | "idle-cpu" | "preempt";

export interface Chooser {
	/** Picks one of `count` possibilities, 0 being what FreeBSD would do. */
	choose(kind: ChoiceKind, count: number): number;
}

/** Answers from a recorded list, then as FreeBSD would; and records what it answered. */
export class ReplayChooser implements Chooser {
	readonly taken: number[] = [];
	private readonly script: readonly number[];
	constructor(script: readonly number[]) {
		this.script = script;
	}
	choose(_kind: ChoiceKind, count: number): number {
		const wanted = this.script[this.taken.length] ?? 0;
		const answer = wanted < count ? wanted : 0;
		this.taken.push(answer);
		return answer;
	}
}
