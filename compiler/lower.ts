/**
 * Turns one generator function into plain functions that save their state when they have to wait.
 *
 * The one that is called runs straight through while nothing waits. Where it calls something that may, it looks whether
 * SUSPENDED came back; if so it saves what it still needs in a frame (see src/kernel/sched/frame.ts) and returns SUSPENDED, too.
 * Another one goes on with that frame: it takes the variables back and jumps to where the first was. Most calls never need it, and the
 * first is shorter and quicker without the ways in.
 *
 *     function* f(a) {     function f(a) {                                function f$resumed($frame, $result) {
 *         const x = g(a);      let $result, x;                                let x, a, $at;
 *         yield* h();          x = g(a);                                      $at = $frame.at; ... x = $frame.v0;
 *         return x;            if (($result = h()) === SUSPENDED) {           switch ($at) {
 *     }                            return suspend1(f$resumed, 1, x);          case 0: ...
 *                              }                                              case 1:
 *                              return x;                                          $at = 0;
 *                          }                                                      return x;
 *                                                                             }
 *                                                                         }
 *
 * A statement list that waits becomes such a switch; a loop or branch around it is entered again while `$at` is not 0. Without these
 * it is what the first function does (afresh.ts). A function expression has nowhere to put another beside it: it is both, and looks
 * for a frame first, in `resumption`, as its arguments are its own; its frames say so by where they go on, which is below zero. What
 * only gives back what it waits for, `return yield* h()`, returns h(), SUSPENDED or not, and saves itself only if it is to be named; so
 * does a function that returns nothing with what it does last.
 */
import type {
	BlockStatement,
	Expression,
	Function as FunctionNode,
	Node,
	Pattern,
	SpreadElement,
	Statement,
	Super,
	SwitchCase,
	SwitchStatement,
	TemplateElement,
	TemplateLiteral,
} from "estree";
import { afresh } from "./afresh.ts";
import { moveVariables } from "./bindings.ts";
import { List } from "./list.ts";
import { Liveness, type Point } from "./liveness.ts";
import {
	assign,
	assignedBy,
	block,
	both,
	call,
	children,
	choose,
	declare,
	differ,
	either,
	element,
	equal,
	evaluate,
	giveBack,
	isFunction,
	isLoop,
	labelled,
	leave,
	literal,
	member,
	name,
	negative,
	not,
	patternNames,
	points,
	when,
} from "./node.ts";
import { AT, FRAME, isSuspended, RESULT, RESUMPTION, suspendName, variableOf, WITH_THIS } from "./runtime.ts";
import { Unsupported } from "./unsupported.ts";

/** A call that has been compiled, and what is needed to save and to restore there. */
interface CompiledPoint extends Point {
	readonly at: number;
	/** filled in last: returns the frame */
	readonly suspend: { type: "ReturnStatement"; argument: Expression | null };
}

class Lowering {
	private readonly fn: FunctionNode;
	/** finds the compiled function that goes on */
	private readonly self: Expression;
	/** whether that is another than the one that is called */
	private readonly apart: boolean;
	/** whether it needs its `this` again, if only to be called by its name in a stack trace */
	private readonly hasThis: boolean;
	private readonly reassigned: ReadonlySet<string>;
	private readonly locals: string[];
	private readonly known: Set<string>;
	private readonly entries = new Set<SwitchStatement>();
	private readonly points = new Map<Statement, CompiledPoint>();
	/** calls after which the function is over and returns nothing */
	private readonly last: ReadonlySet<Statement>;
	private count = 0;
	private serial = 0;
	/** compiled loops and switches around the present place: what `break` and `continue` leave */
	private readonly targets: { label: string; loop: boolean }[] = [];
	/** variables that the expression being compiled assigns to: what is read of them before a wait in it may be old after it */
	private assigned: ReadonlySet<string> = new Set();

	constructor(fn: FunctionNode, self: Expression, apart: boolean, reassigned: ReadonlySet<string>) {
		this.fn = fn;
		this.self = self;
		this.apart = apart;
		this.hasThis = self.type === "MemberExpression" || usesThis(fn.body);
		this.reassigned = reassigned;
		this.last = lastCalls(fn);
		this.locals = moveVariables(fn, self);
		this.known = new Set([
			...this.locals,
			...fn.params.flatMap((parameter) => patternNames(parameter).map((p) => p.name)),
		]);
	}

