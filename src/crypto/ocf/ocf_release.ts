/**
 * What of crypto(9) depends on the kernel release, beyond the session lock of cryptosoft.
 *
 * Release 13.0 is the one with ChaCha20-Poly1305 added, see cryptodev.ts; everything else is as 13.0-RELEASE had it.
 *
 * @see opencrypto/{crypto,cryptosoft,cbc_mac}.c, sys/crypto/blake2/blake2_cryptodev.c, sys/crypto/openssl/ossl.c of 13.0-RELEASE,
 * and of main after 14.0
 */
import type { Release } from "../../kernel/release.ts";
import { release } from "../../kernel/sched/kernel.ts";

export interface ocf_traits {
	/**
	 * AES-CCM knows one nonce length, 12, and its first block always says that the tag has 16 bytes: a shorter tag is the beginning
	 * of the 16-byte one, which RFC 3610 does not allow. Later the session's length is passed down.
	 */
	readonly ccm_fixed_lengths: boolean;
	/** digest sessions may name an IV length that their algorithm has no use for */
	readonly digest_any_ivlen: boolean;
	/** a key that comes with a request replaces the session's for good */
	readonly auth_key_sticks: boolean;
	/** ossl has Poly1305 alone, ChaCha20 alone, AES-CBC, AES-GCM and encrypt-then-authenticate */
	readonly ossl_ciphers: boolean;
	/** blaketwo has a save area and a mutex per CPU, and keeps both when a MAC does not match; later it has neither */
	readonly blake2_percpu_ctx: boolean;
}

const table: Record<Release, ocf_traits> = {
	"13.0": {
		ccm_fixed_lengths: true,
		digest_any_ivlen: true,
		auth_key_sticks: true,
		ossl_ciphers: false,
		blake2_percpu_ctx: true,
	},
	"14.0": {
		ccm_fixed_lengths: false,
		digest_any_ivlen: false,
		auth_key_sticks: false,
		ossl_ciphers: true,
		blake2_percpu_ctx: false,
	},
};

/** The traits of the running kernel. */
export function ocf_release(): ocf_traits {
	return table[release()];
}
