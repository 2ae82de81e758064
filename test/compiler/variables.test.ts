/** Variables of a module moved to fields: it does the same. */
import { expect, test } from "vitest";
import { moveToFields } from "../../compiler/variables.ts";

// biome-ignore lint/suspicious/noExplicitAny: what a module of a test exports, only the test knows
type Exports = Record<string, any>;

async function moved(source: string): Promise<{ code: string; module: Exports }> {
	const code = moveToFields(source);
	const module = await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(code)}`);
	return { code, module };
}

test("every way to use a variable means its field", async () => {
	const { code, module } = await moved(`
		let n = 1;
		let other = n + 1, beside = 0;
		let last = n + 1;
		let unset;
		let call = function () { return this; };
		export function all() {
			n = n + last; n++; --n; n += 0;
			const before = unset;
			unset = { n, last };
			return [n, unset, before, call(), call\`\`, typeof unset, other, beside, [n = 7], n];
		}`);
	expect(code).toContain("const $n = { n: 1 };");
	expect(code).toContain("const $last = { last: $n.n + 1 };");
	expect(code).toContain("const $unset = {};");
	expect(code).toContain("let other = $n.n + 1, beside = 0;");
	expect(module.all()).toEqual([3, { n: 3, last: 2 }, undefined, undefined, undefined, "object", 2, 0, [7], 7]);
});

test("another variable of the same name is left alone", async () => {
	const { module } = await moved(`
		let x = 1;
		const $x = "taken";
		export function parameter(x) { x = 2; return x; }
		export function local() { const got = []; for (let x = 0; x < 2; x++) got.push({ x }); return got; }
		export function member(o) { o.x = 4; return { x: o.x, y: x, $x }; }
		export function named() { return (function x() { return typeof x; })(); }
		export function set(to) { x = to; }`);
	module.set(3);
	expect(module.parameter(0)).toBe(2);
	expect(module.local()).toEqual([{ x: 0 }, { x: 1 }]);
	expect(module.member({})).toEqual({ x: 4, y: 3, $x: "taken" });
	expect(module.named()).toBe("function");
});

test("what is exported is seen to change", async () => {
	const { code, module } = await moved(`
		let x = 1;
		let unset;
		export function set(to) { return (x = to); }
		export function get() { return x; }
		export function setUnset(to) { return (unset = to); }
		export function getUnset() { return unset; }
		export { x as y, unset };`);
	expect(code).toContain("return $x.x;");
	expect(code).toContain("const $unset = {};");
	expect([module.y, module.set(5), module.y, module.get()]).toEqual([1, 5, 5, 5]);
	expect([module.unset, module.getUnset()]).toEqual([undefined, undefined]);
	expect([module.setUnset(6), module.unset, module.getUnset()]).toEqual([6, 6, 6]);
});

test("what is assigned to in other ways stays a variable", async () => {
	const source = `
		let a = 1;
		let b = 2;
		let c = 3;
		export function change() { [a] = [b]; for (b of [7, 8]); c++; return [a, b, c]; }
		export { c };`;
	const { code, module } = await moved(source);
	expect(code).toBe(source);
	expect(module.change()).toEqual([2, 8, 4]);
	expect(module.c).toBe(4);
});

test("a variable is not there before its declaration", async () => {
	await expect(moved("early(); function early() { x = 1; } let x = 0;")).rejects.toThrow(ReferenceError);
});
