/**
 * Reads KTR text as FreeBSD's schedgraph.py does, without drawing it: the same lines are refused, the same rows come out, and what
 * the program would stumble over when it draws or when somebody clicks is a complaint.
 *
 * @see tools/sched/schedgraph.py KTRFile.parse, makeevent, fixup
 */

/** A time stamp may be newer than that of the line before by this many ticks. */
const SLACK = 2048;

const LINE =
	/^\s*(\d+)\s+(\d+)\s+(\d+)\s+KTRGRAPH group:"([^"]*)", id:"([^"]*)", ([^:]+):(?:"([^"]*)"|([^,]+)), attributes: (.*)/;

export interface SchedgraphEvent {
	readonly index: number;
	readonly cpu: number;
	readonly time: number;
	readonly type: string;
	/** a state's or point's name, a counter's value */
	readonly datum: string;
	readonly attributes: ReadonlyMap<string, string>;
}

/** A row of the picture; its events in order of time. */
export interface SchedgraphRow {
	readonly group: string;
	readonly id: string;
	readonly counts: boolean;
	readonly events: SchedgraphEvent[];
}

export interface Schedgraph {
	readonly rows: SchedgraphRow[];
	readonly complaints: string[];
}

/** name:value, name:value ...; the word none for none. A value with a comma or a colon in it is quoted. */
function attributesOf(text: string): Map<string, string> | null {
	const attributes = new Map<string, string>();
	if (text === "none") return attributes;
	const one = /([^:",]+):(?:"([^"]*)"|([^",]+))(?:, |$)/y;
	while (one.lastIndex < text.length) {
		const match = one.exec(text);
		if (match === null) return null;
		attributes.set(match[1], match[2] ?? match[3]);
	}
	return attributes;
}

export function readSchedgraph(text: string): Schedgraph {
	const rows = new Map<string, SchedgraphRow>();
	const complaints: string[] = [];
	let last = Number.POSITIVE_INFINITY;
	for (const line of text.trimEnd().split("\n")) {
		const match = LINE.exec(line);
		if (match === null) {
			complaints.push(`cannot parse: ${line}`);
			continue;
		}
		const [, index, cpu, stamp, group, id, type, quoted, bare, rest] = match;
		const time = Number(stamp);
		if (time - SLACK > last) complaints.push(`bad time stamp: ${line}`);
		last = time;
		if (!["state", "counter", "point"].includes(type)) complaints.push(`unknown type: ${line}`);
		const attributes = attributesOf(rest);
		if (attributes === null) complaints.push(`attributes: ${line}`);
		const datum = quoted ?? bare;
		let row = rows.get(group + id);
		if (row === undefined) {
			row = { group, id, counts: type === "counter", events: [] };
			rows.set(group + id, row);
		}
		if (row.counts !== (type === "counter")) complaints.push(`counter and state in one row: ${line}`);
		if (type === "counter" && !/^[0-9]+$/.test(datum)) complaints.push(`no number: ${line}`);
		const event = { index: Number(index), cpu: Number(cpu), time, type, datum, attributes: attributes ?? new Map() };
		row.events.push(event);
	}
	for (const { events } of rows.values()) events.reverse();
	complaints.push(...stumbles([...rows.values()]));
	return { rows: [...rows.values()], complaints };
}

/** What goes wrong after everything was read. */
function stumbles(rows: readonly SchedgraphRow[]): string[] {
	const complaints: string[] = [];
	const names = new Set(rows.map(({ id }) => id));
	const highest = new Map<string, number>();
	for (const { group, id, counts, events } of rows) {
		for (let i = 0; i < events.length; i++) {
			const { time, datum, attributes } = events[i];
			if (i > 0 && time < events[i - 1].time) complaints.push(`unsynchronised: ${id} at ${time}`);
			if (counts) highest.set(group, Math.max(highest.get(group) ?? 0, Number(datum)));
			const link = attributes.get("linkedto");
			if (link !== undefined && !names.has(link))
				complaints.push(`${id} at ${time}: a link to ${link}, which has no row`);
		}
	}
	// heights are divided by the highest value of the group
	for (const [group, value] of highest) if (value === 0) complaints.push(`counters of ${group} are all 0`);
	return complaints;
}