	/** @returns the body of the function that goes on, if that is another */
	lower(): BlockStatement | null {
		const { fn } = this;
		const body = this.open();
		const params = this.parameters(body);
		if (fn.body.type !== "BlockStatement") throw new Unsupported("is an arrow function");
		for (const statement of fn.body.body) this.statement(statement, body, null);
		const statements = body.finish();
		new Liveness(this.known, this.points, this.entries).list(statements, new Set());
		const declared = new Map<string, Expression | null>([[RESULT, null]]);
		for (const local of this.locals) declared.set(local, null);
		fn.generator = false;
		fn.params = params;
		const restored = this.restore();
		if (!this.apart) {
			const resumed = when(differ(member(name(RESUMPTION), "frame"), literal(null)), block(restored));
			declared.set(AT, literal(0));
			fn.body = block([declare("let", declared), resumed, ...statements]);
			return null;
		}
		fn.body = block([declare("let", declared), ...afresh(statements, this.entries)]);
		for (const parameter of params) for (const { name } of patternNames(parameter)) declared.set(name, null);
		declared.delete(RESULT);
		declared.set(AT, null);
		return structuredClone(block([declare("let", declared), ...restored, ...statements]));
	}

	/** Parameters that are more than a name are taken apart in the body: a resumed function has no arguments. */
	private parameters(body: List): Pattern[] {
		return this.fn.params.map((parameter, i) => {
			if (parameter.type === "Identifier") return parameter;
			if (parameter.type === "RestElement") {
				if (parameter.argument.type !== "Identifier") throw new Unsupported("has a rest parameter that is a pattern");
				return parameter;
			}
			for (const { name } of patternNames(parameter)) this.locals.push(name);
			const given = name(`$parameter${i}`);
			if (parameter.type === "AssignmentPattern") {
				const value = choose(equal(given, name("undefined")), parameter.right, given);
				body.add(evaluate(assign(parameter.left, value)));
			} else body.add(evaluate(assign(parameter, given)));
			return given;
		});
	}

	/** Where it goes on, and with what; and what each point saves. */
	private restore(): Statement[] {
		const cases: SwitchCase[] = [];
		for (const point of this.points.values()) {
			const live = [...point.live];
			const frame: Expression[] = live.map((_, i) => variableOf(live.length, i));
			const at = literal(this.apart ? point.at : -point.at);
			const saved = call(name(suspendName(live.length)), this.self, at, ...live.map(name));
			point.suspend.argument = this.hasThis ? call(name(WITH_THIS), { type: "ThisExpression" }, saved) : saved;
			if (live.length === 0) continue;
			const restored = live.map((local, i) => evaluate(assign(name(local), frame[i])));
			cases.push({
				type: "SwitchCase",
				test: literal(point.at),
				consequent: [...restored, { type: "BreakStatement" }],
			});
		}
		const at = member(name(FRAME), "at");
		const resumed: Statement[] = this.apart
			? [evaluate(assign(name(AT), at))]
			: [
					declare("const", new Map([[FRAME, member(name(RESUMPTION), "frame")]])),
					evaluate(assign(member(name(RESUMPTION), "frame"), literal(null))),
					evaluate(assign(name(RESULT), member(name(RESUMPTION), "value"))),
					evaluate(assign(name(AT), negative(at))),
				];
		if (cases.length > 0) resumed.push({ type: "SwitchStatement", discriminant: name(AT), cases });
		return resumed;
	}

	private open(): List {
		return new List(this.entries);
	}

	private temporary(): Expression & { type: "Identifier" } {
		const fresh = `$${++this.serial}`;
		this.locals.push(fresh);
		this.known.add(fresh);
		return name(fresh);
	}

	/** A call that may wait. @returns its result, which the next wait overwrites */
	private point(awaited: Expression | null, out: List): Expression {
		const at = ++this.count;
		const suspend: CompiledPoint["suspend"] = { type: "ReturnStatement", argument: null };
		const statement = awaited === null ? block([suspend]) : when(isSuspended(assign(name(RESULT), awaited)), suspend);
		this.points.set(statement, { awaited, at, suspend, live: new Set() });
		out.add(statement);
		out.enter([at]);
		out.add(evaluate(assign(name(AT), literal(0))));
		return name(RESULT);
	}

