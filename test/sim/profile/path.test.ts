/** Paths of functions: a tree, and a search that finds out when it was wrong. */
import { expect, test } from "vitest";
import { Path, PathFinder } from "../../../sim/profile/path.ts";
import { type Coroutine, name_all, resume_thread } from "../../../src/kernel/sched/frame.ts";

test("a path knows its functions, and what it lies within", () => {
	const root = new Path("", null);
	const inner = root.child("ip_input").child("udp_input").child("ip_input");
	expect(inner.names()).toEqual(["ip_input", "udp_input", "ip_input"]);
	expect(root.child("ip_input")).toBe(inner.parent?.parent);
	expect(inner.upTo("ip_input")).toBe(inner);
	expect(inner.upTo("udp_input")).toBe(inner.parent);
	expect(inner.upTo("tcp_input")).toBeNull();
	expect(inner.within(root.child("ip_input"))).toBe(true);
	expect(inner.within(root.child("ip_output"))).toBe(false);
	expect(root.within(inner)).toBe(false);
});

/** A machine in miniature: a thread, and functions that read a cost. */
class Miniature {
	readonly finder: PathFinder;
	at: Path;
	readonly seen: string[] = [];
	private readonly reader = (name: string): void => {
		this.at = this.finder.find(this.at, name, this.reader);
		this.seen.push(this.at.names().join(";"));
	};
	private thread: Coroutine = { td_main: null, td_frame: null };
	private readonly costs: { readonly atomic: number };

	constructor(exact: boolean) {
		this.finder = new PathFinder(exact, () => this.thread.td_frame);
		this.at = this.finder.root;
		const { reader } = this;
		this.costs = {
			get atomic() {
				reader("atomic");
				return 1;
			},
		};
	}

	fire(rounds: readonly boolean[]): void {
		const { costs } = this;
		function* mtx_lock_later(): Iterable<void> {
			yield;
			void costs.atomic;
		}
		function* wg_encrypt(): Iterable<void> {
			yield* mtx_lock_later();
		}
		function* wg_decrypt(): Iterable<void> {
			yield* mtx_lock_later();
		}
		function* loop(): Iterable<void> {
			for (const encrypts of rounds) yield* encrypts ? wg_encrypt() : wg_decrypt();
		}
		this.thread = { td_main: loop, td_frame: null };
		const named = name_all();
		while (resume_thread(this.thread));
		named();
	}
}

test("functions that wait for one another are found, without the plumbing between them", () => {
	const machine = new Miniature(true);
	machine.fire([true, false]);
	expect(machine.seen).toEqual(["loop;wg_encrypt;mtx_lock", "loop;wg_decrypt;mtx_lock"]);
});

test("where the way forks, a few frames tell which it is", () => {
	// the same way long enough to be trusted, and often enough the other to be known
	const rounds = Array.from({ length: 2_000 }, (_, i) => i % 3 === 0);
	const [exact, quick] = [new Miniature(true), new Miniature(false)];
	exact.fire(rounds);
	quick.fire(rounds);
	expect(quick.seen).toEqual(exact.seen);
});

test("a way that was trusted wrongly is found out", () => {
	const machine = new Miniature(false);
	machine.fire([...new Array<boolean>(300).fill(true), ...new Array<boolean>(1_000).fill(false)]);
	const wrong = machine.seen.slice(300).filter((path) => !path.includes("wg_decrypt")).length;
	expect(wrong).toBeLessThan(130);
	expect(machine.seen.at(-1)).toBe("loop;wg_decrypt;mtx_lock");
});
