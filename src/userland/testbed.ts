/**
 * The place most experiments happen in: two jails with network stacks of their own, joined by an epair, with or without a
 * WireGuard tunnel between them. Addresses, port and names are those of FreeBSD's own test of if_wg.
 *
 * Everything is done with the programs a person would use, so that a test bed is also a test of them.
 *
 * @see tests/sys/net/if_wg.sh wg_basic
 */
import { curve25519_generate_public } from "../crypto/curve25519/curve25519.ts";
import { type prison, prison_find_name, prison_isgone, prison0 } from "../kernel/jail/jail.ts";
import { curkernel } from "../kernel/sched/kernel.ts";
import { pause_sbt } from "../kernel/sched/sleepqueue.ts";
import type { Blocking } from "../kernel/sched/thread.ts";
import { key_to_base64 } from "./base64.ts";
import { find_program } from "./bin.ts";
import { type console_t, fork_exec, type process, wait4 } from "./process.ts";

export interface testbed_options {
	/** no tunnel: traffic goes over the bare epair */
	readonly plain?: boolean;
	/** MTU of what traffic goes over: the tunnel, or the epair of a plain test bed */
	readonly mtu?: number;
	/** family the tunnel's own packets use */
	readonly outer?: "inet" | "inet6";
	/** family inside the tunnel */
	readonly inner?: "inet" | "inet6";
	/** private keys of both sides, 32 bytes each; from the random stream "testbed keys" when left out */
	readonly keys?: readonly [Uint8Array, Uint8Array];
	/** seconds between keepalives of both sides, 0 for none */
	readonly keepalive?: number;
	readonly console?: console_t | null;
}

/** One of the two jails. */
export interface testbed_side {
	readonly jail: prison;
	/** interface the tunnel's own packets use, and its address */
	readonly ether: string;
	readonly outer: string;
	/** wg interface and address in the tunnel; empty in a plain test bed */
	readonly wg: string;
	readonly inner: string;
	readonly public_key: Uint8Array;
	/** where to reach this side: the tunnel's address, or the epair's in a plain test bed */
	readonly address: string;
}

export interface testbed {
	readonly options: testbed_options;
	readonly sides: readonly [testbed_side, testbed_side];
}

/** listen port of both tunnels */
export const TESTBED_PORT = 12345;
const JAILS = ["wgtest1", "wgtest2"] as const;
/** a machine's first network card */
const CARD = "ix0";
/** IPv6 and UDP headers, the message header, the tag, and padding to 16: what a tunnel adds at most */
const WG_OVERHEAD = 80;
const ETHERMTU = 1500;
/** how long a jail may take to go: connections in TIME_WAIT keep it for twice the segment lifetime */
const TEARDOWN_NS = 180_000_000_000;

const outer_nets = { inet: ["192.168.2.", 24], inet6: ["2001:db8:2::", 64] } as const;
const inner_nets = { inet: ["169.254.0.", 24], inet6: ["2001:db8:1::", 64] } as const;

/** A step of the set-up failed; what it printed is the message. */
export class testbed_error extends Error {}

/** Runs a program to its end, in a jail if one is given. @returns what it printed */
function* sh(options: testbed_options, jail: prison | null, command: string, stdin = ""): Blocking<readonly string[]> {
	const [name, ...args] = command.split(" ");
	const program = find_program(name);
	if (program === null) throw new testbed_error(`${name}: not found`);
	const where = jail === null ? {} : { jail };
	const proc = fork_exec(null, name, program, args, { console: options.console ?? null, stdin, ...where });
	if ((yield* wait4(proc)) !== 0) throw new testbed_error(`${command}: ${proc.lines.join("; ")}`);
	return proc.lines;
}

function* make_jail(options: testbed_options, name: string): Blocking<prison> {
	yield* sh(options, null, `jail -c name=${name} vnet persist`);
	return prison_find_name(prison0(), name) as prison;
}

/** A private key from the run's own random stream, clamped. */
function random_key(): Uint8Array {
	const key = new Uint8Array(32);
	curkernel.machine.random.stream("testbed keys").fill(key);
	key[0] &= 248;
	key[31] = (key[31] & 127) | 64;
	return key;
}

function public_key(key: Uint8Array): Uint8Array {
	const pub = new Uint8Array(32);
	curve25519_generate_public(pub, key);
	return pub;
}

function with_port(address: string): string {
	return address.includes(":") ? `[${address}]:${TESTBED_PORT}` : `${address}:${TESTBED_PORT}`;
}

/** wg0 in one jail, up, with the other side as its peer. */
function* make_tunnel(
	options: testbed_options,
	side: testbed_side,
	private_key: Uint8Array,
	peer: testbed_side,
): Blocking<void> {
	const { jail, wg } = side;
	const [, len] = inner_nets[options.inner ?? "inet"];
	const host = options.inner === "inet6" ? 128 : 32;
	const created = yield* sh(options, jail, "ifconfig wg create");
	if (created[0] !== wg) throw new testbed_error(`ifconfig wg create: made ${created[0]}, not ${wg}`);
	yield* sh(
		options,
		jail,
		`wg set ${wg} listen-port ${TESTBED_PORT} private-key /dev/stdin`,
		key_to_base64(private_key),
	);
	const keepalive = options.keepalive ? ` persistent-keepalive ${options.keepalive}` : "";
	const key = key_to_base64(peer.public_key);
	yield* sh(
		options,
		jail,
		`wg set ${wg} peer ${key} endpoint ${with_port(peer.outer)} allowed-ips ${peer.inner}/${host}${keepalive}`,
	);
	if (options.mtu !== undefined) yield* sh(options, jail, `ifconfig ${wg} mtu ${options.mtu}`);
	yield* sh(options, jail, `ifconfig ${wg} ${options.inner ?? "inet"} ${side.inner}/${len} up`);
}

