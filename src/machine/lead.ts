/**
 * So far ahead of the clock threads may act, ns, unless told otherwise: less than it takes to let another CPU know of anything, and
 * as much as leaves what is measured where it is (`npm run bench -- lead`). Of our choice, not a machine's.
 */
export const LEAD_NS = 320;

/**
 * A thread that has a lock alone may be as many times as far ahead, except to take another lock: of what it does under the lock nobody
 * sees anything before it lets go, and it lets go in its own time. So it seldom waits with a lock held that somebody wants who came before.
 * Of our choice: it leaves what is measured where it is.
 */
export const LOCKED_LEADS = 3;

/**
 * And a thread that reads what hardly ever changes, as many times: it may find what was true up to 5 us before, as it might have if
 * it had been interrupted between reading and acting. Nobody sees it read. Of our choice.
 */
export const READ_MOSTLY_LEADS = 16;
