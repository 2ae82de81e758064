/** Statements that wait somewhere: branches, loops, switches, blocks. Bodies of `main`, or whole programs that have one. */

export const statements: Record<string, string> = {
	"a straight line": `
		const a = yield* wait(1);
		const b = yield* wait(a + 1);
		yield* wait();
		log(a, b);
		return a + b;`,

	"a bare yield": `
		let n = 1;
		yield;
		log(world.now, n);
		n++;
		yield;
		return n;`,

	"nothing after the last wait": `
		log("before");
		yield* wait();`,

	"if, with a wait in the test": `
		if (yield* wait(true)) log("yes");
		if (yield* wait(false)) log("no");
		else log("else");
		if ((yield* wait(3)) > 2) log("more");`,

	"if, with a wait in one branch": `
		for (const c of [true, false]) {
			if (c) { log("a"); yield* wait(); log("b"); }
			else log("c");
			if (c) log("d");
			else { log("e"); yield* wait(); log("f"); }
			if (c) yield* wait();
			if (!c) { log("g"); } else { yield* wait(); }
			log("h");
		}`,

	"if, with waits in both branches and in the test": `
		for (const c of [1, 2, 3]) {
			if ((yield* wait(c)) === 1) { yield* wait(); log("one"); }
			else if ((yield* wait(c)) === 2) { log("two"); yield* wait(); log("two again"); }
			else { yield* wait(); log("three"); yield* wait(); }
		}`,

	"if in if in if": `
		for (let i = 0; i < 8; i++) {
			if (i & 1) {
				if (i & 2) {
					log("a", i);
					if (i & 4) yield* wait();
					log("b", i);
				} else if (i & 4) { log("c", i); yield* wait(); log("d", i); }
				log("e", i);
			} else if (i & 2) { log("f", i); } else { yield* wait(); log("g", i); }
		}`,

	"a branch that changes what was tested": `
		let x = true;
		if (x) { x = false; yield* wait(); log(x); } else { log("never"); yield* wait(); }
		if (x) { log("never"); yield* wait(); } else { x = true; yield* wait(); log(x); }
		return x;`,

	while: `
		let n = 0;
		while (n < 3) { yield* wait(); log(n); n++; }
		while (n > 0) { n--; if (n === 1) continue; yield* wait(); log(n); }
		while (true) { if (++n > 2) break; yield* wait(); log(n); }
		return n;`,

	"while, with a wait in the test": `
		let n = 0;
		while ((yield* wait(n)) < 3) { log(n); n++; if (n === 2) continue; log("odd"); }
		while (yield* wait(n-- > 0)) log(n);
		return n;`,

	for: `
		for (let i = 0; i < 3; i++) { yield* wait(); log(i); }
		let j;
		for (j = 5; j > 3; j--) { log(j); yield* wait(); }
		for (;;) { if (j-- < 2) break; yield* wait(); log(j); }
		for (let a = 0, b = 4; a < b; a++, b--) { yield* wait(); log(a, b); }
		return j;`,

	"for, with waits in its head": `
		for (let i = yield* wait(1), n = yield* wait(3); i < n; i++) log(i, n);
		for (let i = 0; (yield* wait(i)) < 2; i++) { if (i === 0) continue; log(i); }
		let k;
		for (k = yield* wait(2); k > 0; k--) { log(k); yield* wait(); }`,

	"for, with continue: the update is done": `
		for (let i = 0; i < 5; i++) {
			if (i === 1) continue;
			yield* wait();
			if (i === 3) continue;
			log(i);
		}`,

	"for-of": `
		for (const x of [1, 2, 3]) { yield* wait(); log(x); }
		for (const x of yield* wait([4, 5])) { log(x); yield* wait(x); }
		for (const [key, { value = 7 }] of new Map([["a", { value: 1 }], ["b", {}]])) { yield* wait(); log(key, value); }
		let x;
		for (x of "xy") { yield* wait(); log(x); }
		const o = {};
		for (o.p of [8, 9]) { yield* wait(); log(o); }
		for (const nothing of []) { yield* wait(); log(nothing); }
		return x;`,

	"for-of that waits for the list only": `
		const seen = [];
		for (const x of yield* wait([1, 2, 3])) { if (x === 2) continue; seen.push(x); }
		for (const [a, b] of yield* wait([[1, 2]])) seen.push(a, b);
		const x = "outside";
		log(seen, x);`,

	"for-of over a list that grows meanwhile": `
		const list = [1];
		world.during = () => { if (list.length < 5) list.push(list.length + 1); };
		for (const x of list) { log(x); yield* wait(); }`,

	"for-of with break and continue": `
		for (const x of [1, 2, 3, 4, 5]) {
			if (x === 2) continue;
			yield* wait();
			if (x === 4) break;
			log(x);
		}
		for (const x of [1, 2, 3]) { if (x === 2) { yield* wait(); break; } log(x); }`,

	"labels: break and continue of outer loops": `
		outer: for (const x of [1, 2, 3]) {
			for (let y = 0; y < 3; y++) {
				if (y === 1 && x === 1) continue outer;
				yield* wait();
				if (y === 1 && x === 3) break outer;
				log(x, y);
				inner: while (true) { yield* wait(); if (x > 1) continue outer; break inner; }
			}
			log("end of round", x);
		}
		again: do { yield* wait(); for (;;) { if (world.now > 1) break again; log("leaves"); break again; } } while (true);`,

	"labels: an inner loop that never waits leaves an outer one that does": `
		outer: for (let i = 0; i < 3; i++) {
			for (let j = 0; j < 3; j++) { if (j === 1) continue outer; if (i === 2) break outer; log(i, j); }
			yield* wait();
			log("never");
		}
		outer: for (let i = 0; i < 3; i++) {
			yield* wait();
			for (const j of [1, 2]) { if (i === 1) continue outer; log(i, j); }
			log("end", i);
		}`,

	"do-while": `
		let n = 0;
		do { yield* wait(); log(n); n++; } while (n < 3);
		do { n--; if (n === 1) continue; yield* wait(); log(n); } while (n > 0);
		do { if (n++ > 1) break; yield* wait(); } while (true);
		return n;`,

	switch: `
		for (let i = 0; i < 4; i++) {
			switch (i) {
				case 0: log("zero"); yield* wait(); log("still zero"); break;
				case 1: log("one"); break;
				case 2: { yield* wait(); log("two"); break; }
				default: yield* wait(); log("other");
			}
		}`,

	"switch with fallthrough, and the default in the middle": `
		for (const i of [0, 1, 2, 3, 4, 9]) {
			switch (i) {
				case 0: log("zero"); yield* wait();
				case 1: log("one or less"); break;
				default: log("default"); yield* wait();
				case 2: case 3: log("two, three, or fallen"); yield* wait();
				case 4: log("four or less");
			}
			log("after", i);
		}`,

	"switch without a match": `
		switch (yield* wait(5)) { case 1: yield* wait(); log("never"); }
		switch (5) { case 1: yield* wait(); log("never"); case 2: log("neither"); }
		switch (5) {}
		log("after");`,

	"switch: what is chosen is decided before it waits": `
		let x = 1;
		switch (x) {
			case 1: x = 2; yield* wait(); log("one", x); break;
			case 2: yield* wait(); log("two"); break;
		}
		switch (x) { case 1: log("never"); break; case x++: yield* wait(); log("itself", x); }`,

	"switch: continue and break of a loop around it": `
		out: for (let i = 0; i < 6; i++) {
			switch (i) {
				case 0: yield* wait(); continue;
				case 1: log("one"); continue out;
				case 2: if (yield* wait(true)) break; log("never"); break;
				case 3: for (const x of [1, 2]) { if (x === 2) break; yield* wait(); log("in the loop", x); } break;
				case 4: while (true) { log("plain loop"); break; } log("after it"); break;
				default: yield* wait(); break out;
			}
			log("round", i);
		}`,

	"switch in switch": `
		for (const [a, b] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
			switch (a) {
				case 0:
					switch (b) { case 0: yield* wait(); log("00"); break; default: log("01"); }
					log("0");
					break;
				case 1:
					yield* wait();
					switch (b) { case 1: yield* wait(); log("11"); }
					log("1");
			}
		}`,

	"switch, with variables in its cases": `
		for (const i of [0, 1]) {
			switch (i) {
				case 0: { const x = yield* wait("block"); log(x); break; }
				case 1: let x = "case"; yield* wait(); log(x); x = "changed"; yield* wait(); log(x);
			}
		}`,

	"switch that waits for what it looks at only": `
		for (const i of [1, 2]) {
			switch (yield* wait(i)) { case 1: const one = "one"; log(one); break; case 2: log("two"); continue; }
			log("round");
		}`,

	"labelled blocks": `
		block: { log("a"); yield* wait(); if (world.now > 0) break block; log("b"); }
		block: { for (const x of [1, 2]) { yield* wait(); if (x === 2) break block; log(x); } log("never"); }
		choice: if (yield* wait(true)) { yield* wait(); if (true) break choice; log("never"); }
		log("c");`,

	"a block that waits among statements": `
		let x = 1;
		{ const x = yield* wait(2); log(x); { const x = yield* wait(3); log(x); } log(x); }
		log(x);`,

	"empty statements and blocks": `
		;;{} yield* wait(); {} ; if (yield* wait(true)) {} else {} for (const x of [1]) { ; yield* wait(); ; }
		while (yield* wait(false));`,

	"return from within": `
		for (let i = 0; ; i++) {
			switch (i) {
				case 2: { for (const x of [1, 2, 3]) { yield* wait(); if (x === 2) return x * 10; } }
				default: yield* wait(); log(i);
			}
		}`,

	"early returns": `
		function* f(n) {
			if (n === 0) return "at once";
			if (n === 1) { yield* wait(); return yield* wait("later"); }
			yield* wait();
			if (n === 2) return;
			log("the rest");
		}
		function* main() { for (const n of [0, 1, 2, 3]) log(yield* f(n)); }`,

	throw: `
		function* f(n) {
			if (n === 0) throw new Error("at once");
			yield* wait();
			if (n === 1) throw new Error("after a wait");
			throw yield* wait(new Error("waited for"));
		}
		function* main() { for (const n of [0, 1, 2]) { try { yield* f(n); } catch (e) { log(e.message); } } yield* f(1); }`,

	"break of a plain switch and loop in a loop that waits": `
		for (let i = 0; i < 3; i++) {
			switch (i) { case 1: log("one"); break; default: log("other"); }
			for (const x of [1, 2, 3]) { if (x === 2) break; log(x); }
			for (const x in { a: 1, b: 2 }) { if (x === "b") continue; log(x); }
			do { if (i === 1) break; log("do"); } while (false);
			yield* wait();
			try { if (i === 1) continue; log("try"); } finally { log("finally"); }
			log("end");
		}`,

	"what looks like a loop's test on the way back": `
		let calls = 0;
		const test = (n) => { calls++; return n < 3; };
		for (let i = 0; test(i); i++) yield* wait();
		let n = 0;
		while (test(n)) { n++; yield* wait(); }
		log(calls);`,

	"loops three deep": `
		let sum = 0;
		for (let i = 0; i < 2; i++) {
			let j = 0;
			while (j < 2) {
				for (const k of [1, 2]) { sum += i * 100 + j * 10 + k; if (k === 1) yield* wait(); log(sum); }
				j++;
			}
			if (i === 0) yield* wait();
		}
		return sum;`,
};
