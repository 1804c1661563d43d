/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_TETHER_INIT_H
#define RETETHER_CLIENTS_TETHER_INIT_H

#include "clients/tether/log.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#define TETHER_MODULES_MAX 64
#define TETHER_LINKS_MAX 8
#define TETHER_HOSTNAME_MAX 64 /* the kernel's */
/* How long an interface may take to appear. */
#define TETHER_LINK_WAIT_MS 5000

/* An interface and its IPv4 address. */
struct tether_link {
    char name[IF_NAMESIZE];
    struct in_addr address, mask;
};

/* What process 1 of a machine does around the container. A step that fails is logged with what to do, and the boot goes
 * on: the command may not need it, and the tether keeps dialling. */
struct tether_init {
    const char *modules[TETHER_MODULES_MAX]; /* files, in the order in which they are loaded */
    size_t n_modules;
    struct tether_link links[TETHER_LINKS_MAX];
    size_t n_links;
    const char *hostname; /* NULL: what it is */
};

/* Into a struct tether_link, "eth0=169.254.10.2/16"; the prefix is 1 to 32. Returns false for what is no link. */
bool tether_read_link(const char *text, void *out);

/* First: /dev, and where 0, 1 or 2 are closed, the console in their place. RT_EIO when there is not even a /dev/null:
 * then nothing can run. Logs nothing: there may be nowhere to. */
RT_MUST_CHECK int tether_init_console(void);

/* Mounts, PATH and HOME where there are none, hostname, modules, links. */
void tether_init_boot(const struct tether_init *init, struct tether_log *log);

/* Kills what is left, syncs, and powers the machine off; in a pid namespace, ends that. Only for process 1: any other
 * one is aborted. failed: leave people time to read why on the console. A process that may not power off stays for
 * ever, as process 1 must never exit. */
_Noreturn void tether_init_power_off(struct tether_log *log, bool failed);

#endif
