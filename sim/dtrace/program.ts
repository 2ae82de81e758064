/** A program ready to run: what each of its probes does, and the aggregations it fills. */
import { curthread } from "../../src/kernel/sched/thread.ts";
import { ACTIONS, type ActionName, Aggregation, addValue, type Linear, type Table, type Value } from "./aggregation.ts";
import { suggest, wrong } from "./errors.ts";
import {
	BUILTINS,
	compileNumber,
	compileTruth,
	compileValue,
	elementKey,
	Fault,
	type Frame,
	type Scope,
	type Variable,
	whole,
} from "./expression.ts";
import { parseProgram } from "./parser.ts";
import { findProbes, type KnownProbe, knownProbes } from "./probes.ts";
import type { Aggregate, Assignment, Clause, Expression, Key } from "./syntax.ts";

/** The run a program watches. */
export interface RunFacts {
	readonly policy: string;
	readonly seed: number;
	/** one of several policies: an aggregation that does not name the policy has it for its first key */
	readonly one_of_many: boolean;
}

type Effect = (frame: Frame) => void;

/** lquantize has no more levels than this. @see dtrace(1) */
const LEVELS_MAX = 65_535;

/** How many values an action is given. */
const PARAMETERS: Readonly<Record<ActionName, { least: number; most: number; usage: string }>> = {
	count: { least: 0, most: 0, usage: "count()" },
	sum: { least: 1, most: 1, usage: "sum(value)" },
	avg: { least: 1, most: 1, usage: "avg(value)" },
	min: { least: 1, most: 1, usage: "min(value)" },
	max: { least: 1, most: 1, usage: "max(value)" },
	stddev: { least: 1, most: 1, usage: "stddev(value)" },
	quantize: { least: 1, most: 1, usage: "quantize(value)" },
	lquantize: { least: 3, most: 4, usage: "lquantize(value, from, to, step)" },
};

/** An aggregation, and what it was first used with. */
interface Declared {
	readonly aggregation: Aggregation;
	readonly key_types: string;
	readonly parameters: string;
}

/** The name of the variable that a statement assigns to; one, or none. */
function variableName(statement: Aggregate | Assignment): string[] {
	if (statement.kind === "aggregate") return [];
	const { kind, name } = statement.target;
	return [kind === "self" ? `self->${name}` : name];
}

export class Program {
	private readonly text: string;
	private readonly facts: RunFacts;
	private readonly known: readonly KnownProbe[];
	private readonly declared = new Map<string, Declared>();
	private readonly variables = new Map<string, Variable>();
	private readonly assigned: ReadonlySet<string>;
	private readonly effects: { readonly probe: KnownProbe; readonly run: Effect }[] = [];
	private readonly faults = new Map<string, number>();

	/** Throws a UsageError that says what is wrong with `text`, and where. */
	constructor(text: string, facts: RunFacts) {
		this.text = text;
		this.facts = facts;
		this.known = knownProbes();
		const clauses = parseProgram(text);
		this.assigned = new Set(clauses.flatMap(({ statements }) => statements.flatMap(variableName)));
		for (const clause of clauses) this.clause(clause);
	}

	/** Starts to listen. @returns a function that ends it */
	attach(): () => void {
		const detach = this.effects.map(({ probe, run }) => probe.probe.listen((...frame) => run(frame)));
		return () => {
			for (const end of detach.splice(0)) end();
		};
	}

	/** What has come together, in the order in which the program names it. */
	tables(): Table[] {
		return [...this.declared.values()].map(({ aggregation }) => aggregation.table());
	}

	/** What went wrong while it ran, and how often. */
	complaints(): string[] {
		return [...this.faults].map(([what, times]) => `${what}: ${times} ${times === 1 ? "firing" : "firings"} left out`);
	}

	private clause({ probes, predicate, statements }: Clause): void {
		const met = new Set<KnownProbe>();
		for (const { text, at } of probes) {
			for (const probe of findProbes(this.known, this.text, text, at)) {
				if (met.has(probe)) continue;
				met.add(probe);
				this.effects.push({ probe, run: this.body(probe, predicate, statements) });
			}
		}
	}

	private body(probe: KnownProbe, predicate: Expression | null, statements: Clause["statements"]): Effect {
		const { policy, seed } = this.facts;
		const { name, parameters } = probe;
		const { text, variables, assigned } = this;
		const scope: Scope = { text, probe: name, parameters, variables, assigned, policy, seed };
		const holds = predicate === null ? null : compileTruth(scope, predicate);
		const effects = statements.map((statement) =>
			statement.kind === "aggregate" ? this.aggregate(scope, statement) : this.assign(scope, statement),
		);
		return (frame) => {
			try {
				if (holds !== null && !holds(frame)) return;
				for (const effect of effects) effect(frame);
			} catch (error) {
				if (!(error instanceof Fault)) throw error;
				const what = `${name}: ${error.message}`;
				this.faults.set(what, (this.faults.get(what) ?? 0) + 1);
			}
		};
	}

