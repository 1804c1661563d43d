/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/args.h"

#include "migrate/store/functions.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void rt_redis_arg(struct rt_redis_args *args, const void *data, size_t size)
{
    assert(args->n < RT_REDIS_ARGS_MAX);
    args->argv[args->n] = size != 0 ? data : "";
    args->size[args->n++] = size;
}

void rt_redis_text(struct rt_redis_args *args, const char *text)
{
    rt_redis_arg(args, text, strlen(text));
}

void rt_redis_texts(struct rt_redis_args *args, ...)
{
    const char *text;
    va_list texts;

    va_start(texts, args);
    while ((text = va_arg(texts, const char *)) != NULL) {
        rt_redis_text(args, text);
    }
    va_end(texts);
}

void rt_redis_function(struct rt_redis_args *args, const char *name, const char *keys)
{
    int size = snprintf(args->function, sizeof(args->function), "rt_%s_%s", rt_store_functions_version, name);

    assert(size > 0 && (size_t)size < sizeof(args->function));
    rt_redis_texts(args, "FCALL", args->function, keys, NULL);
}

char *rt_redis_format(const struct rt_redis_args *args, size_t *size)
{
    char *command = NULL;
    long long length = redisFormatCommandArgv(&command, args->n, (const char **)(uintptr_t)args->argv, args->size);

    *size = length < 0 ? 0 : (size_t)length;
    return length < 0 ? NULL : command;
}
