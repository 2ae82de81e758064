/** Durations, rates and counts as people write and read them. */
import { UsageError } from "./errors.ts";

const NS_PER: Readonly<Record<string, number>> = { ns: 1, us: 1_000, ms: 1_000_000, s: 1_000_000_000 };

/** `20ms`, `1s`, `0.5s`, `800us` to ns. A number alone is refused: nobody can tell seconds from milliseconds. */
export function parseDuration(what: string, text: string): number {
	const match = /^([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s)$/.exec(text.trim());
	if (match === null) throw new UsageError(`${what}: ${quote(text)} is not a time; write it like 20ms, 1s or 500us`);
	return Math.round(Number(match[1]) * NS_PER[match[2]]);
}

/** ns as the shortest text that parseDuration reads back to the same. */
export function formatDuration(ns: number): string {
	for (const unit of ["s", "ms", "us"]) {
		const value = ns / NS_PER[unit];
		if (value >= 1 && Number.isInteger(value)) return `${value}${unit}`;
	}
	return `${ns}ns`;
}

const BITS: Readonly<Record<string, number>> = { "": 1, k: 1e3, m: 1e6, g: 1e9 };

/** `100M`, `1.5G`, `0` to bits per second, as iperf3 -b. 0 is "as fast as it will go". */
export function parseRate(what: string, text: string): number {
	const match = /^([0-9]+(?:\.[0-9]+)?)([kmg]?)$/i.exec(text.trim());
	if (match === null)
		throw new UsageError(`${what}: ${quote(text)} is not a rate; write it like 100M, 1.5G or 0 for no limit`);
	return Math.round(Number(match[1]) * BITS[match[2].toLowerCase()]);
}

/** bits per second as the shortest text that parseRate reads back to the same. */
export function formatRate(bps: number): string {
	for (const unit of ["G", "M", "k"]) {
		const value = bps / BITS[unit.toLowerCase()];
		if (value >= 1 && Number.isInteger(value)) return `${value}${unit}`;
	}
	return String(bps);
}

/** A whole number in decimal or, with 0x, hexadecimal. */
export function parseInteger(what: string, text: string, low: number, high: number): number {
	const trimmed = text.trim();
	const value = /^(?:[0-9]+|0x[0-9a-f]+)$/i.test(trimmed) ? Number(trimmed) : Number.NaN;
	if (!Number.isSafeInteger(value) || value < low || value > high) {
		throw new UsageError(`${what}: ${quote(text)} is not a whole number from ${low} to ${high}`);
	}
	return value;
}

/** What somebody typed, on one line and not too long, for an error message. */
export function quote(text: string): string {
	const line = JSON.stringify(text);
	return line.length > 80 ? `${line.slice(0, 76)}..."` : line;
}

/** 12345678 -> "12 345 678", never depending on a locale. */
export function grouped(value: number): string {
	const text = String(Math.round(value));
	return text.replace(/\B(?=(?:[0-9]{3})+(?![0-9]))/g, " ");
}

/** Bits per second in Gb/s, as iperf3 and the published figures have it. */
export function gigabits(bps: number): string {
	return (bps / 1e9).toFixed(3);
}

/** A share of one as a percentage with one decimal. */
export function percent(share: number): string {
	return `${(share * 100).toFixed(1)} %`;
}

/** ns in the unit in which it has one to three digits before the point. */
export function readableTime(ns: number): string {
	if (ns < 1_000) return `${Math.round(ns)} ns`;
	if (ns < 1_000_000) return `${(ns / 1_000).toFixed(2)} us`;
	if (ns < 1_000_000_000) return `${(ns / 1_000_000).toFixed(2)} ms`;
	return `${(ns / 1_000_000_000).toFixed(2)} s`;
}
