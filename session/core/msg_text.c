/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/class.h"
#include "session/core/limits.h"
#include "session/core/slice.h"

#include <string.h>

const char *rt_class_name(uint64_t cls)
{
    static const char *const names[RT_CLASSES] = {
        [RT_CLASS_OK] = "OK",
        [RT_CLASS_RETRY_LATER] = "RETRY_LATER",
        [RT_CLASS_MOVED] = "MOVED",
        [RT_CLASS_STALE] = "STALE",
        [RT_CLASS_REWOUND] = "REWOUND",
        [RT_CLASS_FORKED] = "FORKED",
        [RT_CLASS_SUPERSEDED] = "SUPERSEDED",
        [RT_CLASS_BAD_AUTH] = "BAD_AUTH",
        [RT_CLASS_NOT_FOUND] = "NOT_FOUND",
        [RT_CLASS_ENDED] = "ENDED",
        [RT_CLASS_UNKNOWN_ATTACHMENT] = "UNKNOWN_ATTACHMENT",
        [RT_CLASS_STOLEN] = "STOLEN",
        [RT_CLASS_VERSION] = "VERSION",
        [RT_CLASS_LIMIT] = "LIMIT",
        [RT_CLASS_PROTOCOL] = "PROTOCOL",
        [RT_CLASS_LOST] = "LOST",
        [RT_CLASS_JUMP] = "JUMP",
        [RT_CLASS_DENIED] = "DENIED",
        [RT_CLASS_INVALID] = "INVALID",
        [RT_CLASS_AMBIGUOUS] = "AMBIGUOUS",
    };
    return cls < RT_CLASSES ? names[cls] : "?";
}

const char *rt_session_state_name(uint64_t state)
{
    static const char *const names[] = {
        [RT_SESSION_NONE] = "none",     [RT_SESSION_CREATED] = "created", [RT_SESSION_RUNNING] = "running",
        [RT_SESSION_MOVING] = "moving", [RT_SESSION_LOST] = "lost",       [RT_SESSION_ENDED] = "ended",
    };
    return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

struct rt_slice rt_slice_text(const char *text)
{
    return (struct rt_slice){.data = (const uint8_t *)text, .size = strlen(text)};
}

bool rt_slice_equal(struct rt_slice a, struct rt_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

void rt_slice_copy(struct rt_slice slice, char *out, size_t size)
{
    if (size == 0) {
        return;
    }
    size_t n = slice.size < size - 1 ? slice.size : size - 1;
    if (n > 0) {
        memcpy(out, slice.data, n);
    }
    out[n] = '\0';
}

static bool alphanumeric(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool rt_cid_valid(struct rt_slice cid)
{
    if (cid.size == 0 || cid.size > RT_CID_MAX || !alphanumeric(cid.data[0])) {
        return false;
    }
    for (size_t i = 1; i < cid.size; i++) {
        uint8_t c = cid.data[i];
        if (!alphanumeric(c) && c != '_' && c != '.' && c != '-') {
            return false;
        }
    }
    return true;
}
