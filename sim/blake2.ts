/**
 * `ifwg blake2`: the digest WireGuard needs, made three ways by one kernel: behind crypto(9)'s interface as it is, behind that
 * interface altered to pass the digest's length down, and by a library.
 */
import { type blake2_answer, blake2_story, type blake2_story_result } from "../src/crypto/ocf/blake2_story.ts";
import { boot, runUntilExit, spawn } from "../src/kernel/boot.ts";
import { KernelPanic } from "../src/kernel/sched/kernel.ts";
import { Machine } from "../src/machine/machine.ts";
import { findProfile } from "../src/machine/profile.ts";
import { DEFAULT_MACHINE } from "./options.ts";
import type { Colors } from "./report/colors.ts";
import { indent, table } from "./report/table.ts";

/** Simulated time that is more than enough for a few digests. */
const LIMIT_NS = 10_000_000_000;

/** Boots a kernel, has it compute all digests, and throws the kernel away. */
export function tellBlake2(): blake2_story_result {
	const machine = new Machine({ profile: findProfile(DEFAULT_MACHINE)!, cpus: 1, seed: 1 });
	const kernel = boot(machine);
	let story: blake2_story_result | null = null;
	const td = spawn(kernel, "blake2", function* () {
		story = yield* blake2_story();
	});
	if (!runUntilExit(kernel, td, LIMIT_NS) || story === null) throw new KernelPanic("the digests were never done");
	return story;
}

const INTRODUCTION = [
	"WireGuard hashes with BLAKE2s, keyed and of 16 bytes for MACs. A shorter digest is another one, not the beginning of a longer",
	"one, because its length goes into the first block. crypto(9) accepts a length (csp_auth_mlen), but an auth_xform is not told.",
];

const CONCLUSION = [
	"(a) is wrong whenever the digest is not of 32 bytes: it is the beginning of the long one. (b) needs the interface of every",
	"auth_xform changed. (c) has the length as an argument, no session and no request. Another driver, blaketwo, reads the",
	"length itself, so the same session gives one digest or the other, by who serves it.",
];

export function renderBlake2(story: blake2_story_result, colors: Colors): string {
	const out: string[] = [...INTRODUCTION];
	const row = (name: string, answer: blake2_answer): string[] => [
		name,
		answer.digest,
		answer.right ? "right" : "WRONG",
	];
	for (const one of story.rows) {
		const key = one.keyed ? "keyed with 00 01 .. 1f" : "without a key";
		out.push(
			"",
			colors.bold(`BLAKE2s of "${story.message}", ${one.digest_length} bytes, ${key}`),
			...indent(
				table(
					[
						row("(a) crypto(9), auth_xform as it is", one.auth_xform),
						row("(b) crypto(9), length passed down", one.altered),
						row("(c) library API", one.library),
						row("    session of (a) served by blaketwo", one.blaketwo),
						["    RFC 7693", one.reference, ""],
					],
					[0, 1, 2],
				),
			),
		);
	}
	return [...out, "", ...CONCLUSION].join("\n");
}
