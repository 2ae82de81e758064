/** Colours, where somebody is there to see them. */
import pc from "picocolors";

export type Colors = ReturnType<typeof pc.createColors>;

/** For stdout: none into a file or a pipe, none with NO_COLOR (https://no-color.org) or on a dumb terminal. */
export function stdoutColors(): Colors {
	const wanted = (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb";
	return pc.createColors(wanted && process.stdout.isTTY === true);
}

export const noColors: Colors = pc.createColors(false);
