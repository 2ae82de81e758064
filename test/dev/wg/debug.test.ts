/** What `ifconfig wgN debug` makes the driver say: every message there is, each from what it is about, and nothing without the flag. */
import "../../../src/kernel/ifnet/if_loop.ts";
import "../../../src/kernel/netinet/ip_input.ts";
import { describe, expect, test } from "vitest";
import type { wg_generation_name } from "../../../src/dev/wg/generation.ts";
import {
	MAX_QUEUED_HANDSHAKES,
	SIZEOF_WG_PKT_COOKIE,
	WG_PKT_COOKIE,
	WG_PKT_INITIATION,
	WG_PKT_RESPONSE,
	wg_aip_add,
	wg_prison_remove,
	wg_send_keepalive,
	wg_timers_event_want_initiation,
	wg_up,
	wg_xmit,
} from "../../../src/dev/wg/if_wg.ts";
import { EPERM } from "../../../src/kernel/errno.ts";
import { if_tunnel_check_nesting, ifnet_printf } from "../../../src/kernel/ifnet/if.ts";
import { IFF_DEBUG } from "../../../src/kernel/ifnet/if_var.ts";
import { prison0 } from "../../../src/kernel/jail/jail.ts";
import { AF_INET, sockaddr_in } from "../../../src/kernel/netinet/in.ts";
import { nvlist_add_bool } from "../../../src/kernel/nv.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { readProjectFile } from "../../support/source.ts";
import { attacker, choosing } from "./hostile.ts";
import { connected_rigs, ipv4_packet, mbuf_of, new_rig, type rig, settle, two_rigs, wg_world } from "./rig.ts";
import { inThread } from "./support.ts";

const SECOND = 1_000_000_000;
const SRC = 0x0a000001;
const DST = 0x0a000002;

/** everything said in this file, numbers left out, to compare with the source */
const heard = new Set<string>();

function shape(text: string): string {
	return text.trimEnd().replace(/\d+/g, "N");
}

/** Runs `main` and gives what was said meanwhile. The interfaces are debugged unless told otherwise. */
function said(
	rigs: () => Blocking<rig[]>,
	main: (...rigs: rig[]) => Blocking<void>,
	options: said_options = {},
): string[] {
	const lines: string[] = [];
	inThread(wg_world(options.generation ?? "2022-09"), function* () {
		const list = yield* rigs();
		for (const r of list) if (options.debug !== false) r.ifp.if_flags |= IFF_DEBUG;
		const stop = ifnet_printf.listen((_ifp, text) => lines.push(shape(text)));
		yield* main(...list);
		for (const r of list) yield* r.destroy();
		stop();
	});
	// that is the kernel's own, flag or not
	const driver = lines.filter((line) => !line.startsWith("link state changed"));
	for (const line of driver) heard.add(line);
	return driver;
}

interface said_options {
	readonly generation?: wg_generation_name;
	readonly debug?: boolean;
}

function* one(): Blocking<rig[]> {
	return [yield* new_rig(0)];
}

function xmit(r: rig): Blocking<number> {
	return wg_xmit(r.ifp, mbuf_of(ipv4_packet(SRC, DST)), AF_INET, r.ifp.if_mtu);
}

