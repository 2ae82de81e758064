/**
 * Programs by chance, for support.ts to run: a few functions that call each other, made of everything the compiler knows.
 *
 * A program is written as its choices say, a number each; with no choices left everything is as simple as it can be, so that
 * a failure can be made smaller. All values are numbers, and all loops end.
 */

/** What a program may be made of. */
export const CONSTRUCTS = [
	"wait",
	"wait in a condition",
	"bare yield",
	"call",
	"method that waits",
	"method call",
	"new",
	"array",
	"object",
	"template",
	"sequence",
	"binary",
	"unary",
	"logical",
	"conditional",
	"assignment in an expression",
	"update in an expression",
	"compound assignment",
	"member assignment",
	"element assignment",
	"closure",
	"spread",
	"declaration",
	"declaration without a value",
	"destructuring",
	"hidden variable",
	"if",
	"else",
	"while",
	"for",
	"for-of",
	"do-while",
	"switch",
	"fallthrough",
	"default in the middle",
	"block",
	"labelled block",
	"break",
	"continue",
	"break to a label",
	"continue to a label",
	"return",
	"throw",
	"try",
	"finally",
] as const;

export type Construct = (typeof CONSTRUCTS)[number];

export interface Program {
	readonly text: string;
	readonly made: ReadonlyMap<Construct, number>;
}

interface Variable {
	readonly name: string;
	readonly changes: boolean;
	/** declared in a loop: there are several of it */
	readonly several: boolean;
}

/** A block: what it declares, and what it has named of blocks around it, and so cannot declare any more. */
class Block {
	readonly variables = new Map<string, Variable>();
	readonly named = new Set<string>();
}

/** Where `break` and `continue` can go. */
interface Target {
	readonly label: string | null;
	readonly kind: "loop" | "switch" | "block";
}

const NAMES = ["a", "b", "c", "d", "e"];
const DEEPEST_STATEMENT = 3;
const DEEPEST_EXPRESSION = 3;
/** So many parts a function is made of before it is brought to its end. */
const FUNCTION_SIZE = 45;

const PRELUDE = `
let g = 1;
const o = { p: 2, list: [3, 4, 5, 6], add(x, y) { return (this.p + x * 3 + y) % 1000; } };
class Pair { constructor(x, y) { this.x = x; this.y = y; } }
const sum = (...all) => all.reduce((x, y) => (x + Number(y)) % 1000, 0);
const total = (all) => sum(...all);
const put = (x) => { log("put", x); return x; };
world.during = () => { g = (g * 3 + 1) % 100; o.p = (o.p + g) % 100; o.list[g & 3] = g; };
`;

class Writer {
	readonly made = new Map<Construct, number>();
	private readonly choices: Uint8Array;
	private at = 0;
	private serial = 0;
	private size = 0;
	/** the functions that may be called: those that come after this one */
	private callable: readonly string[] = [];
	private blocks: Block[] = [];
	private targets: Target[] = [];
	/** inside of an arrow function, where nothing waits */
	private plain = false;

	constructor(choices: Uint8Array) {
		this.choices = choices;
	}

	program(): string {
		const names = ["main", ...Array.from({ length: 1 + this.pick(3) }, (_, i) => (i === 1 ? "k.m" : `f${i + 1}`))];
		const functions = names.map((name, i) => {
			this.callable = names.slice(i + 1);
			return this.function(name);
		});
		return PRELUDE + functions.join("\n");
	}

	private pick(below: number): number {
		const choice = this.at < this.choices.length ? this.choices[this.at++] : 0;
		return choice % below;
	}

	private one<T>(of: readonly T[]): T {
		return of[this.pick(of.length)];
	}

	private note(construct: Construct): void {
		this.size++;
		this.made.set(construct, (this.made.get(construct) ?? 0) + 1);
	}

	private function(name: string): string {
		this.size = 0;
		const scope = new Block();
		scope.variables.set("a", { name: "a", changes: true, several: false });
		scope.variables.set("b", { name: "b", changes: false, several: false });
		this.blocks = [scope];
		const body = this.list(0, 2 + this.pick(4));
		const last = this.inBlock(() => this.expression(1));
		const text = `(a = 1, { b = 2 } = {}) { log("${name}", a, b); {${body}} return ${last}; }`;
		return name === "k.m" ? `class K { q = 1; *m${text} }\nconst k = new K();` : `function* ${name}${text}`;
	}

