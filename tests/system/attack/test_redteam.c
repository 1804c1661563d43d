/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/daemon.h"
#include "tests/system/attack/cases.h"
#include "tests/system/attack/ground.h"
#include "tests/system/attack/honest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The red team: whoever is hostile does his worst to a real agent, one attack after the other, while honest sessions
 * stream through it in both directions. Each attack says what its attacker saw, and nobody else notices: the honest
 * ones go on after each of them and are byte-exact at the end, and the agent's memory is where it was.
 *
 * At the end stands a table. Kinds of hostile peers that have tests of their own: tests/system/agent (garbage, half
 * frames, forged and expired tokens, floods), tests/system/cluster/test_tls.c (who is turned away in the handshake),
 * tests/system/cluster/test_vms.c (a token of another machine). */

/* Memory of the agent that all attackers together may leave behind. */
#define LEFT_MAX ((size_t)40 << 20)
#define SAW_MAX 200

static const struct attack {
    const char *name;
    void (*run)(void);
} attacks[] = {
    {"another container's token, and ticket", attack_token_of_another},
    {"an old ticket after newer ones", attack_old_ticket},
    {"an older incarnation", attack_old_incarnation},
    {"a clone: one ticket from two links", attack_clone},
    {"one join token from two links", attack_one_token_twice},
    {"texts of clients", attack_texts_of_clients},
    {"texts of guests", attack_texts_of_guests},
    {"texts of certificates", attack_texts_of_certificates},
    {"crafted names in certificates", attack_crafted_names},
    {"expired, early, of another CA", attack_other_certificates},
    {"MOVED and other words from a guest", attack_guest_says_moved},
    {"a guest on channels not its own", attack_channels_of_a_guest},
    {"ACKs of input that was not sent", attack_guest_acks_beyond},
    {"a guest's storm of control items", attack_items_of_a_guest},
    {"lies in every byte of HELLO", attack_lies_in_hello},
    {"lies in every byte of REPORT", attack_lies_in_report},
    {"lies in every byte of ATTACHED, REFUSE", attack_lies_in_answers},
    {"lies in every byte of END", attack_lies_in_end},
    {"lies in every number of a header", attack_lies_in_headers},
    {"another tenant: looks, attaches, removes", attack_another_tenant},
    {"another tenant's attachment id", attack_attachment_of_another},
    {"what operators may, said by others", attack_operators_words},
    {"a viewer who wants more", attack_viewer},
    {"an operator who wants more", attack_operator},
    {"ACKs of output that was not sent", attack_ack_beyond},
    {"channels used again", attack_channel_again},
    {"a storm of attachments and commands", attack_attach_storm},
    {"100,000 channels", attack_channels},
    {"a client's storm of control items", attack_items_of_a_client},
    {"bombs behind the handshake", attack_bombs},
    {"a client that never reads", attack_never_reads},
    {"slow loris on each listener", attack_slow_loris},
    {"an agent of the past, a store set back", attack_stale_agent},
};

#define ATTACKS (sizeof(attacks) / sizeof(attacks[0]))

static struct row {
    char saw[SAW_MAX];
    size_t before, after; /* resident memory of host 0's agent */
} rows[ATTACKS];

static struct row *current;
static size_t at_first;

void attack_saw(const char *format, ...)
{
    size_t used = strlen(current->saw);
    va_list args;

    if (used > 0) {
        used += (size_t)snprintf(current->saw + used, sizeof(current->saw) - used, "; ");
    }
    va_start(args, format);
    if (used < sizeof(current->saw)) {
        (void)vsnprintf(current->saw + used, sizeof(current->saw) - used, format, args);
    }
    va_end(args);
}

static size_t rss(void)
{
    return daemon_rss(&(const struct daemon){.pid = harness.hosts[0].pid});
}

/* Until the agent holds no more than it may: links are closed a moment after their peers. */
static size_t settled(size_t most)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    size_t now;

    do {
        honest_go_on();
        now = rss();
    } while (now > most && rt_process_now_ms() < until);
    return now;
}

static void test_attack(void **state)
{
    const struct attack *attack = *state;

    current = &rows[attack - attacks];
    current->before = rss();
    attack_neglect_all(); /* those of an attack that failed */
    attack->run();
    assert_true(current->saw[0] != '\0');
    current->after = settled(at_first + LEFT_MAX);
    assert_true(current->after <= at_first + LEFT_MAX);
}

static void test_begin(void **state)
{
    (void)state;
    honest_start();
    at_first = rss();
}

static void print_table(void)
{
    print_message("%-40s | %8s | %8s | %s\n", "attack (KiB: the agent before, after)", "before", "after",
                  "what the attacker saw");
    for (size_t i = 0; i < ATTACKS; i++) {
        if (rows[i].before == 0) {
            continue; /* it was left out */
        }
        print_message("%-40s | %8zu | %8zu | %s\n", attacks[i].name, rows[i].before >> 10, rows[i].after >> 10,
                      rows[i].saw);
    }
}

static void test_end(void **state)
{
    (void)state;
    honest_check();
    print_table();
}

/* `attack_test_redteam TEXT`: only those whose name has the text. */
int main(int argc, char **argv)
{
    struct CMUnitTest tests[ATTACKS + 2] = {{.name = "honest sessions begin", .test_func = test_begin}};
    size_t n = 1;
    int failed;

    for (size_t i = 0; i < ATTACKS; i++) {
        if (argc < 2 || strstr(attacks[i].name, argv[1]) != NULL) {
            tests[n].name = attacks[i].name;
            tests[n].test_func = test_attack;
            tests[n++].initial_state = (void *)(uintptr_t)&attacks[i];
        }
    }
    tests[n++] = (struct CMUnitTest){.name = "honest sessions end", .test_func = test_end};
    daemon_keep_little_freed();
    failed = harness_main_in(ATTACK_HOSTS, false, attack_prepare, "red team", tests, n);
    attack_ground_close();
    return failed;
}
