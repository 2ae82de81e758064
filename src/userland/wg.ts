/**
 * wg(8): configures WireGuard interfaces and shows what they do.
 *
 * Everything goes through SIOCSWG and SIOCGWG with packed nvlists, as wireguard-tools does on FreeBSD. Endpoints are numeric:
 * there is no resolver.
 *
 * @see wireguard-tools wg.8, set.c, show.c, showconf.c, setconf.c, config.c
 */
import { curve25519_generate_public } from "../crypto/curve25519/curve25519.ts";
import { WG_KEY_SIZE } from "../dev/wg/if_wg_ioctl.ts";
import { strerror } from "../kernel/errno.ts";
import { arc4random_buf } from "../kernel/sched/kernel.ts";
import type { Blocking } from "../kernel/sched/thread.ts";
import { key_from_base64, key_to_base64 } from "./base64.ts";
import { read_file } from "./file.ts";
import { integer, parse_prefix } from "./getopt.ts";
import type { process } from "./process.ts";
import { ipc_set_device, parse_endpoint, wgdevice, wgpeer } from "./wg_ipc.ts";
import { show_main, showconf_main } from "./wg_show.ts";

/** Prints a mistake in the configuration on standard error; the caller gives up. */
function complain(proc: process, message: string): null {
	proc.stderr(message);
	return null;
}

function parse_key(proc: process, text: string): Uint8Array | null {
	return key_from_base64(text) ?? complain(proc, `Key is not the correct length or format: \`${text}'`);
}

/** A key in a file; an empty file is the key of zeroes, which removes it. */
function parse_keyfile(proc: process, path: string): Uint8Array | null {
	if (path === "/dev/null") return new Uint8Array(WG_KEY_SIZE);
	const text = path === "/dev/stdin" ? proc.stdin : read_file(path);
	if (text === null) return complain(proc, "fopen: No such file or directory");
	const trimmed = text.trim();
	return trimmed === "" ? new Uint8Array(WG_KEY_SIZE) : parse_key(proc, trimmed);
}

function parse_port(proc: process, text: string): number | null {
	const port = integer(text);
	return port !== null && port >= 0 && port <= 65535 ? port : complain(proc, `Port is not valid: \`${text}'`);
}

function parse_fwmark(proc: process, text: string): number | null {
	if (text === "off") return 0;
	const mark = /^0x[0-9a-fA-F]{1,8}$/.test(text) ? Number.parseInt(text, 16) : integer(text);
	return mark !== null && mark >= 0 && mark <= 0xffffffff
		? mark
		: complain(proc, `Fwmark is neither 0/off nor 0-0xffffffff: \`${text}'`);
}

function parse_keepalive(proc: process, text: string): number | null {
	if (text === "off") return 0;
	const seconds = integer(text);
	if (seconds !== null && seconds >= 0 && seconds <= 65535) return seconds;
	return complain(proc, `Persistent keepalive interval is neither 0/off nor 1-65535: \`${text}'`);
}

function parse_allowed_ips(proc: process, peer: wgpeer, text: string): true | null {
	peer.replace_allowedips = true;
	for (const part of text.split(",").map((s) => s.trim())) {
		if (part === "") continue;
		const ip = parse_prefix(part);
		if (ip === null) return complain(proc, `Unable to parse IP address: \`${part}'`);
		peer.allowed_ips.push(ip);
	}
	return true;
}

/** One `keyword value` of a peer. Null: it made no sense. */
function set_peer(proc: process, peer: wgpeer, keyword: string, value: string, file: boolean): true | null {
	switch (keyword) {
		case "preshared-key":
			peer.preshared_key = file ? parse_key(proc, value) : parse_keyfile(proc, value);
			return peer.preshared_key === null ? null : true;
		case "endpoint":
			peer.endpoint = parse_endpoint(value);
			return peer.endpoint === null ? complain(proc, `Unable to find port of endpoint: \`${value}'`) : true;
		case "persistent-keepalive":
			peer.persistent_keepalive_interval = parse_keepalive(proc, value);
			return peer.persistent_keepalive_interval === null ? null : true;
		case "allowed-ips":
			return parse_allowed_ips(proc, peer, value);
		default:
			return complain(proc, `Invalid argument: ${keyword}`);
	}
}

/** One `keyword value` of the interface. */
function set_interface(proc: process, device: wgdevice, keyword: string, value: string, file: boolean): true | null {
	switch (keyword) {
		case "listen-port":
			device.listen_port = parse_port(proc, value);
			return device.listen_port === null ? null : true;
		case "fwmark":
			device.fwmark = parse_fwmark(proc, value);
			return device.fwmark === null ? null : true;
		case "private-key":
			device.private_key = file ? parse_key(proc, value) : parse_keyfile(proc, value);
			return device.private_key === null ? null : true;
		default:
			return complain(proc, `Invalid argument: ${keyword}`);
	}
}

/** The command line of `wg set`. @see config.c config_read_cmd */
function read_cmd(proc: process, device: wgdevice, args: readonly string[]): true | null {
	let peer: wgpeer | null = null;
	for (let i = 0; i < args.length; i++) {
		const keyword = args[i];
		if (peer !== null && keyword === "remove") {
			peer.remove = true;
			continue;
		}
		if (i + 1 >= args.length) return complain(proc, `Invalid argument: ${keyword}`);
		const value = args[++i];
		if (keyword === "peer") {
			const key = parse_key(proc, value);
			if (key === null) return null;
			peer = new wgpeer(key);
			device.peers.push(peer);
		} else if (peer === null) {
			if (set_interface(proc, device, keyword, value, false) === null) return null;
		} else if (set_peer(proc, peer, keyword, value, false) === null) return null;
	}
	return true;
}

