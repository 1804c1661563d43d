/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "migrate/store/endpoint.h"

#include <arpa/inet.h>
#include <string.h>

static void test_parses(void **state)
{
    struct rt_store_endpoint list[RT_ENDPOINTS_MAX];
    size_t n = 0;

    (void)state;
    assert_int_equal(rt_store_endpoint_parse("unix:/run/redis.sock", list, &n), 0);
    assert_int_equal(rt_store_endpoint_parse("tcp:127.0.0.1:6379", list, &n), 0);
    assert_int_equal(rt_store_endpoint_parse("tcp:[2001:db8::1]:1", list, &n), 0);
    assert_int_equal(rt_store_endpoint_parse("sentinel:main@192.0.2.1:26379,[::1]:26379", list, &n), 0);
    assert_int_equal(n, 5);
    assert_string_equal(rt_endpoint_path(&list[0].at), "/run/redis.sock");
    assert_int_equal(list[1].at.kind, RT_ENDPOINT_TCP);
    assert_int_equal(ntohs(list[1].at.addr.in4.sin_port), 6379);
    assert_int_equal(list[2].at.addr.any.sa_family, AF_INET6);
    assert_string_equal(list[2].text, "tcp:[2001:db8::1]:1");
    assert_string_equal(list[3].master, "main");
    assert_string_equal(list[4].master, "main");
    assert_string_equal(list[4].text, "sentinel:main@[::1]:26379");
}

static void test_refuses(void **state)
{
    static const char *const bad[] = {"",
                                      "unix:",
                                      "/run/redis.sock",
                                      "vsock:2:6379",
                                      "tcp:localhost:6379",
                                      "tcp:127.0.0.1",
                                      "tcp:127.0.0.1:",
                                      "tcp:127.0.0.1:0",
                                      "tcp:127.0.0.1:65536",
                                      "tcp:127.0.0.1:6379x",
                                      "tcp:::1:6379",
                                      "tcp:[::1:6379",
                                      "tcp::6379",
                                      "tcp:]:6379",
                                      "redis://127.0.0.1",
                                      "sentinel:127.0.0.1:26379",
                                      "sentinel:@127.0.0.1:26379",
                                      "sentinel:main@",
                                      "sentinel:main@127.0.0.1:26379,",
                                      "sentinel:main@127.0.0.1:26379,x"};
    struct rt_store_endpoint list[RT_ENDPOINTS_MAX];
    char path[200] = "unix:/";
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (rt_store_endpoint_parse(bad[i], list, &n) != RT_EINVAL || n != 0) {
            fail_msg("%s", bad[i]);
        }
    }
    memset(path + 6, 'a', 150);
    assert_int_equal(rt_store_endpoint_parse(path, list, &n), RT_EINVAL);
    for (n = 0; n < RT_ENDPOINTS_MAX;) {
        assert_int_equal(rt_store_endpoint_parse("unix:/a", list, &n), 0);
    }
    assert_int_equal(rt_store_endpoint_parse("unix:/a", list, &n), RT_ELIMIT);
    n = RT_ENDPOINTS_MAX - 1;
    assert_int_equal(rt_store_endpoint_parse("sentinel:m@127.0.0.1:1,127.0.0.1:2", list, &n), RT_ELIMIT);
    assert_int_equal(n, RT_ENDPOINTS_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parses), cmocka_unit_test(test_refuses)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
