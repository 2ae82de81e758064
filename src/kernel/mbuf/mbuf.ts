/** mbuf(9): everything sys/mbuf.h declares, and vm/uma.h and sys/malloc.h with it. Code outside this directory imports from here. */
export * from "./kern_mbuf.ts";
export * from "./malloc.ts";
export { mb_zones } from "./mb_zones.ts";
export * from "./mbuf_flags.ts";
export * from "./mbuf_tag.ts";
export * from "./mbuf_var.ts";
export * from "./mbufq.ts";
export * from "./uipc_mbuf.ts";
export * from "./uipc_mbuf_compact.ts";
export * from "./uipc_mbuf_copy.ts";
export * from "./uipc_mbuf2.ts";
export * from "./uma.ts";
export { uma_memory } from "./uma_memory.ts";
