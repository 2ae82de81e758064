/**
 * Concurrency Kit's CK_LIST: doubly linked lists that one writer at a time changes, under a lock, while readers walk them with no
 * lock at all, inside an epoch section.
 *
 * What makes that safe is kept here: an element is complete before it is linked, and one that is taken out keeps its own link
 * forward, so a reader that stands on it still finds the rest of the list.
 *
 * The driver has thousands of buckets in each interface and most stay empty, so a table makes its heads when one is first written.
 *
 * @see sys/contrib/ck/include/ck_queue.h
 */
import { KASSERT } from "../../kernel/sched/kernel.ts";

export class CK_LIST_HEAD<T> {
	lh_first: CK_LIST_ENTRY<T> | null;
	constructor() {
		this.lh_first = null;
	}
}

/** The links of one element, which in C are a member of it. */
export class CK_LIST_ENTRY<T> {
	readonly le_elm: T;
	le_next: CK_LIST_ENTRY<T> | null;
	le_prev: CK_LIST_ENTRY<T> | null;
	/** the list it is on; C finds the head through le_prev, which points at a pointer */
	le_head: CK_LIST_HEAD<T> | null;
	constructor(elm: T) {
		this.le_elm = elm;
		this.le_next = null;
		this.le_prev = null;
		this.le_head = null;
	}
}

export function CK_LIST_INSERT_HEAD<T>(head: CK_LIST_HEAD<T>, elm: CK_LIST_ENTRY<T>): void {
	KASSERT(elm.le_head === null, "CK_LIST_INSERT_HEAD: element is on a list");
	elm.le_head = head;
	elm.le_next = head.lh_first;
	elm.le_prev = null;
	if (elm.le_next !== null) elm.le_next.le_prev = elm;
	head.lh_first = elm;
}

export function CK_LIST_INSERT_BEFORE<T>(listelm: CK_LIST_ENTRY<T>, elm: CK_LIST_ENTRY<T>): void {
	KASSERT(elm.le_head === null, "CK_LIST_INSERT_BEFORE: element is on a list");
	KASSERT(listelm.le_head !== null, "CK_LIST_INSERT_BEFORE: the other element is not on a list");
	elm.le_head = listelm.le_head;
	elm.le_prev = listelm.le_prev;
	elm.le_next = listelm;
	if (listelm.le_prev !== null) listelm.le_prev.le_next = elm;
	else listelm.le_head!.lh_first = elm;
	listelm.le_prev = elm;
}

/** Takes an element out. Its own le_next stays, for readers that are on it. */
export function CK_LIST_REMOVE<T>(elm: CK_LIST_ENTRY<T>): void {
	KASSERT(elm.le_head !== null, "CK_LIST_REMOVE: element is not on a list");
	if (elm.le_next !== null) elm.le_next.le_prev = elm.le_prev;
	if (elm.le_prev !== null) elm.le_prev.le_next = elm.le_next;
	else elm.le_head!.lh_first = elm.le_next;
	elm.le_prev = null;
	elm.le_head = null;
}

const CK_HASH_PAGE_SHIFT = 7;
const CK_HASH_PAGE_SIZE = 1 << CK_HASH_PAGE_SHIFT;
const CK_HASH_PAGE_MASK = CK_HASH_PAGE_SIZE - 1;

/** A fixed number of list heads. */
export class CK_HASH<T> {
	readonly size: number;
	private readonly pages: ((CK_LIST_HEAD<T> | null)[] | null)[];
	constructor(size: number) {
		this.size = size;
		this.pages = new Array((size + CK_HASH_PAGE_MASK) >>> CK_HASH_PAGE_SHIFT).fill(null);
	}

	/** The first entry of a bucket, for a reader. */
	first(bucket: number): CK_LIST_ENTRY<T> | null {
		const page = this.pages[bucket >>> CK_HASH_PAGE_SHIFT];
		if (page === null) return null;
		const head = page[bucket & CK_HASH_PAGE_MASK];
		return head === null ? null : head.lh_first;
	}

	/** The head of a bucket, for a writer. */
	head(bucket: number): CK_LIST_HEAD<T> {
		let page = this.pages[bucket >>> CK_HASH_PAGE_SHIFT];
		if (page === null) {
			page = new Array(CK_HASH_PAGE_SIZE).fill(null);
			this.pages[bucket >>> CK_HASH_PAGE_SHIFT] = page;
		}
		let head = page[bucket & CK_HASH_PAGE_MASK];
		if (head === null) {
			head = new CK_LIST_HEAD<T>();
			page[bucket & CK_HASH_PAGE_MASK] = head;
		}
		return head;
	}
}
