/** `ifwg packet`: one packet's life. */
import type { Command } from "commander";
import { CRYPTOS, commandLine, parseRunOptions } from "../options.ts";
import { stdoutColors } from "../report/colors.ts";
import { parseInteger } from "../units.ts";
import { type CommonFlags, checkModules, machineOptions, print, withProgress } from "./common.ts";

const DEFAULT_BYTES = 96;
const BYTES_MAX = 65_536;

interface PacketFlags extends CommonFlags {
	readonly first?: string;
	readonly bytes?: string;
	readonly full?: boolean;
}

async function packetAction(number: string | undefined, flags: PacketFlags): Promise<void> {
	const options = parseRunOptions({ lead: "0ns", ...flags });
	const bytes = flags.bytes === undefined ? DEFAULT_BYTES : parseInteger("--bytes", flags.bytes, 0, BYTES_MAX);
	const { parseSelector } = await import("../packet/select.ts");
	const selector = parseSelector(number, flags.first);
	await checkModules(options.driver, [options.policy]);
	const { followPacket } = await import("../packet/follow.ts");
	const { packetJson, renderPacket } = await import("../packet/render.ts");
	const followed = await withProgress("packet", (onDone) => followPacket(options, selector, onDone));
	const which = selector.kind === "data" && flags.first === undefined ? selector.number : `--first ${selector.kind}`;
	const command = commandLine(options).replace("npx ifwg run", `npx ifwg packet ${which}`);
	print(
		flags.json === true
			? packetJson(followed, selector, command)
			: renderPacket(followed, selector, command, { bytes, full: flags.full === true }, stdoutColors()),
	);
}

export function addPacket(root: Command): void {
	machineOptions(root.command("packet"))
		.summary("one packet's life through both tunnels: every function, queue and wait, and its bytes")
		.description(
			"Follows one packet through the sender's stack and tunnel, across the epair, and through the receiver's: each thread " +
				"and CPU that works on it, the functions called and what they cost, the queues it waits in and why it waits there, and its " +
				"bytes at each layer. It ends with where the time went: work and waits add up to the packet's whole life, from the " +
				"function that makes it to the receiver's socket buffer.",
		)
		.argument("[N]", "the how manieth packet of data that enters a tunnel after the warm-up, from 1")
		.option("--first <kind>", "data or ack after the warm-up; or since boot: syn, handshake, response, keepalive")
		.option("--bytes <n>", `bytes to show of each layer, 0 for none (default: ${DEFAULT_BYTES})`)
		.option("--full", "every function down to every cost")
		.option("--policy <name>", "as of ifwg run (default: round-robin, or that of --generation)")
		.option("--crypto <name>", `one of ${CRYPTOS.join(", ")} (default: own, or that of --generation)`)
		.option("--cpus <n>", "number of CPUs, 1 to 256 (default: the machine's)")
		.option("--seed <n>", "decimal or 0x hexadecimal (default: 1)")
		.addHelpText(
			"after",
			`
Every access of every CPU is in order, as with --lead 0ns elsewhere. With a longer lead a wait may come out that much below zero.
"busy" in a wait is the thread that is waited for, at work on something else or on getting hold of the packet.

Examples:
  $ ifwg packet 100                                  the hundredth packet of data
  $ ifwg packet 100 --policy all-cpus --bytes 0      the same packet, when all CPUs are woken for it
  $ ifwg packet --first handshake                    how a session begins
  $ ifwg packet --first ack --full                   every cost on the way
  $ ifwg packet 1 --udp --length 100 --json          for programs`,
		)
		.action(packetAction);
}