	/** A statement with waits inside: entered by whoever goes on at one of them. */
	private compound(out: List, make: () => Statement): void {
		const first = this.count + 1;
		const statement = make();
		out.enter(Array.from({ length: this.count + 1 - first }, (_, i) => first + i));
		out.add(statement);
	}

	/** Whether evaluating it later gives the same: what waits in between cannot change it. */
	private stable(expression: Expression): boolean {
		return (
			expression.type === "Literal" ||
			expression.type === "ThisExpression" ||
			(expression.type === "Identifier" && this.known.has(expression.name) && !this.assigned.has(expression.name))
		);
	}

	private keep(expression: Expression, out: List): Expression {
		if (this.stable(expression)) return expression;
		const kept = this.temporary();
		out.add(evaluate(assign(kept, expression)));
		return kept;
	}

	/** Several expressions in their order: what comes before a wait is kept. */
	private expressions(list: readonly (Expression | SpreadElement)[], out: List): (Expression | SpreadElement)[] {
		let last = -1;
		list.forEach((expression, i) => {
			if (points(expression) > 0) last = i;
		});
		return list.map((expression, i) => {
			if (expression.type === "SpreadElement") {
				if (i <= last) throw new Unsupported("spreads before it waits");
				return expression;
			}
			const value = this.expression(expression, out);
			return i < last ? this.keep(value, out) : value;
		});
	}

	private pair(first: Expression, second: Expression, out: List): [Expression, Expression] {
		return this.expressions([first, second], out) as [Expression, Expression];
	}

	/** All of a statement's expression, see there. */
	private whole(e: Expression, out: List): Expression {
		this.assigned = assignedWithin(e);
		return this.expression(e, out);
	}

