/** What a program is made of once it is read. Every part knows its offset in the text, for error messages. */

export type Expression =
	| { readonly kind: "number"; readonly value: number; readonly at: number }
	| { readonly kind: "string"; readonly value: string; readonly at: number }
	| { readonly kind: "name"; readonly name: string; readonly at: number }
	/** self->name: a variable each thread has its own of */
	| { readonly kind: "self"; readonly name: string; readonly at: number }
	/** name[key, ...]: an element of an associative array, or args[n] */
	| { readonly kind: "element"; readonly name: string; readonly keys: readonly Expression[]; readonly at: number }
	| { readonly kind: "field"; readonly object: Expression; readonly field: string; readonly at: number }
	| { readonly kind: "unary"; readonly operator: string; readonly operand: Expression; readonly at: number }
	| {
			readonly kind: "binary";
			readonly operator: string;
			readonly left: Expression;
			readonly right: Expression;
			readonly at: number;
	  }
	| {
			readonly kind: "choice";
			readonly test: Expression;
			readonly yes: Expression;
			readonly no: Expression;
			readonly at: number;
	  };

/** A key of an aggregation, and how the program writes it. */
export interface Key {
	readonly expression: Expression;
	readonly text: string;
}

export interface Aggregate {
	readonly kind: "aggregate";
	/** what stands after the @; "" for the one without a name */
	readonly name: string;
	readonly keys: readonly Key[];
	readonly action: string;
	readonly action_at: number;
	readonly parameters: readonly Expression[];
	readonly at: number;
}

export interface Assignment {
	readonly kind: "assignment";
	readonly target: Extract<Expression, { kind: "name" | "self" | "element" }>;
	readonly value: Expression;
	readonly at: number;
}

export interface Clause {
	/** descriptions of probes, as they were written */
	readonly probes: readonly { readonly text: string; readonly at: number }[];
	readonly predicate: Expression | null;
	readonly statements: readonly (Aggregate | Assignment)[];
}
