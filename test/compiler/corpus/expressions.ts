/** Expressions that wait somewhere in the middle: what was evaluated before must be as it was. */

export const expressions: Record<string, string> = {
	"operands read before a wait": `
		let state = 1;
		const box = { n: 1 };
		const list = [1];
		function* main() {
			world.during = () => { state++; box.n++; list[0]++; };
			log(state + (yield* wait(100)));
			log((yield* wait(100)) + state);
			log(state + (yield* wait(10)) * state + box.n);
			log(box.n - (yield* wait(1)), list[0] - (yield* wait(1)));
			log([state, yield* wait(0), state, box.n, yield* wait(0), box.n]);
			log({ a: state, b: yield* wait(0), c: state });
			log(state < (yield* wait(3)) ? box.n : -box.n);
		}`,

	"variables that the same expression changes after they are read": `
		let i = 1;
		log(i, i++, yield* wait(0), i);
		log(i + (i = 10) + (yield* wait(0)));
		log(i + (yield* wait(i = 20)) + i);
		log((i = yield* wait(30)) + i, i);
		i = i + (yield* wait((i = 5)));
		log(i);
		const list = [0, 0, 0, 0, 0, 0, 0, 0];
		i = 0;
		list[i] = yield* wait(++i);
		list[i++] = yield* wait(i++);
		list[i] += yield* wait(++i);
		let o = { name: "first" };
		const first = o;
		o.p = yield* wait((o = { name: "second" }, 1));
		o.q = (o = yield* wait(first), 2);
		log(i, list, o, first);
		i = 0;
		const a = [i, i += 1, yield* wait(i += 1), i];
		const b = { x: i, y: [i++, yield* wait(i)], z: i };
		const c = i-- > 1 && (yield* wait(i)) < i + (i = yield* wait(9)) && i;
		log(a, b, c, i);`,

	"an index and its object": `
		let at = 0;
		let table = [{ n: 1 }, { n: 2 }, { n: 3 }];
		function* main() {
			world.during = () => { at = 1; table = [{ n: 10 }, { n: 20 }, { n: 30 }]; };
			table[at].n = yield* wait(5);
			log(table);
			log(table[yield* wait(2)].n, (yield* wait(table))[at].n, (yield* wait(table))[yield* wait(0)].n);
			log(table[at].n + (yield* wait(0)), table[at]["n"] + (yield* wait(0)));
		}`,

	"&& and ||": `
		for (const a of [0, 1]) for (const b of [0, 2]) {
			log((yield* wait(a)) && b, (yield* wait(a)) || b);
			log(a && (yield* wait(b)), a || (yield* wait(b)));
			log((yield* wait(a)) && (yield* wait(b)), (yield* wait(a)) || (yield* wait(b)));
		}`,

	"&& and || as statements and in tests": `
		for (const a of [false, true]) {
			a && (yield* wait(), log("and"));
			a || (yield* wait(), log("or"));
			if (a && (yield* wait(true))) log("then"); else log("else");
			if (!(a || (yield* wait(false)))) log("not");
			if ((a || (yield* wait(true))) && ((yield* wait(false)) || a)) log("both");
			while (a && (yield* wait(world.now < 100))) { log("once"); break; }
		}`,

	"??": `
		for (const a of [null, undefined, 0, ""]) {
			log(a ?? (yield* wait("b")), (yield* wait(a)) ?? "c", (yield* wait(a)) ?? (yield* wait("d")));
		}`,

	"?:": `
		for (const c of [true, false]) {
			log((yield* wait(c)) ? 1 : 2, c ? yield* wait(1) : 2, c ? 1 : yield* wait(2));
			log((yield* wait(c)) ? yield* wait(1) : yield* wait(2));
			log(c ? (yield* wait(!c)) ? 1 : yield* wait(2) : c || (yield* wait(3)));
		}`,

	"compound assignment to variables": `
		let module = 1;
		function* main() {
			world.during = () => { module += 100; };
			let n = 1;
			n += yield* wait(2);
			n *= (yield* wait(3)) + n;
			n <<= yield* wait(1);
			n **= yield* wait(2);
			n -= (n = 3, yield* wait(4));
			log(n);
			module += yield* wait(1);
			log(module);
			let s = "a";
			s += yield* wait("b");
			s += (yield* wait("c")) + s;
			return s;
		}`,

	"compound assignment to members": `
		let o = { n: 1, list: [1, 2, 3] };
		let reads = 0;
		const which = () => { reads++; return o; };
		const index = () => { log("index"); return 1; };
		function* main() {
			world.during = () => { o.n += 100; o.list[1] += 100; };
			o.n += yield* wait(1);
			log(o);
			o.list[1] -= yield* wait(1);
			which().list[index()] *= (yield* wait(2)) + o.n;
			which().n = which().n + (yield* wait(1));
			o.list[yield* wait(0)] += yield* wait(5);
			(yield* wait(o)).n += 1;
			(yield* wait(o)).list[yield* wait(2)] |= 8;
			log(o, reads);
			const old = o;
			world.during = () => { o = { n: "new", list: [] }; };
			o.n += yield* wait(1);
			o.list[1] += yield* wait(1);
			log(old, o);
		}`,

	"assignments as values": `
		let a, b;
		const o = {};
		if ((a = yield* wait(3)) === 3) log(a);
		a = b = o.p = yield* wait(4);
		log(a, b, o, (a = yield* wait(5)) + a, a);
		log((o.q = yield* wait(6)) + (o.q = yield* wait(7)), o);
		log((a += yield* wait(1)) * (a += yield* wait(1)), a);`,

	"waits in several arguments": `
		const f = (...args) => args.join();
		log(f(yield* wait(1), yield* wait(2), yield* wait(3)));
		log(f(0, yield* wait(1), world.now, yield* wait(2), world.now));
		log(f(f(yield* wait(1), world.now), f(world.now, yield* wait(2)), yield* wait(3)));
		log(f(yield* wait(1), ...(world.now > 0 ? [2, 3] : [2, 3, 4])));`,

	"arguments and callee, in their order": `
		const note = (name, value) => { log(name); return value; };
		const make = (name) => note("made", (...args) => log(name, args));
		make("f")(note("a", 1), yield* wait(2), note("b", 3));
		(world.now > 0 ? note("left", log) : note("right", log))(yield* wait(1));
		({ m: make("m") }).m(note("c", 1), yield* wait(2));
		make("outer")(yield* wait(make("inner")(yield* wait(1))));`,

	"a function that is another one by the time its arguments are there": `
		let handler = (x) => "old " + x;
		const o = { m(x) { return "old method " + x + this.n; }, n: 1, list: [(x) => "old element " + x] };
		function* main() {
			world.during = () => {
				handler = (x) => "new " + x;
				o.m = (x) => "new method " + x;
				o.list[0] = (x) => "new element " + x;
			};
			log(handler(yield* wait(1)), o.m(yield* wait(2)), o.list[0](yield* wait(3)), o["m"](yield* wait(4)));
			let local = (x) => "first " + x;
			log(local(yield* wait((local = (x) => "second " + x, 5))));
			log(local((local = (x) => "third " + x, yield* wait(6))));
		}`,

	"what is no function is found out after its arguments": `
		const o = {};
		function* main() {
			try { o.missing(yield* wait(1), log("argument")); } catch (e) { log(e.name); }
			try { undefined.missing(yield* wait(1), log("never")); } catch (e) { log(e.name); }
			yield* none();
		}
		function* none() { const nothing = null; return nothing.m(yield* wait(2), log("never either")); }`,

	"method calls: this is what it was called on": `
		class Counter {
			n = 0;
			add(x) { this.n += x; return this; }
			*later(x) { yield* wait(); this.n += x; return this; }
			get self() { return this; }
		}
		let c = new Counter();
		function* main() {
			c.add(yield* wait(1)).add(yield* wait(2));
			log((yield* c.later(yield* wait(3))).n);
			log((yield* c.self.add(1).later(2)).add(yield* wait(4)).n);
			const old = c;
			world.during = () => { c = new Counter(); };
			c.add(yield* wait(100));
			c["add"](yield* wait(200));
			c[yield* wait("add")](yield* wait(1000));
			(yield* wait(c)).add(yield* wait(2000));
			(yield* wait(c))[yield* wait("add")](yield* wait(4000));
			log(old.n, c.n);
		}`,

	"this in a plain call is undefined": `
		function* f() { log(this); yield* wait(); log(this); return this; }
		function* main() { log(yield* f(), yield* (0, { f }.f)(), (yield* f.call(5)) === 5); }`,

	new: `
		class Point { constructor(x, y) { this.x = x; this.y = y; } }
		const space = { Point };
		const pick = () => { log("pick"); return Point; };
		function* main() {
			log(new Point(yield* wait(1), yield* wait(2)), new Point(world.now, yield* wait(0)).x);
			world.during = () => { space.Point = Map; };
			log(new space.Point(yield* wait(1), 2), new (pick())(yield* wait(3)));
			log((yield* wait(new Point(5, 6))).y);
		}`,

	"array, object and template literals": `
		let s = "a";
		function* main() {
			world.during = () => { s += "!"; };
			log([yield* wait(1), s, yield* wait(2), s, ...s]);
			log({ s, t: yield* wait(1), "quoted key": s, 5: yield* wait(2), f() { return 1; }, ...{ z: s } }["t"] ?? 0);
			log({ s, t: yield* wait(1), "quoted key": s, 5: yield* wait(2), u: s });
			log(\`<\${s}|\${yield* wait(1)}|\${s}|\${yield* wait(2)}|\${s}>\`);
			log(\`\${yield* wait("only")}\`, [[yield* wait(1)], { a: { b: yield* wait(2) } }]);
		}`,

	"a template makes texts at once": `
		const list = [1];
		function* main() {
			world.during = () => { list.push(2); };
			log(\`\${list} \${yield* wait("then")} \${list} \${yield* wait(list)} \${yield* wait(list)}\`);
		}`,

	sequences: `
		const x = (log("a"), yield* wait(1), log("b"), yield* wait(2));
		log(x, (yield* wait(3), 4), (5, yield* wait(6)));
		for (let i = (yield* wait(0), 1); i < 2; i++, log("update")) yield* wait();`,

	"unary operators": `
		log(!(yield* wait(0)), -(yield* wait(1)), typeof (yield* wait("s")), void (yield* wait(1)), +(yield* wait("3")));
		const o = { a: 1, b: 2, c: 3 };
		log(delete o[yield* wait("a")], delete (yield* wait(o)).b, o, ~(yield* wait(1)));`,

	"members of what was waited for": `
		const o = { p: { q: [1, { r: 2 }] } };
		log((yield* wait(o)).p.q[1].r, (yield* wait(o)).p.q[yield* wait(0)], (yield* wait(o.p)).q.length);
		log((yield* wait("text")).toUpperCase(), (yield* wait([3, 1, 2])).sort().map((x) => x * 2));
		return (yield* wait(o)).p;`,

	"waits inside waits": `
		log(yield* wait(yield* wait(yield* wait(1))));
		function* add(a, b) { yield* wait(); return a + b; }
		function* main() {
			return yield* add(yield* add(1, yield* wait(2)), yield* add(yield* wait(3), yield* add(4, 5)));
		}`.replace(/^\n\t\tlog\(.*\n/, ""),

	"a wait twice over": `
		log(yield* wait(yield* wait(yield* wait(1))));
		(yield* wait(yield* wait({}))).p = yield* wait(yield* wait(2));`,

	"comparisons of results": `
		log((yield* wait(1)) === (yield* wait(1)), (yield* wait(1)) < (yield* wait(2)), (yield* wait("a")) in { a: 1 });
		log((yield* wait([])) instanceof Array, (yield* wait(7)) % (yield* wait(4)) << (yield* wait(1)));`,

	"property reads happen once, and in order": `
		const o = { get a() { log("read a"); return 1; }, get b() { log("read b"); return { m: (x) => x }; }, set c(x) { log("set c", x); } };
		log(o.a + (yield* wait(1)) + o.a);
		o.c = o.a + (yield* wait(1));
		log(o.b.m(yield* wait(2)), [o.a, yield* wait(3), o.a]);`,

	"results that are thrown away": `
		yield* wait(1);
		(yield* wait(2)) + (yield* wait(3));
		[yield* wait(4)];
		void (yield* wait(5));
		(yield* wait({ get p() { log("read"); return 1; } })).p;
		(yield* wait(0)) || log("still evaluated");`,

	"regular expressions, big integers and other literals": `
		log(/a\\/b+/gi.test(yield* wait("xA/bb")), 10n ** (yield* wait(20n)), -0, 0x10, "\\u2028'\\"", null);`,
};