	/** Adds what comes before the last wait to `out`. @returns what is left */
	private expression(e: Expression, out: List): Expression {
		if (points(e) === 0) return e;
		switch (e.type) {
			case "YieldExpression":
				if (e.delegate) return this.point(this.expression(e.argument as Expression, out), out);
				return this.point(null, out);
			case "UnaryExpression":
				return { ...bare(e), argument: this.expression(e.argument, out) };
			case "BinaryExpression": {
				if (e.left.type === "PrivateIdentifier") throw new Unsupported("tests for a private name");
				const [left, right] = this.pair(e.left, e.right, out);
				return { ...bare(e), left, right };
			}
			case "LogicalExpression": {
				const left = this.expression(e.left, out);
				if (points(e.right) === 0) return { ...bare(e), left };
				const value = this.temporary();
				out.add(evaluate(assign(value, left)));
				const unknown: Expression = { type: "BinaryExpression", operator: "==", left: value, right: literal(null) };
				const test = e.operator === "&&" ? value : e.operator === "||" ? not(value) : unknown;
				this.branch(test, (o) => o.add(evaluate(assign(value, this.expression(e.right, o)))), null, out);
				return value;
			}
			case "ConditionalExpression": {
				const test = this.expression(e.test, out);
				if (points(e.consequent) + points(e.alternate) === 0) return { ...bare(e), test };
				const value = this.temporary();
				this.branch(
					test,
					(o) => o.add(evaluate(assign(value, this.expression(e.consequent, o)))),
					(o) => o.add(evaluate(assign(value, this.expression(e.alternate, o)))),
					out,
				);
				return value;
			}
			case "MemberExpression": {
				if (e.optional) throw new Unsupported("waits in an optional chain");
				if (!e.computed) return { ...bare(e), object: this.object(e.object, out) };
				const [object, property] = this.pair(this.notSuper(e.object), e.property as Expression, out);
				return element(object, property);
			}
			case "CallExpression": {
				if (e.optional) throw new Unsupported("waits in an optional chain");
				const waits = e.arguments.some((argument) => points(argument) > 0);
				let callee = e.callee;
				if (callee.type === "MemberExpression") {
					if (callee.computed) {
						const [object, property] = this.pair(this.notSuper(callee.object), callee.property as Expression, out);
						callee = element(this.keep(object, out), this.keep(property, out));
					} else callee = { ...bare(callee), object: this.object(callee.object, out) };
					if (waits) {
						// it is another one, perhaps, when they are there
						const method = this.keep(callee, out);
						const on: Expression = callee.object.type === "Super" ? { type: "ThisExpression" } : callee.object;
						return call(member(method, "call"), on, ...(this.expressions(e.arguments, out) as Expression[]));
					}
				} else if (callee.type !== "Super") callee = this.callee(callee, out);
				return { ...bare(e), callee, arguments: this.expressions(e.arguments, out) };
			}
			case "NewExpression": {
				const callee = this.callee(e.callee as Expression, out);
				return { ...bare(e), callee, arguments: this.expressions(e.arguments, out) };
			}
			case "ArrayExpression":
				if (e.elements.includes(null)) throw new Unsupported("waits in an array with holes");
				return { ...bare(e), elements: this.expressions(e.elements as Expression[], out) };
			case "ObjectExpression": {
				const properties = e.properties.map((property) => {
					if (property.type !== "Property" || property.computed || property.kind !== "init" || property.method) {
						throw new Unsupported("waits in such an object");
					}
					return property;
				});
				const values = this.expressions(
					properties.map((property) => property.value as Expression),
					out,
				);
				return {
					...bare(e),
					properties: properties.map((property, i) => ({ ...bare(property), value: values[i] as Expression })),
				};
			}
			case "TemplateLiteral":
				return { ...bare(e), expressions: this.expressions(this.texts(e), out) as Expression[] };
			case "SequenceExpression": {
				for (const one of e.expressions.slice(0, -1)) out.add(evaluate(this.expression(one, out)));
				return this.expression(e.expressions[e.expressions.length - 1], out);
			}
			case "AssignmentExpression": {
				let left = e.left;
				if (left.type === "MemberExpression") {
					if (left.computed) {
						const [object, property] = this.pair(this.notSuper(left.object), left.property as Expression, out);
						left = element(this.keep(object, out), this.keep(property, out));
					} else left = { ...bare(left), object: this.object(left.object, out) };
				} else if (points(left) > 0) throw new Unsupported("waits in a pattern");
				if (e.operator === "=") return assign(left, this.expression(e.right, out));
				if (e.operator === "&&=" || e.operator === "||=" || e.operator === "??=") {
					throw new Unsupported(`waits in a \`${e.operator}\``);
				}
				const operator = e.operator.slice(0, -1) as "+";
				const before = this.temporary();
				out.add(evaluate(assign(before, left as Expression)));
				return assign(left, { type: "BinaryExpression", operator, left: before, right: this.expression(e.right, out) });
			}
			default:
				throw new Unsupported(`waits in a ${e.type}`);
		}
	}

	/** What a member is read from or called on, before a wait. */
	private object(object: Expression | Super, out: List): Expression | Super {
		return object.type === "Super" ? object : this.keep(this.expression(object, out), out);
	}

	/** What is called by more than its name is found before its arguments are, and so is what its module assigns to. */
	private callee(callee: Expression, out: List): Expression {
		if (points(callee) > 0) throw new Unsupported("waits for the function it calls");
		if (callee.type !== "Identifier") return this.keep(callee, out);
		const changes = this.known.has(callee.name) ? this.assigned : this.reassigned;
		return changes.has(callee.name) ? this.keep(callee, out) : callee;
	}

	/** The values of a template, those before a wait made texts as soon as they are there. */
	private texts({ expressions }: TemplateLiteral): Expression[] {
		const last = expressions.findLastIndex((one) => points(one) > 0);
		const empty: TemplateElement = { type: "TemplateElement", tail: false, value: { raw: "", cooked: "" } };
		return expressions.map((one, i): Expression => {
			if (i >= last || one.type === "Literal") return one;
			return { type: "TemplateLiteral", quasis: [empty, { ...empty, tail: true }], expressions: [one] };
		});
	}

	private notSuper(object: Expression | Super): Expression {
		if (object.type === "Super") throw new Unsupported("waits in a computed member of super");
		return object;
	}

