/** Progress on stderr, once it is clear that there is something to wait for. */

/** Shorter waits need no comfort. */
const QUIET_MS = 2_000;
/** When stderr is a file or a pipe: a line for each quarter is enough. */
const PLAIN_STEPS = 4;

export interface Progress {
	readonly update: (done: number, total: number) => void;
	/** Clears the line. */
	readonly finish: () => void;
}

/** @param things what is counted, in the plural */
export function startProgress(what: string, stream: NodeJS.WriteStream = process.stderr, things = "runs"): Progress {
	const began = Date.now();
	let shown = false;
	let step = 0;
	const clear = (): void => {
		if (shown) stream.write("\r\x1b[K");
		shown = false;
	};
	return {
		update(done, total) {
			const elapsed = Date.now() - began;
			if (elapsed < QUIET_MS) return;
			if (stream.isTTY) {
				const left = done === 0 ? "" : `, about ${Math.ceil(((elapsed / done) * (total - done)) / 1000)} s left`;
				stream.write(`\r\x1b[K${what}: ${done} of ${total} ${things}${left}`);
				shown = true;
				if (done === total) clear();
				return;
			}
			const reached = Math.floor((done * PLAIN_STEPS) / total);
			if (reached > step && done < total) stream.write(`${what}: ${done} of ${total} ${things}\n`);
			step = Math.max(step, reached);
		},
		finish: clear,
	};
}
