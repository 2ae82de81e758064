/**
 * So far ahead of the clock threads may act, ns, unless told otherwise: less than it takes to let another CPU know of anything, and
 * as much as leaves what is measured where it is (`npm run bench -- lead`). Of our choice, not a machine's.
 *
 * From 260 to 340 that is equally so.
 */
export const LEAD_NS = 320;
