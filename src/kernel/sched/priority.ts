/**
 * Thread priorities; lower is better. They moved between FreeBSD 13 and 14, and which of the network threads beats which
 * moved with them.
 *
 * @see sys/priority.h
 */
export interface Priorities {
	/** interrupt threads of network drivers; epair's task queue from 13.1 on */
	readonly PI_NET: number;
	/** task queue groups, wg_tqg among them */
	readonly PI_SOFT: number;
	readonly SWI_NET: number;
	readonly SWI_CLOCK: number;
	readonly SWI_TQ: number;
	/** the last priority of interrupt threads */
	readonly PRI_MAX_ITHD: number;
	readonly PRI_MIN_KERN: number;
	readonly PSOCK: number;
	readonly PWAIT: number;
	readonly PVM: number;
	/** at or below this a woken thread preempts whatever runs */
	readonly preempt_thresh: number;
	readonly PRI_MIN_TIMESHARE: number;
	/** from here on threads are not interactive */
	readonly PRI_MIN_BATCH: number;
}

const freebsd13: Priorities = {
	PI_NET: 8,
	PI_SOFT: 24,
	SWI_NET: 28,
	SWI_CLOCK: 40,
	SWI_TQ: 48,
	PRI_MAX_ITHD: 47,
	PRI_MIN_KERN: 80,
	PSOCK: 104,
	PWAIT: 108,
	PVM: 84,
	preempt_thresh: 80,
	PRI_MIN_TIMESHARE: 120,
	PRI_MIN_BATCH: 152,
};

const freebsd14: Priorities = {
	PI_NET: 4,
	PI_SOFT: 8,
	SWI_NET: 8,
	SWI_CLOCK: 8,
	SWI_TQ: 8,
	PRI_MAX_ITHD: 15,
	PRI_MIN_KERN: 48,
	PSOCK: 72,
	PWAIT: 76,
	PVM: 52,
	preempt_thresh: 48,
	PRI_MIN_TIMESHARE: 88,
	PRI_MIN_BATCH: 124,
};

export const PRI_MIN_IDLE = 224;
export const PRI_MAX_IDLE = 255;
/** priorities per run queue bucket */
export const RQ_PPQ = 4;

export function prioritiesOf(release: string): Priorities {
	return release === "13.0" ? freebsd13 : freebsd14;
}
