/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/settings.h"

#include "broker/listen_item.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX 16

static struct rt_settings settings;
static enum rt_settings_verb verb;
static char why[RT_SETTING_WHY_MAX];

/* Flags given as one NULL-terminated list. */
static int read_flags(const char *first, ...)
{
    char *argv[ARGS_MAX] = {(char *)(uintptr_t) "retetherd"};
    int argc = 1;
    va_list args;

    va_start(args, first);
    for (const char *arg = first; arg != NULL && argc < ARGS_MAX - 1; arg = va_arg(args, const char *)) {
        argv[argc++] = (char *)(uintptr_t)arg;
    }
    va_end(args);
    why[0] = '\0';
    return rt_settings_read(&settings, &verb, argc, argv, why);
}

static int read_file(const char *text)
{
    char path[] = "/tmp/rt-settings-XXXXXX";
    int fd = mkstemp(path), rc;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
    rc = read_flags("--config", path, NULL);
    assert_int_equal(unlink(path), 0);
    return rc;
}

static void test_defaults(void **state)
{
    (void)state;
    assert_int_equal(read_flags(NULL), 0);
    assert_int_equal(verb, RT_SETTINGS_RUN);
    assert_true(settings.host_name[0] != '\0');
    assert_int_equal(settings.guests.n, 1);
    assert_string_equal(settings.guests.item[0], "unix:/run/retether/guest.sock");
    assert_string_equal(settings.clients.item[0], "unix:/run/retether/client.sock");
    assert_int_equal(settings.store.n, 0);
    assert_string_equal(settings.state_dir, "/var/lib/retether");
    assert_string_equal(settings.keys, "/var/lib/retether/keys");
    assert_int_equal(settings.store_timeout_ms, 1000);
    assert_int_equal(settings.log_level, RT_LOG_INFO);
    for (size_t i = 0; i < RT_LIMITS; i++) {
        assert_true(settings.limits[i] > 0);
    }
    assert_int_equal(settings.limits[RT_LIMIT_TENANT_CLIENTS], 3072);
}

/* Those of a tenant's connections go with those of all, unless they are given. */
static void test_limits(void **state)
{
    (void)state;
    assert_int_equal(
        read_file("listen {\n  max_clients = 100\n}\nlimits {\n  tenant_sessions = 7\n  handshakes = 8\n}\n"), 0);
    assert_int_equal(settings.limits[RT_LIMIT_TENANT_SESSIONS], 7);
    assert_int_equal(settings.limits[RT_LIMIT_TENANT_CLIENTS], 75);
    assert_int_equal(settings.handshakes, 8);
    assert_int_equal(read_flags("--tenant-clients", "9", "--client-requests", "10", NULL), 0);
    assert_int_equal(settings.limits[RT_LIMIT_TENANT_CLIENTS], 9);
    assert_int_equal(settings.limits[RT_LIMIT_CLIENT_REQUESTS], 10);
    assert_int_equal(read_flags("--client-channels", "5000", NULL), RT_ECONFIG);
    assert_int_equal(read_flags("--tenant-requests", "0", NULL), RT_ECONFIG);
}

static void test_file(void **state)
{
    (void)state;
    assert_int_equal(
        read_file("# a host\n"
                  "host {\n  name = h1\n  advertise = {\"tls:127.0.0.1:7401\", \"unix:/run/c\"}\n}\n"
                  "listen {\n  guests = {\"vsock::7400\", \"tcp:169.254.1.1:7400\", \"tcp:[::1]:7\"}\n"
                  "  clients = {\"unix:/run/c\"}\n  max_guests = 10\n}\n"
                  "store {\n  endpoints = {\"sentinel://m@127.0.0.1:1,127.0.0.1:2\"}\n  timeout = 500ms\n}\n"
                  "state_dir = \"/srv/x\"\nticket_ttl = 30d\n"
                  "log {\n  level = debug\n  format = json\n}\n"),
        0);
    assert_string_equal(settings.host_name, "h1");
    assert_int_equal(settings.advertise.n, 2);
    assert_string_equal(settings.advertise.item[1], "unix:/run/c");
    assert_int_equal(settings.guests.n, 3);
    assert_string_equal(settings.guests.item[0], "vsock::7400");
    assert_int_equal(settings.clients.n, 1);
    assert_int_equal(settings.max_guests, 10);
    assert_int_equal(settings.store.n, 1);
    assert_int_equal(settings.store_timeout_ms, 500);
    assert_string_equal(settings.keys, "/srv/x/keys");
    assert_true(settings.ticket_ttl_ms == UINT64_C(30) * 24 * 3600 * 1000);
    assert_int_equal(settings.log_level, RT_LOG_DEBUG);
    assert_int_equal(settings.log_format, RT_LOG_JSON);
}

