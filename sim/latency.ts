/** How long packets stay in each stage of their way through the tunnel. */

export interface Distribution {
	n: number;
	mean_ns: number;
	p50_ns: number;
	p99_ns: number;
	max_ns: number;
}

/** Times of one kind; grows by doubling, so that a stamp allocates next to nothing. */
class Samples {
	private values = new Float64Array(1024);
	private count = 0;

	add(value: number): void {
		if (this.count === this.values.length) {
			const bigger = new Float64Array(this.count * 2);
			bigger.set(this.values);
			this.values = bigger;
		}
		this.values[this.count++] = value;
	}

	clear(): void {
		this.count = 0;
	}

	read(): Distribution {
		const n = this.count;
		if (n === 0) return { n: 0, mean_ns: 0, p50_ns: 0, p99_ns: 0, max_ns: 0 };
		const sorted = this.values.slice(0, n).sort((a, b) => a - b);
		let sum = 0;
		for (const value of sorted) sum += value;
		// nearest rank: a value that was measured, not one between two
		const rank = (share: number): number => sorted[Math.max(0, Math.ceil(share * n) - 1)];
		return { n, mean_ns: Math.round(sum / n), p50_ns: rank(0.5), p99_ns: rank(0.99), max_ns: sorted[n - 1] };
	}
}

/** A packet's stamps in order, and what the time from the one before to it is called. */
const STAGES = [
	["staged", ""],
	["encrypt-start", "wait for an encrypt task"],
	["encrypt-end", "encrypt"],
	["sent", "wait for the send task"],
	["received", "UDP, IP, the way across"],
	["decrypt-start", "wait for a decrypt task"],
	["decrypt-end", "decrypt"],
	["delivered", "wait for the receive task"],
] as const;

const TOTAL = "tunnel, end to end";

/** Packets under way; more than the driver's queues hold, so only lost ones are ever dropped from here. */
const UNDER_WAY_MAX = 16_384;

interface Passage {
	stage: number;
	time: number;
	staged: number;
}

export class StageClock {
	private readonly index = new Map<string, number>(STAGES.map(([name], i) => [name, i]));
	private readonly stages: Samples[] = STAGES.map(() => new Samples());
	private readonly total = new Samples();
	private readonly under_way = new Map<number, Passage>();
	private readonly free: Passage[] = [];

	/** A packet reaches a stage at `time` ns. A stage it reaches again (a copy, a retry) counts from the last time. */
	stamp(stage: string, packet_id: number, time: number): void {
		const at = this.index.get(stage);
		if (at === undefined) return;
		let passage = this.under_way.get(packet_id);
		if (at === 0) {
			if (passage === undefined) {
				passage = this.free.pop() ?? { stage: 0, time: 0, staged: 0 };
				this.under_way.set(packet_id, passage);
				if (this.under_way.size > UNDER_WAY_MAX) this.forgetOldest();
			}
			passage.staged = time;
		} else {
			if (passage === undefined) return;
			if (at === passage.stage + 1) this.stages[at].add(Math.max(0, time - passage.time));
		}
		passage.stage = at;
		passage.time = time;
		if (at === STAGES.length - 1) {
			this.total.add(Math.max(0, time - passage.staged));
			this.under_way.delete(packet_id);
			this.free.push(passage);
		}
	}

	private forgetOldest(): void {
		for (const [packet_id, passage] of this.under_way) {
			this.under_way.delete(packet_id);
			this.free.push(passage);
			return;
		}
	}

	/** Forgets what was measured, not which packets are under way. */
	reset(): void {
		for (const samples of this.stages) samples.clear();
		this.total.clear();
	}

	read(): { stage: string; distribution: Distribution }[] {
		const rows: { stage: string; distribution: Distribution }[] = STAGES.slice(1).map(([, label], i) => ({
			stage: label,
			distribution: this.stages[i + 1].read(),
		}));
		rows.push({ stage: TOTAL, distribution: this.total.read() });
		return rows;
	}
}
