/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"

#include <stdarg.h>
#include <stdio.h>

const char *rt_strerror(int code)
{
    switch (code) {
    case RT_OK:
        return "ok";
#define RT_ERROR_TEXT(name, value, text)                                                                               \
    case value:                                                                                                        \
        return text;
        RT_ERRORS(RT_ERROR_TEXT)
#undef RT_ERROR_TEXT
    default:
        return "unknown error";
    }
}

int rt_fail(int code, char *why, size_t size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, size, format, args);
    va_end(args);
    return code;
}
