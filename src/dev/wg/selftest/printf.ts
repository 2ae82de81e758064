/** Where the self-tests' messages go: what printf(9) would put on the console. */
import { SDT_PROBE_DEFINE } from "../../../kernel/probe/probe.ts";

export const selftest_message = SDT_PROBE_DEFINE<[message: string]>("wg:selftest::printf", "message: string");

export function printf(message: string): void {
	if (selftest_message.on !== null) selftest_message.on(message);
}
