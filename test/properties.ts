/**
 * How every fast-check property of the suite is run: with one fixed seed, so that the suite gives the same verdict on the same tree
 * on every machine. `npm run properties` is the search for something new: another seed each time, and more runs.
 */
import fc from "fast-check";

const seed = process.env.PROPERTY_SEED;
const runs = process.env.PROPERTY_RUNS;
fc.configureGlobal({
	seed: seed === undefined ? 20211101 : seed === "random" ? Date.now() & 0x7fff_ffff : Number(seed),
	...(runs === undefined ? {} : { numRuns: Number(runs) }),
});
