/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/token_text.h"

#include "session/base/error.h"
#include "session/core/protocol.h"

#include <ctype.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* tests/vectors/token-text.txt against the code: docs/protocol.md, section 10. */

#define VECTORS "tests/vectors/token-text.txt" /* from the root of the sources, where the test runs */
#define LINE_SIZE 512
#define TEXT_SIZE (RT_TOKEN_TEXT_MAX + 64)

struct row {
    char verdict[8];
    char text[TEXT_SIZE];
    size_t size;
    uint8_t token[RT_TOKEN_MAX];
    size_t token_size;
    uint64_t ring;
};

/* The times that an "*N" at *at asks for, 1 without one. */
static size_t times(const char **at)
{
    char *end;
    unsigned long n = 1;

    if (**at == '*') {
        n = strtoul(*at + 1, &end, 10);
        *at = end;
    }
    return n;
}

static char character(const char **at)
{
    static const char names[] = "trn", values[] = "\t\r\n";
    const char *name;
    char hex[3] = "";

    if (**at != '\\') {
        return *(*at)++;
    }
    ++*at;
    if (**at == 'x') {
        memcpy(hex, *at + 1, 2);
        *at += 3;
        return (char)strtoul(hex, NULL, 16);
    }
    name = strchr(names, *(*at)++);
    assert_true(name != NULL && *name != '\0');
    return values[name - names];
}

/* The text between quotes; returns what is behind it. */
static const char *read_text(struct row *row, const char *at)
{
    at += strspn(at, " ");
    assert_true(*at++ == '"');
    while (*at != '"') {
        char c = character(&at);
        size_t n = times(&at);

        assert_true(c != '\n' || at[-1] == 'n'); /* a line without its second quote */
        assert_true(n < TEXT_SIZE - row->size);
        memset(row->text + row->size, c, n);
        row->size += n;
    }
    return at + 1;
}

static const char *read_token(struct row *row, const char *at)
{
    at += strspn(at, " ");
    while (isxdigit((unsigned char)*at)) {
        char hex[3] = {at[0], at[1], '\0'};
        size_t n;

        at += 2;
        n = times(&at);
        assert_true(n <= RT_TOKEN_MAX - row->token_size);
        memset(row->token + row->token_size, (int)strtoul(hex, NULL, 16), n);
        row->token_size += n;
    }
    return at;
}

/* Returns false for a line that holds no row. */
static bool read_row(struct row *row, const char *line)
{
    int used = 0;

    memset(row, 0, sizeof(*row));
    if (line[0] == '#' || sscanf(line, "%7s%n", row->verdict, &used) != 1) {
        return false;
    }
    line = read_text(row, line + used);
    if (strcmp(row->verdict, "reject") != 0) {
        line = read_token(row, line);
        line += strspn(line, " ");
        row->ring = *line == '-' ? 0 : strtoull(line, NULL, 10);
        assert_true(row->token_size > 0);
    }
    return true;
}

/* As a guest reads it: the size off, then the token. Bytes are copied to their exact size, so that ASan sees a read
 * past them. Returns the token's size or a negative code. */
static int decode(const struct row *row, uint8_t *token, uint64_t *ring)
{
    char *exact = malloc(row->size == 0 ? 1 : row->size);
    size_t size = row->size;
    int rc;

    assert_non_null(exact);
    memcpy(exact, row->text, row->size);
    rc = rt_token_text_ring(exact, &size, ring);
    if (rc == 0) {
        rc = rt_token_text_decode(exact, size, token, RT_TOKEN_MAX);
    }
    free(exact);
    return rc;
}

/* As a client writes it. */
static void encode(const struct row *row, char out[TEXT_SIZE])
{
    int size = rt_token_text_encode(row->token, row->token_size, out, TEXT_SIZE);

    assert_true(size > 0);
    if (row->ring != 0) {
        (void)snprintf(out + size, TEXT_SIZE - (size_t)size, RT_TOKEN_RING "%" PRIu64, row->ring);
    }
}

static void check(const struct row *row, const char *line)
{
    uint8_t token[RT_TOKEN_MAX];
    char again[TEXT_SIZE];
    uint64_t ring;
    int size = decode(row, token, &ring);
    bool same;

    if (strcmp(row->verdict, "reject") == 0) {
        if (size != RT_EPROTO && size != RT_ELIMIT) {
            fail_msg("taken: %s", line);
        }
        return;
    }
    if (size < 0 || (size_t)size != row->token_size || memcmp(token, row->token, row->token_size) != 0 ||
        ring != row->ring) {
        fail_msg("read otherwise (%d): %s", size, line);
    }
    encode(row, again);
    same = strlen(again) == row->size && memcmp(again, row->text, row->size) == 0;
    if (same != (strcmp(row->verdict, "ok") == 0)) {
        fail_msg("written otherwise, or not: %s", line);
    }
}

static void test_vectors(void **state)
{
    static const char *const verdicts[] = {"ok", "accept", "reject"};
    FILE *file = fopen(VECTORS, "re");
    static struct row row;
    char line[LINE_SIZE];
    size_t seen[3] = {0};

    (void)state;
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        bool known = false;

        if (!read_row(&row, line)) {
            continue;
        }
        for (size_t i = 0; i < 3; i++) {
            if (strcmp(row.verdict, verdicts[i]) == 0) {
                known = true;
                seen[i]++;
            }
        }
        assert_true(known);
        check(&row, line);
    }
    (void)fclose(file);
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