	/** The keys of an aggregation, with the policy where it must not be forgotten. */
	private keysOf(statement: Aggregate): readonly Key[] {
		if (!this.facts.one_of_many || statement.keys.some(({ text }) => text === "policy")) return statement.keys;
		return [{ expression: { kind: "name", name: "policy", at: statement.at }, text: "policy" }, ...statement.keys];
	}

	private aggregate(scope: Scope, statement: Aggregate): Effect {
		const { name, at } = statement;
		const action = this.action(statement);
		const linear = action === "lquantize" ? this.linear(statement) : null;
		const written = this.keysOf(statement);
		const keys = written.map(({ expression }) => compileValue(scope, expression, "a key"));
		const key_types = keys.map(({ type }) => type).join(", ");
		const parameters = JSON.stringify(linear);
		let declared = this.declared.get(name);
		if (declared === undefined) {
			const shape = { name, action, keys: written.map(({ text }) => text), linear };
			declared = { aggregation: new Aggregation(shape), key_types, parameters };
			this.declared.set(name, declared);
		}
		const { aggregation } = declared;
		const before = aggregation.shape.action;
		if (before !== action) wrong(this.text, at, `@${name} is ${before}() before, and cannot be ${action}(), too`);
		if (declared.key_types !== key_types) wrong(this.text, at, `@${name} has other keys before`);
		if (declared.parameters !== parameters) wrong(this.text, at, `@${name} has other bounds before`);
		const reads = keys.map(({ read }) => read);
		if (action === "count") {
			return (frame) => {
				aggregation.cell(reads.map((read) => read(frame))).count++;
			};
		}
		const value = compileNumber(scope, statement.parameters[0], `what ${action}() is given`).read;
		return (frame) => {
			const n = whole(value(frame));
			addValue(aggregation.cell(reads.map((read) => read(frame))), aggregation.shape, n);
		};
	}

	private action({ action, action_at, parameters }: Aggregate): ActionName {
		const found = ACTIONS.find((known) => known === action);
		if (found === undefined) {
			return wrong(this.text, action_at, `no action ${action}()${suggest(action, ACTIONS)}`);
		}
		const { least, most, usage } = PARAMETERS[found];
		if (parameters.length < least || parameters.length > most) {
			wrong(this.text, action_at, `write ${usage}; ${parameters.length} values are given`);
		}
		return found;
	}

	private linear({ parameters, action_at }: Aggregate): Linear {
		const [base, limit, step] = parameters.slice(1).map((parameter) => this.constant(parameter));
		const width = step ?? 1;
		if (width < 1) wrong(this.text, action_at, "lquantize: the step must be 1 or more");
		const levels = Math.floor((limit - base) / width);
		if (levels < 1) wrong(this.text, action_at, "lquantize: no step fits between the bounds");
		if (levels > LEVELS_MAX) wrong(this.text, action_at, `lquantize: more than ${LEVELS_MAX} steps`);
		return { base, step: width, levels };
	}

	private constant(expression: Expression): number {
		if (expression.kind === "number") return expression.value;
		const negative = expression.kind === "unary" && expression.operator === "-" ? expression.operand : null;
		if (negative?.kind === "number") return -negative.value;
		return wrong(this.text, expression.at, "lquantize: bounds and step must be plain numbers");
	}

	/** The variable that is assigned to: made when it is seen first. */
	private variable(name: string, at: number, type: string, keys: readonly string[] | null): Variable {
		let variable = this.variables.get(name);
		if (variable === undefined) {
			variable = { type: type as Variable["type"], keys, values: new Map() };
			this.variables.set(name, variable);
		}
		if (variable.type !== type)
			wrong(this.text, at, `${name} is a ${variable.type} before, and cannot be a ${type}, too`);
		if (variable.keys?.join() !== keys?.join()) wrong(this.text, at, `${name} is used with other keys before`);
		return variable;
	}

	private assign(scope: Scope, { target, value, at }: Assignment): Effect {
		const { type, read } = compileValue(scope, value, "what is assigned");
		const nothing = type === "number" ? 0 : "";
		/** What is set to nothing takes no room. */
		const set = (values: Map<unknown, Value>, key: unknown, to: Value): void => {
			if (to === nothing) values.delete(key);
			else values.set(key, to);
		};
		if (target.kind === "self") {
			const { values } = this.variable(`self->${target.name}`, at, type, null);
			return (frame) => set(values, curthread, read(frame));
		}
		const { name } = target;
		if (scope.parameters.some((parameter) => parameter.name === name) || Object.hasOwn(BUILTINS, name)) {
			return wrong(this.text, at, `${name} cannot be assigned to; take another name`);
		}
		if (target.kind === "name") {
			const { values } = this.variable(name, at, type, null);
			return (frame) => set(values, "", read(frame));
		}
		const key = elementKey(scope, target.keys);
		const { values } = this.variable(name, at, type, key.types);
		return (frame) => set(values, key.read(frame), read(frame));
	}
}
