/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/names.h"

#include "session/base/slice.h"
#include "session/base/units.h"

#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdint.h>

/* The highest number stands for "no user" and "no group" in system calls. */
static bool number(const char *text, uint32_t *id)
{
    uint64_t value;

    if (!rt_read_number(rt_slice_text(text), UINT32_MAX - 1, &value)) {
        return false;
    }
    *id = (uint32_t)value;
    return true;
}

bool rt_user_id(const char *text, uid_t *uid)
{
    const struct passwd *user;

    if (number(text, uid)) {
        return true;
    }
    user = getpwnam(text);
    if (user == NULL) {
        return false;
    }
    *uid = user->pw_uid;
    return true;
}

bool rt_group_id(const char *text, gid_t *gid)
{
    const struct group *group;

    if (number(text, gid)) {
        return true;
    }
    group = getgrnam(text);
    if (group == NULL) {
        return false;
    }
    *gid = group->gr_gid;
    return true;
}

const struct rt_access_names rt_access_names = {rt_user_id, rt_group_id};