/* root is an operator, whoever runs the agent one of its own; rules of the settings replace both. */
static void test_users(void **state)
{
    const struct rt_access_rule *rules = settings.access.rules;

    (void)state;
    assert_int_equal(read_flags(NULL), 0);
    assert_int_equal(settings.access.n, geteuid() == 0 ? 1 : 2);
    assert_int_equal(rules[0].id.uid, 0);
    assert_int_equal(rules[0].as, RT_CLIENT_OPERATOR);
    if (geteuid() != 0) {
        assert_int_equal(rules[1].id.uid, geteuid());
        assert_int_equal(rules[1].as, RT_CLIENT_VCH);
        assert_string_equal(rules[1].tenant, "local");
    }
    assert_int_equal(settings.operators_read, 0);
    assert_int_equal(read_file("access {\n  users = {\"* = vch/acme\"}\n  operators_read = yes\n}\n"), 0);
    assert_int_equal(settings.access.n, 1);
    assert_int_equal(rules[0].whom, RT_ACCESS_ANY);
    assert_int_equal(settings.operators_read, 1);
    assert_int_equal(read_file("access {\n  users = {}\n}\n"), 0);
    assert_int_equal(settings.access.n, 0);
    assert_int_equal(read_flags("--user", "1001=viewer/acme", "--user", "@0 = operator", NULL), 0);
    assert_int_equal(settings.access.n, 2);
    assert_int_equal(rules[0].id.uid, 1001);
    assert_int_equal(rules[1].whom, RT_ACCESS_GROUP);
}

static void test_listen_item(void **state)
{
    struct rt_listen_item item;

    (void)state;
    assert_int_equal(rt_listen_item_parse(&item, "unix:/a", why, sizeof(why)), 0);
    assert_int_equal(item.mode, 0600);
    assert_false(item.has_group);
    assert_int_equal(rt_listen_item_parse(&item, "unix:/a,group=12,mode=660", why, sizeof(why)), 0);
    assert_string_equal(rt_endpoint_path(&item.endpoint), "/a");
    assert_int_equal(item.mode, 0660);
    assert_true(item.has_group);
    assert_int_equal(item.gid, 12);
    assert_int_equal(rt_listen_item_parse(&item, "vsock::7400", why, sizeof(why)), 0);
    assert_int_equal(item.endpoint.kind, RT_ENDPOINT_VSOCK);
    assert_false(item.is_vms);
    assert_int_equal(rt_listen_item_parse(&item, "vm:/run/vms", why, sizeof(why)), 0);
    assert_true(item.is_vms);
    assert_int_equal(item.port, 7400);
    assert_int_equal(item.mode, 0666);
    assert_string_equal(rt_endpoint_path(&item.endpoint), "/run/vms");
    assert_int_equal(rt_listen_item_parse(&item, "vm:/run/vms:1024,mode=0660,group=12", why, sizeof(why)), 0);
    assert_int_equal(item.port, 1024);
    assert_int_equal(item.mode, 0660);
    assert_int_equal(item.gid, 12);
    assert_int_equal(rt_listen_item_parse(&item, "vm:run", why, sizeof(why)), RT_ECONFIG);
    assert_int_equal(rt_listen_item_parse(&item, "vm:/run:x", why, sizeof(why)), RT_ECONFIG);
    assert_int_equal(rt_listen_item_parse(&item, "vm:/run,user=x", why, sizeof(why)), RT_ECONFIG);
}

static void test_empty_lists(void **state)
{
    (void)state;
    assert_int_equal(read_file("listen {\n  guests = {}\n}\n"), 0);
    assert_int_equal(settings.guests.n, 0);
    assert_int_equal(settings.clients.n, 1);
    assert_int_equal(read_file("listen {\n  guests = {}\n  clients = {}\n}\n"), RT_ECONFIG);
    assert_string_equal(why, "neither listen.guests nor listen.clients has an endpoint");
    assert_int_equal(read_file("listen {\n  guests = {\"unix:/a\"}\n  guests += {\"unix:/b\"}\n}\n"), 0);
    assert_int_equal(settings.guests.n, 2);
}

