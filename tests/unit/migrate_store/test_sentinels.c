/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/sentinels.h"

#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/fake.h"

#include <stdio.h>
#include <string.h>

/* Sentinels that are asked, that hint, that are silent, and that talk rubbish. They are asked on unix sockets, which no
 * text names as Sentinels. migrate_core/test_primary.c has who is chosen. */

#define HANG_MS 8000
#define N ((size_t)3)
#define P 6301
#define Q 6302

static struct fake fakes[N];
static size_t n_named;          /* of them */
static char answers[N][2][256]; /* to SENTINEL MASTER, to SENTINEL get-master-addr-by-name */

static struct {
    struct rt_sentinels sentinels;
    char place[RT_STORE_ENDPOINT_TEXT_MAX]; /* told last */
    size_t n_told, n_none, n_closed;
    char log[16][400];
    enum rt_log_level levels[16];
    size_t n_log;
} s;

static void on_primary(void *ctx, const struct rt_store_endpoint *place)
{
    assert_ptr_equal(ctx, &s);
    assert_string_not_equal(s.place, place->text);
    snprintf(s.place, sizeof(s.place), "%s", place->text);
    s.n_told++;
}

static void on_none(void *ctx, const char *why)
{
    assert_ptr_equal(ctx, &s);
    assert_non_null(strstr(why, "no Sentinel names a primary"));
    s.n_none++;
}

static void on_log(void *ctx, enum rt_log_level level, const char *text)
{
    assert_ptr_equal(ctx, &s);
    assert_true(s.n_log < 16);
    s.levels[s.n_log] = level;
    snprintf(s.log[s.n_log++], sizeof(s.log[0]), "%s", text);
}

static void closed_cb(struct rt_sentinels *sentinels)
{
    assert_ptr_equal(sentinels, &s.sentinels);
    s.n_closed++;
}

/* What this one answers to SENTINEL MASTER from now on. */
static void sees(size_t i, unsigned epoch, const char *replicas, const char *flags, const char *silent_ms)
{
    const char *const words[] = {
        "name",       "main",  "flags", flags, "last-ok-ping-reply", silent_ms, "config-epoch", epoch == 1 ? "1" : "2",
        "num-slaves", replicas};
    size_t used = (size_t)snprintf(answers[i][0], sizeof(answers[i][0]), "*10\r\n");

    assert_in_range(epoch, 1, 2);
    for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
        used += (size_t)snprintf(answers[i][0] + used, sizeof(answers[i][0]) - used, "$%zu\r\n%s\r\n", strlen(words[k]),
                                 words[k]);
        assert_true(used < sizeof(answers[i][0]));
    }
}

/* And to the other question: the place; it sees that one alive. */
static void says(size_t i, unsigned port, unsigned epoch)
{
    sees(i, epoch, i == 0 ? "0" : "2", "master", "999");
    snprintf(answers[i][1], sizeof(answers[i][1]), "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n%u\r\n", port);
}

static int setup(void **state)
{
    (void)state;
    memset(&s, 0, sizeof(s));
    n_named = N;
    for (size_t i = 0; i < N; i++) {
        fake_start(&fakes[i]);
        fake_rule(&fakes[i], "ROLE", "*2\r\n$8\r\nsentinel\r\n*1\r\n$4\r\nmain\r\n", FAKE_GO_ON, 0);
        fake_rule(&fakes[i], "SENTINEL MASTER main", answers[i][0], FAKE_GO_ON, 0);
        fake_rule(&fakes[i], "SENTINEL get-master-addr-by-name main", answers[i][1], FAKE_GO_ON, 0);
        says(i, P, 1);
    }
    return 0;
}

static void start(void)
{
    struct rt_store_endpoint endpoints[N];
    struct rt_sentinels_config config = {.endpoints = endpoints,
                                         .n_endpoints = n_named,
                                         .call_timeout_ms = 200,
                                         .connect_timeout_ms = 200,
                                         .ctx = &s,
                                         .on_primary = on_primary,
                                         .on_none = on_none,
                                         .on_log = on_log};

    for (size_t i = 0; i < N; i++) {
        struct rt_store_endpoint list[RT_ENDPOINTS_MAX];
        char why[256];
        size_t n = 0;

        assert_int_equal(rt_store_endpoint_parse(fakes[i].endpoint, list, &n, why, sizeof(why)), 0);
        endpoints[i] = list[0];
        snprintf(endpoints[i].master, sizeof(endpoints[i].master), "main");
    }
    assert_int_equal(rt_sentinels_init(&s.sentinels, &loop, &config), 0);
    rt_sentinels_start(&s.sentinels);
}

