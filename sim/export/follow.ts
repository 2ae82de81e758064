/**
 * Gives every packet a number where a tap first sees it, so that all exports of a run, and all interfaces in them, call it
 * by the same one.
 *
 * The driver numbers what reaches it without a number, from 1 on; ours are out of its way.
 */
import { bpf_listen_attach } from "../../src/kernel/ifnet/bpf.ts";

const FIRST_PACKET_ID = 0x1_0000_0000;

/** @returns a function that ends it */
export function followPackets(): () => void {
	const detach: (() => void)[] = [];
	let next = FIRST_PACKET_ID;
	detach.push(
		bpf_listen_attach((bp) => {
			detach.push(
				bp.listen((_ifp, m) => {
					if (m.m_pkthdr.packet_id === 0) m.m_pkthdr.packet_id = next++;
				}),
			);
		}),
	);
	return () => {
		for (const end of detach.splice(0)) end();
	};
}
