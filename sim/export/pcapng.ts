/**
 * pcapng of every interface of the run: what tcpdump would see on each of them, with the keys to look inside the tunnel.
 *
 * An interface is described before its first packet, and once more when it has moved to another network stack. The keys of
 * a handshake come before the packet that begins it. Neither takes simulated time.
 */
import type { noise_handshake_event } from "../../src/dev/wg/wg_noise.ts";
import { type bpf_if, bpf_listen_attach } from "../../src/kernel/ifnet/bpf.ts";
import type { ifnet } from "../../src/kernel/ifnet/if_var.ts";
import type { mbuf } from "../../src/kernel/mbuf/mbuf.ts";
import { allProbes, type Probe } from "../../src/kernel/probe/probe.ts";
import { curkernel, sbinuptime } from "../../src/kernel/sched/kernel.ts";
import { curcpu, curthread } from "../../src/kernel/sched/thread.ts";
import { key_to_base64 } from "../../src/userland/base64.ts";
import type { ExportContext, Exporter } from "./export.ts";
import type { OutFile } from "./file.ts";
import {
	decryptionSecrets,
	IF_DESCRIPTION,
	IF_MACADDR,
	IF_NAME,
	IF_OS,
	INBOUND,
	interfaceDescription,
	interfaceStatistics,
	OPT_COMMENT,
	OUTBOUND,
	PacketBlock,
	SECRETS_WIREGUARD,
	SHB_HARDWARE,
	SHB_OS,
	SHB_USERAPPL,
	sectionHeader,
	textOption,
} from "./pcapng_format.ts";
import { Timeline } from "./timeline.ts";

const ETHER_ADDR_LEN = 6;

/** A driver's probe is found by name, since a driver given to --driver has its own. */
type SecretsProbe = Probe<
	[
		event: noise_handshake_event,
		r: object,
		local_private: Uint8Array,
		remote_public: Uint8Array,
		local_ephemeral: Uint8Array | null,
		psk: Uint8Array,
	]
>;
const SECRETS_PROBE = "wg:noise::handshake-secrets";

export class PcapngExport implements Exporter {
	private readonly file: OutFile;
	private readonly detach: (() => void)[] = [];
	/** number of each tap point seen, by its place in the file */
	private readonly interfaces = new Map<bpf_if, number>();
	private readonly timeline: Timeline<Uint8Array>;
	private readonly boot_ns: bigint;
	private readonly os: string;
	private frames = 0;

	constructor(file: OutFile, context: ExportContext) {
		this.file = file;
		this.boot_ns = BigInt(curkernel.boottime_s) * 1_000_000_000n;
		this.os = `FreeBSD ${curkernel.traits.release}`;
		this.timeline = new Timeline((_time, block) => this.file.bytes(block));
		file.bytes(
			sectionHeader([
				textOption(OPT_COMMENT, context.command),
				textOption(SHB_HARDWARE, `simulated ${curkernel.machine.profile.name}, ${curkernel.machine.cpus.length} CPUs`),
				textOption(SHB_OS, this.os),
				textOption(SHB_USERAPPL, "ifwg"),
			]),
		);
		this.detach.push(
			bpf_listen_attach((bp) => {
				this.detach.push(bp.listen((ifp, m, head, head_len) => this.packet(bp, ifp, m, head, head_len)));
			}),
		);
		const secrets = allProbes().get(SECRETS_PROBE) as unknown as SecretsProbe | undefined;
		if (secrets !== undefined) {
			this.detach.push(
				secrets.listen((event, _r, local_private, remote_public, local_ephemeral, psk) => {
					if (event === "create-initiation" && local_ephemeral !== null) {
						this.secrets(local_private, remote_public, local_ephemeral, psk);
					}
				}),
			);
		}
	}

	private add(block: Uint8Array): void {
		this.timeline.add(sbinuptime(), block, curkernel.machine.now);
	}

	/** The initiator's keys open the whole session: a packet analyser needs no more. */
	private secrets(
		local_private: Uint8Array,
		remote_public: Uint8Array,
		local_ephemeral: Uint8Array,
		psk: Uint8Array,
	): void {
		const text = [
			`LOCAL_STATIC_PRIVATE_KEY=${key_to_base64(local_private)}`,
			`REMOTE_STATIC_PUBLIC_KEY=${key_to_base64(remote_public)}`,
			`LOCAL_EPHEMERAL_PRIVATE_KEY=${key_to_base64(local_ephemeral)}`,
			`PRESHARED_KEY=${key_to_base64(psk)}`,
			"",
		].join("\n");
		// not by way of the timeline: keys may come early, but never after the packet that needs them
		this.file.bytes(decryptionSecrets(SECRETS_WIREGUARD, Buffer.from(text)));
	}

	/** Interfaces of both jails may have one name, so theirs goes before it. */
	private describe(bp: bpf_if, ifp: ifnet): number {
		const id = this.interfaces.size;
		this.interfaces.set(bp, id);
		const jail = ifp.if_vnet.vnet_name;
		const options = [
			textOption(IF_NAME, `${jail}:${ifp.if_xname}`),
			textOption(IF_DESCRIPTION, `${ifp.if_xname} of vnet ${jail}, MTU ${ifp.if_mtu}`),
			textOption(IF_OS, this.os),
		];
		if (ifp.if_hw_addr.length === ETHER_ADDR_LEN) options.push([IF_MACADDR, ifp.if_hw_addr.slice()]);
		// at once: interfaces are numbered by their order in the file, and only packets have to be in that of time
		this.file.bytes(interfaceDescription(bp.bif_dlt, options));
		return id;
	}

	private packet(bp: bpf_if, ifp: ifnet, m: mbuf, head: Uint8Array | null, head_len: number): void {
		const id = this.interfaces.get(bp) ?? this.describe(bp, ifp);
		const td = curthread;
		const pkthdr = m.m_pkthdr;
		const ns = this.boot_ns + BigInt(sbinuptime());
		const flags = pkthdr.rcvif === ifp ? INBOUND : OUTBOUND;
		const bytes = head_len + pkthdr.len;
		const block = new PacketBlock(id, ns, bytes, flags, pkthdr.packet_id, curcpu(), `${td.td_name} tid ${td.td_tid}`);
		const { buffer } = block;
		let at = PacketBlock.DATA;
		if (head !== null) {
			buffer.set(head.subarray(0, head_len), at);
			at += head_len;
		}
		for (let n: mbuf | null = m; n !== null; n = n.m_next) {
			buffer.set(n.m_buf.subarray(n.m_data, n.m_data + n.m_len), at);
			at += n.m_len;
		}
		this.frames++;
		this.add(buffer);
	}

	close(): void {
		for (const detach of this.detach.splice(0)) detach();
	}

	finish(): void {
		this.timeline.release(Number.POSITIVE_INFINITY);
		const end = this.boot_ns + BigInt(curkernel.machine.now);
		const note = `end of the run: ${this.frames} packets on all interfaces`;
		for (const id of this.interfaces.values()) {
			this.file.bytes(interfaceStatistics(id, end, [textOption(OPT_COMMENT, note)]));
		}
	}
}
