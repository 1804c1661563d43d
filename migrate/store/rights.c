/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/rights.h"

#include "migrate/store/codec.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define KEY "rt:x"
#define WORDS_MAX 5

/* The command, then what makes it whole. Functions are called with the rights of who calls them, so most of these are
 * what our functions do. */
static const char *const rights[][WORDS_MAX + 1] = {
    /* of a connection */
    {"client|setname", "x"},
    {"role"},
    {"info"},
    {"ping"},
    {"subscribe", RT_STORE_CHANNEL, RT_STORE_HOSTS_CHANNEL},
    {"wait", "0", "0"},
    {"time"},
    /* of the functions, and of what they do besides */
    {"function|load", "x"},
    {"function|list"},
    {"fcall", "x", "1", KEY},
    {"publish", RT_STORE_CHANNEL, "x"},
    /* of keys */
    {"get", KEY},
    {"set", KEY, "x"},
    {"del", KEY},
    {"pexpire", KEY, "1"},
    {"pttl", KEY},
    {"hget", KEY, "x"},
    {"hmget", KEY, "x"},
    {"hgetall", KEY},
    {"hexists", KEY, "x"},
    {"hset", KEY, "x", "x"},
    {"hincrby", KEY, "x", "1"},
    {"hdel", KEY, "x"},
    {"zadd", KEY, "0", "x"},
    {"zrem", KEY, "x"},
    {"zscore", KEY, "x"},
    {"zrange", KEY, "0", "0"},
    {"zrangebylex", KEY, "-", "+"},
    {"zrangebyscore", KEY, "0", "0"},
    /* of the nodes of a cluster */
    {"asking"},
    {"cluster|info"},
    {"cluster|slots"},
};

#define N_RIGHTS (sizeof(rights) / sizeof(rights[0]))
#define N_OF_CLUSTER ((size_t)3)
_Static_assert(N_RIGHTS <= RT_RIGHTS_MAX, "they are tried in one go");

size_t rt_rights(bool is_cluster)
{
    return is_cluster ? N_RIGHTS : N_RIGHTS - N_OF_CLUSTER;
}

const char *rt_right_name(size_t i)
{
    assert(i < N_RIGHTS);
    return rights[i][0];
}

void rt_right_try(size_t i, const char *user, struct rt_redis_args *args)
{
    const char *name = rt_right_name(i), *sub = strchr(name, '|');

    rt_redis_texts(args, "ACL", "DRYRUN", user, NULL);
    rt_redis_arg(args, name, sub != NULL ? (size_t)(sub - name) : strlen(name));
    if (sub != NULL) {
        rt_redis_text(args, sub + 1);
    }
    for (size_t k = 1; rights[i][k] != NULL; k++) {
        rt_redis_text(args, rights[i][k]);
    }
}

static bool has(const char *list, const char *word)
{
    size_t size = strlen(word);

    for (const char *at = strstr(list, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == list || at[-1] == ' ') && (at[size] == ' ' || at[size] == '\0')) {
            return true;
        }
    }
    return false;
}

/* "User x has no permissions to run the 'y' command", "... to access the 'y' key", "... the 'y' channel" */
void rt_right_missing(size_t i, const char *answer, char *list, size_t cap)
{
    static const char more[] = " ...";
    size_t used = strlen(list);
    char word[32];

    if (strstr(answer, "' key") != NULL) {
        snprintf(word, sizeof(word), "~rt:*");
    } else if (strstr(answer, "' channel") != NULL) {
        snprintf(word, sizeof(word), "&rt:*");
    } else {
        snprintf(word, sizeof(word), "+%s", rt_right_name(i));
    }
    if (has(list, word) || has(list, more + 1)) {
        return;
    }
    if (used + 1 + strlen(word) + sizeof(more) > cap) {
        snprintf(list + used, cap - used, "%s", more);
    } else {
        snprintf(list + used, cap - used, "%s%s", used > 0 ? " " : "", word);
    }
}
