/** What kernels of this process get from the host: libraries for their arithmetic, and a compiler. What a run does never depends on it. */
import { type aead_backend, noble_backend, set_host_aead } from "../../src/crypto/aead_backend.ts";
import { set_host_x25519 } from "../../src/crypto/curve25519/x25519_backend.ts";
import { UsageError } from "../errors.ts";
import { quote } from "../units.ts";
import { libcryptoAead } from "./libcrypto.ts";
import { nodeAead, opensslX25519 } from "./openssl.ts";
import { tuneCompiler } from "./v8.ts";

/** Fastest first. */
const aeads: Readonly<Record<string, () => aead_backend | Promise<aead_backend>>> = {
	openssl: libcryptoAead,
	node: () => nodeAead,
	noble: () => noble_backend,
};

/** Names one of them, for whoever wants to see packets sealed by another library. */
const VARIABLE = "IFWG_AEAD";

/**
 * Lets the kernels of this process compute with the host's libraries, and be compiled as suits them. To be called once, before the first of them boots. Throws
 * UsageError if the environment names a library that is none, or that is not there.
 */
export async function installHost(environment: Readonly<Record<string, string | undefined>>): Promise<void> {
	tuneCompiler();
	const name = environment[VARIABLE];
	set_host_aead(name === undefined ? await libcryptoAead().catch(() => nodeAead) : await named(name));
	set_host_x25519(opensslX25519);
}

async function named(name: string): Promise<aead_backend> {
	const aead = Object.hasOwn(aeads, name) ? aeads[name] : undefined;
	if (aead === undefined) {
		throw new UsageError(`${VARIABLE}: no ${quote(name)}; there is ${Object.keys(aeads).join(", ")}`);
	}
	try {
		return await aead();
	} catch (error) {
		throw new UsageError(`${VARIABLE}: no ${name} on this host: ${error instanceof Error ? error.message : error}`);
	}
}
