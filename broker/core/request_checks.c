/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"
#include "broker/core/machine.h"
#include "broker/core/request.h"
#include "migrate/core/store_look.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"

#include <string.h>

/* REQUEST `store`: what this agent's newest look at its session store has found. Nobody is asked: so it is told as well
 * when there is no store. */

_Static_assert(RT_CHECKS <= RT_CHECKS_PAGE && RT_CHECK_VALUE_MAX <= RT_CHECK_TEXT_MAX, "a look fits into one REPLY");
_Static_assert((int)RT_CHECK_UNKNOWN == (int)RT_CHECK_IS_UNKNOWN && (int)RT_CHECK_OK == (int)RT_CHECK_IS_OK &&
                   (int)RT_CHECK_WEAK == (int)RT_CHECK_IS_WEAK,
               "the states go as they are");

void rt_ag_ask_checks(struct rt_agent *agent, struct ag_ask *ask)
{
    struct rt_reply_msg *out = agent->reply;

    memset(out, 0, sizeof(*out));
    out->n_hosts = 1;
    out->hosts[0].host = rt_slice_text(agent->config.host);
    if (agent->looked == RT_NEVER) {
        out->m = rt_slice_text("the store has not been looked at yet");
    } else {
        out->age = agent->now - agent->looked;
        for (out->n_chks = 0; out->n_chks < RT_CHECKS; out->n_chks++) {
            const struct rt_store_check *check = &agent->look.checks[out->n_chks];

            out->chks[out->n_chks] = (struct rt_check_msg){.name = rt_slice_text(check->name),
                                                           .val = rt_slice_text(check->value),
                                                           .state = check->state,
                                                           .risk = rt_slice_text(check->risk),
                                                           .mend = rt_slice_text(check->mend)};
        }
    }
    rt_ag_ask_send(agent, ask->link, ask->request, out);
    rt_ag_ask_free(agent, ask);
}