	private inBlock<T>(write: () => T): T {
		this.blocks.push(new Block());
		const written = write();
		this.blocks.pop();
		return written;
	}

	private variables(): Variable[] {
		const seen = new Map<string, Variable>();
		for (const block of this.blocks) for (const [name, variable] of block.variables) seen.set(name, variable);
		return [...seen.values()];
	}

	private use(variable: Variable): string {
		for (const block of this.blocks.toReversed()) {
			if (block.variables.has(variable.name)) break;
			block.named.add(variable.name);
		}
		return variable.name;
	}

	/** A new name in this block, or null; to be asked for after its value has been written. */
	private declare(changes: boolean): string | null {
		const block = this.blocks[this.blocks.length - 1];
		const free = NAMES.filter((name) => !block.variables.has(name) && !block.named.has(name));
		if (free.length === 0) return null;
		const name = this.one(free);
		if (this.variables().some((variable) => variable.name === name)) this.note("hidden variable");
		block.variables.set(name, { name, changes, several: this.targets.some(({ kind }) => kind === "loop") });
		return name;
	}

	/** Statements in a block of their own. */
	private list(depth: number, count = 1 + this.pick(3), declares = true): string {
		return this.inBlock(() => Array.from({ length: count }, () => this.statement(depth, declares)).join("\n"));
	}

	private statement(depth: number, declares: boolean): string {
		if (this.size > FUNCTION_SIZE) return `log(${this.expression(DEEPEST_EXPRESSION)});`;
		const simple = depth >= DEEPEST_STATEMENT;
		switch (this.pick(simple ? 9 : 22)) {
			case 1:
				return declares ? this.declaration() : `put(${this.expression(1)});`;
			case 2:
				return `${this.assignment(0)};`;
			case 3:
				this.note("bare yield");
				return "yield;";
			case 4:
			case 5:
				return this.jump();
			case 6:
				return `log(${this.expression(0)}, ${this.expression(1)});`;
			case 7:
				return declares ? this.declaration() : this.jump();
			case 8:
				return `${this.expression(0)};`;
			case 9:
			case 10:
			case 11:
				return this.branch(depth);
			case 12:
			case 13:
				return this.whileLoop(depth);
			case 14:
				return this.forLoop(depth);
			case 15:
				return this.forOf(depth);
			case 16:
				return this.doLoop(depth);
			case 17:
			case 18:
			case 19:
				return this.choice(depth);
			case 20:
				return this.plainBlock(depth);
			case 21:
				return this.pick(3) === 1 ? this.attempt(depth) : this.branch(depth);
			default:
				return `log(${this.expression(0)});`;
		}
	}

	private declaration(): string {
		const kind = this.pick(6);
		if (kind === 4) {
			const name = this.declare(true);
			if (name === null) return "log();";
			this.note("declaration without a value");
			return `let ${name}; log(${name}); ${name} = ${this.expression(1)};`;
		}
		if (kind === 5) {
			const values = [this.expression(1), this.expression(2)];
			const names = [this.declare(false), this.declare(false)];
			if (names[0] === null || names[1] === null) return `log(${values.join()});`;
			this.note("destructuring");
			return `const [${names[0]}, { x: ${names[1]} = 7 }] = [${values[0]}, { x: ${values[1]} }];`;
		}
		const value = this.expression(0);
		const name = this.declare(kind > 1);
		if (name === null) return `log(${value});`;
		this.note("declaration");
		return `${kind > 1 ? "let" : "const"} ${name} = ${value};`;
	}

	private branch(depth: number): string {
		this.note("if");
		const test = this.condition();
		const yes = this.list(depth + 1);
		if (this.pick(2) === 0) return `if (${test}) {${yes}}`;
		this.note("else");
		return `if (${test}) {${yes}} else {${this.list(depth + 1)}}`;
	}

	private condition(): string {
		if (this.pick(3) !== 1) return `${this.expression(1)} & 1`;
		this.note("wait in a condition");
		return `(yield* wait(${this.expression(2)})) & 1`;
	}

	private label(): string | null {
		return this.pick(3) === 1 ? `l${++this.serial}` : null;
	}

	private loopBody(depth: number, write: (body: string) => string, start = () => {}): string {
		const label = this.label();
		this.targets.push({ label, kind: "loop" });
		const text = this.inBlock(() => {
			start();
			return this.list(depth + 1);
		});
		this.targets.pop();
		return `${label === null ? "" : `${label}: `}${write(text)}`;
	}

