/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "migrate/store/endpoint.h"

#include <arpa/inet.h>
#include <string.h>

static struct rt_store_endpoint list[RT_ENDPOINTS_MAX];
static size_t n;
static char why[256];

static int parse(const char *text)
{
    return rt_store_endpoint_parse(text, list, &n, why, sizeof(why));
}

static int setup(void **state)
{
    (void)state;
    n = 0;
    return 0;
}

static void test_parses(void **state)
{
    (void)state;
    assert_int_equal(parse("redis+unix:///run/redis.sock"), 0);
    assert_int_equal(parse("redis://127.0.0.1:6379"), 0);
    assert_int_equal(parse("rediss://[2001:db8::1]:1"), 0);
    assert_int_equal(parse("redis://redis-1.example:6380"), 0);
    assert_int_equal(n, 4);
    assert_string_equal(rt_endpoint_path(&list[0].at), "/run/redis.sock");
    assert_string_equal(list[0].host, "");
    assert_string_equal(list[0].text, "redis+unix:///run/redis.sock");
    assert_int_equal(list[1].at.kind, RT_ENDPOINT_TCP);
    assert_int_equal(ntohs(list[1].at.addr.in4.sin_port), 6379);
    assert_string_equal(list[1].host, "127.0.0.1");
    assert_false(list[1].tls);
    assert_int_equal(list[2].at.kind, RT_ENDPOINT_TCP);
    assert_int_equal(list[2].at.addr.any.sa_family, AF_INET6);
    assert_string_equal(list[2].host, "2001:db8::1");
    assert_string_equal(list[2].text, "rediss://[2001:db8::1]:1");
    assert_true(list[2].tls);
    assert_string_equal(list[3].at.name, "redis-1.example");
    assert_int_equal(list[3].at.port, 6380);
    assert_string_equal(list[3].host, "redis-1.example");
}

static void test_sentinels(void **state)
{
    (void)state;
    assert_int_equal(parse("sentinel://main@192.0.2.1:26379,s2.example:26379,[::1]:26379"), 0);
    assert_int_equal(parse("sentinel+tls://main@s4:26379"), 0);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(list[i].master, "main");
        assert_int_equal(list[i].tls, i == 3);
    }
    assert_string_equal(list[1].host, "s2.example");
    assert_string_equal(list[2].text, "sentinel://main@[::1]:26379");
    assert_string_equal(list[3].text, "sentinel+tls://main@s4:26379");
}

static void test_refuses(void **state)
{
    static const char *const bad[] = {"",
                                      "unix:/run/redis.sock",
                                      "tcp:127.0.0.1:6379",
                                      "/run/redis.sock",
                                      "redis+unix://",
                                      "redis+unix://run/redis.sock",
                                      "redis://",
                                      "redis://127.0.0.1",
                                      "redis://127.0.0.1:",
                                      "redis://127.0.0.1:0",
                                      "redis://name:0",
                                      "redis://127.0.0.1:65536",
                                      "redis://127.0.0.1:6379x",
                                      "redis://127.0.0.1:6379/0",
                                      "redis://127.0.0.1.7:6379",
                                      "redis://::1:6379",
                                      "redis://[::1:6379",
                                      "redis://[]:6379",
                                      "redis://:6379",
                                      "redis://]:6379",
                                      "redis://a_b c:6379",
                                      "rediss+unix:///run/redis.sock",
                                      "sentinel:main@127.0.0.1:26379",
                                      "sentinel://127.0.0.1:26379",
                                      "sentinel://@127.0.0.1:26379",
                                      "sentinel://main@",
                                      "sentinel://main@127.0.0.1:26379,",
                                      "sentinel://main@,127.0.0.1:26379",
                                      "sentinel://main@127.0.0.1:26379,x"};
    char path[300] = "redis+unix:///", name[200] = "redis://";

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why[0] = '\0';
        if (parse(bad[i]) != RT_EINVAL || n != 0 || why[0] == '\0') {
            fail_msg("%s", bad[i]);
        }
    }
    memset(path + 14, 'a', 150);
    assert_int_equal(parse(path), RT_EINVAL);
    memset(path + 14, 'a', 280);
    assert_int_equal(parse(path), RT_EINVAL);
    memset(name + 8, 'a', 97);
    memcpy(name + 105, ":1", 3);
    assert_int_equal(parse(name), RT_EINVAL);
    memcpy(name + 104, ":1", 3);
    assert_int_equal(parse(name), 0);
}

