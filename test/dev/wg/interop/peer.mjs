/**
 * The other end of interop.test.ts: wireguard-go in a network namespace of its own, and the wire to it. Started as
 * `unshare -rnm node peer.mjs` with an IPC channel. Datagrams come and go as base64; commands are run and their result is told.
 *
 * from the parent: { datagram } | { id, command: [program, ...args], input? } | { id, host } (TCP, to a port nobody listens on)
 * to the parent: { ready } | { datagram } | { id, code, output } | { failed }
 */
import { execFile, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";

const [interfaceName, goPort, ourPort] = process.argv.slice(2);

/** Runs a program. An argument "@input" becomes a file that holds the input; standard input has it as well. */
function run([program, ...words], input = "") {
	const args = words.map((word) => {
		if (word !== "@input") return word;
		writeFileSync("/run/input", input);
		return "/run/input";
	});
	return new Promise((resolve) => {
		const child = execFile(program, args, { timeout: 30_000 }, (error, stdout, stderr) => {
			resolve({
				code: error === null ? 0 : typeof error.code === "number" ? error.code : 255,
				output: stdout + stderr,
			});
		});
		child.stdin.on("error", () => {});
		child.stdin.end(input);
	});
}

/** Tries a TCP connection; the output says what came of it: ECONNREFUSED is an answer from the other end. */
function tryConnection(host) {
	return new Promise((resolve) => {
		const socket = connect({ host, port: 9, timeout: 15_000 });
		const end = (output) => {
			socket.destroy();
			resolve({ code: 0, output });
		};
		socket.on("error", (error) => end(error.code));
		socket.on("timeout", () => end("timeout"));
		socket.on("connect", () => end("connected"));
	});
}

async function must(...command) {
	const { code, output } = await run(command);
	if (code !== 0) throw new Error(`${command.join(" ")}: ${output.trim()}`);
}

async function main() {
	await must("mount", "-t", "tmpfs", "tmpfs", "/run");
	await must("ip", "link", "set", "lo", "up");
	const go = spawn("wireguard-go", ["-f", interfaceName], { stdio: ["ignore", "pipe", "pipe"] });
	const log = [];
	for (const stream of [go.stdout, go.stderr]) stream.on("data", (text) => log.push(text));
	go.on("error", (error) => log.push(error.message));
	process.on("disconnect", () => {
		go.kill();
		process.exit(0);
	});
	for (let tries = 0; (await run(["wg", "show", interfaceName])).code !== 0; tries++) {
		if (tries === 40 || go.exitCode !== null) throw new Error(`wireguard-go: ${log.join("").trim()}`);
		await new Promise((resolve) => setTimeout(resolve, 50));
	}

	const wire = createSocket("udp4");
	await new Promise((resolve) => wire.bind(Number(ourPort), "127.0.0.1", resolve));
	wire.on("message", (data) => process.send({ datagram: data.toString("base64") }));
	process.on("message", async (message) => {
		if (message.datagram !== undefined) wire.send(Buffer.from(message.datagram, "base64"), Number(goPort), "127.0.0.1");
		else {
			const { id, host, command, input } = message;
			process.send({ id, ...(await (host === undefined ? run(command, input) : tryConnection(host))) });
		}
	});
	process.send({ ready: true });
}

main().catch((error) => process.send({ failed: error.message }, () => process.exit(1)));