	private whileLoop(depth: number): string {
		this.note("while");
		const counter = `n${++this.serial}`;
		const times = 1 + this.pick(3);
		const waits = this.pick(2) === 1;
		if (waits) this.note("wait in a condition");
		const test = waits ? `(yield* wait(${counter}++)) < ${times}` : `${counter}++ < ${times}`;
		return `let ${counter} = 0; ${this.loopBody(depth, (body) => `while (${test}) {${body}}`)}`;
	}

	private forLoop(depth: number): string {
		this.note("for");
		const counter = `n${++this.serial}`;
		const times = 1 + this.pick(3);
		const first = this.pick(3) === 1 ? "yield* wait(0)" : "0";
		const head = `let ${counter} = ${first}; ${counter} < ${times}; ${counter}++`;
		return this.loopBody(depth, (body) => `for (${head}) {log(${counter}); ${body}}`);
	}

	private forOf(depth: number): string {
		this.note("for-of");
		let name: string | null = null;
		let list = "";
		return this.loopBody(
			depth,
			(body) => `for (const ${name} of ${list}) {${body}}`,
			() => {
				// not yet declared where its list is, but hiding others already
				const values = Array.from({ length: 1 + this.pick(3) }, () => this.expression(2)).join();
				list = this.pick(3) === 1 ? `yield* wait([${values}])` : `[${values}]`;
				name = this.declare(false);
			},
		);
	}

	private doLoop(depth: number): string {
		this.note("do-while");
		const counter = `n${++this.serial}`;
		const times = 1 + this.pick(3);
		return `let ${counter} = 0; ${this.loopBody(depth, (body) => `do {${body}} while (++${counter} < ${times});`)}`;
	}

	private choice(depth: number): string {
		this.note("switch");
		const label = this.label();
		const on = this.condition().replace(/1$/, "3");
		this.targets.push({ label, kind: "switch" });
		const count = 1 + this.pick(4);
		const fallback = this.pick(count + 1);
		const cases = Array.from({ length: count }, (_, i) => {
			const ends = this.pick(3) !== 1;
			if (!ends && i < count - 1) this.note("fallthrough");
			if (i === fallback && i < count - 1) this.note("default in the middle");
			const body = this.list(depth + 1, 1 + this.pick(2), false);
			return `${i === fallback ? "default" : `case ${i}`}: ${body} ${ends ? "break;" : ""}`;
		});
		this.targets.pop();
		return `${label === null ? "" : `${label}: `}switch (${on}) {${cases.join("\n")}}`;
	}

	private plainBlock(depth: number): string {
		const label = this.label();
		if (label === null) {
			this.note("block");
			return `{${this.list(depth + 1)}}`;
		}
		this.note("labelled block");
		this.targets.push({ label, kind: "block" });
		const body = this.list(depth + 1, 2);
		this.targets.pop();
		return `${label}: {${body}}`;
	}

	private attempt(depth: number): string {
		this.note("try");
		const body = this.list(depth + 1, 2);
		const kind = this.pick(3);
		const handler = kind === 1 ? "" : ` catch (thrown) {log("caught", thrown.message); ${this.list(depth + 1)}}`;
		if (kind === 0) return `try {${body}}${handler}`;
		this.note("finally");
		return `try {${body}}${handler} finally {${this.list(depth + 1)}}`;
	}

	/** Leaves something, sometimes. */
	private jump(): string {
		const when = `if (${this.condition()} && g & 2)`;
		const ways: (() => string)[] = [];
		const innermost = this.targets.findLast(({ kind }) => kind !== "block");
		if (innermost !== undefined) {
			ways.push(() => {
				this.note("break");
				return "break";
			});
		}
		if (this.targets.some(({ kind }) => kind === "loop")) {
			ways.push(() => {
				this.note("continue");
				return "continue";
			});
		}
		for (const { label, kind } of this.targets) {
			if (label === null) continue;
			ways.push(() => {
				this.note("break to a label");
				return `break ${label}`;
			});
			if (kind !== "loop") continue;
			ways.push(() => {
				this.note("continue to a label");
				return `continue ${label}`;
			});
		}
		ways.push(() => {
			this.note("return");
			return `return ${this.expression(1)}`;
		});
		if (this.pick(8) === 1) {
			this.note("throw");
			return `${when} throw new Error("thrown " + ${this.expression(2)});`;
		}
		return `${when} ${this.one(ways)()};`;
	}

