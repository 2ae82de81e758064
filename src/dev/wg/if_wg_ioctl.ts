/**
 * The driver's own ioctls, as programs see them.
 *
 * Both carry a packed nvlist. SIOCGWG with size 0 only asks how much room the answer takes.
 *
 * @see if_wg.h
 */
import { _IOWR } from "../../kernel/ifnet/sockio.ts";

export const WG_KEY_SIZE = 32;

/** struct wg_data_io on a 64-bit machine: name[16], pointer, size */
const SIZEOF_WG_DATA_IO = 32;

export const SIOCSWG = _IOWR("i", 210, SIZEOF_WG_DATA_IO);
export const SIOCGWG = _IOWR("i", 211, SIZEOF_WG_DATA_IO);

export class wg_data_io {
	wgd_name: string;
	/** the program's memory */
	wgd_data: Uint8Array | null;
	/** how much of it counts; SIOCGWG leaves here what it took or would take */
	wgd_size: number;

	constructor(name: string, data: Uint8Array | null = null, size = data === null ? 0 : data.length) {
		this.wgd_name = name;
		this.wgd_data = data;
		this.wgd_size = size;
	}
}
