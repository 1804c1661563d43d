/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/acl.h"

#include <stdio.h>
#include <string.h>

#define DOC "docs/operations.md"
#define BEGIN "    user retether on "

static int split(struct rt_test_acl *acl)
{
    char *save = NULL;

    acl->n = 0;
    for (char *word = strtok_r(acl->text, " \n", &save); word != NULL; word = strtok_r(NULL, " \n", &save)) {
        if (word[0] == '>') {
            continue;
        }
        if (acl->n == RT_TEST_ACL_WORDS_MAX) {
            return -1;
        }
        acl->words[acl->n++] = word;
    }
    return 0;
}

int rt_test_acl_read(struct rt_test_acl *acl, bool sentinel)
{
    FILE *doc = fopen(DOC, "r");
    char line[sizeof(acl->text)];
    int rc = -1;

    while (doc != NULL && rc != 0 && fgets(line, sizeof(line), doc) != NULL) {
        if (strncmp(line, BEGIN, strlen(BEGIN)) == 0 && (strstr(line, "+sentinel|") != NULL) == sentinel) {
            (void)snprintf(acl->text, sizeof(acl->text), "%s", line + strlen(BEGIN));
            rc = split(acl);
        }
    }
    if (doc != NULL) {
        (void)fclose(doc);
    }
    if (rc != 0) {
        (void)fprintf(stderr, "no ACL in %s\n", DOC);
    }
    return rc;
}

static int set(struct rt_test_redis *redis, const char *rules)
{
    char command[1200], answer[256];

    (void)snprintf(command, sizeof(command), "ACL SETUSER retether %s", rules);
    if (rt_test_redis_command(redis, command, answer, sizeof(answer)) != 0 || strcmp(answer, "+OK") != 0) {
        (void)fprintf(stderr, "%s: %s\n", command, answer);
        return -1;
    }
    return 0;
}

int rt_test_acl_set(struct rt_test_redis *redis, const struct rt_test_acl *acl, const char *password)
{
    char rules[1100];
    size_t used = (size_t)snprintf(rules, sizeof(rules), "on >%s", password);

    for (size_t i = 0; i < acl->n && used < sizeof(rules); i++) {
        used += (size_t)snprintf(rules + used, sizeof(rules) - used, " %s", acl->words[i]);
    }
    return used < sizeof(rules) ? set(redis, rules) : -1;
}

int rt_test_acl_change(struct rt_test_redis *redis, const char *rule)
{
    return set(redis, rule);
}
