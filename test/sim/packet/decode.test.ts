/** Headers are read as the standards write them, and what is cut short is never read beyond its end. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeFrame, decodeMessage, decodePacket, hexdump } from "../../../sim/packet/decode.ts";

function bytes(hex: string): Uint8Array {
	return Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

const ETHERNET = "02a409d2aa0b 02a409d2aa0a 0800";
const OUTER = "4500 003c 0207 0000 40 11 0000 c0a80201 c0a80202";
const UDP = "3039 3039 0028 0000";
const KEEPALIVE = `04000000 5fcd3787 0502000000000000 ${"ab".repeat(16)}`;

test("a frame with a keepalive is read down to its counter", () => {
	const decoded = decodeFrame(bytes(`${ETHERNET} ${OUTER} ${UDP} ${KEEPALIVE}`));
	expect(decoded.headers.map(({ protocol, at, length }) => [protocol, at, length])).toEqual([
		["Ethernet", 0, 14],
		["IPv4", 14, 20],
		["UDP", 34, 8],
		["WireGuard", 42, 16],
		["data", 58, 16],
	]);
	expect(decoded.headers[0].text).toBe("02:a4:09:d2:aa:0a -> 02:a4:09:d2:aa:0b, type 0x0800");
	expect(decoded.headers[1].text).toBe("192.168.2.1 -> 192.168.2.2, UDP, length 60, id 519, ttl 64");
	expect(decoded.headers[3].text).toBe("transport data, receiver 0x8737cd5f, counter 517");
	expect([decoded.wg, decoded.payload]).toEqual(["transport", 32]);
});

test("a TCP segment inside the tunnel is never taken for a message", () => {
	const tcp = "8332 1451 6b032f8b b2404589 80 10 040b 0f1e 0000 0101080a dc7ce5e0 00000001";
	const decoded = decodePacket(bytes(`4500 0054 0000 4000 40 06 e16c a9fe0001 a9fe0002 ${tcp} ${KEEPALIVE}`));
	expect(decoded.headers.map(({ protocol }) => protocol)).toEqual(["IPv4", "TCP", "data"]);
	expect(decoded.headers[1].text).toBe("port 33586 -> 5201, ACK, seq 1795370891, ack 2990556553, window 1035");
	expect([decoded.protocol, decoded.payload, decoded.wg]).toEqual(["tcp", 32, null]);
});

test("any bytes are read without reading beyond their end", () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 120 }), (random) => {
			for (const decode of [decodeFrame, decodePacket, decodeMessage]) decode(random);
			const framed = Uint8Array.from([...bytes(ETHERNET), 0x45, ...random]);
			for (const { at, length } of decodeFrame(framed).headers) expect(at + length).toBeLessThanOrEqual(framed.length);
		}),
	);
});

test("a dump shows sixteen bytes a line, and how many are left out", () => {
	expect(hexdump(bytes("00 01 41 7f"), 16)).toEqual([`0000  00 01 41 7f${" ".repeat(12)}  ${" ".repeat(23)}  ..A.`]);
	expect(hexdump(new Uint8Array(40), 16)).toHaveLength(2);
	expect(hexdump(new Uint8Array(40), 16)[1]).toBe("... 24 more");
	expect(hexdump(new Uint8Array(40), 0)).toEqual(["... 40 more"]);
});