static void test_flags_win(void **state)
{
    char path[] = "/tmp/rt-settings-XXXXXX";
    const char text[] = "host { name = file }\nlisten { guests = {\"unix:/a\", \"unix:/b\"} }\n";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    assert_int_equal(read_flags("--guests", "unix:/c", "--config", path, "--guests=unix:/d", "--check-config", NULL),
                     0);
    unlink(path);
    assert_int_equal(verb, RT_SETTINGS_CHECK);
    assert_string_equal(settings.host_name, "file");
    assert_int_equal(settings.guests.n, 2);
    assert_string_equal(settings.guests.item[0], "unix:/c");
    assert_string_equal(settings.guests.item[1], "unix:/d");
}

static const struct {
    const char *text, *part; /* the message holds part */
} bad_files[] = {
    {"\n\ncolour = red\n", ":3: no such option 'colour'"},
    {"host {\n  nmae = x\n}\n", ":2: no such option 'nmae'"},
    {"hosts {\n}\n", ":1: no such option 'hosts'"},
    {"host|name = x\n", ":1: no such option 'name'"},
    {"listen|guests = {\"unix:/a\"}\n", ":1: no such option 'guests'"},
    {"host {\n  name = \"a b\"\n}\n", ":2: host.name: \"a b\": a host name is printable ASCII"},
    {"host {\n  name = \"\"\n}\n", ":2: host.name: an empty text"},
    {"listen {\n\n  clients = {\"tcp:0.0.0.0:7401\"}\n}\n", ":3: listen.clients: tcp:0.0.0.0:7401: plain TCP proves "
                                                            "nobody; clients use tls:ADDRESS:PORT"},
    {"listen {\n  clients = {\"tcp:127.0.0.1:7401\"}\n}\n", "plain TCP proves nobody"},
    {"listen {\n  guests = {\"tls:127.0.0.1:7400\"}\n}\n", "TLS is for clients"},
    {"host {\n  advertise = {\"tcp:127.0.0.1:7401\"}\n}\n", "clients are told unix:PATH, tls:ADDRESS:PORT or"},
    {"listen {\n  clients = {\"vsock::7401\"}\n}\n", "vSockets are for guests"},
    {"listen {\n  guests = {\"unix:/a\",\n \"tcp:10.0.0.1:7400\"}\n}\n",
     ":3: listen.guests: tcp:10.0.0.1:7400: guests on "
     "TCP use a loopback or a link-local address"},
    {"listen {\n  guests = {\"tcp:localhost:1\"}\n}\n", "not a numeric address"},
    {"listen {\n  guests = {\"unix:/a\", \"unix:/a\"}\n}\n", "is there twice"},
    {"listen {\n  guests = \"unix:/a\"\n guests = \"unix:/b\"\n}\n", ":3: listen.guests: set twice"},
    {"listen {\n  guests = \"unix:/a\"\n guests = \"unix:/a\"\n}\n", ":3: listen.guests: set twice"},
    {"listen {\n  guests = {\"unix:/a\"}\n guests = {\"unix:/b\"}\n}\n", ":3: listen.guests: set twice"},
    {"listen {\n  guests = {\"unix:/a\"}\n guests = {}\n}\n", ": listen.guests: set twice"},
    {"listen {\n  guests = \"unix:/a\"\n}\nlisten {\n guests = \"unix:/b\"\n}\n", ":5: listen.guests: set twice"},
    {"listen {\n  max_guests = 0\n}\n", ":2: listen.max_guests: \"0\" is no number from 1 to"},
    {"listen {\n  max_guests = 5x\n}\n", "is no number"},
    {"store {\n  endpoints = {\"redis.example:6379\"}\n}\n", ":2: store.endpoints: \"redis.example:6379\" is no store"},
    {"store {\n  endpoints = {\"tcp:127.0.0.1:6379\"}\n}\n", ":2: store.endpoints: \"tcp:127.0.0.1:6379\" is no store"},
    {"store {\n  endpoints = {\"redis://127.0.0.1\"}\n}\n", ":2: store.endpoints: \"127.0.0.1\": wants HOST:PORT"},
    {"store {\n  endpoints = {\"sentinel://m@a.x:1,b.x:2,a.x:1\"}\n}\n",
     ":2: store.endpoints: sentinel://m@a.x:1 is there twice"},
    {"store {\n  timeout = 5\n}\n", ":2: store.timeout: \"5\" is no time"},
    {"state_dir = lib\n", ":1: state_dir: \"lib\" is not an absolute path"},
    {"state_dir = /a\nstate_dir = /b\n", ":2: state_dir: set twice"},
    {"listen {\n  clients = {\"unix:/a,mode=0888\"}\n}\n", ":2: listen.clients: unix:/a,mode=0888: a mode is octal"},
    {"listen {\n  clients = {\"unix:/a,mode=01777\"}\n}\n", "a mode is octal, from 0 to 0777"},
    {"listen {\n  guests = {\"unix:/a,mode=\"}\n}\n", "a mode is octal"},
    {"listen {\n  guests = {\"unix:/a,mode=0600,mode=0600\"}\n}\n", "behind a comma stands mode=OCTAL or group=NAME"},
    {"listen {\n  guests = {\"unix:/a,user=x\"}\n}\n", "behind a comma stands mode=OCTAL or group=NAME"},
    {"listen {\n  guests = {\"unix:/a,\"}\n}\n", "behind a comma stands"},
    {"listen {\n  guests = {\"unix:,mode=0600\"}\n}\n", "the path is missing"},
    {"listen {\n  guests = {\"unix:/a,group=no-such-group\"}\n}\n",
     ":2: listen.guests: unix:/a,group=no-such-group: there is no group \"no-such-group\""},
    {"listen {\n  guests = {\"tcp:127.0.0.1:1,mode=0600\"}\n}\n", "is not a port"},
    {"access {\n  users = {\"0 = operator\",\n \"no-such-user = operator\"}\n}\n",
     ":3: access.users: there is no user \"no-such-user\" on this machine"},
    {"access {\n  users = {\"@no-such-group = operator\"}\n}\n", "there is no group \"no-such-group\""},
    {"access {\n  users = {\"0 = vch\"}\n}\n", ":2: access.users: \"0 = vch\": no role behind the ="},
    {"access {\n  operators_read = maybe\n}\n", ":2: access.operators_read: \"maybe\" is none of: yes or no"},
    {"log {\n  level = loud\n}\n", ":2: log.level: \"loud\" is none of"},
    {"log = info\n", ":1: "},
    {"host {\n  name =\n}\n", ":3: "},
};

