/**
 * What changed in the driver over the years, in one table: a generation is a name and one entry for each difference that can be
 * observed. The driver's code asks for the entry where it matters and never compares names.
 *
 * The hashes are those of wireguard-freebsd, or of freebsd-src for what was changed after the import.
 */
import { ENETUNREACH, ENOTCAPABLE, type Errno } from "../../kernel/errno.ts";

export type wg_generation_name = "2021-11" | "2021-11-rr" | "2022-09" | "main" | "blake2-library";

export interface wg_generation {
	readonly name: wg_generation_name;
	/** MODULE_VERSION */
	readonly version: number;
	/** name given to the module system */
	readonly module_name: "wg" | "if_wg";

	/** which CPUs a packet's encryption or decryption wakes, unless the run says otherwise (ddc22da) */
	readonly dispatch: "all-cpus" | "round-robin";

	/** packets are encrypted by the driver's own code or through crypto(9), unless the run says otherwise (a6354a1) */
	readonly aead: "own" | "ocf";
	/** the result of the operation, crp_etype, is looked at; before, only that of its submission was (SA-26:52, CVE-2026-58085) */
	readonly ocf_checks_etype: boolean;
	/** a session that would complete asynchronously is refused with ENXIO when the module loads */
	readonly ocf_requires_synchronous: boolean;
	/** errors of packet encryption reach the caller; before, any was ENOMEM, and EINVAL for decryption (352883b) */
	readonly aead_error_codes: boolean;
	/** handshake ciphers and Curve25519 come from the kernel (f59e60e, 613c964) */
	readonly kernel_handshake_crypto: boolean;
	/** BLAKE2s is the driver's or the library's, unless the run says otherwise */
	readonly blake2: "own" | "library";

	/** configuration allocates with M_NOWAIT and can fail with ENOMEM or ENOBUFS (8c2797b, 7196782, b7441e3 ended it) */
	readonly config_nowait: boolean;
	/** wg_queue_len takes the queue's mutex (until a31339b) */
	readonly queue_len_locks: boolean;
	/** how a worker publishes a finished packet: store barrier and plain store, or a releasing store (3705d679a634) */
	readonly publish: "wmb" | "release";
	/** wg_mbuf_reset frees a send tag instead of asserting that there is none (until dad3e68) */
	readonly mbuf_reset_frees_send_tag: boolean;
	/** wg_input tells UDP whether it took the packet (b5cb87e) */
	readonly input_returns_bool: boolean;
	/** calculate_padding with p_mtu 0 gives the padding and not the padded length (b891f61ef538) */
	readonly padding_mtu0_is_difference: boolean;
	/** what a sender gets when no peer has the destination among its allowed IPs */
	readonly no_peer_errno: Errno;
	/** wg_output trusts the address family of the next hop, or that of the route's destination and of header-complete writes */
	readonly output_af: "next-hop" | "route";
	/** netmap's paths are there, and wg_transmit is for netmap only (bf454ca88bdf) */
	readonly netmap: boolean;

	/** wg_peer_create publishes the peer before it is fully built, instead of wg_peer_add when all is done (7121e9414f29) */
	readonly peer_published_early: boolean;
	/** wg_peer_add takes back a peer it made only if it had been inserted */
	readonly peer_add_error_checks_inserted: boolean;
	/** wg_aip_add releases the radix lock when it fails with ENOMEM */
	readonly aip_add_enomem_unlocks: boolean;
	/** allowed-IPs carry flags, of which one removes (f6d9e22982a1) */
	readonly aip_flags: boolean;
	/** wgc_set copies in, and wgc_get packs and copies out, with sc_lock held (until 8c2797b) */
	readonly ioctl_copies_locked: boolean;
	/** wgc_set loses the nvlist when it fails (until 8c2797b) */
	readonly set_leaks_nvlist: boolean;
	/** wgc_get refuses a NULL buffer itself instead of leaving that to copyout */
	readonly get_checks_null: boolean;

	/** if_clone_simple, or the new interface with automatic units */
	readonly cloner: "simple" | "advanced";
	/** bpfdetach before if_detach */
	readonly destroy_detaches_bpf: boolean;
	/** the suites in selftest/ are built in and must pass for the module to load */
	readonly selftests: boolean;
	/** what wg_module_init undoes when a later step fails: only the packet zone, all, or nothing as MOD_UNLOAD follows (7658a19, b08ee10c0646) */
	readonly module_init_unwinds: "zone" | "all" | "nothing";
	/** cookie_deinit may be called without cookie_init: zone and ratelimiters know whether they were set up */
	readonly deinit_guarded: boolean;
}

const november_2021: wg_generation = {
	name: "2021-11",
	version: 20211105,
	module_name: "wg",
	dispatch: "all-cpus",
	aead: "own",
	ocf_checks_etype: false,
	ocf_requires_synchronous: false,
	aead_error_codes: false,
	kernel_handshake_crypto: false,
	blake2: "own",
	config_nowait: true,
	queue_len_locks: true,
	publish: "wmb",
	mbuf_reset_frees_send_tag: true,
	input_returns_bool: false,
	padding_mtu0_is_difference: false,
	no_peer_errno: ENOTCAPABLE,
	output_af: "next-hop",
	netmap: false,
	peer_published_early: false,
	peer_add_error_checks_inserted: false,
	aip_add_enomem_unlocks: false,
	aip_flags: false,
	ioctl_copies_locked: true,
	set_leaks_nvlist: true,
	get_checks_null: true,
	cloner: "simple",
	destroy_detaches_bpf: false,
	selftests: true,
	module_init_unwinds: "zone",
	deinit_guarded: false,
};

const september_2022: wg_generation = {
	...november_2021,
	name: "2022-09",
	version: 20220615,
	dispatch: "round-robin",
	aead: "ocf",
	aead_error_codes: true,
	kernel_handshake_crypto: true,
	config_nowait: false,
	queue_len_locks: false,
	mbuf_reset_frees_send_tag: false,
	input_returns_bool: true,
	ioctl_copies_locked: false,
	set_leaks_nvlist: false,
	get_checks_null: false,
	module_init_unwinds: "all",
};

const in_tree_main: wg_generation = {
	...september_2022,
	name: "main",
	module_name: "if_wg",
	ocf_checks_etype: true,
	ocf_requires_synchronous: true,
	publish: "release",
	padding_mtu0_is_difference: true,
	no_peer_errno: ENETUNREACH,
	output_af: "route",
	netmap: true,
	peer_published_early: true,
	peer_add_error_checks_inserted: true,
	aip_add_enomem_unlocks: true,
	aip_flags: true,
	cloner: "advanced",
	destroy_detaches_bpf: true,
	selftests: false,
	module_init_unwinds: "nothing",
	deinit_guarded: true,
};

/** Oldest first. `2021-11-rr` is ddc22da alone, on top of the driver it was written for. */
export const wg_generations: Readonly<Record<wg_generation_name, wg_generation>> = {
	"2021-11": november_2021,
	"2021-11-rr": { ...november_2021, name: "2021-11-rr", dispatch: "round-robin" },
	"2022-09": september_2022,
	main: in_tree_main,
	"blake2-library": { ...in_tree_main, name: "blake2-library", blake2: "library" },
};

/** Loader tunable that names the generation of a kernel's driver. */
export const WG_GENERATION_TUNABLE = "net.wg.generation";
