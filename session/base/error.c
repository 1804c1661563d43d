/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"

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
