/**
 * /bin, so to speak: the programs there are, by name.
 */
import { bridge } from "./bridge.ts";
import { ifconfig } from "./ifconfig.ts";
import { iperf3 } from "./iperf3.ts";
import { jail, jexec, jls } from "./jail.ts";
import { netstat } from "./netstat.ts";
import { ping } from "./ping.ts";
import type { program } from "./process.ts";
import { route } from "./route.ts";
import { sysctl } from "./sysctl.ts";
import { wg } from "./wg.ts";

export function find_program(name: string): program | null {
	switch (name) {
		case "bridge":
			return bridge;
		case "ifconfig":
			return ifconfig;
		case "iperf3":
			return iperf3;
		case "jail":
			return jail;
		case "jexec":
			return jexec;
		case "jls":
			return jls;
		case "netstat":
			return netstat;
		case "ping":
		case "ping6":
			return ping;
		case "route":
			return route;
		case "sysctl":
			return sysctl;
		case "wg":
			return wg;
		default:
			return null;
	}
}
