/** Runs `ifwg` with this process's arguments and says at the end how much memory it had at most. */
import { main } from "../sim/cli.ts";

process.exitCode = await main(process.argv.slice(2));
process.stderr.write(`\nMAXRSS ${process.resourceUsage().maxRSS}\n`);
