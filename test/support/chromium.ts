/**
 * Debian's chromium without a window, spoken to over a pipe in its DevTools protocol: enough to open a file, look at it at some
 * width, in light, dark or print, and hear its complaints.
 *
 * @see https://chromedevtools.github.io/devtools-protocol/
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable, Writable } from "node:stream";
import { pathToFileURL } from "node:url";

const FLAGS = [
	"--headless=new",
	"--no-sandbox",
	"--disable-gpu",
	"--disable-quic",
	"--disable-dev-shm-usage",
	"--no-first-run",
	"--disable-background-networking",
	"--disable-component-update",
	"--disable-sync",
	"--disable-extensions",
	"--hide-scrollbars",
	"--remote-debugging-pipe",
];

interface Message {
	readonly id?: number;
	readonly method?: string;
	readonly params?: Record<string, unknown>;
	readonly result?: Record<string, unknown>;
	readonly error?: { readonly message: string };
}

type Answer = Record<string, unknown>;

export interface Look {
	readonly width: number;
	readonly height: number;
	readonly dark?: boolean;
	readonly phone?: boolean;
	/** as on paper of this width */
	readonly print?: boolean;
}

export class Chromium {
	/** what the page said on its console, errors it threw, and requests it made besides its own file */
	readonly complaints: string[] = [];
	private readonly child: ChildProcess;
	private readonly profile: string;
	private readonly waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
	private readonly events = new Map<string, () => void>();
	private next = 1;
	private session = "";
	private opened = "";

	private constructor(file: string) {
		this.profile = mkdtempSync(path.join(tmpdir(), "ifwg-chromium-"));
		this.child = spawn(file, [...FLAGS, `--user-data-dir=${this.profile}`, "about:blank"], {
			stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
			detached: true,
		});
		this.listen(this.child.stdio[4] as Readable);
		this.child.once("exit", () => this.fail(new Error("chromium ended")));
		this.child.once("error", (error) => this.fail(error));
	}

	static async start(file: string): Promise<Chromium> {
		const browser = new Chromium(file);
		try {
			const { targetId } = await browser.call("Target.createTarget", { url: "about:blank" });
			const { sessionId } = await browser.call("Target.attachToTarget", { targetId, flatten: true });
			browser.session = sessionId as string;
			for (const domain of ["Page", "Runtime", "Log", "Network"]) await browser.call(`${domain}.enable`);
			return browser;
		} catch (error) {
			await browser.close();
			throw error;
		}
	}

	private fail(error: Error): void {
		for (const { reject } of this.waiting.values()) reject(error);
		this.waiting.clear();
	}

	/** Messages are JSON, each ended by a zero byte. */
	private listen(stream: Readable): void {
		let rest = "";
		stream.setEncoding("utf8");
		stream.on("data", (chunk: string) => {
			const pieces = (rest + chunk).split("\0");
			rest = pieces.pop() ?? "";
			for (const piece of pieces) this.receive(JSON.parse(piece) as Message);
		});
	}

	private receive({ id, method, params, result, error }: Message): void {
		if (id !== undefined) {
			const caller = this.waiting.get(id);
			this.waiting.delete(id);
			if (error !== undefined) caller?.reject(new Error(error.message));
			else caller?.resolve(result ?? {});
			return;
		}
		if (method === undefined) return;
		if (method === "Runtime.consoleAPICalled" || method === "Runtime.exceptionThrown" || method === "Log.entryAdded") {
			this.complaints.push(`${method} ${JSON.stringify(params)}`);
		}
		if (method === "Network.requestWillBeSent") {
			const { url } = (params as { request: { url: string } }).request;
			if (url !== this.opened) this.complaints.push(`request ${url}`);
		}
		this.events.get(method)?.();
		this.events.delete(method);
	}

	call(method: string, params: Answer = {}): Promise<Answer> {
		const id = this.next++;
		const message = this.session === "" ? { id, method, params } : { id, method, params, sessionId: this.session };
		return new Promise((resolve, reject) => {
			this.waiting.set(id, { resolve, reject });
			(this.child.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
		});
	}

	/** Opens a file and waits until it has loaded. */
	async open(file: string, { width, height, dark = false, phone = false, print = false }: Look): Promise<void> {
		await this.call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: phone });
		const features = [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }];
		await this.call("Emulation.setEmulatedMedia", { media: print ? "print" : "", features });
		this.opened = pathToFileURL(file).href;
		const loaded = new Promise<void>((resolve) => this.events.set("Page.loadEventFired", resolve));
		await this.call("Page.navigate", { url: this.opened });
		await loaded;
	}

	/** The value of an expression in the page. */
	async evaluate<T>(expression: string): Promise<T> {
		const { result, exceptionDetails } = await this.call("Runtime.evaluate", { expression, returnByValue: true });
		if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
		return (result as { value: T }).value;
	}

	/** A PNG of the window, or of the whole page. */
	async screenshot(whole: boolean): Promise<Buffer> {
		const { data } = await this.call("Page.captureScreenshot", { format: "png", captureBeyondViewport: whole });
		return Buffer.from(data as string, "base64");
	}

	async pdf(): Promise<Buffer> {
		const { data } = await this.call("Page.printToPDF", {
			preferCSSPageSize: true,
			paperWidth: 8.27,
			paperHeight: 11.69,
		});
		return Buffer.from(data as string, "base64");
	}

	/** Ends the browser and all its processes, which are a group of their own. */
	async close(): Promise<void> {
		const { child } = this;
		if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
			const exited = once(child, "exit");
			process.kill(-child.pid, "SIGKILL");
			await exited;
		}
		// the last of them may still be closing its files
		await rm(this.profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
	}
}