static int teardown(void **state)
{
    (void)state;
    rt_sentinels_stop(&s.sentinels, closed_cb);
    while (s.n_closed == 0) {
        run_for(1);
    }
    for (size_t i = 0; i < N; i++) {
        fake_stop(&fakes[i]);
    }
    return 0;
}

/* Until *count has reached n. */
static void until(const size_t *count, size_t n)
{
    for (unsigned ms = 0; *count < n && ms < HANG_MS; ms++) {
        run_for(1);
    }
    assert_true(*count >= n);
}

static void until_asked(size_t i)
{
    fake_forget(&fakes[i]);
    for (unsigned ms = 0; fake_asked(&fakes[i], "get-master-addr") == 0 && ms < HANG_MS; ms++) {
        run_for(1);
    }
    run_for(20);
}

static void test_polls(void **state)
{
    (void)state;
    start();
    until(&s.n_told, 1);
    assert_string_equal(s.place, "redis://127.0.0.1:6301");
    run_for(50);                                   /* the third one */
    assert_false(rt_sentinels_sure(&s.sentinels)); /* that takes longer */
    assert_int_equal(rt_sentinels_replicas(&s.sentinels), 2);
    assert_int_equal(s.n_log, 1);
    assert_int_equal(s.levels[0], RT_LOG_INFO);
    rt_sentinels_held(&s.sentinels, s.place);
    says(0, Q, 2);
    says(2, Q, 2);
    until(&s.n_told, 2); /* within a second, without a hint */
    assert_string_equal(s.place, "redis://127.0.0.1:6302");
    assert_int_equal(s.n_log, 2);
    assert_int_equal(s.levels[1], RT_LOG_WARN);
    assert_non_null(strstr(s.log[1], "2 of 3 Sentinels name redis://127.0.0.1:6302"));
    assert_non_null(strstr(s.log[1], "no longer redis://127.0.0.1:6301"));
}

/* A hint by one has all asked at once. */
static void test_hint(void **state)
{
    (void)state;
    start();
    until(&s.n_told, 1);
    until_asked(0);
    for (size_t i = 0; i < N; i++) {
        says(i, Q, 2);
        fake_forget(&fakes[i]);
    }
    uv_timer_stop(&s.sentinels.timer);
    fake_push(&fakes[1], "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$4\r\nmain\r\n");
    until(&s.n_told, 2);
    assert_string_equal(s.place, "redis://127.0.0.1:6302");
}

/* One that lacks rights is named, once, with what it says; once that one is mended the next one has its turn. */
static void test_denied(void **state)
{
    (void)state;
    fake_rule(&fakes[1], "SENTINEL MASTER main", "-NOPERM no master\r\n", FAKE_GO_ON, 0);
    fake_rule(&fakes[1], "SUBSCRIBE +switch-master", "-NOPERM no subscribe\r\n", FAKE_GO_ON, 0);
    start();
    until(&s.n_told, 1);
    for (unsigned ms = 0; s.n_log < 2 && ms < HANG_MS; ms++) {
        run_for(1);
    }
    until_asked(1);
    until_asked(1);
    assert_non_null(rt_sentinels_denied(&s.sentinels));
    assert_int_equal(s.n_log, 2);
    assert_non_null(strstr(s.log[0], "NOPERM no") != NULL ? s.log[0] : strstr(s.log[1], "NOPERM no"));
    fake_no_rules(&fakes[1]);
    fake_rule(&fakes[1], "ROLE", "-NOPERM no role\r\n", FAKE_GO_ON, 0);
    s.sentinels.one[1].denied_at -= RT_SENTINEL_DENIED_MS;
    assert_null(rt_sentinels_denied(&s.sentinels));
    fake_cut(&fakes[1]);
    for (unsigned ms = 0; rt_sentinels_denied(&s.sentinels) == NULL && ms < HANG_MS; ms++) {
        run_for(1);
    }
    assert_string_equal(rt_sentinels_denied(&s.sentinels), "NOPERM no role");
}

