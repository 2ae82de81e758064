/**
 * The driver's self-test of the replay window: 49 numbered checks around the window's edges, the counter's limit, and orders of arrival.
 *
 * @see selftest/counter.c
 */
import { EEXIST, type Errno } from "../../../kernel/errno.ts";
import { rw_init } from "../../../kernel/lock/rwlock.ts";
import type { Blocking } from "../../../kernel/sched/thread.ts";
import {
	COUNTER_WINDOW_SIZE,
	noise_keypair,
	noise_keypair_nonce_check,
	type noise_remote,
	REJECT_AFTER_MESSAGES,
	type uint64,
	uint64_of,
} from "../wg_noise.ts";
import { printf } from "./printf.ts";

const T_LIM = BigInt(COUNTER_WINDOW_SIZE + 1);

class counter_test {
	kp!: noise_keypair;
	success = true;
	private readonly nonce_check: typeof noise_keypair_nonce_check;

	constructor(nonce_check: typeof noise_keypair_nonce_check) {
		this.nonce_check = nonce_check;
	}

	/** A keypair that has received nothing and belongs to nobody. */
	T_INIT(): void {
		this.kp = new noise_keypair(null as unknown as noise_remote);
		rw_init(this.kp.kp_nonce_lock, "counter");
	}

	/** Check number `num`: nonce `v` must give `e`. */
	*T(num: number, v: bigint | number, e: Errno): Blocking<void> {
		const nonce: uint64 = uint64_of(BigInt(v));
		if ((yield* this.nonce_check(this.kp, nonce)) !== e) {
			printf(`nonce counter self-test ${num}: FAIL\n`);
			this.success = false;
		}
	}
}

/**
 * @param nonce_check what is tested
 * @returns whether every check passed
 * @see selftest/counter.c noise_counter_selftest
 */
export function* noise_counter_selftest(nonce_check = noise_keypair_nonce_check): Blocking<boolean> {
	const t = new counter_test(nonce_check);
	let i: number;

	t.T_INIT();
	// test number, nonce, expected response
	yield* t.T(1, 0, 0);
	yield* t.T(2, 1, 0);
	yield* t.T(3, 1, EEXIST);
	yield* t.T(4, 9, 0);
	yield* t.T(5, 8, 0);
	yield* t.T(6, 7, 0);
	yield* t.T(7, 7, EEXIST);
	yield* t.T(8, T_LIM, 0);
	yield* t.T(9, T_LIM - 1n, 0);
	yield* t.T(10, T_LIM - 1n, EEXIST);
	yield* t.T(11, T_LIM - 2n, 0);
	yield* t.T(12, 2, 0);
	yield* t.T(13, 2, EEXIST);
	yield* t.T(14, T_LIM + 16n, 0);
	yield* t.T(15, 3, EEXIST);
	yield* t.T(16, T_LIM + 16n, EEXIST);
	yield* t.T(17, T_LIM * 4n, 0);
	yield* t.T(18, T_LIM * 4n - (T_LIM - 1n), 0);
	yield* t.T(19, 10, EEXIST);
	yield* t.T(20, T_LIM * 4n - T_LIM, EEXIST);
	yield* t.T(21, T_LIM * 4n - (T_LIM + 1n), EEXIST);
	yield* t.T(22, T_LIM * 4n - (T_LIM - 2n), 0);
	yield* t.T(23, T_LIM * 4n + 1n - T_LIM, EEXIST);
	yield* t.T(24, 0, EEXIST);
	yield* t.T(25, REJECT_AFTER_MESSAGES, EEXIST);
	yield* t.T(26, REJECT_AFTER_MESSAGES - 1n, 0);
	yield* t.T(27, REJECT_AFTER_MESSAGES, EEXIST);
	yield* t.T(28, REJECT_AFTER_MESSAGES - 1n, EEXIST);
	yield* t.T(29, REJECT_AFTER_MESSAGES - 2n, 0);
	yield* t.T(30, REJECT_AFTER_MESSAGES + 1n, EEXIST);
	yield* t.T(31, REJECT_AFTER_MESSAGES + 2n, EEXIST);
	yield* t.T(32, REJECT_AFTER_MESSAGES - 2n, EEXIST);
	yield* t.T(33, REJECT_AFTER_MESSAGES - 3n, 0);
	yield* t.T(34, 0, EEXIST);

	t.T_INIT();
	for (i = 1; i <= COUNTER_WINDOW_SIZE; ++i) yield* t.T(35, i, 0);
	yield* t.T(36, 0, 0);
	yield* t.T(37, 0, EEXIST);

	t.T_INIT();
	for (i = 2; i <= COUNTER_WINDOW_SIZE + 1; ++i) yield* t.T(38, i, 0);
	yield* t.T(39, 1, 0);
	yield* t.T(40, 0, EEXIST);

	t.T_INIT();
	for (i = COUNTER_WINDOW_SIZE + 1; i-- > 0; ) yield* t.T(41, i, 0);

	t.T_INIT();
	for (i = COUNTER_WINDOW_SIZE + 2; i-- > 1; ) yield* t.T(42, i, 0);
	yield* t.T(43, 0, EEXIST);

	t.T_INIT();
	for (i = COUNTER_WINDOW_SIZE + 1; i-- > 1; ) yield* t.T(44, i, 0);
	yield* t.T(45, COUNTER_WINDOW_SIZE + 1, 0);
	yield* t.T(46, 0, EEXIST);

	t.T_INIT();
	for (i = COUNTER_WINDOW_SIZE + 1; i-- > 1; ) yield* t.T(47, i, 0);
	yield* t.T(48, 0, 0);
	yield* t.T(49, COUNTER_WINDOW_SIZE + 1, 0);

	if (t.success) printf("nonce counter self-test: pass\n");
	return t.success;
}
