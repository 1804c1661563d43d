/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/options.h"

#include "session/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_token_file(const char *what, const char *path, char *out, char why[TETHER_WHY_MAX])
{
    size_t used;
    int rc = rt_read_file(path, out, TETHER_TOKEN_TEXT_MAX, &used);

    if (rc == RT_EIO) {
        return rt_fail(rc, why, TETHER_WHY_MAX, "cannot read %s %s: %s", what, path, strerror(errno));
    }
    return rc == RT_OK
               ? rc
               : rt_fail(RT_EINVAL, why, TETHER_WHY_MAX,
                         "%s %s is longer than any token; write there what retether create printed", what, path);
}

int tether_token_read(const char *path, const char *fallback, char token[TETHER_TOKEN_TEXT_MAX],
                      char why[TETHER_WHY_MAX])
{
    const char *named = getenv("RETETHER_TOKEN_FILE");
    char *text = getenv("RETETHER_TOKEN");
    int rc = RT_OK;

    if (path != NULL) {
        rc = read_token_file("the token file", path, token, why);
    } else if (named != NULL) {
        rc = read_token_file("RETETHER_TOKEN_FILE", named, token, why);
    } else if (text != NULL && strlen(text) >= TETHER_TOKEN_TEXT_MAX) {
        rc = rt_fail(RT_EINVAL, why, TETHER_WHY_MAX,
                     "RETETHER_TOKEN is longer than any token; set what retether create printed");
    } else if (text != NULL) {
        snprintf(token, TETHER_TOKEN_TEXT_MAX, "%s", text);
    } else if (fallback != NULL) {
        rc = read_token_file("the token file", fallback, token, why);
    } else {
        rc = rt_fail(
            RT_EINVAL, why, TETHER_WHY_MAX,
            "there is no join token: set RETETHER_TOKEN_FILE, or set RETETHER_TOKEN to what retether create printed");
    }
    if (text != NULL) {
        explicit_bzero(text, strlen(text)); /* /proc/PID/environ shows this memory */
    }
    (void)unsetenv("RETETHER_TOKEN");
    (void)unsetenv("RETETHER_TOKEN_FILE");
    return rc;
}