const config_keys: Readonly<Record<string, string>> = {
	listenport: "listen-port",
	fwmark: "fwmark",
	privatekey: "private-key",
	presharedkey: "preshared-key",
	endpoint: "endpoint",
	persistentkeepalive: "persistent-keepalive",
	allowedips: "allowed-ips",
};

/** A configuration file. @see config.c config_read_line */
function read_config(proc: process, device: wgdevice, text: string): true | null {
	let section = "";
	let peer: wgpeer | null = null;
	for (const raw of text.split("\n")) {
		const line = raw.replace(/#.*$/, "").replace(/\s/g, "");
		if (line === "") continue;
		if (line.startsWith("[")) {
			section = line.toLowerCase();
			if (section !== "[interface]" && section !== "[peer]") return complain(proc, `Line unrecognized: \`${line}'`);
			if (section === "[peer]") {
				peer = new wgpeer(new Uint8Array(WG_KEY_SIZE));
				peer.replace_allowedips = true;
				device.peers.push(peer);
			}
			continue;
		}
		const equals = line.indexOf("=");
		const name = line.slice(0, Math.max(0, equals)).toLowerCase();
		const value = line.slice(equals + 1);
		if (section === "[peer]" && peer !== null && name === "publickey") {
			const key = parse_key(proc, value);
			if (key === null) return null;
			peer.public_key.set(key);
			continue;
		}
		const keyword = config_keys[name];
		if (keyword === undefined || section === "") return complain(proc, `Line unrecognized: \`${line}'`);
		const ok =
			section === "[interface]"
				? set_interface(proc, device, keyword, value, true)
				: set_peer(proc, peer as wgpeer, keyword, value, true);
		if (ok === null) return complain(proc, "Configuration parsing error");
	}
	return true;
}

function* modify(proc: process, device: wgdevice): Blocking<number> {
	const error = yield* ipc_set_device(proc, device);
	if (error === 0) return 0;
	proc.stderr(`Unable to modify interface: ${strerror(error)}`);
	return 1;
}

function* set_main(proc: process, args: readonly string[]): Blocking<number> {
	if (args.length < 1) {
		proc.stderr(
			"Usage: wg set <interface> [listen-port <port>] [fwmark <mark>] [private-key <file path>] [peer <base64 public key> [remove] [preshared-key <file path>] [endpoint <ip>:<port>] [persistent-keepalive <interval seconds>] [allowed-ips <ip1>/<cidr1>[,<ip2>/<cidr2>]...] ]...",
		);
		return 1;
	}
	const device = new wgdevice(args[0]);
	if (read_cmd(proc, device, args.slice(1)) === null) return 1;
	return yield* modify(proc, device);
}

function* setconf_main(proc: process, verb: string, args: readonly string[]): Blocking<number> {
	if (args.length !== 2) {
		proc.stderr(`Usage: wg ${verb} <interface> <configuration filename>`);
		return 1;
	}
	const text = read_file(args[1]);
	if (text === null) {
		proc.stderr("fopen: No such file or directory");
		return 1;
	}
	const device = new wgdevice(args[0]);
	device.replace_peers = verb === "setconf";
	if (device.replace_peers) {
		// what the file leaves out is taken away
		device.private_key = new Uint8Array(WG_KEY_SIZE);
		device.fwmark = 0;
		device.listen_port = 0;
	}
	if (read_config(proc, device, text) === null) return 1;
	return yield* modify(proc, device);
}

/** genkey and genpsk: a key from the machine's random numbers; a private one is clamped. */
function genkey(proc: process, private_key: boolean): number {
	const key = new Uint8Array(WG_KEY_SIZE);
	arc4random_buf(key);
	if (private_key) {
		key[0] &= 248;
		key[31] = (key[31] & 127) | 64;
	}
	proc.stdout(key_to_base64(key));
	return 0;
}

/** pubkey reads the private key from standard input; here it may also be the name of a file. */
function pubkey(proc: process, args: readonly string[]): number {
	const text = args.length > 0 ? read_file(args[0]) : proc.stdin;
	const key = text === null ? null : key_from_base64(text.trim());
	if (key === null) {
		proc.stderr("wg: Key is not the correct length or format");
		return 1;
	}
	const pub = new Uint8Array(WG_KEY_SIZE);
	curve25519_generate_public(pub, key);
	proc.stdout(key_to_base64(pub));
	return 0;
}

export function* wg(proc: process, argv: readonly string[]): Blocking<number> {
	const [verb = "show", ...args] = argv;
	switch (verb) {
		case "show":
			return yield* show_main(proc, args);
		case "showconf":
			return yield* showconf_main(proc, args);
		case "set":
			return yield* set_main(proc, args);
		case "setconf":
		case "addconf":
			return yield* setconf_main(proc, verb, args);
		case "genkey":
			return genkey(proc, true);
		case "genpsk":
			return genkey(proc, false);
		case "pubkey":
			return pubkey(proc, args);
		default:
			proc.stderr(`Invalid subcommand: \`${verb}'`);
			proc.stderr("Usage: wg <cmd> [<args>]");
			return 1;
	}
}
