/**
 * Packet encryption alone, in cycles per byte of the simulated core: what the driver does to an mbuf chain of a given payload,
 * by own code, cryptosoft and ossl.
 */
import {
	chacha20poly1305_encrypt_mbuf,
	crypto_deinit,
	crypto_init,
	WG_CRYPTO_TUNABLE,
} from "../../src/dev/wg/wg_crypto.ts";
import { M_WAITOK, MT_DATA, m_copyback, m_freem, m_getm } from "../../src/kernel/mbuf/mbuf.ts";
import { KASSERT } from "../../src/kernel/sched/kernel.ts";
import type { Blocking } from "../../src/kernel/sched/thread.ts";
import { findProfile } from "../../src/machine/profile.ts";
import { CRYPTOS, type Crypto } from "../options.ts";
import { table } from "../report/table.ts";
import { cpuTime, inKernel } from "./thread.ts";

/** An acknowledgement, what routers are tested with, a full packet of the tunnel, a jumbo frame; and sizes between. */
export const PAYLOADS = [64, 128, 256, 528, 1024, 1420, 2048, 4096, 8192] as const;

/** The machine's work takes a little more or less each time. */
const REPEAT = 16;
const KEY = Uint8Array.from({ length: 32 }, (_, i) => i);

export interface CyclesRow {
	readonly crypto: Crypto;
	readonly bytes: number;
	/** CPU time of one packet, tag included */
	readonly ns: number;
	readonly cycles_per_byte: number;
}

function* encryptMany(bytes: number): Blocking<number> {
	const payload = new Uint8Array(bytes);
	let used = 0;
	for (let i = 0; i < REPEAT; i++) {
		const m = m_getm(null, bytes, M_WAITOK, MT_DATA)!;
		m_copyback(m, 0, bytes, payload);
		const before = cpuTime();
		const error = yield* chacha20poly1305_encrypt_mbuf(m, i, 0, KEY);
		used += cpuTime() - before;
		KASSERT(error === 0, "cycles: a packet could not be encrypted");
		m_freem(m);
	}
	return used / REPEAT;
}

export function measureCycles(machine: string, payloads: readonly number[] = PAYLOADS): CyclesRow[] {
	const { ghz } = findProfile(machine)!;
	return CRYPTOS.flatMap((crypto) =>
		inKernel({ machine, tunables: { [WG_CRYPTO_TUNABLE]: crypto } }, function* () {
			KASSERT((yield* crypto_init()) === 0, "cycles: no session");
			const rows: CyclesRow[] = [];
			for (const bytes of payloads) {
				const ns = yield* encryptMany(bytes);
				rows.push({ crypto, bytes, ns, cycles_per_byte: (ns * ghz) / bytes });
			}
			yield* crypto_deinit();
			return rows;
		}),
	);
}

export function renderCycles(machine: string, rows: readonly CyclesRow[]): string[] {
	const payloads = [...new Set(rows.map((row) => row.bytes))];
	return [
		`Encrypting a packet, cycles per byte of one CPU of ${machine}, by payload: the driver's call, in clusters as a socket makes them.`,
		...table(
			[
				["bytes", ...CRYPTOS],
				...payloads.map((bytes) => [
					String(bytes),
					...CRYPTOS.map((crypto) =>
						rows.find((row) => row.crypto === crypto && row.bytes === bytes)!.cycles_per_byte.toFixed(2),
					),
				]),
			],
			[],
		),
	];
}
