/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_ERROR_H
#define RETETHER_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* What the library's functions return when they fail: negative codes. 0 is success. */
enum retether_error {
    RETETHER_ENOMEM = -1,
    RETETHER_EINVAL = -2,
    RETETHER_EPROTO = -3, /* an agent has sent what the protocol does not allow */
    RETETHER_ELIMIT = -4,
    RETETHER_ESTATE = -8,     /* not possible at this time */
    RETETHER_EIO = -9,        /* the system refuses a descriptor or a handle */
    RETETHER_ETIMEDOUT = -10, /* no answer in time */
    RETETHER_ECONN = -12,     /* no agent is known, or none could be reached */
    RETETHER_EUNKNOWN = -17,  /* create, remove: sent, and not answered: it is not known whether it was done */
};

/* The text of a code, without a dot at its end: static, never NULL; "unknown error" for a number that is none. */
const char *retether_strerror(int error);

/* Why an agent or a guest has refused something: the classes of docs/protocol.md section 6, and their numbers. */
enum retether_class {
    RETETHER_OK = 0,
    RETETHER_RETRY_LATER = 1,
    RETETHER_MOVED = 2,
    RETETHER_REWOUND = 4,
    RETETHER_BAD_AUTH = 7,
    RETETHER_NOT_FOUND = 8,
    RETETHER_ENDED = 9,
    RETETHER_UNKNOWN_ATTACHMENT = 10,
    RETETHER_STOLEN = 11,
    RETETHER_VERSION_MISMATCH = 12,
    RETETHER_LIMIT = 13,
    RETETHER_PROTOCOL = 14,
    RETETHER_LOST = 15,
    RETETHER_JUMP = 16,
    RETETHER_DENIED = 17,
    RETETHER_INVALID = 18,
    RETETHER_AMBIGUOUS = 19,
};

/* The name of a class, "NOT_FOUND" and so on: static, never NULL; "?" for a number that is none. */
const char *retether_class_name(unsigned cls);

#ifdef __cplusplus
}
#endif

#endif
