/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/answer.h"

#include "session/core/client_request.h"

/* Requests that are refused, or not answered: how they end. */

static void test_refused(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    assert_int_equal(retether_show(sdk->client, "nobody", false, reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_int_equal(answer.error, 0);
    assert_int_equal(answer.cls, RETETHER_NOT_FOUND);
    memset(&answer, 0, sizeof(answer));
    answer.sdk = sdk;
    sdk->box->later = 1;
    assert_int_equal(retether_show(sdk->client, "web", false, reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_int_equal(answer.cls, RETETHER_RETRY_LATER);
    assert_string_equal(answer.text, "the store is out");
}

static bool answer_nothing(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)box;
    (void)link;
    (void)id;
    (void)request;
    return true;
}

static void test_times_out(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    sdk->box->on_request = answer_nothing;
    assert_int_equal(retether_hosts(sdk->client, reply_cb, &answer), RT_OK);
    FIXTURE_UNTIL(sdk->f, sdk->box->requests == 1);
    assert_int_equal(answer.parts, 0);
    rt_test_skew(11000);
    wait_answer(&answer);
    assert_int_equal(answer.error, RT_ETIMEDOUT);
}

static bool answer_garbage(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)box;
    (void)request;
    link_send(link, (struct rt_frame){.type = RT_REPLY, .offset = id, .length = 3}, "???");
    return true;
}

static void test_garbage(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    sdk->box->on_request = answer_garbage;
    assert_int_equal(retether_hosts(sdk->client, reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_int_equal(answer.error, RT_EPROTO);
}

static bool answer_by_cutting(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)id;
    (void)box;
    (void)request;
    link_close(link);
    return true;
}

/* Asked again, a bounded number of times, when the link goes before the answer; a create is not, as it may have been
 * made. */
static void test_cut(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    sdk->box->on_request = answer_by_cutting;
    assert_int_equal(retether_hosts(sdk->client, reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_int_equal(answer.error, RT_ECONN);
    assert_int_equal(sdk->box->requests, RT_REQUEST_LOST_MAX);
    memset(&answer, 0, sizeof(answer));
    answer.sdk = sdk;
    assert_int_equal(retether_create(sdk->client, "box", NULL, reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_int_equal(answer.error, RT_EUNKNOWN);
    assert_int_equal(sdk->box->requests, RT_REQUEST_LOST_MAX + 1);
    memset(&answer, 0, sizeof(answer));
    answer.sdk = sdk;
    assert_int_equal(retether_remove(sdk->client, "box", reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_int_equal(answer.error, RT_EUNKNOWN);
    assert_int_equal(sdk->box->requests, RT_REQUEST_LOST_MAX + 3);
}

static void test_nobody_listens(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    peer_deafen(&sdk->f->peer[0]);
    assert_int_equal(retether_hosts(sdk->client, reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_int_equal(answer.error, RT_ECONN);
}

static void test_wrong_use(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};
    struct retether_client *client;
    char label[RT_LABEL_MAX + 2];
    int rc = RT_OK;

    memset(label, 'x', sizeof(label) - 1);
    label[sizeof(label) - 1] = '\0';
    assert_int_equal(retether_create(sdk->client, "box", &(struct retether_made){.label = label}, reply_cb, &answer),
                     RT_EINVAL);
    assert_int_equal(retether_show(sdk->client, label, false, reply_cb, &answer), RT_EINVAL);
    sdk->box->on_request = answer_nothing;
    for (unsigned i = 0; i < 1000 && rc == RT_OK; i++) {
        rc = retether_hosts(sdk->client, reply_cb, &answer);
    }
    assert_int_equal(rc, RT_ELIMIT);
    /* No agent at all. */
    assert_int_equal(retether_client_new(&sdk->f->loop, "x", NULL, &client), RT_OK);
    assert_int_equal(retether_hosts(client, reply_cb, &answer), RT_ECONN);
    retether_client_close(client, NULL, NULL);
    assert_int_equal(answer.parts, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sdk_setup, sdk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_refused), TEST(test_times_out),      TEST(test_garbage),
        TEST(test_cut),     TEST(test_nobody_listens), TEST(test_wrong_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
