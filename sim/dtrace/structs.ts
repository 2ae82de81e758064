/**
 * What a program may read of the kernel: the fields of the structures that probes are fired with, by FreeBSD's names.
 *
 * The compiler checks names and types of fields against the classes. Whatever is not here cannot be read, so no program depends on
 * how the simulator does something the kernel does otherwise.
 */
import type { wg_packet, wg_queue } from "../../src/dev/wg/if_wg_var.ts";
import type { noise_remote } from "../../src/dev/wg/wg_noise.ts";
import type { callout } from "../../src/kernel/callout/callout.ts";
import type { ifnet } from "../../src/kernel/ifnet/if_var.ts";
import type { prison } from "../../src/kernel/jail/jail.ts";
import type { lock_object } from "../../src/kernel/lock/lock.ts";
import type { mbuf } from "../../src/kernel/mbuf/mbuf.ts";
import type { pkthdr } from "../../src/kernel/mbuf/mbuf_var.ts";
import type { inpcb } from "../../src/kernel/netinet/in_pcb_var.ts";
import type { tcpcb, tcphdr } from "../../src/kernel/netinet/tcp_var.ts";
import type { vnet } from "../../src/kernel/sched/kernel.ts";
import type { Contested, thread } from "../../src/kernel/sched/thread.ts";
import type { grouptask, gtaskqueue } from "../../src/kernel/taskqueue/gtaskqueue.ts";
import type { task } from "../../src/kernel/taskqueue/taskqueue.ts";

/** The structures, each with the class that it is here. */
interface Structs {
	thread: thread;
	vnet: vnet;
	lock_object: lock_object;
	grouptask: grouptask;
	gtaskqueue: gtaskqueue;
	task: task;
	callout: callout;
	ifnet: ifnet;
	mbuf: mbuf;
	pkthdr: pkthdr;
	inpcb: inpcb;
	tcpcb: tcpcb;
	tcphdr: tcphdr;
	prison: prison;
	noise_remote: noise_remote;
	wg_queue: wg_queue;
	wg_packet: wg_packet;
	/** anything a thread waits for */
	contested: Contested;
	/** something queued up */
	list: { readonly length: number };
}

export type StructName = keyof Structs;

/**
 * How a value is read: a truth is 1 or 0; bytes are hexadecimal digits, an IPv4 address is dotted, a function is its name, and
 * any other object that of its class.
 */
export type Scalar = "number" | "boolean" | "string" | "in_addr" | "bytes" | "function" | "object";
export type FieldType = Scalar | StructName;

/** The types a field of TypeScript type V may be given here. */
type TypesOf<V> = V extends number
	? "number" | "in_addr"
	: V extends boolean
		? "boolean"
		: V extends string
			? "string"
			: V extends Uint8Array
				? "bytes"
				: V extends (...args: never[]) => unknown
					? "function"
					: V extends Structs["list"]
						? "list"
						: V extends object
							? Exclude<StructName, "list"> | "object"
							: "object";

type Fields<T> = { readonly [K in keyof T]?: TypesOf<NonNullable<T[K]>> };

const structs: { readonly [N in StructName]: Fields<Structs[N]> } = {
	thread: {
		td_tid: "number",
		td_name: "string",
		td_priority: "number",
		td_base_pri: "number",
		td_cpu: "number",
		td_state: "number",
		td_pinned: "number",
		td_runtime: "number",
		td_user: "boolean",
		td_wmesg: "string",
		td_vnet: "vnet",
		td_blocked: "contested",
	},
	vnet: { vnet_id: "number", vnet_name: "string" },
	contested: { lo_name: "string" },
	lock_object: { lo_name: "string" },
	grouptask: {
		gt_name: "string",
		gt_cpu: "number",
		gt_taskqueue: "gtaskqueue",
		ta_flags: "number",
		ta_func: "function",
	},
	gtaskqueue: { tq_name: "string", tq_queue: "list" },
	task: { ta_func: "function", ta_pending: "number", ta_priority: "number" },
	callout: { c_func: "function", c_flags: "number", c_vnet: "vnet" },
	ifnet: {
		if_xname: "string",
		if_dname: "string",
		if_index: "number",
		if_mtu: "number",
		if_flags: "number",
		if_vnet: "vnet",
	},
	mbuf: { m_len: "number", m_flags: "number", m_pkthdr: "pkthdr" },
	pkthdr: {
		len: "number",
		packet_id: "number",
		flowid: "number",
		fibnum: "number",
		csum_flags: "number",
		rcvif: "ifnet",
	},
	inpcb: {
		inp_lport: "number",
		inp_fport: "number",
		inp_laddr: "in_addr",
		inp_faddr: "in_addr",
		inp_vnet: "vnet",
	},
	tcpcb: {
		t_state: "number",
		t_flags: "number",
		t_maxseg: "number",
		t_srtt: "number",
		t_dupacks: "number",
		snd_una: "number",
		snd_nxt: "number",
		snd_max: "number",
		snd_wnd: "number",
		snd_cwnd: "number",
		snd_ssthresh: "number",
		rcv_nxt: "number",
		rcv_wnd: "number",
		t_inpcb: "inpcb",
		t_vnet: "vnet",
	},
	tcphdr: {
		th_seq: "number",
		th_ack: "number",
		th_flags: "number",
		th_win: "number",
		th_sport: "number",
		th_dport: "number",
	},
	prison: { pr_id: "number", pr_name: "string", pr_vnet: "vnet" },
	noise_remote: { r_public: "bytes", r_handshake_state: "number", r_last_sent: "number" },
	wg_queue: { q_len: "number", q_mtx: "lock_object" },
	wg_packet: { p_state: "number", p_mtu: "number", p_af: "number", p_mbuf: "mbuf" },
	list: { length: "number" },
};

const by_name: Readonly<Record<string, Readonly<Record<string, FieldType>> | undefined>> = structs;

/** Names of the fields of a structure. */
export function fieldNames(struct: string): string[] {
	return Object.keys(by_name[struct] ?? {});
}

/** The type of a field; undefined if the structure has none of that name, or there is no such structure. */
export function fieldType(struct: string, field: string): FieldType | undefined {
	const fields = by_name[struct];
	return fields !== undefined && Object.hasOwn(fields, field) ? fields[field] : undefined;
}

/** Whether `type` has fields. */
export function isStruct(type: string): boolean {
	return Object.hasOwn(by_name, type);
}

/** Every structure with its fields, for those who ask what there is. */
export function allStructs(): { name: string; fields: { name: string; type: FieldType }[] }[] {
	return Object.entries(by_name).map(([name, fields]) => ({
		name,
		fields: Object.entries(fields ?? {}).map(([field, type]) => ({ name: field, type })),
	}));
}