	private branch(test: Expression, yes: (o: List) => void, no: ((o: List) => void) | null, out: List): void {
		const decided = this.keep(test, out);
		this.compound(out, () => {
			const first = this.count + 1;
			const consequent = this.open();
			yes(consequent);
			const last = this.count;
			const alternate = no === null ? null : this.open();
			if (alternate !== null) no?.(alternate);
			const within: Expression =
				last < first
					? literal(false)
					: both(
							{ type: "BinaryExpression", operator: ">=", left: name(AT), right: literal(first) },
							{ type: "BinaryExpression", operator: "<=", left: name(AT), right: literal(last) },
						);
			const fresh = equal(name(AT), literal(0));
			return when(
				this.count < first ? decided : choose(fresh, decided, within),
				block(consequent.finish()),
				alternate === null ? null : block(alternate.finish()),
			);
		});
	}

	/** Gives each `break` and `continue` that leaves a compiled loop or switch its label: a switch of ours may be in between. */
	private relabel<T extends Statement>(statement: T): T {
		const visit = (node: Node, in_loop: boolean, in_switch: boolean): void => {
			if (isFunction(node)) return;
			if (node.type === "BreakStatement" && !node.label && !in_loop && !in_switch) {
				node.label = name(this.targets[this.targets.length - 1].label);
			} else if (node.type === "ContinueStatement" && !node.label && !in_loop) {
				node.label = name(this.targets.findLast((target) => target.loop)!.label);
			}
			const loop = in_loop || isLoop(node);
			const switching = in_switch || node.type === "SwitchStatement";
			for (const child of children(node)) visit(child, loop, switching);
		};
		visit(statement, false, false);
		return statement;
	}

	private body(statement: Statement, out: List): void {
		if (points(statement) === 0) {
			// its variables stay in it
			out.add(this.relabel(statement));
			return;
		}
		for (const inner of statement.type === "BlockStatement" ? statement.body : [statement]) {
			this.statement(inner, out, null);
		}
	}

	private label(given: string | null): string {
		return given ?? `$loop${++this.serial}`;
	}

	private statement(s: Statement, out: List, label: string | null): void {
		if (s.type === "FunctionDeclaration") throw new Unsupported("declares a function");
		if (s.type === "VariableDeclaration") {
			for (const { id, init } of s.declarations) {
				if (points(id) > 0) throw new Unsupported("waits in a pattern");
				for (const { name } of patternNames(id)) {
					if (!this.known.has(name)) throw new Error(`compiler: ${name} is declared where it was not expected`);
				}
				out.add(evaluate(assign(id, init ? this.whole(init, out) : name("undefined"))));
			}
			return;
		}
		if (points(s) === 0) {
			const same = this.relabel(s);
			out.add(label === null ? same : labelled(label, same));
			return;
		}
		switch (s.type) {
			case "ExpressionStatement": {
				if (this.last.has(s)) {
					this.giveBack(s.expression, out);
					return;
				}
				const left = this.whole(s.expression, out);
				if (left.type !== "Identifier") out.add(evaluate(left));
				return;
			}
			case "ReturnStatement":
				this.giveBack(s.argument as Expression, out);
				return;
			case "ThrowStatement":
				out.add({ type: "ThrowStatement", argument: this.whole(s.argument, out) });
				return;
			case "IfStatement": {
				const { consequent, alternate } = s;
				this.branch(
					this.whole(s.test, out),
					(o) => this.body(consequent, o),
					alternate ? (o) => this.body(alternate, o) : null,
					out,
				);
				return;
			}
			case "BlockStatement":
				this.compound(out, () => {
					const inner = this.open();
					this.body(s, inner);
					const whole = block(inner.finish());
					return label === null ? whole : labelled(label, whole);
				});
				return;
			case "LabeledStatement":
				if (s.body.type === "LabeledStatement") throw new Unsupported("waits behind two labels");
				if (isLoop(s.body) || s.body.type === "SwitchStatement" || s.body.type === "BlockStatement") {
					this.statement(s.body, out, s.label.name);
				} else {
					this.compound(out, () => {
						const inner = this.open();
						this.statement(s.body, inner, null);
						return labelled(s.label.name, block(inner.finish()));
					});
				}
				return;
			case "WhileStatement":
				this.loop(s, null, s.test, null, out, this.label(label));
				return;
			case "ForStatement":
				this.loop(s, s.init ?? null, s.test ?? null, s.update ?? null, out, this.label(label));
				return;
			case "DoWhileStatement": {
				if (points(s.test) > 0) throw new Unsupported("waits in the condition of `do`");
				const own = this.label(label);
				this.compound(out, () =>
					labelled(own, { type: "DoWhileStatement", test: s.test, body: this.round(s, own, null) }),
				);
				return;
			}
			case "ForOfStatement":
				this.forOf(s, out, this.label(label));
				return;
			case "SwitchStatement":
				this.switch(s, out, this.label(label));
				return;
			default:
				throw new Unsupported(`waits in a ${s.type}`);
		}
	}

