/**
 * The driver against wireguard-go, the implementation in Go: real programs on this machine, in a network namespace of their own, and
 * the simulated kernel on the other end of the wire, its clock kept at the host's.
 */
import "../../../src/kernel/ifnet/if_loop.ts";
import "../../../src/kernel/netinet/inet.ts";
import "../../../src/kernel/netinet/tcp_usrreq.ts";
import { type ChildProcess, spawn as spawnProcess } from "node:child_process";
import { execPath } from "node:process";
import { fileURLToPath } from "node:url";
import { describe, expect, type TestContext, test } from "vitest";
import type { wg_generation_name } from "../../../src/dev/wg/generation.ts";
import { MAX_QUEUED_HANDSHAKES, wg_aip_add } from "../../../src/dev/wg/if_wg.ts";
import { run, spawn } from "../../../src/kernel/boot.ts";
import { cred0 } from "../../../src/kernel/jail/jail.ts";
import { vnet0 } from "../../../src/kernel/jail/vnet.ts";
import { AF_INET, sockaddr_in } from "../../../src/kernel/netinet/in.ts";
import { nvlist_add_binary } from "../../../src/kernel/nv.ts";
import type { Kernel } from "../../../src/kernel/sched/kernel.ts";
import { type Blocking, curthread } from "../../../src/kernel/sched/thread.ts";
import { find_program } from "../../../src/userland/bin.ts";
import type { ping_stats } from "../../../src/userland/ping.ts";
import { type process, system } from "../../../src/userland/process.ts";
import { requireTool } from "../../support/tools.ts";
import { new_rig, type rig, sockaddr_bytes, wg_world } from "./rig.ts";

const INTERFACE = "wgt0";
const GO_PORT = 51820;
const OUR_PORT = 51821;
const GO_ADDRESS = "10.9.0.1";
const OUR_ADDRESS = "10.9.0.2";
const INITIATION = 1;
const RESPONSE = 2;
const COOKIE = 3;
const DATA = 4;

interface answer {
	readonly code: number;
	readonly output: string;
}

/** wireguard-go and the wire to it. */
class go_peer {
	onDatagram: (data: Uint8Array) => void = () => undefined;
	private readonly child: ChildProcess;
	private readonly waiting = new Map<number, (a: answer) => void>();
	private next = 0;

	private constructor(child: ChildProcess) {
		this.child = child;
		child.on("message", (message: { datagram?: string; id?: number } & answer) => {
			if (message.datagram !== undefined) this.onDatagram(Buffer.from(message.datagram, "base64"));
			else if (message.id !== undefined) this.waiting.get(message.id)?.(message);
		});
	}

	/** @returns why it cannot be had here, if it cannot */
	static start(): Promise<go_peer | string> {
		const script = fileURLToPath(new URL("interop/peer.mjs", import.meta.url));
		const args = ["-rnm", execPath, script, INTERFACE, `${GO_PORT}`, `${OUR_PORT}`];
		const child = spawnProcess("unshare", args, { stdio: ["ignore", "ignore", "pipe", "ipc"] });
		let errors = "";
		child.stderr!.on("data", (text) => {
			errors += text;
		});
		return new Promise((resolve) => {
			child.on("error", (error) => resolve(error.message));
			child.on("exit", () => resolve(errors.trim() || "it ended"));
			child.once("message", (message: { ready?: boolean; failed?: string }) => {
				resolve(message.ready ? new go_peer(child) : (message.failed ?? "it did not start"));
			});
		});
	}

	send(data: Uint8Array): void {
		this.child.send({ datagram: Buffer.from(data).toString("base64") });
	}

	run(command: readonly string[], input = ""): Promise<answer> {
		return this.ask({ command, input });
	}

	/** Tries a TCP connection through the tunnel; ECONNREFUSED is an answer from the other end. */
	async connect(host: string): Promise<string> {
		return (await this.ask({ host })).output;
	}

	private ask(what: object): Promise<answer> {
		const id = this.next++;
		this.child.send({ id, ...what });
		return new Promise((resolve) => this.waiting.set(id, resolve));
	}

	stop(): void {
		this.child.disconnect();
	}
}

/** The simulated side: one interface whose datagrams go to the peer. */
class simulated {
	readonly kernel: Kernel;
	r!: rig;
	/** kinds of messages sent and received, in order */
	readonly sent: number[] = [];
	readonly received: number[] = [];
	private readonly peer: go_peer;
	private timer: NodeJS.Timeout | null = null;
	/** a panic while nobody was looking */
	private error: unknown = null;

