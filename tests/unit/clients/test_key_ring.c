/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/program.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* retether keys on a key ring file. tests/system/cluster/test_keys.c has agents read what it writes. */

static char dir[] = "/tmp/retether-key-ring-XXXXXX", ring[64];

static int make_dir(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(ring, sizeof(ring), "%s/ring", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(ring);
    return rmdir(dir); /* nothing else is left in it */
}

/* `retether keys ARGS`, with the ring's path for each %s. */
static void run(struct program *p, int status, const char *action, const char *more)
{
    char line[256];

    snprintf(line, sizeof(line), "keys %s %s %s", action, ring, more);
    program_run(p, line, status);
}

/* No output has a secret of the file in it. */
static void check_secrets(const struct program *p)
{
    char text[4096], *rest = NULL;
    FILE *file = fopen(ring, "re");
    struct stat st;

    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    for (char *word = strtok_r(text, " \n", &rest); word != NULL; word = strtok_r(NULL, " \n", &rest)) {
        if (strlen(word) == 64) {
            assert_null(strstr(p->text[0].data, word));
            assert_null(strstr(p->text[1].data, word));
        }
    }
    assert_int_equal(stat(ring, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_life_of_a_key(void **state)
{
    struct program *p = *state;

    run(p, 125, "list", "");
    program_has(p, "No such file or directory; retether keys new ");
    run(p, 0, "new", "");
    assert_non_null(strstr(p->text[0].data, "with key 1, which seals"));
    check_secrets(p);
    run(p, 0, "new", "");
    assert_non_null(strstr(p->text[0].data, "added key 2, which does not seal yet"));
    check_secrets(p);
    run(p, 0, "list", "");
    assert_string_equal(p->text[0].data, "ID  ACTIVE\n 1  yes\n 2\n");
    run(p, 0, "list", "--json");
    assert_string_equal(p->text[0].data, "{\"id\":1,\"active\":true}\n{\"id\":2,\"active\":false}\n");
    check_secrets(p);
    run(p, 125, "remove", "1");
    program_has(p, "key 1 seals: first make another one do that");
    run(p, 0, "activate", "2");
    run(p, 0, "activate", "2");
    assert_string_equal(p->text[0].data, "key 2 seals already\n");
    run(p, 0, "remove", "1");
    check_secrets(p);
    run(p, 0, "list", "--json");
    assert_string_equal(p->text[0].data, "{\"id\":2,\"active\":true}\n");
}

static void test_refused(void **state)
{
    static const struct {
        const char *action, *more, *told;
    } refused[] = {
        {"activate", "9", " has no key 9; retether keys list "},
        {"remove", "9", " has no key 9; retether keys list "},
        {"activate", "0", "ID is the number of a key as list shows it, not \"0\""},
        {"activate", "", "an argument is missing (usage: retether keys activate FILE ID)"},
        {"new", "1", "too many arguments (usage: retether keys new FILE)"},
        {"new", "--json", "keys new takes no --json"},
        {"burn", "", "keys does not know \"burn\"; it is one of: new, activate, remove, list"},
    };
    struct program *p = *state;

    run(p, 0, "new", "");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        run(p, 125, refused[i].action, refused[i].more);
        program_has(p, refused[i].told);
    }
    for (unsigned i = 1; i < 16; i++) {
        run(p, 0, "new", "");
    }
    run(p, 125, "new", "");
    program_has(p, " has 16 keys, as many as it may: take one out with retether keys remove");
    assert_int_equal(chmod(ring, 0640), 0);
    run(p, 125, "list", "");
    program_has(p, "its mode 0640 lets others read or write it: chmod 600, and make new keys");
}

static int setup(void **state)
{
    (void)unlink(ring);
    return program_setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life_of_a_key, setup, program_teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, program_teardown),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
