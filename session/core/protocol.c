/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/protocol.h"

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

static bool alphanumeric(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool name_valid(struct rt_slice name, size_t most)
{
    if (name.size == 0 || name.size > most || !alphanumeric(name.data[0])) {
        return false;
    }
    for (size_t i = 1; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!alphanumeric(c) && c != '_' && c != '.' && c != '-') {
            return false;
        }
    }
    return true;
}

bool rt_cid_valid(struct rt_slice cid)
{
    return name_valid(cid, RT_CID_MAX);
}

bool rt_whole_name_valid(struct rt_slice name)
{
    const uint8_t *slash = name.size == 0 ? NULL : memchr(name.data, '/', name.size);
    size_t tenant = slash == NULL ? 0 : (size_t)(slash - name.data);

    if (slash == NULL) {
        return rt_cid_valid(name);
    }
    return name_valid((struct rt_slice){name.data, tenant}, RT_TENANT_MAX) &&
           rt_cid_valid((struct rt_slice){slash + 1, name.size - tenant - 1});
}

bool rt_vm_valid(struct rt_slice name)
{
    return name_valid(name, RT_VM_MAX);
}
