/** What the crypto tests share: a kernel to charge to, the backends, hexadecimal. */
import { libcryptoAead } from "../../sim/host/libcrypto.ts";
import { nodeAead, opensslX25519 } from "../../sim/host/openssl.ts";
import { type aead_backend, noble_backend } from "../../src/crypto/aead_backend.ts";
import { noble_x25519, type x25519_backend } from "../../src/crypto/curve25519/x25519_backend.ts";
import { Kernel, set_curkernel } from "../../src/kernel/sched/kernel.ts";
import { hostthread } from "../../src/kernel/sched/thread.ts";
import { Machine } from "../../src/machine/machine.ts";
import { machineProfiles } from "../../src/machine/profile.ts";

export const aeadBackends: readonly aead_backend[] = [noble_backend, nodeAead, await libcryptoAead()];
export const x25519Backends: readonly x25519_backend[] = [noble_x25519, opensslX25519];

/** Makes a new kernel the running one. No thread runs in it, so charges go to the host's thread. */
export function bootKernel(seed = 1): void {
	set_curkernel(new Kernel(new Machine({ profile: machineProfiles[0], seed })));
}

/** Simulated nanoseconds that `work` charges. */
export function charged(work: () => void): number {
	const before = hostthread.td_pending;
	work();
	return hostthread.td_pending - before;
}

export function bytes(hex: string): Uint8Array {
	return Uint8Array.from(Buffer.from(hex.replace(/\s/g, ""), "hex"));
}

export function hex(data: Uint8Array): string {
	return Buffer.from(data).toString("hex");
}

export function ascii(text: string): Uint8Array {
	return Uint8Array.from(Buffer.from(text, "ascii"));
}

/** `length` bytes counting up from `first`, as RFC keys often do. */
export function counting(length: number, first = 0): Uint8Array {
	return Uint8Array.from({ length }, (_, i) => first + i);
}