describe("with the flag", () => {
	test("a handshake and its keepalive", () => {
		const lines = said(two_rigs, function* (a) {
			yield* wg_timers_event_want_initiation(a.sc.sc_peers_first!);
			yield* settle();
		});
		expect(lines.slice(0, 6)).toEqual([
			"Sending handshake initiation to peer N",
			"Receiving handshake initiation from peer N",
			"Sending handshake response to peer N",
			"Receiving handshake response from peer N",
			"Sending keepalive packet to peer N",
			"Receiving keepalive packet from peer N",
		]);
		expect(lines.at(-1)).toBe("Peer N destroyed");
	});

	test("nobody answers: retries, the end of them, and of the keys", () => {
		const lines = said(two_rigs, function* (a) {
			a.other = null;
			yield* xmit(a);
			yield* pause_sbt("retries", 120 * SECOND);
			yield* pause_sbt("keys", 541 * SECOND);
		});
		const count = (line: string) => lines.filter((other) => other === line).length;
		expect(count("Handshake for peer N did not complete after N seconds, retrying (try N)")).toBe(19);
		expect(count("Handshake for peer N did not complete after N retries, giving up")).toBe(1);
		expect(count("Zeroing out keys for peer N, since we haven't received a new one in N seconds")).toBe(1);
	});

	test("a peer that fell silent, and one that cannot be reached", () => {
		const lines = said(connected_rigs, function* (a) {
			a.other = null;
			yield* xmit(a);
			yield* settle();
			a.answer = () => EPERM;
			yield* pause_sbt("silence", 16 * SECOND);
		});
		expect(lines).toContain("Retrying handshake with peer N because we stopped hearing back after N seconds");
		expect(lines).toContain("Unable to send packet: N");
	});

	test("messages that are no good, load, and cookies", () => {
		const lines = said(connected_rigs, function* (a, b) {
			const attack = new attacker(b, []);
			const choose = choosing(3);
			yield* settle(6000);
			// no MAC
			const rubbish = (type: number, len: number) => new Uint8Array(len).fill(7).fill(type, 0, 1).fill(0, 1, 4);
			for (const [type, len] of [
				[WG_PKT_INITIATION, 148],
				[WG_PKT_RESPONSE, 92],
				[WG_PKT_COOKIE, SIZEOF_WG_PKT_COOKIE],
			] as const)
				yield* attack.send(rubbish(type, len), a.address);
			yield* settle();
			// a MAC, and nothing behind it
			for (let i = 0; i < 20; i++) yield* attack.send(yield* attack.with_mac(choose), a.address);
			yield* settle();
			// load: the other side's own initiation is answered with a cookie
			b.sc.sc_handshake_queue.q_len += MAX_QUEUED_HANDSHAKES / 2;
			yield* wg_timers_event_want_initiation(a.sc.sc_peers_first!);
			yield* settle();
			// the same cookie again comes too late, as the message it answers has been dealt with
			const cookie = b.sent.find(({ data }) => data[0] === WG_PKT_COOKIE)!;
			yield* a.receive(cookie.data, b.address);
			yield* settle();
			// with it the next one is let in, and so are more, up to the budget
			a.other = null;
			for (let i = 0; i < 8; i++) {
				a.sc.sc_peers_first!.p_remote.r_last_sent = -10 * SECOND;
				yield* wg_timers_event_want_initiation(a.sc.sc_peers_first!);
				yield* b.receive(a.sent.at(-1)!.data, a.address);
			}
			b.sc.sc_handshake_queue.q_len += MAX_QUEUED_HANDSHAKES;
			yield* attack.send(rubbish(WG_PKT_INITIATION, 148), a.address);
			yield* settle();
			b.sc.sc_handshake_queue.q_len = 0;
		});
		for (const line of [
			"Invalid initiation MAC",
			"Invalid response MAC",
			"Unknown cookie index",
			"Invalid handshake initiation",
			"Invalid handshake response",
			"Sending cookie response for denied handshake message",
			"Receiving cookie response",
			"Could not decrypt cookie response",
			"Handshake ratelimited",
			"Dropping handshake packet",
		])
			expect(lines).toContain(line);
	});

	test("packets that are not what they may be", () => {
		const lines = said(connected_rigs, function* (a, b) {
			// b lets a send from 10.0.0.0/8 only
			yield* b.set_peer(a.public_key, (nvl) => nvlist_add_bool(nvl, "replace-allowedips", true));
			yield* wg_aip_add(b.sc, b.sc.sc_peers_first!, AF_INET, Uint8Array.of(10, 0, 0, 0), 8);
			yield* wg_xmit(a.ifp, mbuf_of(ipv4_packet(0x0b000001, DST)), AF_INET, a.ifp.if_mtu);
			yield* wg_xmit(a.ifp, mbuf_of(ipv4_packet(SRC, DST).fill(0x55, 0, 1)), AF_INET, a.ifp.if_mtu);
			const looped = mbuf_of(ipv4_packet(SRC, DST));
			if_tunnel_check_nesting(a.ifp, looped, 0x77676c70, 8);
			yield* wg_xmit(a.ifp, looped, AF_INET, a.ifp.if_mtu);
			yield* settle();
			a.sc.sc_peers_first!.p_endpoint.r_family = 0;
			yield* xmit(a);
			yield* settle();
		});
		for (const line of [
			"Packet has unallowed src IP from peer N",
			"Packet is neither ipvN nor ipvN from peer N",
			"Packet looped",
			"No valid endpoint has been configured or discovered for peer N",
		])
			expect(lines).toContain(line);
	});

	test("no sockets to be had, and a jail that goes", () => {
		const lines = said(one, function* (r) {
			yield* wg_up(r.sc);
			yield* wg_prison_remove(prison0());
		});
		expect(lines).toEqual(["Unable to initialize sockets: N", "Creating jail exiting"]);
	});

	test("main also says that a peer was made", () => {
		const lines = said(
			one,
			function* (r) {
				yield* r.set_peer(new Uint8Array(32).fill(5), () => undefined);
			},
			{ generation: "main" },
		);
		expect(lines).toEqual(["Peer N created", "Peer N destroyed"]);
	});
});

test("without the flag nothing of that is said", () => {
	const lines = said(
		connected_rigs,
		function* (a, b) {
			a.other = null;
			yield* b.receive(new Uint8Array(148).fill(1, 0, 1), new sockaddr_in(1, 1));
			yield* wg_send_keepalive(a.sc.sc_peers_first!);
			yield* xmit(a);
			yield* pause_sbt("silence", 60 * SECOND);
		},
		{ debug: false },
	);
	expect(lines).toEqual([]);
});

test("nothing the driver can say was left out above", () => {
	const source = readProjectFile("src/dev/wg/if_wg.ts");
	const messages = [...source.matchAll(/DPRINTF\(\s*[\w.]+,\s*(?:"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g)].map((m) =>
		shape((m[1] ?? m[2]).replaceAll("\\n", "\n").replace(/\$\{[^}]*\}/g, "0")),
	);
	expect(messages.length).toBeGreaterThan(24);
	const unheard = messages.filter((text) => ![...heard].some((line) => line === text || matches(text, line)));
	expect(unheard).toEqual([]);
});

/** A message with a word in place of a number, such as "Invalid N MAC". */
function matches(text: string, line: string): boolean {
	return new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("N", "\\w+")}$`).test(line);
}
