/**
 * One scenario in a process of its own: `node stream.js OPTIONS`, options of a run as JSON. Of what a process has run before, the host's
 * compiler makes other code of the kernel, up to a tenth slower, and nobody runs several scenarios in one process. Prints medians of
 * a few runs as JSON, after some that only warm up: the compiler is at work for the first two seconds.
 */
import { parseRunOptions, type RawRunOptions } from "../sim/options.ts";
import { runBare } from "../sim/run.ts";
import { interleaved } from "./measure.ts";

const WARMUPS = 3;
const RUNS = 5;

const options = parseRunOptions(JSON.parse(process.argv[2]) as RawRunOptions);
const medians = await interleaved(
	[
		{
			name: "stream",
			once: async () => {
				const { data_segments, packets, events, fired, host_seconds } = await runBare(options);
				return {
					segments: data_segments / host_seconds,
					packets: packets / host_seconds,
					events: events / host_seconds,
					fired: fired / host_seconds,
					per_segment: events / data_segments,
				};
			},
		},
	],
	RUNS,
	WARMUPS,
);
process.stdout.write(JSON.stringify(medians.get("stream")));
