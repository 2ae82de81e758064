/**
 * Says, before any other object of a class is made, which of its fields will hold times, addresses and the like: numbers that
 * need not be small and whole, or are computed from such. `example` is thrown away.
 *
 * The host keeps small whole numbers in another way than all others. A field that begins with one and grows out of it changes the
 * shape of its object, and all code that meets one must look ever after which of the two it has, and what is in every field
 * that has held both. This gives the shape that objects end up with to the first of them already.
 */
export function wide_fields<T>(example: T, ...fields: (keyof T & string)[]): void {
	for (const field of fields) (example as Record<string, number>)[field] = 0.5;
}
