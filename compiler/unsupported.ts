/** A function uses something the compiler does not turn into a plain function: it stays a generator, if nothing else is wrong. */
export class Unsupported extends Error {
	override name = "Unsupported";
}