/* Two of three go: what is held stays, and that is said once. */
static void test_gone(void **state)
{
    (void)state;
    start();
    until(&s.n_told, 1);
    run_for(50);
    rt_sentinels_held(&s.sentinels, s.place);
    for (size_t i = 0; i < 2; i++) {
        fake_rule(&fakes[i], "", "", FAKE_CLOSE, 0);
        fake_cut(&fakes[i]);
    }
    says(2, Q, 2);
    until(&s.n_log, 2);
    assert_non_null(strstr(s.log[1], "of 3 Sentinels name redis://127.0.0.1:6301"));
    assert_non_null(strstr(s.log[1], "see to the others"));
    until_asked(2);
    until_asked(2);
    assert_int_equal(s.n_told, 1);
    assert_int_equal(s.n_log, 2);
    assert_int_equal(s.n_none, 0);
    /* Its server is no primary any more: then the one that is left is better than nobody. */
    rt_sentinels_lost(&s.sentinels, "redis://127.0.0.1:1"); /* an older one's loss says nothing */
    assert_int_equal(s.n_told, 1);
    rt_sentinels_lost(&s.sentinels, s.place);
    until(&s.n_told, 2);
    assert_string_equal(s.place, "redis://127.0.0.1:6302");
}

/* One of three talks rubbish, or nothing: the others are enough. When all do, there is none. */
static void test_rubbish(void **state)
{
    static const struct {
        const char *ask, *answer;
        enum fake_then then;
    } cases[] = {
        {"get-master-addr-by-name", "*-1\r\n", FAKE_GO_ON},
        {"get-master-addr-by-name", "-ERR No such master\r\n", FAKE_GO_ON},
        {"get-master-addr-by-name", "*1\r\n$9\r\n127.0.0.1\r\n", FAKE_GO_ON},
        {"get-master-addr-by-name", "*2\r\n$9\r\n127.0.0.1\r\n:1\r\n", FAKE_GO_ON},
        {"get-master-addr-by-name", "*2\r\n$9\r\nlocal ost\r\n$4\r\n6379\r\n", FAKE_GO_ON},
        {"get-master-addr-by-name", "*2\r\n$9\r\n127.0.0.1\r\n$6\r\n999999\r\n", FAKE_GO_ON},
        {"get-master-addr-by-name", "*2\r\n$9\r\n127.0", FAKE_CLOSE},
        {"get-master-addr-by-name", "", FAKE_SILENCE},
        {"SENTINEL MASTER", "-ERR No such master with that name\r\n", FAKE_GO_ON},
        {"SENTINEL MASTER", "*0\r\n", FAKE_GO_ON},
        {"SENTINEL MASTER", "*1\r\n$12\r\nconfig-epoch\r\n", FAKE_GO_ON},
        {"SENTINEL MASTER", "*2\r\n$12\r\nconfig-epoch\r\n:1\r\n", FAKE_GO_ON},
        {"SENTINEL MASTER", "*2\r\n$12\r\nconfig-epoch\r\n$2\r\n1x\r\n", FAKE_GO_ON},
        {"SENTINEL MASTER", "*2\r\n$12\r\nconfig-epoch\r\n$20\r\n99999999999999999999\r\n", FAKE_GO_ON},
        {"ROLE", FAKE_ROLE, FAKE_GO_ON},
        {"ROLE", "-NOAUTH Authentication required.\r\n", FAKE_GO_ON},
        {"", "", FAKE_CLOSE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (i > 0) {
            (void)teardown(NULL);
            (void)setup(NULL);
        }
        for (size_t j = 0; j < 2; j++) {
            fake_rule(&fakes[j], cases[i].ask, cases[i].answer, cases[i].then, 0);
        }
        fake_rule(&fakes[2], "SENTINEL", "", FAKE_CLOSE, 0);
        start();
        until(&s.n_none, 3);
        assert_int_equal(s.n_told, 0);
        fakes[1].n_rules--;
        fakes[2].n_rules--;
        until(&s.n_told, 1);
        assert_string_equal(s.place, "redis://127.0.0.1:6301");
    }
}

/* Two are asked as three are, but it is said that one may not fail. */
static void test_few(void **state)
{
    (void)state;
    n_named = 2;
    start();
    until(&s.n_told, 1);
    assert_int_equal(s.n_log, 2);
    assert_int_equal(s.levels[0], RT_LOG_WARN);
    assert_non_null(strstr(s.log[0], "2 Sentinels of main are named: name three at least"));
}

static void asked_now(size_t i)
{
    fake_forget(&fakes[i]);
    rt_sentinels_ask(&s.sentinels);
    for (unsigned ms = 0; fake_asked(&fakes[i], "get-master-addr") == 0 && ms < HANG_MS; ms++) {
        run_for(1);
    }
    run_for(20);
}

static bool all_alive(void)
{
    for (size_t i = 0; i < N; i++) {
        if (!s.sentinels.primary.voices[i].alive) {
            return false;
        }
    }
    return true;
}

/* Who names a primary does not see it alive for that. */
static void test_alive(void **state)
{
    static const struct {
        const char *flags, *silent_ms;
    } cases[] = {
        {"s_down,master", "999"},
        {"s_down,o_down,master", "999"},
        {"master,disconnected", "999"},
        {"master", "12000"},
        {"master,failover_in_progress", "999"},
        {"master", "3000"},
        {"master", "99999999999999999999"},
        {"master", "-1"},
        {"master", ""},
        {"", "999"},
    };

    (void)state;
    start();
    until(&s.n_told, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sees(1, 1, "2", "master", "2999");
        asked_now(1);
        assert_true(all_alive());
        sees(1, 1, "2", cases[i].flags, cases[i].silent_ms);
        asked_now(1);
        assert_false(s.sentinels.primary.voices[1].alive);
        assert_true(rt_primary_voted(&s.sentinels.primary, uv_now(&loop)));
    }
    assert_int_equal(s.n_told, 1);
}

/* One of three says that there are a million replicas; then all forget those that there are. */
static void test_replicas(void **state)
{
    (void)state;
    start();
    until(&s.n_told, 1);
    sees(0, 1, "1000000", "master", "9");
    asked_now(0);
    asked_now(0);
    assert_int_equal(rt_sentinels_replicas(&s.sentinels), 2);
    for (size_t i = 0; i < N; i++) {
        sees(i, 1, "0", "master", "9");
    }
    asked_now(2);
    asked_now(2);
    assert_int_equal(rt_sentinels_replicas(&s.sentinels), 1);
}

/* From within a call, and before anything has come. */
static void test_stops(void **state)
{
    (void)state;
    start();
}

/* A store has Sentinels of one primary, or servers. */
static void test_mixed_endpoints(void **state)
{
    static const char *const mixed[][2] = {{"sentinel://main@127.0.0.1:1", "redis+unix:///a"},
                                           {"redis://127.0.0.1:2", "sentinel://main@127.0.0.1:1"},
                                           {"sentinel://main@127.0.0.1:1", "sentinel://other@127.0.0.1:1"}};
    static struct rt_store store;

    (void)state;
    for (size_t i = 0; i < sizeof(mixed) / sizeof(mixed[0]); i++) {
        struct rt_store_config config;

        agent_config(&config, mixed[i][0], "hosta");
        config.endpoints[1] = mixed[i][1];
        config.n_endpoints = 2;
        assert_int_equal(rt_store_init(&store, &loop, &config), RT_ECONFIG);
    }
}

#define WITH_FAKES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FAKES(test_polls),   WITH_FAKES(test_hint),
        WITH_FAKES(test_denied),  WITH_FAKES(test_gone),
        WITH_FAKES(test_alive),   WITH_FAKES(test_replicas),
        WITH_FAKES(test_rubbish), WITH_FAKES(test_few),
        WITH_FAKES(test_stops),   cmocka_unit_test(test_mixed_endpoints),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