/* It is refused, and not said, wherever somebody may have put it. */
static void test_no_password(void **state)
{
    static const char *const bad[] = {"redis://u:secret@127.0.0.1:6379", "rediss://:secret@h:6379",
                                      "sentinel://u:secret@main@h:1",    "sentinel://:secret@h:1",
                                      "redis+sentinel://u:secret@h:1",   "u:secret@h:1"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why[0] = '\0';
        assert_int_equal(parse(bad[i]), RT_EINVAL);
        if (why[0] == '\0' || strstr(why, "secret") != NULL) {
            fail_msg("%s: %s", bad[i], why);
        }
    }
    assert_int_equal(parse(bad[0]), RT_EINVAL);
    assert_non_null(strstr(why, "store.password_file"));
}

static void test_bounds(void **state)
{
    char text[] = "redis://127.0.0.1:1";

    (void)state;
    for (n = 0; n < RT_ENDPOINTS_MAX; text[sizeof(text) - 2]++) {
        assert_int_equal(parse(text), 0);
    }
    assert_int_equal(parse("redis://127.0.0.1:99"), RT_ELIMIT);
    n = RT_ENDPOINTS_MAX - 1;
    assert_int_equal(parse("sentinel://m@127.0.0.1:1,127.0.0.1:2"), RT_ELIMIT);
    assert_int_equal(n, RT_ENDPOINTS_MAX - 1);
    n = 0;
    assert_int_equal(parse("sentinel://m@127.0.0.1:1,127.0.0.1:2,127.0.0.1:1"), RT_EEXIST);
    assert_int_equal(n, 0);
    assert_int_equal(parse("redis://h:1"), 0);
    assert_int_equal(parse("redis://h:1"), RT_EEXIST);
    assert_string_equal(why, "redis://h:1 is there twice");
}

static int parse_all(const char *first, const char *second)
{
    return rt_store_endpoints_parse((const char *const[]){first, second}, 2, list, &n, why, sizeof(why));
}

static void test_together(void **state)
{
    (void)state;
    assert_int_equal(parse_all("redis://a:1", "rediss://b:1"), 0);
    assert_int_equal(n, 2);
    assert_int_equal(parse_all("sentinel://m@a:1,b:1", "sentinel://m@c:1"), 0);
    assert_int_equal(n, 3);
    assert_int_equal(parse_all("sentinel://m@a:1", "sentinel://m@a:1"), RT_EEXIST);
    assert_int_equal(parse_all("sentinel://m@a:1", "sentinel://o@b:1"), RT_ECONFIG);
    assert_int_equal(parse_all("sentinel://m@a:1", "sentinel+tls://m@b:1"), RT_ECONFIG);
    assert_int_equal(parse_all("sentinel://m@a:1", "redis://b:1"), RT_ECONFIG);
    assert_int_equal(parse_all("redis://b:1", "sentinel://m@a:1"), RT_ECONFIG);
    assert_non_null(strstr(why, "redis://b:1 and sentinel://m@a:1 do not go together"));
}

static void test_of(void **state)
{
    (void)state;
    assert_int_equal(rt_store_endpoint_of("::1", "6379", true, &list[0]), 0);
    assert_string_equal(list[0].text, "rediss://[::1]:6379");
    assert_int_equal(rt_store_endpoint_of("redis-1", "6379", false, &list[0]), 0);
    assert_string_equal(list[0].text, "redis://redis-1:6379");
    assert_int_equal(rt_store_endpoint_of("redis 1", "6379", false, &list[0]), RT_EINVAL);
    assert_int_equal(rt_store_endpoint_of("u@redis-1", "6379", false, &list[0]), RT_EINVAL);
    assert_int_equal(rt_store_endpoint_of("127.0.0.1", "0", false, &list[0]), RT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_parses, setup),  cmocka_unit_test_setup(test_sentinels, setup),
        cmocka_unit_test_setup(test_refuses, setup), cmocka_unit_test_setup(test_no_password, setup),
        cmocka_unit_test_setup(test_bounds, setup),  cmocka_unit_test_setup(test_together, setup),
        cmocka_unit_test_setup(test_of, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
