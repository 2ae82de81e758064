/**
 * A policy says which CPUs a packet's encryption or decryption wakes. It is the one thing ddc22da changed.
 *
 * The driver calls encrypt_dispatch once for every staged list it has queued and decrypt_dispatch once for every data
 * packet received, whether queueing succeeded or not. A policy may use whatever the kernel offers a driver.
 */
import type { Blocking } from "../../../kernel/sched/thread.ts";
import type { wg_softc } from "../if_wg_var.ts";

export interface dispatch_policy {
	readonly name: string;
	/** one line for `ifwg list` */
	readonly description: string;
	encrypt_dispatch(sc: wg_softc): Blocking<void>;
	decrypt_dispatch(sc: wg_softc): Blocking<void>;
}
