/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/login.h"

#include "session/base/file.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

/* More than any that is right. */
#define FILE_MAX (RT_LOGIN_USER_MAX + RT_LOGIN_PASSWORD_MAX + 5)

/* The line at *at, which goes behind it. Returns false when it is empty or longer than size - 1 bytes. */
static bool take_line(const char **at, char *out, size_t size)
{
    size_t length = strcspn(*at, "\n"), used = length;

    if (used > 0 && (*at)[used - 1] == '\r') {
        used--;
    }
    if (used == 0 || used >= size) {
        return false;
    }
    memcpy(out, *at, used);
    out[used] = '\0';
    *at += length + ((*at)[length] == '\n');
    return true;
}

static bool parse(struct rt_login *login, const char *text)
{
    if (strchr(text, '\n') == NULL || strchr(text, '\n')[1] == '\0') {
        return take_line(&text, login->password, sizeof(login->password)) && *text == '\0';
    }
    return take_line(&text, login->user, sizeof(login->user)) && strchr(login->user, ' ') == NULL &&
           take_line(&text, login->password, sizeof(login->password)) && *text == '\0';
}

int rt_login_read(struct rt_login *login, const char *path, char *why, size_t why_size)
{
    static const struct rt_file_rule rule = {S_IRWXO, "read or write it: chmod 600, and change the password", false};
    char text[FILE_MAX];
    size_t size;
    int rc;

    memset(login, 0, sizeof(*login));
    rc = rt_read_ruled(path, &rule, text, sizeof(text), &size, why, why_size);
    if (rc == 0 && (strlen(text) != size || !parse(login, text))) {
        explicit_bzero(login, sizeof(*login));
        rc = rt_fail(RT_ECONFIG, why, why_size,
                     "%s: wants one line, a password, or two, a user and its password; of %d and %d bytes at most",
                     path, RT_LOGIN_USER_MAX, RT_LOGIN_PASSWORD_MAX);
    }
    explicit_bzero(text, sizeof(text));
    return rc;
}
