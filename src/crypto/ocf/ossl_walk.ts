/**
 * How ossl's code goes over the pieces of a text. The assembly works on whole blocks in contiguous memory. Every piece of a chain
 * takes calls of its own, and a block that lies across a boundary, like the bytes after the last whole block, goes through a block on
 * the stack. What a chain costs hence depends on where its boundaries are.
 *
 * @see sys/crypto/openssl/ossl_chacha20.c, ossl_aes.c
 */
import { crypto_buffer_cursor, crypto_cursor_advance, crypto_cursor_seglen } from "./criov.ts";
import { CHACHA20_NATIVE_BLOCK_LEN, type cryptop } from "./cryptodev.ts";
import { request_cursors } from "./request.ts";

/** Calls of the assembly for one text: runs of whole blocks, and blocks that went through the stack. */
export class ossl_walk {
	segments = 0;
	bounces = 0;
	readonly cc_in = new crypto_buffer_cursor();
	readonly cc_out = new crypto_buffer_cursor();
}

/**
 * Walks input and output of a request as a block cipher does, and counts. A run ends where the input's or the output's piece has less
 * than a block left; that block is gathered, worked on and scattered by itself.
 */
function walk_blocks(walk: ossl_walk, crp: cryptop, blocksize: number): void {
	const cc_in = walk.cc_in;
	const cc_out = walk.cc_out;
	let resid = crp.crp_payload_length;

	walk.segments = 0;
	walk.bounces = 0;
	request_cursors(cc_in, cc_out, crp);
	while (resid >= blocksize) {
		let todo = resid;
		if (crypto_cursor_seglen(cc_in) < todo) todo = crypto_cursor_seglen(cc_in);
		if (crypto_cursor_seglen(cc_out) < todo) todo = crypto_cursor_seglen(cc_out);
		if (todo < blocksize) {
			todo = blocksize;
			walk.bounces++;
		} else {
			todo -= todo % blocksize;
			walk.segments++;
		}
		crypto_cursor_advance(cc_in, todo);
		crypto_cursor_advance(cc_out, todo);
		resid -= todo;
	}
	if (resid > 0) walk.bounces++;
}

/** @see ossl_chacha20.c ossl_chacha20, ossl_chacha20_poly1305_encrypt */
export function ossl_chacha20_walk(walk: ossl_walk, crp: cryptop): void {
	walk_blocks(walk, crp, CHACHA20_NATIVE_BLOCK_LEN);
}

/** @see ossl_aes.c ossl_aes_cbc */
export function ossl_aes_cbc_walk(walk: ossl_walk, crp: cryptop, blocksize: number): void {
	walk_blocks(walk, crp, blocksize);
}

/** GCM takes the pieces as they come, and keeps what is left of a block. @see ossl_aes.c ossl_aes_gcm */
export function ossl_aes_gcm_walk(walk: ossl_walk, crp: cryptop): void {
	const cc_in = walk.cc_in;
	const cc_out = walk.cc_out;
	let resid = crp.crp_payload_length;

	walk.segments = 0;
	walk.bounces = 0;
	request_cursors(cc_in, cc_out, crp);
	while (resid > 0) {
		const todo = Math.min(resid, crypto_cursor_seglen(cc_in), crypto_cursor_seglen(cc_out));
		walk.segments++;
		crypto_cursor_advance(cc_in, todo);
		crypto_cursor_advance(cc_out, todo);
		resid -= todo;
	}
}
