/**
 * The probe bus: everything observable leaves the kernel through typed probes, named as DTrace names them.
 *
 * A probe is an object whose `on` is null while nobody listens, so the kernel pays one comparison. Subscribers attach before
 * a run and detach after it; the kernel knows none of them.
 *
 * @see SDT(9)
 */
export class Probe<A extends unknown[]> {
	readonly name: string;
	/** its arguments as a person names and reads them, such as `td: thread, cpu: number` */
	readonly signature: string;
	/** what to call; null when nobody listens. Kernel code: `if (p.on !== null) p.on(...)` */
	on: ((...args: A) => void) | null = null;
	private readonly listeners: ((...args: A) => void)[] = [];

	constructor(name: string, signature = "") {
		this.name = name;
		this.signature = signature;
	}

	/** Adds a listener; listeners are called in the order they were added. @returns a function that removes it again */
	listen(listener: (...args: A) => void): () => void {
		this.listeners.push(listener);
		this.rebuild();
		let listening = true;
		return () => {
			if (!listening) return;
			listening = false;
			this.listeners.splice(this.listeners.indexOf(listener), 1);
			this.rebuild();
		};
	}

	private rebuild(): void {
		const listeners = [...this.listeners]; // one that goes away while it is called does not make the next one miss the call
		if (listeners.length === 0) this.on = null;
		else if (listeners.length === 1) this.on = listeners[0];
		else {
			this.on = (...args: A) => {
				for (let i = 0; i < listeners.length; i++) listeners[i](...args);
			};
		}
	}
}

const probes = new Map<string, Probe<never[]>>();

/**
 * Defines a probe `provider:module:function:name`; empty parts are left out as dtrace(1) does: `sched:::on-cpu`.
 *
 * @param signature the arguments once more, for whoever asks by name while it runs: `name: type`, where a type is number, boolean,
 * string, bytes (a Uint8Array), object, or a kernel structure. A test compares it with the type.
 */
export function SDT_PROBE_DEFINE<A extends unknown[]>(name: string, signature = ""): Probe<A> {
	if (probes.has(name)) throw new Error(`probe ${name} defined twice`);
	const probe = new Probe<A>(name, signature);
	probes.set(name, probe as unknown as Probe<never[]>);
	return probe;
}

/** Every probe there is, by name, in order of definition. */
export function allProbes(): ReadonlyMap<string, Probe<never[]>> {
	return probes;
}
