/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_PASSED_H
#define RETETHER_BROKER_PASSED_H

#include "session/base/endpoint.h"

#include <stddef.h>

/* Sockets that whoever starts the agent has made for it, as sd_listen_fds(3) takes them: LISTEN_FDS descriptors from 3
 * on, for the process LISTEN_PID alone, with names in LISTEN_FDNAMES. A socket's name is the setting that it stands
 * for: "listen.guests" or "listen.clients". */

/* Both lists of listeners, full; one more is an error. */
#define RT_PASSED_MAX 16
/* Bytes of a name, NUL included; a longer one is no setting. */
#define RT_PASSED_NAME_MAX 32

struct rt_passed {
    size_t n;
    struct {
        int fd; /* close-on-exec, non-blocking; owned by the listener that takes it */
        char name[RT_PASSED_NAME_MAX];
        struct rt_endpoint endpoint; /* an IP address is of kind TCP */
        size_t list;                 /* the settings': the offset of the list that it has joined */
    } sockets[RT_PASSED_MAX];
};

/* Before anything is opened: who claims descriptors that are not there would get whatever is opened next. Takes the
 * three variables out of the environment: they are not for what the agent starts. Nothing passed, or to another
 * process: n is 0. RT_ECONFIG: `why` says which descriptor, and what is wrong with it. */
RT_MUST_CHECK int rt_passed_read(struct rt_passed *passed, char *why, size_t why_size);

/* The descriptor of the socket that listens there and has joined that list; 0: there is none. */
int rt_passed_find(const struct rt_passed *passed, size_t list, const struct rt_endpoint *endpoint);

#endif
