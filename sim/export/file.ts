/**
 * A file that is there whole or not at all.
 *
 * It is written under a temporary name, in large pieces, and gets its own when it is complete. What goes wrong with the disk
 * is the reader's to put right, so it ends the run with one line.
 */
import {
	closeSync,
	constants,
	fstatSync,
	openSync,
	readSync,
	renameSync,
	rmSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import { UsageError } from "../errors.ts";
import { grouped } from "../units.ts";

const BUFFER_BYTES = 1 << 18;

/** How many bytes an export may still write: shared by all files of a run. */
export class Budget {
	readonly limit: number;
	private used = 0;

	/** @param limit bytes; Infinity for no limit */
	constructor(limit: number) {
		this.limit = limit;
	}

	spend(bytes: number, file: string): void {
		this.used += bytes;
		if (this.used > this.limit) {
			throw new UsageError(
				`--max-size: ${file} makes it more than ${grouped(this.limit)} bytes; allow more, or shorten --duration`,
			);
		}
	}
}

/** The name a file has while it is written by process `pid`. */
function partName(file: string, pid: number): string {
	return `${file}.${pid}.tmp`;
}

function spoolName(file: string): string {
	return `${file}.spool`;
}

/** Everything process `pid` may leave behind when it dies while it writes `file`. */
export function leftovers(file: string, pid: number): string[] {
	return [partName(file, pid), partName(spoolName(file), pid)];
}

function cannotWrite(file: string, error: unknown): UsageError {
	return new UsageError(`cannot write ${file}: ${(error as Error).message.split("\n")[0]}`);
}

/** Writes a file whole or not at all. */
export function writeWhole(file: string, text: string): void {
	const part = partName(file, process.pid);
	try {
		writeFileSync(part, text);
		renameSync(part, file);
	} catch (error) {
		rmSync(part, { force: true });
		throw cannotWrite(file, error);
	}
}

export class OutFile {
	readonly name: string;
	private readonly part: string;
	private readonly budget: Budget;
	private readonly fd: number;
	private readonly buffer = Buffer.allocUnsafe(BUFFER_BYTES);
	private filled = 0;
	private open = true;
	private committed = false;
	private helper: OutFile | null = null;

	constructor(name: string, budget: Budget) {
		this.name = name;
		this.part = partName(name, process.pid);
		this.budget = budget;
		try {
			this.fd = openSync(this.part, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o666);
		} catch (error) {
			throw cannotWrite(name, error);
		}
	}

	/** A second file for what cannot be written in its final order at once; gone when this one is complete. */
	spool(): OutFile {
		this.helper = new OutFile(spoolName(this.name), new Budget(this.budget.limit));
		return this.helper;
	}

	/** Room for `bytes` bytes: the buffer, and where they begin in it. Fill them before the next call. */
	reserve(bytes: number): { buffer: Buffer; at: number } {
		if (bytes > BUFFER_BYTES) throw new Error(`a piece of ${bytes} bytes does not fit the buffer`);
		if (this.filled + bytes > BUFFER_BYTES) this.flush();
		const at = this.filled;
		this.filled += bytes;
		return { buffer: this.buffer, at };
	}

	text(text: string): void {
		const bytes = Buffer.byteLength(text);
		const { buffer, at } = this.reserve(bytes);
		buffer.write(text, at);
	}

	bytes(bytes: Uint8Array): void {
		const { buffer, at } = this.reserve(bytes.length);
		buffer.set(bytes, at);
	}

	/** Writes what is in the buffer. */
	flush(): void {
		this.budget.spend(this.filled, this.name);
		try {
			for (let at = 0; at < this.filled; ) at += writeSync(this.fd, this.buffer, at, this.filled - at);
		} catch (error) {
			throw cannotWrite(this.name, error);
		}
		this.filled = 0;
	}

	/**
	 * Calls `each` for every line written so far, the last one first. In constant memory, however long the file is; a line is
	 * shorter than the buffer.
	 */
	linesBackwards(each: (line: string) => void): void {
		this.flush();
		const block = Buffer.allocUnsafe(BUFFER_BYTES);
		let end = fstatSync(this.fd).size;
		/** the end of a line whose beginning is in an earlier block */
		let tail = Buffer.alloc(0);
		while (end > 0) {
			const start = Math.max(0, end - BUFFER_BYTES);
			readSync(this.fd, block, 0, end - start, start);
			const piece = Buffer.concat([block.subarray(0, end - start), tail]);
			let to = piece.length;
			for (;;) {
				const newline = to === 0 ? -1 : piece.lastIndexOf(10, to - 1);
				if (newline < 0) break;
				if (newline + 1 < to) each(piece.toString("utf8", newline + 1, to));
				to = newline;
			}
			tail = Buffer.from(piece.subarray(0, to));
			end = start;
		}
		if (tail.length > 0) each(tail.toString("utf8"));
	}

	/** Writes what is left: after this, nothing can go wrong that has to do with room on the disk. */
	complete(): void {
		this.flush();
		this.helper?.abort();
		this.open = false;
		try {
			closeSync(this.fd);
		} catch (error) {
			throw cannotWrite(this.name, error);
		}
	}

	/** Gives the complete file its name. */
	commit(): void {
		try {
			renameSync(this.part, this.name);
		} catch (error) {
			throw cannotWrite(this.name, error);
		}
		this.committed = true;
	}

	/** Nothing is left of it, unless it has its name already. */
	abort(): void {
		this.helper?.abort();
		if (this.committed) return;
		if (this.open) closeSync(this.fd);
		this.open = false;
		rmSync(this.part, { force: true });
	}
}