	/** A return of what waits. */
	private giveBack(value: Expression, out: List): void {
		if (value.type === "ConditionalExpression" && points(value.test) === 0) {
			this.branch(
				value.test,
				(o) => this.giveBack(value.consequent, o),
				(o) => this.giveBack(value.alternate, o),
				out,
			);
		} else if (value.type === "YieldExpression" && value.delegate) {
			// nothing is left to do here afterwards, so nobody need come back, but for the name
			const awaited = this.whole(value.argument as Expression, out);
			out.add(when(not(member(name(RESUMPTION), "named")), giveBack(awaited)));
			out.add(giveBack(this.point(awaited, out)));
		} else {
			out.add(giveBack(this.whole(value, out)));
		}
	}

	/** The body of a loop, compiled; `first` adds what comes before it in each round. */
	private round(loop: { body: Statement }, label: string, first: ((o: List) => void) | null): Statement {
		this.targets.push({ label, loop: true });
		const inner = this.open();
		first?.(inner);
		this.body(loop.body, inner);
		this.targets.pop();
		return block(inner.finish());
	}

	private loop(
		loop: { body: Statement },
		init: (Statement & { type: "VariableDeclaration" }) | Expression | null,
		test: Expression | null,
		update: Expression | null,
		out: List,
		label: string,
	): void {
		if (init?.type === "VariableDeclaration") this.statement(init, out, null);
		else if (init !== null) out.add(evaluate(this.whole(init, out)));
		if (update !== null && points(update) > 0) throw new Unsupported("waits in the update of `for`");
		this.compound(out, () => {
			const waits = test !== null && points(test) > 0;
			const body = this.round(loop, label, waits ? (o) => o.add(when(not(this.whole(test, o)), leave(label))) : null);
			const go = waits || test === null ? literal(true) : either(differ(name(AT), literal(0)), test);
			return labelled(
				label,
				update === null
					? { type: "WhileStatement", test: go, body }
					: { type: "ForStatement", init: null, test: go, update, body },
			);
		});
	}

	private forOf(s: Statement & { type: "ForOfStatement" }, out: List, label: string): void {
		const iterator = this.temporary();
		const step = this.temporary();
		const iterable = this.whole(s.right, out);
		out.add(evaluate(assign(iterator, call(element(iterable, member(name("Symbol"), "iterator"))))));
		this.compound(out, () => {
			if (points(s.left) > 0) throw new Unsupported("waits in a pattern");
			const target = s.left.type === "VariableDeclaration" ? s.left.declarations[0].id : s.left;
			const body = this.round(s, label, (o) => {
				o.add(evaluate(assign(step, call(member(iterator, "next")))));
				o.add(when(member(step, "done"), leave(label)));
				o.add(evaluate(assign(target, member(step, "value"))));
			});
			return labelled(label, { type: "WhileStatement", test: literal(true), body });
		});
	}

