/** FreeBSD's error numbers. @see sys/errno.h */
export type Errno = number;

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const EBADF = 9;
export const EDEADLK = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENOTTY = 25;
export const EFBIG = 27;
export const ENOSPC = 28;
export const EPIPE = 32;
export const EDOM = 33;
export const EAGAIN = 35;
export const EWOULDBLOCK = EAGAIN;
export const EINPROGRESS = 36;
export const EALREADY = 37;
export const ENOTSOCK = 38;
export const EDESTADDRREQ = 39;
export const EMSGSIZE = 40;
export const EPROTOTYPE = 41;
export const ENOPROTOOPT = 42;
export const EPROTONOSUPPORT = 43;
export const EOPNOTSUPP = 45;
export const EPFNOSUPPORT = 46;
export const EAFNOSUPPORT = 47;
export const EADDRINUSE = 48;
export const EADDRNOTAVAIL = 49;
export const ENETDOWN = 50;
export const ENETUNREACH = 51;
export const ECONNABORTED = 53;
export const ECONNRESET = 54;
export const ENOBUFS = 55;
export const EISCONN = 56;
export const ENOTCONN = 57;
export const ESHUTDOWN = 58;
export const ETIMEDOUT = 60;
export const ECONNREFUSED = 61;
export const ELOOP = 62;
export const ENAMETOOLONG = 63;
export const EHOSTDOWN = 64;
export const EHOSTUNREACH = 65;
export const EBADMSG = 89;
export const ENOTCAPABLE = 93;
export const ECAPMODE = 94;
export const ENOTRECOVERABLE = 95;
/** kernel-internal: the request must be tried again (sys/errno.h, under _KERNEL) */
export const ERESTART = -1;
/** if_wg's name for "no peer has this destination" on systems without ENOKEY */
export const ENOKEY = ENOTCAPABLE;

const names: Record<number, string> = {
	1: "Operation not permitted",
	2: "No such file or directory",
	3: "No such process",
	4: "Interrupted system call",
	6: "Device not configured",
	12: "Cannot allocate memory",
	13: "Permission denied",
	14: "Bad address",
	16: "Device busy",
	17: "File exists",
	22: "Invalid argument",
	25: "Inappropriate ioctl for device",
	28: "No space left on device",
	32: "Broken pipe",
	35: "Resource temporarily unavailable",
	40: "Message too long",
	45: "Operation not supported",
	47: "Address family not supported by protocol family",
	48: "Address already in use",
	49: "Can't assign requested address",
	50: "Network is down",
	51: "Network is unreachable",
	54: "Connection reset by peer",
	55: "No buffer space available",
	56: "Socket is already connected",
	57: "Socket is not connected",
	60: "Operation timed out",
	61: "Connection refused",
	62: "Too many levels of symbolic links",
	64: "Host is down",
	65: "No route to host",
	89: "Bad message",
	93: "Capabilities insufficient",
	95: "State not recoverable",
};

/** The text strerror(3) gives, so that our programs print what FreeBSD's print. */
export function strerror(error: Errno): string {
	return names[error] ?? `Unknown error: ${error}`;
}
