/** Looking at several kernels of one run. */
import { curkernel, type Kernel, set_curkernel } from "../src/kernel/sched/kernel.ts";

/** Does `look` in each of these kernels, and leaves running the one that was. */
export function inEach(kernels: readonly Kernel[], look: (kernel: Kernel) => void): void {
	const running = curkernel;
	for (const kernel of kernels) {
		if (kernel !== curkernel) set_curkernel(kernel);
		look(kernel);
	}
	if (running !== curkernel) set_curkernel(running);
}
