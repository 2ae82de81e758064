/** Functions, their variables and parameters, classes, closures, and exceptions: what a frame must bring back. */

export const functions: Record<string, string> = {
	"destructuring declarations": `
		const { a, b: { c = 5, ...rest }, ...others } = yield* wait({ a: 1, b: { d: 2, e: 3 }, f: 4 });
		const [x, , y = a + 10, [z] = [yield* wait(9)][0] ? [[1]] : [], ...more] = yield* wait([1, 2, undefined, [7], 8, 9]);
		yield* wait();
		log(a, c, rest, others, x, y, z, more);
		let p, q;
		[p, q] = [yield* wait(1), yield* wait(2)];
		({ p, q = p } = yield* wait({ p: 3 }));
		[p, q] = [q + 1, p];
		log(p, q);
		const o = {};
		[o.first, ...o.rest] = yield* wait([1, 2, 3]);
		log(o);`,

	"parameters with defaults and patterns": `
		function* f(a, b = a + 1, { c, d = b } = {}, [e = c, ...g] = [10, 11, 12], ...rest) {
			yield* wait();
			log(a, b, c, d, e, g, rest);
			a++;
			yield* wait();
			return a;
		}
		function* main() {
			log(yield* f(1));
			log(yield* f(1, undefined, { c: 3 }, [undefined, 4, 5], 6, 7));
			log(yield* f(yield* wait(1), yield* wait(null), yield* wait({ d: 2 }), "xyz"));
			log(f.length, yield* f(...[1, 2]));
		}`.replace("log(f.length, ", "log("),

	"rest parameters": `
		function* f(first, ...rest) { yield* wait(); rest.push(first); yield* wait(); return rest; }
		function* main() { log(yield* f(), yield* f(1), yield* f(1, 2, 3)); }`,

	"parameters that are assigned": `
		function* f(n, list) { while (n > 0) { n--; yield* wait(); list = [...list, n]; } return list; }
		function* main() { return yield* f(3, []); }`,

	"variables of the same name in sibling blocks": `
		{ const x = yield* wait(1); log(x); }
		{ const x = yield* wait(2); yield* wait(); log(x); }
		for (const x of [3, 4]) { yield* wait(); log(x); }
		for (let x = 0; x < 2; x++) { yield* wait(); log(x); }
		if (yield* wait(true)) { let x = 5; yield* wait(); x++; log(x); } else { const x = 6; yield* wait(); log(x); }
		{ const x = "no wait"; log(x); }`,

	"variables that hide others": `
		const x = "outer";
		let y = "y";
		for (const y of [1, 2]) {
			const x = yield* wait("middle");
			{ const x = yield* wait("inner"); yield* wait(); log(x, y); { const y = "innermost"; log(x, y); } }
			yield* wait();
			log(x, y);
		}
		y += "!";
		log(x, y);`,

	"a nested block's variable called as something outside of the function": `
		const name = "module's";
		const value = (x) => "module's " + x;
		function* main() {
			log(name, value(1));
			{ const name = yield* wait("block's"); yield* wait(); log(name); }
			for (const value of [1, 2]) { yield* wait(); log(value); }
			yield* wait();
			log(name, value(2));
		}`,

	"variables called as the function, its class, or a parameter's default": `
		const x = "module's";
		function* f(a = x) { const x = yield* wait("own"); const f = 5; yield* wait(); log(a, x, f); { const f = 6; yield* wait(); log(f); } }
		function* g(g) { yield* wait(); log(g); g = 2; yield* wait(); return g; }
		class C {
			*m(C) { yield* wait(); log(C); }
			*n() { const C = yield* wait(7); yield* wait(); log(C); }
			static *s({ C }) { yield* wait(); log(C); for (const C of [1]) { yield* wait(); log(C); } }
		}
		function* main() { yield* f(); log(yield* g(1)); yield* new C().m(3); yield* new C().n(); yield* C.s({ C: 4 }); }`,

	"variables called as globals and as properties": `
		const o = { x: 1, undefined: 2 };
		const x = yield* wait(5);
		const Symbol = 1, undef = 2;
		yield* wait();
		log(o.x, { x }, { x: 3 }, { o: o["x"] }, Symbol, undef);`
		.replace("Symbol = 1", "Math = 1")
		.replace("Symbol,", "Math,"),

	"a variable without initialiser is undefined again in each round": `
		for (let i = 0; i < 3; i++) {
			let x;
			let y, z = i;
			log(x, y, z);
			x = i;
			if (i === 1) y = i;
			yield* wait();
			log(x, y, z);
		}
		let n = 0;
		while (n < 2) { let x; log(x); x = n++; yield* wait(); log(x); }`,

	"a declaration in a branch": `
		for (const c of [1, 0]) {
			if (c) { let x; log(x); x = 1; yield* wait(); log(x); }
			else { let x = 2; log(x); yield* wait(); log(x); }
		}`,

	"closures that capture what does not change": `
		function* f(a) {
			const b = yield* wait(2);
			const sum = (c) => a + b + c;
			const nested = () => () => ({ a, b });
			yield* wait();
			log(sum(3), nested()());
			const list = [1, 2, 3].map((x) => x * b).filter((x) => x > a);
			yield* wait();
			return [list, sum(4)];
		}
		function* main() { return yield* f(1); }`,

	"closures and variables of the same name": `
		const x = yield* wait(1);
		const f = (x) => { const y = x * 2; { const x = 5; return y + x; } };
		const g = ({ x: z = x } = {}) => z;
		yield* wait();
		{ const x = 7; yield* wait(); log(f(x), g()); }
		log(f(x), g({}), g({ x: 9 }));`,

	"a closure that waits": `
		const n = yield* wait(2);
		const twice = function* (x) { yield* wait(); return x * n; };
		const object = { *m(x) { yield* wait(); return [x, n, this === object]; }, f: function* (x) { return yield* wait(x); } };
		yield* wait();
		log(yield* twice(4), yield* object.m(1), yield* object.f(2));`,

	"closures in loops, where nothing waits": `
		const list = [];
		for (let i = 0; i < 3; i++) list.push(() => i);
		yield* wait();
		log(list.map((f) => f()));
		for (const f of list) { yield* wait(); log(f()); }`,

	"a recursive closure": `
		const depth = (n) => (n === 0 ? 0 : 1 + depth(n - 1));
		yield* wait();
		return depth(yield* wait(3));`,

	classes: `
		class A {
			#secret = 1;
			static made = 0;
			constructor(n) { this.n = n; A.made++; }
			*get(x) { yield* wait(); return this.n + x; }
			*reveal() { return (yield* this.#hidden(2)) + (yield* this.#hidden(3)); }
			*#hidden(x) { yield* wait(); this.#secret += x; yield* wait(); return this.#secret * x; }
			static *make(n) { yield* wait(); const made = new this(n); yield* wait(); return made; }
			*plain() { return this.n; }
		}
		class B extends A {
			*get(x) { yield* wait(); const below = yield* super.get(x); yield* wait(); return below * 10; }
			static *make(n) { log("B.make"); return yield* super.make(n + 1); }
			*twice() { return (yield* super.get(1)) + (yield* super.get(yield* wait(2))) + super.constructor.made; }
		}
		class C extends B {}
		function* main() {
			const a = yield* A.make(1);
			const b = yield* B.make(1);
			log(yield* a.get(1), yield* b.get(1), yield* b.twice(), yield* a.reveal(), yield* b.reveal(), yield* b.plain());
			const c = yield* C.make(5);
			log(c instanceof C, yield* c.get(yield* wait(1)), A.made);
		}`,

	"an instance's own method in the way of its class's": `
		class A { constructor() { this.m = () => "own"; } *m() { yield* wait(); return "class's"; } *other() { yield* wait(); return "other"; } }
		function* main() {
			const a = new A();
			log(a.m(), yield* A.prototype.m.call(a), yield* a.other());
			a.other = null;
			log(yield* A.prototype.other.call(a));
		}`,

	recursion: `
		function* fib(n) { if (n < 2) return yield* wait(n); return (yield* fib(n - 1)) + (yield* fib(n - 2)); }
		function* even(n) { return n === 0 ? true : yield* odd(n - 1); }
		function* odd(n) { if (n === 0) return false; yield* wait(); return yield* even(n - 1); }
		function* main() { log(yield* fib(4)); return yield* even(3); }`,

	"functions that never wait": `
		function* f(x) { log("f"); return x * 2; }
		function* empty() {}
		const g = function* () { return 7; };
		const o = { *m() { return this.n; }, n: 3 };
		class A { *m() { return 4; } static *s() {} *[Symbol.for("x")]() { return 5; } *"quoted"() { return 6; } *$dollar() { return 8; } }
		function* main() {
			log(yield* f(yield* f(1)), yield* empty(), yield* g(), yield* o.m(), yield* new A().m(), yield* A.s());
			log(yield* new A()[Symbol.for("x")](), yield* new A().quoted(), yield* new A().$dollar());
		}`,

	"functions as values": `
		const handlers = { *a(x) { return yield* wait(x + 1); }, b: function* (x) { yield* wait(); return x + 2; } };
		function* call(f, ...args) { return yield* f(...args); }
		function* main() {
			for (const name of ["a", "b"]) log(yield* handlers[name](1), yield* call(handlers[name], 10));
			let picked = handlers.a;
			picked = handlers.b;
			log(yield* picked(yield* wait(5)), yield* (world.now > 0 ? handlers.a : handlers.a)(3));
		}`,

	"many variables across a wait": `
		let a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
		yield* wait();
		log(a + b + c + d);
		let g = 7, h = 8, i = 9, j = 10, k = 11, l = 12;
		yield* wait();
		a++; l++;
		yield* wait();
		log(a, b, c, d, e, f, g, h, i, j, k, l);
		yield* wait();
		log(a, b, c, d, e);
		yield* wait();
		log(e);`,

	"a variable that is set in a loop and needed after it": `
		let last;
		let found = null;
		for (const x of [1, 2, 3]) { yield* wait(); if (x === 2) { found = x; continue; } last = x; }
		yield* wait();
		log(last, found);
		let first = "none";
		for (;;) { if (first !== "none") break; yield* wait(); first = "some"; }
		return first;`,

	"a variable that is set on one way only, and left alone on the way that leaves": `
		let a = 1;
		block: { yield* wait(); if (world.now > 0) break block; a = yield* wait(5); }
		log(a);
		let n = 0;
		outer: while (n < 3) {
			log(a);
			n++;
			for (;;) { yield* wait(); if (n === 1) continue outer; break; }
			a = yield* wait(n * 10);
		}`,

	"a variable needed in one case only": `
		const one = yield* wait("one"), two = yield* wait("two"), three = yield* wait("three");
		for (const i of [1, 2, 3]) {
			yield* wait();
			switch (i) { case 1: log(one); yield* wait(); break; case 2: log(two); break; default: yield* wait(); log(three); }
		}
		const last = yield* wait("last");
		yield* wait();
		switch (1) { case 0: yield* wait(); break; case 1: log(last); }`,

	"a variable needed in the next round only": `
		let carry = 0;
		for (let i = 0; i < 3; i++) { log(carry); carry = i * 10; yield* wait(); }
		let before = "a";
		do { const now = before + "b"; yield* wait(); before = now; } while (before.length < 4);
		for (let i = 0, prev; i < 3; prev = i, i++) { log(prev); yield* wait(); }
		return before;`,

	"try, catch and finally around waits": `
		function* fail(n) { yield* wait(); if (n > 1) yield* fail(n - 1); else throw new Error("failed"); }
		function* careful(n) {
			let state = "before";
			try {
				yield* wait();
				state = "tried";
				yield* fail(n);
				state = "not reached";
			} catch (error) {
				log("caught", error.message, state);
				yield* wait();
				if (n > 2) throw error;
				state = "caught";
			} finally {
				log("finally", state);
				yield* wait();
				log("finally, later");
			}
			return state;
		}
		function* between(n) { const kept = yield* wait(n); const result = yield* careful(kept); return [kept, result]; }
		function* main() {
			log(yield* between(1), yield* between(2));
			try { yield* between(3); } catch (error) { log("again", error.message); }
			yield* between(4);
		}`,

	"catching and going on, several times": `
		function* risky(n) { if (n % 2) yield* wait(); if (n > 0) throw n; return "fine"; }
		function* main() {
			for (let i = 2; i >= 0; i--) {
				try { log(yield* risky(i)); } catch (thrown) { log("caught", thrown); }
			}
			for (const n of [0, 1]) {
				try { try { yield* risky(n); } finally { yield* wait(); log("inner finally"); } } catch { log("outer"); }
			}
		}`,

	"return, break and continue through finally": `
		function* f(n) { try { yield* wait(); if (n === 1) return "from try"; } finally { yield* wait(); log("finally"); } return "end"; }
		function* g() { try { yield* wait(); throw 1; } catch { return "overruled"; } finally { return yield* wait("last word"); } }
		function* main() {
			log(yield* f(1), yield* f(2), yield* g());
			for (const i of [1, 2, 3]) {
				try { if (i === 1) continue; yield* wait(); if (i === 2) break; } finally { yield* wait(); log("leaving", i); }
			}
		}`,

	"a try in which nothing waits": `
		for (const text of ["{}", "{"]) {
			let parsed;
			try { parsed = JSON.parse(text); } catch (error) { log(error.name); continue; } finally { log("tried"); }
			yield* wait();
			log(parsed);
		}`,

	"an exception goes through functions that do not catch": `
		function* c() { yield* wait(); throw new Error("c"); }
		function* b() { yield* wait(); yield* c(); log("never"); }
		function* a() { log("a"); yield* b(); log("never"); }
		function* main() { try { yield* a(); } catch (e) { log(e.message); } yield* wait(); yield* a(); }`,

	"nobody catches": `
		function* f() { yield* wait(); throw new RangeError("out of range"); }
		function* main() { yield* wait(); yield* f(); log("never"); }`,

	"kept functions call compiled ones, and these kept ones": `
		function* compiled(n) { yield* wait(); const x = n > 0 ? yield* kept(n - 1) : 0; yield* wait(); return x + 1; }
		function* kept(n) { try { yield* wait(); return yield* compiled(n); } finally { log("kept", n); } }
		class A {
			*m(n) { try { yield* wait(); return this.n + (yield* this.#p(n, yield* wait(1))); } catch (e) { return [this.n, e]; } }
			*#p(a, b) { try { yield* wait(); if (a > 1) throw "too much"; return a + b; } finally { yield* wait(); } }
			n = 5;
		}
		function* main() { log(yield* kept(2)); const a = new A(); log(yield* a.m(1), yield* a.m(2)); }`,

	"what is not compiled still works": `
		function* args() { yield* wait(); return arguments.length; }
		function* inner() { yield* wait(); function helper() { return 1; } return helper(); }
		function* changes() { let n = 0; const f = () => n++; f(); yield* wait(); f(); return n; }
		function* late() { let x; const get = () => x; yield* wait(); x = 5; yield* wait(); return get(); }
		function* rounds() {
			let x;
			const all = [];
			for (const i of [1, 2, 3]) { x = i; all.push(() => x); yield* wait(); }
			return all.map((f) => f());
		}
		function* perRound() { const all = []; for (let i = 0; i < 3; i++) { all.push(() => i); yield* wait(); } return all.map((f) => f()); }
		function* eachRound() { const all = []; let i = 0; while (i < 3) { const x = i++; all.push(() => x); yield* wait(); } return all.map((f) => f()); }
		function* makesInside() {
			const values = function* () { yield 1; yield* [2, 3]; };
			try { yield* wait(); return [...values()]; } finally { yield* wait(); }
		}
		function* optional(o) { return o?.m(yield* wait(1)); }
		function* logical() { let x = null; x ??= yield* wait(5); x &&= yield* wait(6); x ||= yield* wait(7); return x; }
		function* spread() { return [...[1, 2], yield* wait(3), ...{ *[Symbol.iterator]() { yield 4; } }]; }
		function* condition() { let n = 0; do n++; while (yield* wait(n < 3)); return n; }
		function* update() { let i = 0; for (; i < 3; i += yield* wait(1)) log(i); return i; }
		function* hasClass() { class X { v = 1; } yield* wait(); return new X().v; }
		function* holes() { return [, yield* wait(1), ,].length; }
		function* computed() { return { [yield* wait("k")]: yield* wait(1), get g() { return 2; }, m() { return 3; } }; }
		function* members() { return { get g() { return 2; }, m() { return 3; }, v: yield* wait(1) }; }
		function* defaults() { const { a = yield* wait(1), b = yield* wait(2) } = { b: 3 }; return [a, b]; }
		function* defaultsLoop() { const r = []; for (const [a = yield* wait(1)] of [[], [2]]) r.push(a); return r; }
		function* which() { return new (yield* wait(Map))([[1, 2]]).size; }
		function* callee() { return (yield* wait((x) => x + 1))(1); }
		function* tagged() { return String.raw\`\${yield* wait(1)}\`; }
		function* forIn() { const r = []; for (const k in { a: 1, b: 2 }) { yield* wait(); r.push(k); } return r; }
		function* hoisted() { { var v = yield* wait(1); } yield* wait(); return v; }
		function* caseTest() { switch (2) { case yield* wait(1): return "one"; case yield* wait(2): return "two"; } }
		function* ofArguments() { const f = () => arguments[0]; yield* wait(); return f(); }
		function* labels() { a: b: for (const i of [1, 2]) { yield* wait(); if (i === 1) continue a; break b; } return "left"; }
		const anonymous = class { *m() { yield* wait(); return "m"; } };
		class Computed { *["a" + "b"]() { yield* wait(); return "ab"; } }
		function* main() {
			log(yield* args(1, 2, 3), yield* inner(), yield* changes(), yield* late(), yield* eachRound(), yield* makesInside(), yield* rounds(), yield* perRound());
			log(yield* optional({ m: (x) => x }), yield* optional(null), yield* logical(), yield* spread(), yield* condition());
			log(yield* update(), yield* hasClass(), yield* holes(), yield* computed(), yield* members(), yield* defaults());
			log(yield* defaultsLoop(), yield* which(), yield* callee(), yield* tagged(), yield* forIn(), yield* hoisted());
			log(yield* caseTest(), yield* ofArguments(8, 9), yield* labels(), yield* new anonymous().m(), yield* new Computed().ab());
		}`,

	"ordinary generators beside": `
		function* numbers(n) { for (let i = 0; i < n; i++) yield i; }
		const o = { *[Symbol.iterator]() { yield "a"; yield "b"; } };
		function* main() {
			for (const x of numbers(3)) { yield* wait(); log(x); }
			for (const x of o) { yield* wait(); log(x); }
			log([...numbers(2)], yield* wait([...o]));
		}`,
};
