/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/load/load.h"

#include "migrate/store/codec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The server as it sees itself, time, and names. */

struct load load;

uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

double ms_since(uint64_t ns)
{
    return (double)(now_ns() - ns) / 1e6;
}

void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fputs("bench-load: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

double info(const char *section, const char *field)
{
    redisReply *reply = redisCommand(load.watch, "INFO %s", section);
    const char *at;
    double value = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_STRING) {
        die("INFO: no answer");
    }
    at = strstr(reply->str, field);
    if (at != NULL) {
        value = strtod(at + strlen(field), NULL);
    }
    freeReplyObject(reply);
    return value;
}

double calls(const char *const *commands)
{
    char field[64];
    double sum = 0;

    for (; *commands != NULL; commands++) {
        (void)snprintf(field, sizeof(field), "cmdstat_%s:calls=", *commands);
        sum += info("commandstats", field);
    }
    return sum;
}

double server_cpu_s(void)
{
    return info("cpu", "used_cpu_user:") + info("cpu", "used_cpu_sys:");
}

uint64_t mixed(uint64_t value)
{
    value = (value ^ load.seed) * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x632be59bd9b4e019);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

struct rt_id id_of(uint64_t number, uint64_t kind)
{
    uint64_t words[2] = {mixed(number * 8 + kind), number};
    struct rt_id id;

    memcpy(id.b, words, sizeof(id.b));
    return id;
}

struct rt_key key_of(unsigned at)
{
    struct rt_key key = {.tenant = LOAD_TENANT};

    (void)snprintf(key.cid, sizeof(key.cid), "%08x-%u", (unsigned)(mixed(at) >> 32), at);
    return key;
}

double record_bytes(void)
{
    double sum = 0;
    unsigned n = 0;

    for (; n < LOAD_RECORDS_LOOKED_AT; n++) {
        struct rt_key key = key_of((unsigned)(mixed(n) % load.n_sessions));
        char name[RT_STORE_KEY_MAX];
        redisReply *reply;

        rt_store_key(&key, 'r', name);
        reply = redisCommand(load.watch, "MEMORY USAGE %s", name);
        if (reply == NULL || reply->type != REDIS_REPLY_INTEGER) {
            die("MEMORY USAGE %s: no answer", name);
        }
        sum += (double)reply->integer;
        freeReplyObject(reply);
    }
    return sum / n;
}