/** What side `i` is called and how it is reached. `ether`: the interface the tunnel's own packets use. */
function make_side(
	options: testbed_options,
	i: number,
	jail: prison,
	ether: string,
	keys: readonly [Uint8Array, Uint8Array],
): testbed_side {
	const [outer_net] = outer_nets[options.outer ?? "inet"];
	const [inner_net] = inner_nets[options.inner ?? "inet"];
	const outer = `${outer_net}${i + 1}`;
	const inner = options.plain ? "" : `${inner_net}${i + 1}`;
	return {
		jail,
		ether,
		outer,
		wg: options.plain ? "" : "wg0",
		inner,
		public_key: public_key(keys[i]),
		address: options.plain ? outer : inner,
	};
}

/** Gives a side's Ethernet interface its address, and the MTU it needs. */
function* make_outer(options: testbed_options, side: testbed_side): Blocking<void> {
	const [, len] = outer_nets[options.outer ?? "inet"];
	const wanted = options.plain ? options.mtu : options.mtu === undefined ? undefined : options.mtu + WG_OVERHEAD;
	const mtu = options.plain ? wanted : wanted !== undefined && wanted > ETHERMTU ? wanted : undefined;
	if (mtu !== undefined) yield* sh(options, side.jail, `ifconfig ${side.ether} mtu ${mtu}`);
	yield* sh(options, side.jail, `ifconfig ${side.ether} ${options.outer ?? "inet"} ${side.outer}/${len} up`);
}

/** Private keys for both sides, from the run's own random numbers. */
export function testbed_keys(): [Uint8Array, Uint8Array] {
	return [random_key(), random_key()];
}

/** Makes the two jails and all that is in them. Call it from a thread; it takes some simulated time. */
export function* testbed_two_jails(options: testbed_options = {}): Blocking<testbed> {
	const [a] = yield* sh(options, null, "ifconfig epair create");
	const ethers = [a, `${a.slice(0, -1)}b`];
	const keys = options.keys ?? testbed_keys();
	const sides: testbed_side[] = [];
	for (let i = 0; i < 2; i++) {
		const jail = yield* make_jail(options, JAILS[i]);
		sides.push(make_side(options, i, jail, ethers[i], keys));
		yield* sh(options, null, `ifconfig ${ethers[i]} vnet ${JAILS[i]}`);
	}
	for (const side of sides) yield* make_outer(options, side);
	const [one, two] = sides;
	if (!options.plain) {
		yield* make_tunnel(options, one, keys[0], two);
		yield* make_tunnel(options, two, keys[1], one);
	}
	return { options, sides: [one, two] };
}

/**
 * Makes one side of a test bed whose sides are machines of their own, joined by a cable: the running one is side `which`, without a
 * jail, on its first network card. Call it from a thread of each machine, with the same keys.
 */
export function* testbed_machine(
	options: testbed_options,
	which: 0 | 1,
	keys: readonly [Uint8Array, Uint8Array],
): Blocking<testbed> {
	const sides: [testbed_side, testbed_side] = [
		make_side(options, 0, prison0(), CARD, keys),
		make_side(options, 1, prison0(), CARD, keys),
	];
	yield* make_outer(options, sides[which]);
	if (!options.plain) yield* make_tunnel(options, sides[which], keys[which], sides[1 - which]);
	return { options, sides };
}

/** Takes down what testbed_machine has made of the running machine. */
export function* testbed_machine_destroy({ options, sides }: testbed, which: 0 | 1): Blocking<void> {
	const side = sides[which];
	if (side.wg !== "") yield* sh(options, side.jail, `ifconfig ${side.wg} destroy`);
	yield* sh(options, side.jail, `ifconfig ${side.ether} ${options.outer ?? "inet"} ${side.outer} delete`);
	yield* sh(options, side.jail, `ifconfig ${side.ether} down`);
}

/** Starts a program in one of the jails. */
export function testbed_exec(side: testbed_side, command: string, console: console_t | null = null): process {
	const [name, ...args] = command.split(" ");
	const program = find_program(name);
	if (program === null) throw new testbed_error(`${name}: not found`);
	return fork_exec(null, name, program, args, { jail: side.jail, console });
}

/**
 * Kills what runs in the jails, removes them and their interfaces, and waits until nothing of them is left.
 *
 * @returns false if something still holds on to a jail
 */
export function* testbed_destroy(tb: testbed): Blocking<boolean> {
	const { options, sides } = tb;
	for (const name of JAILS) yield* sh(options, null, `jail -r ${name}`);
	const poll_ns = 10_000_000;
	for (let waited = 0; !sides.every((side) => prison_isgone(side.jail)); waited += poll_ns) {
		if (waited > TEARDOWN_NS) return false;
		yield* pause_sbt("jailgone", poll_ns);
	}
	// the epair has come home
	yield* sh(options, null, `ifconfig ${sides[0].ether} destroy`);
	return true;
}