static void test_bad_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
        assert_int_equal(read_file(bad_files[i].text), RT_ECONFIG);
        if (strncmp(why, "/tmp/rt-settings-", 17) != 0 || strstr(why, bad_files[i].part) == NULL) {
            fail_msg("file %zu says \"%s\", wants \"%s\"", i, why, bad_files[i].part);
        }
    }
    assert_int_equal(read_flags("--config", "/nonexistent/retether.conf", NULL), RT_ECONFIG);
    assert_string_equal(why, "/nonexistent/retether.conf: No such file or directory");
}

static void test_bad_flags(void **state)
{
    (void)state;
    assert_int_equal(read_flags("--colour", "red", NULL), RT_ECONFIG);
    assert_non_null(strstr(why, "--colour: there is no such flag"));
    assert_int_equal(read_flags("--host-name", NULL), RT_ECONFIG);
    assert_non_null(strstr(why, "--host-name needs a value: --host-name NAME"));
    assert_int_equal(read_flags("extra", NULL), RT_ECONFIG);
    assert_int_equal(read_flags("--clients", "tcp:[::]:7401", NULL), RT_ECONFIG);
    assert_non_null(strstr(why, "--clients: tcp:[::]:7401: plain TCP proves nobody"));
    assert_int_equal(read_flags("--clients", "tls:0.0.0.0:7401", "--host-name", "h1", NULL), RT_ECONFIG);
    assert_non_null(strstr(why, "listen.clients: tls:0.0.0.0:7401 takes certificates: set tls to a directory of them"));
    assert_int_equal(read_flags("--clients", "tls:0.0.0.0:7401", "--tls", "/etc/retether/tls", NULL), 0);
    assert_int_equal(read_flags("--log-level", "", NULL), RT_ECONFIG);
    assert_int_equal(read_flags("--max-guests", "12000", "--max-clients", "5000", NULL), RT_ECONFIG);
    assert_non_null(strstr(why, "together are 17000, at most 16384"));
}

