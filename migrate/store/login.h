/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_LOGIN_H
#define RETETHER_MIGRATE_STORE_LOGIN_H

#include "session/base/error.h"

#include <stddef.h>

/* Who an agent is to a server of the store. It is read from a file at each dial: a password that is changed there
 * counts without a restart. The file has one line, the password of the server's user "default"; or two, a user and its
 * password. Others may neither read nor write it. */

#define RT_LOGIN_USER_MAX 64
#define RT_LOGIN_PASSWORD_MAX 255

struct rt_login {
    char user[RT_LOGIN_USER_MAX + 1]; /* "": the server's default */
    char password[RT_LOGIN_PASSWORD_MAX + 1];
};

/* Returns 0; or as rt_read_ruled(), with `why`, which names the file and nothing that is in it. */
RT_MUST_CHECK int rt_login_read(struct rt_login *login, const char *path, char *why, size_t why_size);

#endif
