/** The generation of the running kernel's driver. */
import { KERNEL_GLOBAL, panic, TUNABLE_FETCH } from "../../kernel/sched/kernel.ts";
import { WG_GENERATION_TUNABLE, type wg_generation, type wg_generation_name, wg_generations } from "./generation.ts";

/** The running kernel's generation; the last out-of-tree one when the tunable is not set. */
export const generation: () => wg_generation = KERNEL_GLOBAL(() => {
	const name = TUNABLE_FETCH(WG_GENERATION_TUNABLE) ?? "2022-09";
	if (!Object.hasOwn(wg_generations, name)) panic(`${WG_GENERATION_TUNABLE}: no generation ${name}`);
	return wg_generations[name as wg_generation_name];
});
