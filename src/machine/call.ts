type Call = <A extends unknown[]>(fn: (this: never, ...args: A) => unknown, self: unknown, ...args: A) => unknown;

/**
 * Calls a function with a `this`: fn.call(self, ...args). Functions are of many kinds for the host (methods, arrows, strict ones, those
 * with a name of their own), and looking for `call` in each time takes it longer than the call.
 */
export const call = Function.prototype.call.bind(Function.prototype.call as never) as unknown as Call;
