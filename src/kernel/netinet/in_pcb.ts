/** Internet protocol control blocks: everything netinet/in_pcb.h declares. Code outside this directory imports from here. */
export * from "./in_pcb_bind.ts";
export * from "./in_pcb_hash.ts";
export * from "./in_pcb_subr.ts";
export * from "./in_pcb_var.ts";
