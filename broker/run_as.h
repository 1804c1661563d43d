/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_RUN_AS_H
#define RETETHER_BROKER_RUN_AS_H

#include "broker/settings.h"

/* From root to the user that run_as names. Root stays root without run_as, and others stay who they are. */

/* Makes the directories that are missing, gives them to the user, and becomes that user, for good. Its groups are its
 * own and those that sockets are given to, so a socket that was removed can be made anew. Of root's rights one is left:
 * to listen on ports below 1024. RT_ECONFIG or RT_EIO; `why` says what to do. */
RT_MUST_CHECK int rt_run_as(const struct rt_settings *settings, char *why, size_t why_size);

/* Behind the listeners: gives up that one right too, also where whoever started the agent gave it to it. */
RT_MUST_CHECK int rt_run_as_done(char *why, size_t why_size);

#endif
