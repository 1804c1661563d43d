/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/seal/keyring.h"

#include "session/base/file.h"
#include "session/base/random.h"
#include "session/base/text.h"
#include "session/base/units.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Keeps the reason with the path before it and returns the code. */
__attribute__((format(printf, 4, 5))) static int fail(struct rt_keyring *ring, const char *path, int code,
                                                      const char *format, ...)
{
    char reason[RT_TEXT_MAX / 2];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    (void)snprintf(ring->why, sizeof(ring->why), "key ring %.*s: %s", RT_TEXT_MAX / 2 - 16, path, reason);
    return code;
}

static int fail_errno(struct rt_keyring *ring, const char *path, const char *what)
{
    int error = errno;

    return fail(ring, path,
                error == ENOENT   ? RT_ENOTFOUND
                : error == ENOMEM ? RT_ENOMEM
                                  : RT_EIO,
                "%s: %s", what, strerror(error));
}

/* Returns NULL or what is wrong with the line. Never quotes it: it holds a secret. *active becomes its key's id when it
 * has the mark. */
static const char *parse_line(struct rt_keyring *ring, char *line, uint32_t *active)
{
    uint8_t secret[RT_SECRET_SIZE];
    char *rest = NULL, *word, *id_word, *secret_word, *mark;
    const char *wrong = NULL;
    uint64_t id = 0;
    int error;

    line[strcspn(line, "#")] = '\0';
    word = strtok_r(line, " \t\r", &rest);
    if (word == NULL) {
        return NULL;
    }
    id_word = strtok_r(NULL, " \t\r", &rest);
    secret_word = strtok_r(NULL, " \t\r", &rest);
    mark = secret_word == NULL ? NULL : strtok_r(NULL, " \t\r", &rest);
    if (strcmp(word, "key") != 0 || secret_word == NULL || (mark != NULL && strcmp(mark, "active") != 0) ||
        (mark != NULL && strtok_r(NULL, " \t\r", &rest) != NULL)) {
        return "expected: key ID SECRET, or key ID SECRET active";
    }
    if (mark != NULL && *active != 0) {
        return "another key is marked active already";
    }
    if (!rt_read_number(rt_slice_text(id_word), UINT32_MAX, &id) || id == 0) {
        return "the key's id is not a number from 1 to 4294967295";
    }
    for (char *c = secret_word; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    if (!rt_unhex(rt_slice_text(secret_word), secret, sizeof(secret))) {
        return "the key's secret is not 64 hex digits";
    }
    error = rt_keyring_add(ring, (uint32_t)id, secret);
    if (error == RT_EEXIST) {
        wrong = "a key of this id came before";
    } else if (error) {
        wrong = "too many keys";
    } else if (mark != NULL) {
        *active = (uint32_t)id;
    }
    rt_crypto_wipe(secret, sizeof(secret));
    return wrong;
}

/* text is NUL-terminated and is cut up. Fills loaded, says why in ring. */
static int parse(struct rt_keyring *ring, const char *path, char *text, size_t size, struct rt_keyring *loaded)
{
    unsigned number = 0;
    uint32_t active = 0;

    if (strlen(text) != size) {
        return fail(ring, path, RT_ECONFIG, "this is not a text file");
    }
    while (text != NULL) {
        char *line = strsep(&text, "\n");
        const char *wrong;
        number++;
        wrong = parse_line(loaded, line, &active);
        if (wrong != NULL) {
            return fail(ring, path, RT_ECONFIG, "line %u: %s", number, wrong);
        }
    }
    if (loaded->n_keys == 0) {
        return fail(ring, path, RT_ECONFIG, "it holds no key");
    }
    if (active == 0 && loaded->n_keys > 1) {
        return fail(ring, path, RT_ECONFIG, "it does not say which of its keys seals: mark one as active");
    }
    return active == 0 ? 0 : rt_keyring_activate(loaded, active);
}

int rt_keyring_load(struct rt_keyring *ring, const char *path)
{
    static const struct rt_file_rule rule = {S_IRWXG | S_IRWXO, "read or write it: chmod 600, and make new keys", true};
    char text[RT_KEYRING_FILE_MAX + 1], why[RT_TEXT_MAX - 16];
    struct rt_keyring loaded;
    size_t size;
    int error;

    rt_keyring_init(&loaded);
    error = rt_read_ruled(path, &rule, text, sizeof(text), &size, why, sizeof(why));
    if (error != 0) {
        (void)rt_fail(error, ring->why, sizeof(ring->why), "key ring %s", why);
    } else {
        error = parse(ring, path, text, size, &loaded);
    }
    rt_crypto_wipe(text, sizeof(text));
    if (error == 0) {
        *ring = loaded;
    }
    rt_keyring_close(&loaded);
    return error;
}

/* Writes the ring as a file, over one that is there or not. */
static int put(struct rt_keyring *ring, const char *path, bool over)
{
    static const char head[] = "# retether key ring: whoever reads this file can take over every session.\n";
    char text[RT_KEYRING_FILE_MAX + 1], hex[2 * RT_SECRET_SIZE + 1];
    size_t used = sizeof(head) - 1;
    int error;

    memcpy(text, head, used);
    for (size_t i = 0; i < ring->n_keys; i++) { /* RT_KEYRING_MAX lines fit */
        rt_hex(ring->keys[i].secret, RT_SECRET_SIZE, hex);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "key %u %s%s\n", (unsigned)ring->keys[i].id, hex,
                                 ring->keys[i].id == ring->active ? " active" : "");
    }
    error = rt_put_file(path, over, 0600, text, used);
    if (error == RT_EEXIST) {
        error = fail(ring, path, RT_EEXIST, "it exists already");
    } else if (error != 0) {
        error = fail_errno(ring, path, over ? "write" : "create");
    }
    rt_crypto_wipe(text, sizeof(text));
    rt_crypto_wipe(hex, sizeof(hex));
    return error;
}

int rt_keyring_grow(struct rt_keyring *ring, uint32_t *id)
{
    uint8_t secret[RT_SECRET_SIZE];
    uint32_t last = 0;
    int error;

    for (size_t i = 0; i < ring->n_keys; i++) {
        last = ring->keys[i].id > last ? ring->keys[i].id : last;
    }
    if (last == UINT32_MAX) {
        return RT_ELIMIT;
    }
    *id = last + 1;
    rt_random_fill(NULL, secret, sizeof(secret));
    error = rt_keyring_add(ring, *id, secret);
    rt_crypto_wipe(secret, sizeof(secret));
    return error;
}

int rt_keyring_save(struct rt_keyring *ring, const char *path)
{
    return put(ring, path, true);
}

int rt_keyring_create(struct rt_keyring *ring, const char *path)
{
    struct rt_keyring made;
    uint32_t id;
    int error;

    rt_keyring_init(&made);
    error = rt_keyring_grow(&made, &id);
    error = error == 0 ? put(&made, path, false) : error;
    if (error == 0) {
        *ring = made;
    } else {
        memcpy(ring->why, made.why, sizeof(ring->why));
    }
    rt_keyring_close(&made);
    return error;
}
