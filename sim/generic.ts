/**
 * The kernel's configuration: importing this puts everything into the kernels of this process that is not the driver. What
 * GENERIC is to config(8).
 */
import "../src/crypto/ocf/cryptosoft.ts";
import "../src/crypto/ocf/ossl.ts";
import "../src/kernel/ifnet/if_epair.ts";
import "../src/kernel/ifnet/if_ix.ts";
import "../src/kernel/ifnet/if_loop.ts";
import "../src/kernel/netinet/inet.ts";
import "../src/kernel/netinet/tcp_usrreq.ts";
