/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_ARGS_H
#define RETETHER_MIGRATE_STORE_ARGS_H

#include <stddef.h>

#define RT_REDIS_ARGS_MAX 28
#define RT_REDIS_FUNCTION_MAX 40

/* The arguments of one call; everything that they point at lives until the call is made. */
struct rt_redis_args {
    int n;
    const char *argv[RT_REDIS_ARGS_MAX];
    size_t size[RT_REDIS_ARGS_MAX];
    char function[RT_REDIS_FUNCTION_MAX]; /* its name, where it calls one of ours */
};

void rt_redis_arg(struct rt_redis_args *args, const void *data, size_t size);
void rt_redis_text(struct rt_redis_args *args, const char *text);
/* Several, up to a NULL. */
__attribute__((sentinel)) void rt_redis_texts(struct rt_redis_args *args, ...);
/* FCALL of our own function of that name, with so many keys, which follow. */
void rt_redis_function(struct rt_redis_args *args, const char *name, const char *keys);

/* The call as it goes over the wire, for rt_redis_send(); given back with redisFreeCommand(). NULL: no memory. */
char *rt_redis_format(const struct rt_redis_args *args, size_t *size);

#endif