	constructor(generation: wg_generation_name, peer: go_peer) {
		this.kernel = wg_world(generation);
		this.peer = peer;
	}

	/** Runs a thread of the base system to its end, in the host's time once that has been started. */
	async inside<T>(main: () => Blocking<T>): Promise<T> {
		const box: { value?: T; done?: boolean } = {};
		this.start("test", function* () {
			box.value = yield* main();
			box.done = true;
		});
		while (!box.done) {
			if (this.timer === null) run(this.kernel, this.kernel.machine.now + 1_000_000);
			else await new Promise((resolve) => setTimeout(resolve, 5));
			if (this.error !== null) throw this.error;
		}
		return box.value as T;
	}

	private start(name: string, main: () => Blocking<unknown>): void {
		spawn(this.kernel, name, function* () {
			curthread.td_ucred = cred0();
			curthread.td_vnet = vnet0();
			yield* main();
		});
	}

	/** From here on its clock goes with the host's. */
	connect(): void {
		const from = new sockaddr_in(0x7f000001, GO_PORT);
		this.r.answer = (d) => {
			this.sent.push(d.data[0]);
			this.peer.send(d.data);
			return 0;
		};
		this.peer.onDatagram = (data) => {
			this.received.push(data[0]);
			this.start("wire", () => this.r.receive(data, from));
		};
		const began = performance.now();
		const origin = this.kernel.machine.now;
		this.timer = setInterval(() => {
			try {
				run(this.kernel, origin + Math.round((performance.now() - began) * 1e6));
			} catch (error) {
				this.error = error;
				this.stop();
			}
		}, 2);
	}

	stop(): void {
		if (this.timer !== null) clearInterval(this.timer);
	}
}

function base64(key: Uint8Array): string {
	return Buffer.from(key).toString("base64");
}

/** Both ends, configured for each other with a preshared key. */
async function tunnel(
	context: TestContext,
	generation: wg_generation_name,
	main: (go: go_peer, ours: simulated) => Promise<void>,
): Promise<void> {
	requireTool(context, "wireguard-go");
	requireTool(context, "wg", "wireguard-tools");
	requireTool(context, "ip", "iproute2");
	const go = await go_peer.start();
	// containers often forbid namespaces or have no /dev/net/tun, and nothing can be installed against that
	if (typeof go === "string") return context.skip(`no network namespace with wireguard-go here: ${go}`);
	const ours = new simulated(generation, go);
	try {
		const key = (await go.run(["wg", "genkey"])).output.trim();
		const go_public = Buffer.from((await go.run(["wg", "pubkey"], key)).output.trim(), "base64");
		const psk = Buffer.from((await go.run(["wg", "genpsk"])).output.trim(), "base64");
		ours.r = await ours.inside(function* () {
			const r = yield* new_rig(0);
			yield* r.set_peer(go_public, (nvl) => {
				nvlist_add_binary(nvl, "endpoint", sockaddr_bytes(new sockaddr_in(0x7f000001, GO_PORT)));
				nvlist_add_binary(nvl, "preshared-key", psk);
			});
			yield* wg_aip_add(r.sc, r.sc.sc_peers_first!, AF_INET, new Uint8Array(4), 0);
			yield* r.up();
			const set = yield* system(null, "ifconfig", find_program("ifconfig")!, ["wg0", "inet", `${OUR_ADDRESS}/24`]);
			expect(set.lines).toEqual([]);
			return r;
		});
		const set = (...args: string[]) => go.run(["wg", "set", INTERFACE, ...args], key);
		expect(await set("listen-port", `${GO_PORT}`, "private-key", "@input")).toMatchObject({ code: 0 });
		expect(await add_peer(go, ours, psk)).toMatchObject({ code: 0 });
		for (const command of [`ip addr add ${GO_ADDRESS}/24 dev ${INTERFACE}`, `ip link set ${INTERFACE} up`])
			expect(await go.run(command.split(" "))).toMatchObject({ code: 0 });
		ours.connect();
		await main(go, ours);
		const { r } = ours;
		await ours.inside(() => r.destroy());
	} finally {
		ours.stop();
		go.stop();
	}
}

function add_peer(go: go_peer, ours: simulated, psk: Uint8Array): Promise<answer> {
	const peer = ["peer", base64(ours.r.public_key), "preshared-key", "@input"];
	const where = ["endpoint", `127.0.0.1:${OUR_PORT}`, "allowed-ips", `${OUR_ADDRESS}/32`];
	return go.run(["wg", "set", INTERFACE, ...peer, ...where], base64(psk));
}