	/** An assignment, without brackets. */
	private assignment(depth: number): string {
		const operator = this.one(["=", "+=", "-=", "^="]);
		const changing = this.variables().filter(({ changes }) => changes && !this.plain);
		const kind = this.pick(4);
		if (kind < 2 && changing.length > 0) {
			const name = this.use(this.one(changing));
			if (operator !== "=") this.note("compound assignment");
			return `${name} ${operator} ${this.expression(depth + 1)}`;
		}
		if (kind === 2) {
			this.note("element assignment");
			return `o.list[${this.expression(depth + 1)} & 3] ${operator} ${this.expression(depth + 1)}`;
		}
		this.note("member assignment");
		return `${this.one(["g", "o.p", "o.list[1]"])} ${operator} ${this.expression(depth + 1)}`;
	}

	/** Anything with a value, in brackets where it needs them. */
	private expression(depth: number): string {
		const variables = this.variables();
		if (depth >= DEEPEST_EXPRESSION || this.size > FUNCTION_SIZE) return this.leaf(variables);
		const inner = (): string => this.expression(depth + 1);
		switch (this.pick(24)) {
			case 3:
			case 4:
			case 5:
			case 6:
				if (this.plain) return this.leaf(variables);
				this.note("wait");
				return `(yield* wait(${inner()}))`;
			case 7:
			case 8: {
				if (this.plain || this.callable.length === 0) return this.leaf(variables);
				const called = this.one(this.callable);
				this.note(called === "k.m" ? "method that waits" : "call");
				return `(yield* ${called}(${inner()}, { b: ${inner()} }))`;
			}
			case 9:
				this.note("method call");
				return `${this.one(["o.add", 'o["add"]', "sum"])}(${inner()}, ${inner()})`;
			case 10:
				this.note("new");
				return `new Pair(${inner()}, ${inner()}).${this.one(["x", "y"])}`;
			case 11:
				this.note("array");
				return `total([${inner()}, ${inner()}, ${inner()}])`;
			case 12:
				this.note("object");
				return `((x) => x.p - x.q)({ p: ${inner()}, q: ${inner()} })`;
			case 13:
				this.note("template");
				return `\`\${${inner()}}\${${inner()}}\`.length`;
			case 14:
				this.note("sequence");
				return `(put(${inner()}), ${inner()})`;
			case 15:
			case 16:
				this.note("binary");
				return `(${inner()} ${this.one(["+", "-", "*", "<", "===", "|", "%"])} ${inner()}) % 1000`.replace(
					/^(.*)$/s,
					"($1)",
				);
			case 17:
				this.note("unary");
				return `(${this.one(["-", "!", "~"])}${inner()})`;
			case 18:
				this.note("logical");
				return `(${inner()} ${this.one(["&&", "||"])} ${inner()})`;
			case 19:
				this.note("conditional");
				return `(${inner()} & 1 ? ${inner()} : ${inner()})`;
			case 20: {
				const changing = variables.filter(({ changes }) => changes);
				if (this.plain || changing.length === 0) return this.leaf(variables);
				this.note("update in an expression");
				// read, changed, and perhaps waited with in one expression
				const name = this.use(this.one(changing));
				return `sum(${name}, ${name}++, ${inner()}, ${name})`;
			}
			case 21:
				this.note("assignment in an expression");
				return `(${this.assignment(depth + 1)})`;
			case 22:
				return this.closure(depth);
			case 23:
				this.note("spread");
				return `sum(${inner()}, ...[${this.leaf(variables)}, 1])`;
			default:
				return this.leaf(variables);
		}
	}

	/** A function that captures variables: seldom those that change, which the compiler leaves alone. */
	private closure(depth: number): string {
		if (this.plain) return "1";
		this.note("closure");
		this.plain = true;
		const captured = this.variables().filter(({ changes, several }) => !(changes || several) || this.pick(16) === 1);
		const inside = captured.length === 0 ? "2" : this.use(this.one(captured));
		this.plain = false;
		return `[${this.expression(depth + 1)}].map((x) => x + ${inside})[0]`;
	}

	private leaf(variables: readonly Variable[]): string {
		const kind = this.pick(8);
		if (kind === 1) return this.one(["g", "o.p", "o.list[2]", "world.now"]);
		if (kind < 2 || variables.length === 0) return String(1 + this.pick(9));
		return this.use(this.one(variables));
	}
}

export function writeProgram(choices: Uint8Array): Program {
	const writer = new Writer(choices);
	const text = writer.program();
	return { text, made: writer.made };
}
