/** What the tests of crypto(9) and of its users share: running code in a kernel, chains of a given shape, a driver that can refuse. */
import fc from "fast-check";
import {
	crypto_dispatch,
	crypto_find_driver,
	crypto_initreq,
	crypto_newsession,
} from "../../../src/crypto/ocf/crypto.ts";
import {
	CRYPTO_F_CBIMM,
	CRYPTO_F_IV_SEPARATE,
	CRYPTOCAP_F_SOFTWARE,
	type crypto_session,
	crypto_session_params,
	crypto_use_buf,
	crypto_use_mbuf,
	crypto_use_output_buf,
	crypto_use_output_mbuf,
	type cryptodev,
	cryptop,
} from "../../../src/crypto/ocf/cryptodev.ts";
// registers the drivers
import "../../../src/crypto/ocf/cryptosoft.ts";
import "../../../src/crypto/ocf/ossl.ts";
import { boot, runUntilExit, spawn } from "../../../src/kernel/boot.ts";
import type { Errno } from "../../../src/kernel/errno.ts";
import {
	M_PKTHDR,
	M_SIZE,
	M_START,
	M_WAITOK,
	MJUM9BYTES,
	MT_DATA,
	m_freem,
	m_get,
	m_gethdr,
	m_getjcl,
	type mbuf,
} from "../../../src/kernel/mbuf/mbuf.ts";
import type { Kernel, KernelOptions } from "../../../src/kernel/sched/kernel.ts";
import { type Blocking, DONE, done } from "../../../src/kernel/sched/thread.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { findProfile, type MachineProfile } from "../../../src/machine/profile.ts";

/** Without jitter, so that times can be compared. */
const profile: MachineProfile = { ...findProfile("xeon-d")!, jitter_permille: 0 };

const LIMIT_NS = 10_000_000_000;

export function bootKernel(options: KernelOptions = {}, cpus = 4): Kernel {
	return boot(new Machine({ profile, cpus }), options);
}

/** Runs `main` as a thread of `kernel` until it ends. */
export function runIn(kernel: Kernel, main: () => Blocking<void>): void {
	const td = spawn(kernel, "test", main);
	if (!runUntilExit(kernel, td, LIMIT_NS)) throw new Error("the test's thread did not end");
}

/** The same in a kernel of its own. */
export function inKernel(options: KernelOptions, main: () => Blocking<void>): Kernel {
	const kernel = bootKernel(options);
	runIn(kernel, main);
	return kernel;
}

/** Pattern bytes; their value does not matter, only that they differ. */
export function pattern(length: number, seed = 1): Uint8Array {
	return Uint8Array.from({ length }, (_, i) => (i * 167 + seed * 59 + (i >>> 8)) & 0xff);
}

/**
 * A packet of `data` whose mbufs have the given lengths, the last one the rest. `room` is what stays free behind the last.
 */
export function chainOf(data: Uint8Array, lengths: readonly number[], room = 0): mbuf {
	let head: mbuf | null = null;
	let tail: mbuf | null = null;
	let off = 0;
	for (let i = 0; i <= lengths.length; i++) {
		const left = data.length - off;
		const len = i === lengths.length ? left : Math.min(lengths[i], left);
		const flags = head === null ? M_PKTHDR : 0;
		const behind = i === lengths.length ? room : 0;
		let m: mbuf;
		if (len + behind <= 160) m = head === null ? m_gethdr(M_WAITOK, MT_DATA)! : m_get(M_WAITOK, MT_DATA)!;
		else m = m_getjcl(M_WAITOK, MT_DATA, flags, MJUM9BYTES)!;
		m.m_data = M_START(m) + M_SIZE(m) - len - behind;
		m.m_len = len;
		m.m_buf.set(data.subarray(off, off + len), m.m_data);
		off += len;
		if (tail === null) head = m;
		else tail.m_next = m;
		tail = m;
	}
	head!.m_pkthdr.len = data.length;
	return head!;
}

/** The bytes of a chain. */
export function bytesOf(m: mbuf): Uint8Array {
	const all: number[] = [];
	for (let n: mbuf | null = m; n !== null; n = n.m_next) all.push(...n.m_buf.subarray(n.m_data, n.m_data + n.m_len));
	return Uint8Array.from(all);
}

/** The lengths of a chain's mbufs, the last one's left out, and the room behind it. */
export const shapes = fc.record({
	length: fc.oneof(fc.constantFrom(0, 1, 15, 16, 63, 64, 65, 128, 1420), fc.nat(4000)),
	lengths: fc.array(fc.oneof(fc.constantFrom(0, 1, 63, 64, 65), fc.nat(300)), { maxLength: 6 }),
	room: fc.constantFrom(0, 8, 15, 16, 40),
});