/** Our own ping(8), to the kernel of this machine. */
function ping(ours: simulated, size: number): Promise<process> {
	const args = ["-c", "3", "-i", "0.05", "-s", `${size}`, GO_ADDRESS];
	return ours.inside(() => system(null, "ping", find_program("ping")!, args));
}

describe("wireguard-go", () => {
	test.for(["2021-11", "2022-09", "main", "blake2-library"] as const)(
		"begins a handshake with %s, and data go both ways",
		async (generation, context) => {
			await tunnel(context, generation, async (go, ours) => {
				expect(await go.connect(OUR_ADDRESS)).toBe("ECONNREFUSED");
				expect([ours.received[0], ours.sent[0]]).toEqual([INITIATION, RESPONSE]);
				expect(ours.received).toContain(DATA);
				for (const size of [0, 56, 1000, 1392]) {
					const p = await ping(ours, size);
					expect((p.p_data as ping_stats).corrupted).toBe(0);
					expect(p.lines.join("\n")).toContain("3 packets transmitted, 3 packets received, 0.0% packet loss");
				}
				const shown = await go.run(["wg", "show", INTERFACE]);
				expect(shown.output).toMatch(/latest handshake: .*\n {2}transfer: \d.* received, \d.* sent/);
			});
		},
	);

	test("answers a handshake of ours", async (context) => {
		await tunnel(context, "main", async (go, ours) => {
			const p = await ping(ours, 56);
			expect(p.p_xstat).toBe(0);
			expect([ours.sent[0], ours.received[0]]).toEqual([INITIATION, RESPONSE]);
			expect(await go.connect(OUR_ADDRESS)).toBe("ECONNREFUSED");
		});
	});

	test("takes a cookie when we are under load, and is let in with it", async (context) => {
		await tunnel(context, "2022-09", async (go, ours) => {
			ours.r.sc.sc_handshake_queue.q_len += MAX_QUEUED_HANDSHAKES / 2;
			const answered = go.connect(OUR_ADDRESS);
			// its first initiation is answered with a cookie; the next, five seconds later, has a second MAC made with that
			expect(await answered).toBe("ECONNREFUSED");
			expect(ours.received.slice(0, 2)).toEqual([INITIATION, INITIATION]);
			expect(ours.sent[0]).toBe(COOKIE);
			expect(ours.sent).toContain(RESPONSE);
			ours.r.sc.sc_handshake_queue.q_len = 0;
		});
	});
});

test("wg(8) reads what our wg prints, and prints the same of wireguard-go", async (context) => {
	await tunnel(context, "main", async (go, ours) => {
		const wg = (...args: string[]) => ours.inside(() => system(null, "wg", find_program("wg")!, args));
		const peer = base64(new Uint8Array(32).fill(7));
		const set = await wg(
			...`set wg0 listen-port 51820 fwmark 0x7b peer ${peer} endpoint [2001:db8::1]:123 persistent-keepalive 25 allowed-ips 10.3.0.0/16`.split(
				" ",
			),
		);
		expect(set.lines).toEqual([]);
		const conf = (await wg("showconf", "wg0")).lines.join("\n");
		const loaded = await go.run(["wg", "setconf", INTERFACE, "@input"], `${conf}\n`);
		expect(loaded).toMatchObject({ code: 0, output: "" });
		// the order of peers is each program's own
		const sections = (text: string) => text.trim().split("\n\n").sort();
		expect(sections((await go.run(["wg", "showconf", INTERFACE])).output)).toEqual(sections(conf));
		for (const what of ["public-key", "listen-port", "fwmark", "endpoints", "allowed-ips", "persistent-keepalive"]) {
			const theirs = (await go.run(["wg", "show", INTERFACE, what])).output.trim().split("\n").sort();
			expect([what, theirs]).toEqual([what, [...(await wg("show", "wg0", what)).lines].sort()]);
		}
		// what each has sent by now is not the same
		const show = (text: string) =>
			sections(text.replaceAll(INTERFACE, "wg0").replace(/^ {2}(transfer|latest handshake):.*\n/gm, ""));
		expect(show((await go.run(["wg", "show", INTERFACE])).output)).toEqual(
			show((await wg("show", "wg0")).lines.join("\n")),
		);
	});
});
