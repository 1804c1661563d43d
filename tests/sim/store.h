/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_STORE_H
#define RETETHER_TESTS_SIM_STORE_H

#include "tests/sim/faults.h"

#include <stdbool.h>
#include <stdint.h>

/* A model of the store: it may be slow, out, lose writes, or forget all. */

struct rt_record;
struct rt_store_op;
struct sim_event;

void sim_store_reset(void);
void sim_store_up(int agent, bool fresh);
int sim_store_submit(int agent, const struct rt_store_op *op);
void sim_store_reply(const struct sim_event *event);
void sim_store_news(const struct sim_event *event);
bool sim_store_fault(enum sim_fault fault);
void sim_store_heal(void);
bool sim_store_whole(void);
bool sim_store_split(void);         /* there are two primaries, or the primary is alone */
bool sim_store_in_touch(int agent); /* with the primary that counts */
uint64_t sim_store_back_ms(void);   /* by how much its clock has gone back, in all */
/* The store lost the end of this container after it had taken it: its agent keeps it no more. */
bool sim_store_end_lost(int container);
void sim_store_end_gone(int container); /* with the disk that kept it */
/* A start was given no newer life than one before it: its record was lost, the clock had gone back, and the agent that
 * it joined at did not know of that life. */
bool sim_store_life_back(int container);
const struct rt_record *sim_store_record(int container);
const struct rt_record *sim_store_old_record(int container); /* the old primary's, or NULL */
uint64_t sim_store_revoked_us(int container);                /* since when what is revoked of it is as it is, 0 never */

#endif