/** A driver that does what a test says. */
export class test_driver implements cryptodev {
	readonly nameunit: string;
	probe: number;
	newsession: Errno = 0;
	process: (crp: cryptop, hint: number) => Blocking<Errno> = () => done(0);
	freed = 0;

	constructor(nameunit: string, probe: number) {
		this.nameunit = nameunit;
		this.probe = probe;
	}
	cryptodev_probesession(_csp: crypto_session_params): number {
		return this.probe;
	}
	cryptodev_newsession(_cses: crypto_session, _csp: crypto_session_params): Blocking<Errno> {
		return done(this.newsession);
	}
	cryptodev_freesession(_cses: crypto_session): Blocking<void> {
		this.freed++;
		return DONE;
	}
	cryptodev_process(crp: cryptop, hint: number): Blocking<Errno> {
		return this.process(crp, hint);
	}
}

/** A request over a chain: where things are in `data`, and what is separate. */
export interface layout {
	readonly op: number;
	readonly data: Uint8Array;
	/** lengths of the mbufs, the last one's left out; without them the data are in a flat buffer */
	readonly lengths?: readonly number[];
	readonly payload: readonly [start: number, length: number];
	readonly digest?: number;
	readonly iv?: Uint8Array;
	readonly iv_start?: number;
	/** where in `data` the authenticated data are, or the data themselves */
	readonly aad?: readonly [start: number, length: number] | Uint8Array;
	readonly cipher_key?: Uint8Array;
	readonly auth_key?: Uint8Array;
	readonly esn?: Uint8Array;
	/** length of an output buffer, where the text goes in it, and the shape if it is a chain */
	readonly output?: readonly [length: number, start: number, lengths?: readonly number[] | undefined];
}

/** Runs one request of a session. @returns its error, the buffer afterwards, and the output buffer */
export function* runRequest(
	ses: crypto_session,
	at: layout,
): Blocking<{ etype: Errno; data: Uint8Array; output: Uint8Array }> {
	const crp = new cryptop();
	const flat = at.data.slice();
	const m = at.lengths === undefined ? null : chainOf(at.data, at.lengths);
	const output = new Uint8Array(at.output?.[0] ?? 0);
	const shape = at.output?.[2];
	const n = shape === undefined ? null : chainOf(output, shape);
	crypto_initreq(crp, ses);
	crp.crp_op = at.op;
	crp.crp_flags = CRYPTO_F_CBIMM | (at.iv === undefined ? 0 : CRYPTO_F_IV_SEPARATE);
	if (m === null) crypto_use_buf(crp, flat, flat.length);
	else crypto_use_mbuf(crp, m);
	[crp.crp_payload_start, crp.crp_payload_length] = at.payload;
	crp.crp_digest_start = at.digest ?? 0;
	if (at.iv !== undefined) crp.crp_iv.set(at.iv);
	crp.crp_iv_start = at.iv_start ?? 0;
	if (at.aad instanceof Uint8Array) {
		crp.crp_aad = at.aad.length > 0 ? at.aad : null;
		crp.crp_aad_length = at.aad.length;
	} else if (at.aad !== undefined) {
		[crp.crp_aad_start, crp.crp_aad_length] = at.aad;
	}
	crp.crp_cipher_key = at.cipher_key ?? null;
	crp.crp_auth_key = at.auth_key ?? null;
	if (at.esn !== undefined) crp.crp_esn.set(at.esn);
	if (at.output !== undefined) {
		if (n === null) crypto_use_output_buf(crp, output, output.length);
		else crypto_use_output_mbuf(crp, n);
		crp.crp_payload_output_start = at.output[1];
	}
	crp.crp_callback = () => done(0);
	yield* crypto_dispatch(crp);
	const data = m === null ? flat : bytesOf(m);
	if (n !== null) output.set(bytesOf(n));
	m_freem(m);
	m_freem(n);
	return { etype: crp.crp_etype, data, output };
}

/** Opens a session, with any software driver or with one of that name. */
export function* openSession(params: Partial<crypto_session_params>, driver?: string): Blocking<crypto_session> {
	const csp = Object.assign(new crypto_session_params(), params);
	const crid = driver === undefined ? CRYPTOCAP_F_SOFTWARE : yield* crypto_find_driver(driver);
	const ses = yield* crypto_newsession(csp, crid);
	if (typeof ses === "number") throw new Error(`crypto_newsession: ${ses}`);
	return ses;
}
