/** So many records that were given out are forgotten at once. */
const COMPACT = 4096;

/**
 * Puts what threads report into order of time.
 *
 * A thread that runs may be ahead of the machine's clock, so what it says may come before something earlier from another.
 * But nothing can come that lies before the machine's clock: up to there the order is final, and only the few
 * records beyond it are kept. Records of equal time stay in the order they came.
 */
export class Timeline<T> {
	private times: number[] = [];
	private records: T[] = [];
	/** of these, how many have been given out */
	private head = 0;
	private readonly emit: (time: number, record: T) => void;

	constructor(emit: (time: number, record: T) => void) {
		this.emit = emit;
	}

	/** A record of `time`. Nothing that comes later will be of a time before `final`. */
	add(time: number, record: T, final: number): void {
		const { times, records, head } = this;
		let at = times.length;
		while (at > head && times[at - 1] > time) at--;
		if (at === times.length) {
			times.push(time);
			records.push(record);
		} else {
			times.splice(at, 0, time);
			records.splice(at, 0, record);
		}
		this.release(final);
	}

	/** Gives out everything up to `final`. */
	release(final: number): void {
		const { times, records } = this;
		while (this.head < times.length && times[this.head] <= final) {
			const at = this.head++;
			this.emit(times[at], records[at]);
		}
		if (this.head === times.length || this.head >= COMPACT) {
			this.times = times.slice(this.head);
			this.records = records.slice(this.head);
			this.head = 0;
		}
	}
}
