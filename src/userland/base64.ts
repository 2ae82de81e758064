/** Keys as text: 32 bytes in 44 characters. @see wireguard-tools encoding.c */
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

export const WG_KEY_LEN_BASE64 = 44;

export function key_to_base64(key: Uint8Array): string {
	let text = "";
	for (let i = 0; i < key.length; i += 3) {
		const group = (key[i] << 16) | ((key[i + 1] ?? 0) << 8) | (key[i + 2] ?? 0);
		for (let k = 0; k < 4; k++) text += i + k > key.length ? "=" : alphabet[(group >> (18 - 6 * k)) & 63];
	}
	return text;
}

/** 32 bytes, or null if the text is not exactly a key. */
export function key_from_base64(text: string): Uint8Array | null {
	if (text.length !== WG_KEY_LEN_BASE64 || text[43] !== "=") return null;
	const key = new Uint8Array(33);
	for (let i = 0; i < 11; i++) {
		let group = 0;
		for (let k = 0; k < 4; k++) {
			const value = i === 10 && k === 3 ? 0 : alphabet.indexOf(text[4 * i + k]);
			if (value < 0) return null;
			group = (group << 6) | value;
		}
		key[3 * i] = group >> 16;
		key[3 * i + 1] = group >> 8;
		key[3 * i + 2] = group;
	}
	return key[32] === 0 ? key.slice(0, 32) : null;
}
