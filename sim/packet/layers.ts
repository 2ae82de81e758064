/** The bytes of a packet at each layer, as taps and the driver saw them, and what they say. */
import { host_aead } from "../../src/crypto/aead_backend.ts";
import { type Decoded, decodeFrame, decodeMessage, decodePacket } from "./decode.ts";
import type { Life } from "./life.ts";
import type { Capture, Recorder } from "./recorder.ts";

export interface Layer {
	/** where it was seen */
	readonly where: string;
	/** since the packet's life began, ns */
	readonly at_ns: number;
	readonly bytes: Uint8Array;
	readonly decoded: Decoded;
}

const DECODERS: Readonly<Record<Capture["layer"], (bytes: Uint8Array) => Decoded>> = {
	packet: decodePacket,
	message: decodeMessage,
	frame: decodeFrame,
};

/** of a transport message: its header, where the counter begins in it, the tag; and of ChaCha20-Poly1305 the nonce */
const HEADER = 16;
const COUNTER = 8;
const TAG = 16;
const NONCE = 12;

/** What was encrypted, padding included: opened with the sender's key, which also proves that the tag is right. */
function plaintext(message: Uint8Array, key: Uint8Array): Uint8Array | null {
	const plain = new Uint8Array(message.length - HEADER - TAG);
	const nonce = new Uint8Array(NONCE);
	nonce.set(message.subarray(COUNTER, HEADER), NONCE - (HEADER - COUNTER));
	const sealed = message.subarray(HEADER);
	const right = host_aead().open(key, nonce, new Uint8Array(0), sealed, 0, sealed.length, plain, 0);
	return right ? plain : null;
}

export function layersOf(recorder: Recorder, life: Life): Layer[] {
	const layers: Layer[] = [];
	for (const { where, time, layer, bytes } of recorder.captures) {
		const at_ns = time - life.begin_ns;
		if (layer === "message" && recorder.key !== null) {
			const padded = plaintext(bytes, recorder.key);
			if (padded !== null) {
				layers.push({ where: "wg, padded plaintext", at_ns, bytes: padded, decoded: decodePacket(padded) });
			}
		}
		layers.push({ where, at_ns, bytes, decoded: DECODERS[layer](bytes) });
	}
	return layers;
}
