/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_TETHER_MACHINE_H
#define RETETHER_TESTS_SYSTEM_TETHER_MACHINE_H

#include "tests/system/cluster/harness.h"

/* A machine without its kernel: the real tether as process 1 of its own pid, mount, network and UTS namespaces, in a
 * root of its own. In a pid namespace reboot(2) ends that namespace alone; this one never runs it anywhere else. The
 * root has the host's programs, /etc/retether of its own, and the cluster's directory as /w, agent h0's socket in it.
 */

struct machine {
    const char *cid;
    /* Before machine_run(): */
    const char *config; /* of /etc/retether/tether.conf, without cid, agent and token; NULL: there is no such file */
    const char *setup;  /* shell commands before the tether starts, in $R, the new root; "" for none */
    bool no_token;
    bool no_console; /* 0, 1 and 2 are closed; /dev is there already, its console a file */
    /* After it: */
    char dir[160];
    char log[16384]; /* what the tether wrote on its console */
};

/* Namespaces, devtmpfs and veth can be had; tells when not. */
bool machine_possible(void);
/* Creates the session, boots, and waits for the power-off, which it wants. */
void machine_run(struct machine *machine);

#endif
