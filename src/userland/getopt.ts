/**
 * getopt(3), numbers and addresses on command lines.
 */
import {
	AF_INET,
	AF_INET6,
	inet_pton4,
	inet_pton6,
	type sockaddr,
	sockaddr_in,
	sockaddr_in6,
} from "../kernel/netinet/in.ts";

/** One option as it was given; `value` is empty for a flag. */
export interface option {
	readonly name: string;
	readonly value: string;
}

export interface parsed {
	readonly options: readonly option[];
	readonly operands: readonly string[];
	/** what getopt(3) would print, without the program's name; empty if all went well */
	readonly error: string;
}

/**
 * Splits a command line. `optstring` is getopt's: a letter, and a colon if it takes an argument.
 *
 * @param long names of long options and the letters they stand for
 */
export function getopt(
	argv: readonly string[],
	optstring: string,
	long: Readonly<Record<string, string>> = {},
): parsed {
	const options: option[] = [];
	const fail = (error: string): parsed => ({ options, operands: [], error });
	let i = 0;
	for (; i < argv.length; i++) {
		const arg = argv[i];
		if (arg === "--") {
			i++;
			break;
		}
		if (arg[0] !== "-" || arg.length === 1) break;
		if (arg[1] === "-") {
			const [word, inline] = arg.slice(2).split("=", 2);
			const letter = long[word];
			if (letter === undefined) return fail(`unrecognized option \`${arg}'`);
			const takes = optstring.includes(`${letter}:`);
			if (takes && inline === undefined && i + 1 >= argv.length) return fail(`option \`${arg}' requires an argument`);
			options.push({ name: letter, value: takes ? (inline ?? argv[++i]) : "" });
			continue;
		}
		for (let at = 1; at < arg.length; at++) {
			const letter = arg[at];
			const where = letter === ":" ? -1 : optstring.indexOf(letter);
			if (where < 0) return fail(`illegal option -- ${letter}`);
			if (optstring[where + 1] !== ":") {
				options.push({ name: letter, value: "" });
				continue;
			}
			const rest = arg.slice(at + 1);
			if (rest === "" && i + 1 >= argv.length) return fail(`option requires an argument -- ${letter}`);
			options.push({ name: letter, value: rest !== "" ? rest : argv[++i] });
			break;
		}
	}
	return { options, operands: argv.slice(i), error: "" };
}

/** A whole decimal number, or null. */
export function integer(text: string): number | null {
	return /^-?\d{1,15}$/.test(text) ? Number(text) : null;
}

/** A time in ns: seconds when there is no unit, else ns, us, ms, s or m. Null if it is not one. */
export function duration_ns(text: string): number | null {
	const match = /^(\d+(?:\.\d+)?)(ns|us|ms|s|m)?$/.exec(text);
	if (match === null) return null;
	const units: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9 };
	return Math.round(Number(match[1]) * units[match[2] ?? "s"]);
}

/** An amount with one of iperf3's suffixes: K, M, G, T, in steps of `step`. Null if it is not one. */
export function amount(text: string, step: number): number | null {
	const match = /^(\d+(?:\.\d+)?)([kKmMgGtT])?$/.exec(text);
	if (match === null) return null;
	let value = Number(match[1]);
	const power = match[2] === undefined ? 0 : "kmgt".indexOf(match[2].toLowerCase()) + 1;
	for (let i = 0; i < power; i++) value *= step;
	return Math.floor(value);
}

/** The address a numeric host name means; there is no resolver. */
export function numeric_host(host: string, port: number): sockaddr | null {
	const v4 = inet_pton4(host);
	if (v4 !== null) return new sockaddr_in(v4, port);
	const v6 = inet_pton6(host);
	return v6 === null ? null : new sockaddr_in6(v6, port);
}

/** An address and the length of its prefix. */
export interface prefix {
	readonly af: typeof AF_INET | typeof AF_INET6;
	/** host-order number or 16 bytes */
	readonly addr: number | Uint8Array;
	readonly len: number;
}

/** address/length; without a length, that of a host. Null if it is not one. */
export function parse_prefix(text: string): prefix | null {
	const slash = text.indexOf("/");
	const host = slash < 0 ? text : text.slice(0, slash);
	const v4 = inet_pton4(host);
	const v6 = v4 === null ? inet_pton6(host) : null;
	if (v4 === null && v6 === null) return null;
	const max = v4 !== null ? 32 : 128;
	const len = slash < 0 ? max : integer(text.slice(slash + 1));
	if (len === null || len < 0 || len > max) return null;
	return v4 !== null ? { af: AF_INET, addr: v4, len } : { af: AF_INET6, addr: v6 as Uint8Array, len };
}
