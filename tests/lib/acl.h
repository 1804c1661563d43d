/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_LIB_ACL_H
#define RETETHER_TESTS_LIB_ACL_H

#include "tests/lib/redis.h"

#include <stdbool.h>
#include <stddef.h>

/* The ACL of an agent, as docs/operations.md has it; tests run in the root of the sources. All calls return 0 or -1
 * with a text on stderr. */

#define RT_TEST_ACL_WORDS_MAX 64

struct rt_test_acl {
    char text[1024];
    const char *words[RT_TEST_ACL_WORDS_MAX]; /* what follows the user's name, but for "on" and the password */
    size_t n;
};

/* The line for a Sentinel, or for a server. */
int rt_test_acl_read(struct rt_test_acl *acl, bool sentinel);
/* Makes the user "retether", with this password, there; or the rule changes that there is. */
int rt_test_acl_set(struct rt_test_redis *redis, const struct rt_test_acl *acl, const char *password);
int rt_test_acl_change(struct rt_test_redis *redis, const char *rule);

#endif
