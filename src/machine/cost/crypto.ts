import { defineCosts } from "./cost.ts";

/** Ciphers and hashes, per backend the driver has had. */
export const crypto_costs = defineCosts({
	chapoly_own_setup: {
		value: 830,
		range: [460, 1200],
		unit: "cycles",
		source:
			"driver's crypto.c at ddc22da: 239 ns at 64 B, 2780 ns at 1420 B on Zen 5 at 3.84 GHz, fitted; times 1.81, OpenSSL integer code Haswell (7.06 c/B) to this core (3.9)",
	},
	chapoly_own: {
		value: 13000,
		range: [7200, 13700],
		unit: "mcycles_per_byte",
		source:
			"same measurement: 7.2 cycles/byte on Zen 5, times 1.81 for a Haswell-class core; portable C of gcc 4.8 on Haswell is 11.6",
	},
	chapoly_soft_setup: {
		value: 1000,
		range: [500, 1500],
		unit: "cycles",
		source: "cryptosoft: libsodium scalar code, three initialisations per packet; calibration 3.1 assumed ~1000",
	},
	chapoly_soft: {
		value: 11600,
		range: [7000, 13700],
		unit: "mcycles_per_byte",
		source:
			"portable C ChaCha20 8.5 + Poly1305 3.1 cycles/byte on Haswell; headers of chacha20-x86_64.pl and poly1305-x86_64.pl",
	},
	poly1305_soft: {
		value: 3100,
		range: [1900, 4600],
		unit: "mcycles_per_byte",
		source:
			"the Poly1305 part of chapoly_soft, all there is to do for a forged packet; header of poly1305-x86_64.pl, portable C on Haswell",
	},
	chapoly_ossl_setup: {
		value: 784,
		range: [500, 1200],
		unit: "cycles",
		source:
			"AVX2: ChaCha 248 + Poly1305 223 + one block for the Poly1305 key 313 cycles; fit to floodyberry's Haswell tables",
	},
	chapoly_ossl: {
		value: 1623,
		range: [1150, 3300],
		unit: "mcycles_per_byte",
		source:
			"AVX2: ChaCha 1.050 + Poly1305 0.573 cycles/byte, same fit; AVX-512 1.15, SSSE3 3.3 on Skylake (OpenSSL headers)",
	},
	poly1305_ossl: {
		value: 573,
		range: [400, 1200],
		unit: "mcycles_per_byte",
		source: "the Poly1305 part of chapoly_ossl, all there is to do for a forged packet; same fit; SSE2 1.10",
	},
	ossl_segment: {
		value: 300,
		range: [150, 471],
		unit: "cycles",
		source:
			"each further call of ChaCha20_ctr32 and Poly1305 for a piece of a chain: the fixed part of the fit is 248 + 223 cycles, some of it initialisation",
	},
	ossl_bounce: {
		value: 340,
		range: [200, 500],
		unit: "cycles",
		source:
			"one block by itself through the stack: 313 cycles (floodyberry, AVX2, 1 byte) less the 67 charged per byte, two copies of 64 bytes; estimate",
	},
	chacha20_soft_setup: {
		value: 200,
		range: [100, 400],
		unit: "cycles",
		source: "key and nonce into the state, and the last block by itself; instruction estimate",
	},
	chacha20_soft: {
		value: 8500,
		range: [5900, 9500],
		unit: "mcycles_per_byte",
		source: "the ChaCha20 part of chapoly_soft; header of chacha20-x86_64.pl, portable C on Haswell",
	},
	chacha20_ossl_setup: {
		value: 248,
		range: [150, 400],
		unit: "cycles",
		source: "a call of ChaCha20_ctr32: the fixed part of the fit to floodyberry's Haswell tables, AVX2",
	},
	chacha20_ossl: {
		value: 1050,
		range: [800, 2420],
		unit: "mcycles_per_byte",
		source: "the ChaCha20 part of chapoly_ossl, same fit; AVX-512 0.80, SSSE3 2.42 (header of chacha-x86_64.pl)",
	},
	xchapoly_soft_setup: {
		value: 1550,
		range: [800, 2300],
		unit: "cycles",
		source: "chapoly_soft_setup and HChaCha20, one block of 64 bytes at 8.5 cycles/byte; estimate",
	},
	poly1305_soft_setup: {
		value: 150,
		range: [80, 300],
		unit: "cycles",
		source: "clamping the key and the final reduction in libsodium's 64-bit C; instruction estimate",
	},
	poly1305_ossl_setup: {
		value: 223,
		range: [110, 350],
		unit: "cycles",
		source: "the fixed part of the fit to floodyberry's Haswell tables, AVX2; 110 cycles for one byte there",
	},
	aes_soft_setup: {
		value: 400,
		range: [200, 1000],
		unit: "cycles",
		source: "key schedule of the table-driven C and a block of the counter; instruction estimate",
	},
	aes_soft: {
		value: 16000,
		range: [10000, 30000],
		unit: "mcycles_per_byte",
		source:
			"128-bit key; table-driven assembly 14.6 cycles/byte on Nehalem with whole tables (header of vpaes-x86_64.pl), FreeBSD's rijndael-alg-fst.c is C of that kind; estimate. 256-bit keys take 14 rounds for 10",
	},
	ghash_soft: {
		value: 14000,
		range: [7700, 19300],
		unit: "mcycles_per_byte",
		source:
			"4-bit tables: assembly 7.7-8.1, gcc 17.8 cycles/byte on Core 2 (header of ghash-x86_64.pl); gfmult.c takes four blocks at a time; estimate",
	},
	aes_gcm_soft: {
		value: 30000,
		range: [17700, 49300],
		unit: "mcycles_per_byte",
		source: "aes_soft and ghash_soft: counter mode and GHASH are separate passes over a block; estimate",
	},
	aes_ccm_soft: {
		value: 32000,
		range: [20000, 60000],
		unit: "mcycles_per_byte",
		source: "twice aes_soft: counter mode and CBC-MAC; estimate",
	},
	aes_ccm_soft_decrypt: {
		value: 48000,
		range: [30000, 90000],
		unit: "mcycles_per_byte",
		source: "three times aes_soft: cryptosoft decrypts once for the MAC and once more when it was right; estimate",
	},
	aes_ossl_setup: {
		value: 250,
		range: [120, 600],
		unit: "cycles",
		source: "AESKEYGENASSIST key schedule, powers of the GHASH key, the block that encrypts the tag; estimate",
	},
	aes_cbc_encrypt_ossl: {
		value: 4060,
		range: [2600, 5800],
		unit: "mcycles_per_byte",
		source: "AES-NI, 128-bit key, 8 KB, latency bound; header of aesni-x86_64.pl (4.07 at 1 KB). 256-bit: times 1.34",
	},
	aes_cbc_decrypt_ossl: {
		value: 1280,
		range: [350, 3600],
		unit: "mcycles_per_byte",
		source:
			"AES-NI, 128-bit key, 8 KB, of the first generation; header of aesni-x86_64.pl. Later cores issue an AES round every cycle",
	},
	aes_gcm_ossl: {
		value: 1000,
		range: [630, 2900],
		unit: "mcycles_per_byte",
		source:
			"AES-NI and PCLMULQDQ stitched, 128-bit key: 1.0 Haswell, 0.74 Broadwell, 0.63 Skylake (aesni-gcm-x86_64.pl)",
	},
	aes_ossl_segment: {
		value: 100,
		range: [40, 300],
		unit: "cycles",
		source: "each further call of the AES assembly for a piece of a chain, and its partial blocks; estimate",
	},
	sha2_setup: {
		value: 60,
		range: [30, 150],
		unit: "cycles",
		source: "initial state and padding of one SHA-2; instruction estimate",
	},
	sha256_soft: {
		value: 14600,
		range: [11400, 17400],
		unit: "mcycles_per_byte",
		source: "integer assembly 12.2 cycles/byte on Haswell (header of sha512-x86_64.pl); C some 20 % slower, estimate",
	},
	sha512_soft: {
		value: 9200,
		range: [7250, 11200],
		unit: "mcycles_per_byte",
		source: "integer assembly 7.66 cycles/byte on Haswell (header of sha512-x86_64.pl); C some 20 % slower, estimate",
	},
	sha256_ossl: {
		value: 7800,
		range: [2000, 12200],
		unit: "mcycles_per_byte",
		source:
			"AVX2 7.80 cycles/byte on Haswell, 7.70 Skylake (header of sha512-x86_64.pl); the low end is the SHA extensions",
	},
	sha512_ossl: {
		value: 5400,
		range: [5200, 8100],
		unit: "mcycles_per_byte",
		source: "AVX2 5.40 cycles/byte on Haswell, 5.20 Skylake (header of sha512-x86_64.pl)",
	},
	fpu_kern_ctx: {
		value: 400,
		range: [200, 900],
		unit: "cycles",
		source: "fpu_kern_enter and leave with a save area: XSAVE on top of what fpu_kern costs; estimate",
	},
	ocf_request: {
		value: 350,
		range: [150, 800],
		unit: "cycles",
		source: "crypto_initreq, crypto_dispatch, driver process entry, crypto_done with CBIMM; instruction estimate",
	},
	fpu_kern: {
		value: 200,
		range: [100, 300],
		unit: "cycles",
		source:
			"fpu_kern_enter and leave with FPU_KERN_NOCTX: XRSTOR and two CR0 writes; kernel.md 7.7; 0.6 % of AEAD in the netbenches profile",
	},
	curve25519: {
		value: 200000,
		range: [110000, 400000],
		unit: "cycles",
		source:
			"driver's C (fiat, 32-bit limbs): 50-55 us, about 200k cycles, measured on Zen 5; 64-bit code needs 110k (wireguard-linux-compat 6177bdd)",
	},
	blake2s_setup: {
		value: 100,
		range: [50, 300],
		unit: "cycles",
		source: "initialisation and finalisation of one BLAKE2s state; estimate, not on the data path",
	},
	blake2s_block: {
		value: 450,
		range: [300, 700],
		unit: "cycles",
		source: "64-byte compression, scalar C, about 7 cycles/byte; 22bbac4 saves 30 cycles and calls it 0.6 c/B",
	},
});
