/** Which libraries of the host do the arithmetic of the kernels of this process. What a run does never depends on it. */
import { type aead_backend, noble_backend, set_host_aead } from "../../src/crypto/aead_backend.ts";
import { set_host_x25519 } from "../../src/crypto/curve25519/x25519_backend.ts";
import { UsageError } from "../errors.ts";
import { quote } from "../units.ts";
import { opensslAead, opensslX25519 } from "./openssl.ts";
import { sodiumAead, sodiumReady } from "./sodium.ts";

const aeads: readonly aead_backend[] = [sodiumAead, opensslAead, noble_backend];

/** Names one of them, for whoever wants to see packets sealed by another library. */
const VARIABLE = "IFWG_AEAD";

/**
 * Lets the kernels of this process compute with the host's libraries. To be called once, before the first of them boots. Throws
 * UsageError if the environment names a library that is none.
 */
export async function installHost(environment: Readonly<Record<string, string | undefined>>): Promise<void> {
	const name = environment[VARIABLE] ?? sodiumAead.name;
	const aead = aeads.find((one) => one.name === name);
	if (aead === undefined) {
		throw new UsageError(`${VARIABLE}: no ${quote(name)}; there is ${aeads.map((one) => one.name).join(", ")}`);
	}
	await sodiumReady;
	set_host_aead(aead);
	set_host_x25519(opensslX25519);
}