/* A setting that is overridden by a flag must be right all the same. */
static void test_hidden_error(void **state)
{
    char path[] = "/tmp/rt-settings-XXXXXX";
    const char text[] = "log {\n  level = loud\n}\n";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    assert_int_equal(read_flags("--log-level", "info", "--config", path, NULL), RT_ECONFIG);
    unlink(path);
    assert_non_null(strstr(why, ":2: log.level"));
}

static void test_list_limit(void **state)
{
    (void)state;
    assert_int_equal(read_flags("--advertise", "unix:/1", "--advertise", "unix:/2", "--advertise", "unix:/3",
                                "--advertise", "unix:/4", NULL),
                     0);
    assert_int_equal(read_flags("--advertise", "unix:/1", "--advertise", "unix:/2", "--advertise", "unix:/3",
                                "--advertise", "unix:/4", "--advertise", "unix:/5", NULL),
                     RT_ECONFIG);
    assert_non_null(strstr(why, "more than 4 items"));
}

static char *read_whole(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = calloc(1, 1 << 18);

    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 18) - 1, file) > 0);
    fclose(file);
    return text;
}

/* Each setting has its row in the reference, with its flag and default, and its lines in --help; and the reference has
 * no others. */
static void test_documented(void **state)
{
    static char help[16384];
    struct rt_help page = {help, sizeof(help), 0};
    char *docs = read_whole("docs/operations.md");
    size_t rows = 0;

    (void)state;
    rt_settings_help(&page);
    for (const char *line = help; *line != '\0'; line += strcspn(line, "\n") + 1) {
        assert_true(strcspn(line, "\n") <= RT_HELP_COLUMNS);
    }
    for (size_t i = 0; i < rt_settings_count; i++) {
        const struct rt_setting *setting = &rt_settings_table[i];
        const char *value = setting->value != NULL      ? setting->value
                            : setting->computed != NULL ? setting->computed
                                                        : "none";
        char row[256], flag[64], key[64];

        (void)snprintf(row, sizeof(row), "\n| `%s` | `--%s` |", setting->key, setting->flag);
        (void)snprintf(flag, sizeof(flag), "\n  --%s %s", setting->flag, setting->argument);
        (void)snprintf(key, sizeof(key), "[%s]", setting->key);
        const char *at = strstr(docs, row);
        if (at == NULL) {
            fail_msg("docs/operations.md has no row that begins with%s", row);
        } else {
            const char *end = strchr(at + 1, '\n'), *found = strstr(at, value);
            if (found == NULL || found > end) {
                fail_msg("docs/operations.md does not give %s the default %s", setting->key, value);
            }
        }
        if (strstr(help, flag) == NULL || strstr(help, key) == NULL) {
            fail_msg("--help does not show %s", setting->key);
        }
    }
    for (const char *at = docs; (at = strstr(at, "` | `--")) != NULL; at++) {
        rows++;
    }
    assert_int_equal(rows, rt_settings_count);
    free(docs);
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < rt_settings_count; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(rt_settings_table[i].key, rt_settings_table[k].key);
            assert_string_not_equal(rt_settings_table[i].flag, rt_settings_table[k].flag);
            assert_true(rt_settings_table[i].offset != rt_settings_table[k].offset);
        }
    }
    assert_ptr_equal(rt_setting_by_key("", "keys")->key, rt_setting_by_key("", "keys")->key);
    assert_null(rt_setting_by_key("log", "keys"));
    assert_string_equal(rt_setting_by_key("log", "level")->flag, "log-level");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),     cmocka_unit_test(test_limits),      cmocka_unit_test(test_file),
        cmocka_unit_test(test_users),        cmocka_unit_test(test_listen_item), cmocka_unit_test(test_empty_lists),
        cmocka_unit_test(test_flags_win),    cmocka_unit_test(test_bad_files),   cmocka_unit_test(test_bad_flags),
        cmocka_unit_test(test_hidden_error), cmocka_unit_test(test_list_limit),  cmocka_unit_test(test_documented),
        cmocka_unit_test(test_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
