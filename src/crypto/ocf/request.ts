/**
 * What the ciphers need of a request: its key, IV and authenticated data, and its text in one piece.
 *
 * A text that lies in several pieces is gathered, worked on and scattered back; nobody can tell from the result, and nothing else
 * runs in between. What the pieces cost is charged by the drivers, who know how their code walks.
 *
 * In a run for the costs only there is no arithmetic: the text stays as it is, a tag is all zero, and a tag is right when it is.
 */
import { cost_only, KERNEL_GLOBAL } from "../../kernel/sched/kernel.ts";
import {
	crypto_buffer_cursor,
	crypto_copyback,
	crypto_copydata,
	crypto_cursor_advance,
	crypto_cursor_assign,
	crypto_cursor_copyback,
	crypto_cursor_copydata,
	crypto_cursor_init,
	crypto_read_iv,
} from "./criov.ts";
import {
	CRYPTO_HAS_OUTPUT_BUFFER,
	type crypto_session_params,
	type cryptop,
	EALG_MAX_BLOCK_LEN,
	HASH_MAX_LEN,
} from "./cryptodev.ts";

/** Initial size of the gathering buffer: the largest Ethernet payload and a tag. */
const SCRATCH_SIZE = 2048;

class request_scratch {
	text = new Uint8Array(SCRATCH_SIZE);
	readonly iv = new Uint8Array(EALG_MAX_BLOCK_LEN);
	readonly tag = new Uint8Array(HASH_MAX_LEN);
	readonly src = new crypto_buffer_cursor();
	readonly dst = new crypto_buffer_cursor();
}

const scratch = KERNEL_GLOBAL(() => new request_scratch());

/** The request's own key, or the session's. */
export function request_cipher_key(crp: cryptop, csp: crypto_session_params): Uint8Array {
	const key = crp.crp_cipher_key ?? csp.csp_cipher_key!;
	return key.length === csp.csp_cipher_klen ? key : key.subarray(0, csp.csp_cipher_klen);
}

/** The IV; good until the next request. */
export function request_iv(crp: cryptop): Uint8Array {
	const iv = scratch().iv;
	crypto_read_iv(crp, iv);
	return iv;
}

/** The authenticated data in one piece, null if there is none. */
export function request_aad(crp: cryptop): Uint8Array | null {
	if (crp.crp_aad_length === 0) return null;
	if (crp.crp_aad !== null) return crp.crp_aad.subarray(0, crp.crp_aad_length);
	const aad = new Uint8Array(crp.crp_aad_length);
	crypto_copydata(crp, crp.crp_aad_start, crp.crp_aad_length, aad);
	return aad;
}

/** Puts cursors on the text to read and on its place in the output. */
export function request_cursors(src: crypto_buffer_cursor, dst: crypto_buffer_cursor, crp: cryptop): void {
	crypto_cursor_init(src, crp.crp_buf);
	crypto_cursor_advance(src, crp.crp_payload_start);
	if (CRYPTO_HAS_OUTPUT_BUFFER(crp)) {
		crypto_cursor_init(dst, crp.crp_obuf);
		crypto_cursor_advance(dst, crp.crp_payload_output_start);
	} else {
		crypto_cursor_assign(dst, src);
	}
}

/** A copy of the text, good until the next request. It begins at a word boundary. */
export function request_text(crp: cryptop): Uint8Array {
	const s = scratch();
	const len = crp.crp_payload_length;
	if (s.text.length < len) s.text = new Uint8Array(2 * len);
	crypto_cursor_init(s.src, crp.crp_buf);
	crypto_cursor_advance(s.src, crp.crp_payload_start);
	crypto_cursor_copydata(s.src, len, s.text, 0);
	return s.text.subarray(0, len);
}

/** Writes the text to its place in the output. */
export function request_put_text(crp: cryptop, text: Uint8Array): void {
	const s = scratch();
	request_cursors(s.src, s.dst, crp);
	crypto_cursor_copyback(s.dst, text.length, text, 0);
}

/** Runs `f` over the text of a request, unless the run is for the costs only. */
export function request_crypt(crp: cryptop, f: (text: Uint8Array) => void): void {
	if (cost_only()) return;
	const text = request_text(crp);
	f(text);
	request_put_text(crp, text);
}

/** Bytes of the tag that the session uses. */
export function request_mlen(csp: crypto_session_params, macsize: number): number {
	return csp.csp_auth_mlen === 0 ? macsize : csp.csp_auth_mlen;
}

/** Writes the tag to its place. */
export function request_put_tag(crp: cryptop, tag: Uint8Array, mlen: number): void {
	crypto_copyback(crp, crp.crp_digest_start, mlen, tag);
}

/** Whether the tag in the buffer is this one; in a run for the costs only, whether it is all zero. */
export function request_tag_matches(crp: cryptop, tag: Uint8Array, mlen: number): boolean {
	const found = scratch().tag;
	crypto_copydata(crp, crp.crp_digest_start, mlen, found);
	let bits = 0;
	for (let i = 0; i < mlen; i++) bits |= found[i] ^ tag[i];
	return bits === 0;
}