	private switch(s: SwitchStatement, out: List, label: string): void {
		const discriminant = this.whole(s.discriminant, out);
		this.assigned = new Set(s.cases.flatMap(({ test }) => (test ? [...assignedWithin(test)] : [])));
		const value = this.keep(discriminant, out);
		const chosen = this.temporary();
		const fallback = s.cases.findIndex((one) => !one.test);
		let choice: Expression = literal(fallback < 0 ? s.cases.length : fallback);
		for (let i = s.cases.length - 1; i >= 0; i--) {
			const { test } = s.cases[i];
			if (!test) continue;
			if (points(test) > 0) throw new Unsupported("waits in a `case`");
			choice = choose(equal(value, test), literal(i), choice);
		}
		out.add(evaluate(assign(chosen, choice)));
		this.compound(out, () => {
			this.targets.push({ label, loop: false });
			/** cases that wait, and the last point in each */
			const waiting: { i: number; last: number }[] = [];
			const cases = s.cases.map((one, i): SwitchCase => {
				const inner = this.open();
				const before = this.count;
				for (const statement of one.consequent) this.statement(statement, inner, null);
				if (this.count > before) waiting.push({ i, last: this.count });
				return { type: "SwitchCase", test: literal(i), consequent: [block(inner.finish())] };
			});
			this.targets.pop();
			const resumed = waiting.reduceRight<Expression>(
				(otherwise, { i, last }) =>
					choose(
						{ type: "BinaryExpression", operator: "<=", left: name(AT), right: literal(last) },
						literal(i),
						otherwise,
					),
				literal(-1),
			);
			const fresh = equal(name(AT), literal(0));
			const entered = waiting.length === 0 ? chosen : choose(fresh, chosen, resumed);
			return labelled(label, { type: "SwitchStatement", discriminant: entered, cases });
		});
	}
}

/**
 * The calls that are the last a function does, if it never returns a value: then it may as well return what they do, as nobody looks at
 * what comes from a function of nothing.
 */
function lastCalls(fn: FunctionNode): Set<Statement> {
	const found = new Set<Statement>();
	let returns = false;
	const isLast = (s: Statement | undefined): void => {
		if (s?.type === "ExpressionStatement" && s.expression.type === "YieldExpression" && s.expression.delegate)
			found.add(s);
		else if (s?.type === "BlockStatement") isLast(s.body.at(-1));
		else if (s?.type === "IfStatement") {
			isLast(s.consequent);
			isLast(s.alternate ?? undefined);
		}
	};
	const visit = (node: Node): void => {
		if (isFunction(node)) return;
		if (node.type === "ReturnStatement" && node.argument) returns = true;
		const list = node.type === "BlockStatement" ? node.body : node.type === "SwitchCase" ? node.consequent : [];
		list.forEach((s, i) => {
			if (s.type === "ReturnStatement") isLast(list[i - 1]);
		});
		for (const child of children(node)) visit(child);
	};
	visit(fn.body);
	if (fn.body.type === "BlockStatement") isLast(fn.body);
	return returns ? new Set() : found;
}

/** The variables an expression assigns to in its course; what it does so as a whole comes last, and does not count. */
function assignedWithin(e: Expression): Set<string> {
	const names = new Set<string>();
	const visit = (node: Node): void => {
		if (isFunction(node)) return;
		if (node !== e || node.type !== "AssignmentExpression") for (const name of assignedBy(node)) names.add(name);
		for (const child of children(node)) visit(child);
	};
	visit(e);
	return names;
}

/** A copy without a place in the source: it is not what stood there any more. */
function bare<T extends Node>(node: T): T {
	const copy = { ...node } as T & { start?: number };
	delete copy.start;
	return copy;
}

/** Whether it, or an arrow function in it, has to do with `this`. */
function usesThis(node: Node): boolean {
	if (node.type === "ThisExpression" || node.type === "Super") return true;
	return children(node).some(
		(child) => (!isFunction(child) || child.type === "ArrowFunctionExpression") && usesThis(child),
	);
}

/**
 * Makes `fn` a plain function, in place.
 *
 * @param self an expression that finds the function that goes on, where it stands
 * @param apart whether that is another function; else it is `fn`
 * @param reassigned names outside of it that may mean something else after a wait
 * @returns the body of that other function
 * @throws Unsupported, and `fn` may be left half changed
 */
export function lowerFunction(
	fn: FunctionNode,
	self: Expression,
	apart: boolean,
	reassigned: ReadonlySet<string>,
): BlockStatement | null {
	return new Lowering(fn, self, apart, reassigned).lower();
}
