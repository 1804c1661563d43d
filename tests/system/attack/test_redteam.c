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
 * ones go on after each of them and are byte-exact at the end, and the agent's memory is where it was: each attack that
 * can be made again is, until it leaves no more behind.
 *
 * At the end stands a table. Kinds of hostile peers that have tests of their own: tests/system/agent (garbage, half
 * frames, forged and expired tokens, floods), tests/system/cluster/test_vms.c (a token of another machine). */

/* Memory of the agent that all attackers together may leave behind. */
#define LEFT_MAX ((size_t)40 << 20)
/* Of one attack that is made again and again: what a round may add for good, as the agent remembers a session for half
 * a minute, and what a series of rounds may by chance. In one of so many series it has to come to rest. */
#define LEFT_A_ROUND ((size_t)4 << 10)
#define LEFT_A_SERIES ((size_t)128 << 10)
#define SERIES_MAX 10
#define SERIES_MS 200
#define ROUNDS_MAX 20
#define SETTLE_MS 5000
#define SAW_MAX 200

/* ONCE: it would not find a second time what it needs, or takes too long. */
enum how { AGAIN, ONCE };

static const struct attack {
    const char *name;
    void (*run)(void);
    enum how how;
} attacks[] = {
    {"another container's token, and ticket", attack_token_of_another, AGAIN},
    {"an old ticket after newer ones", attack_old_ticket, AGAIN},
    {"an older incarnation", attack_old_incarnation, AGAIN},
    {"a clone: one ticket from two links", attack_clone, AGAIN},
    {"one join token from two links", attack_one_token_twice, AGAIN},
    {"texts of clients", attack_texts_of_clients, AGAIN},
    {"texts of guests", attack_texts_of_guests, AGAIN},
    {"texts of certificates", attack_texts_of_certificates, AGAIN},
    {"crafted names in certificates", attack_crafted_names, AGAIN},
    {"expired, early, of another CA or domain", attack_other_certificates, AGAIN},
    {"TLS 1.2, no certificate", attack_other_tls, AGAIN},
    {"a revoked certificate", attack_revoked, ONCE},
    {"a vch's certificate posing as an agent", attack_no_agent, AGAIN},
    {"MOVED and other words from a guest", attack_guest_says_moved, AGAIN},
    {"a guest on channels not its own", attack_channels_of_a_guest, AGAIN},
    {"ACKs of input that was not sent", attack_guest_acks_beyond, AGAIN},
    {"a guest's storm of control items", attack_items_of_a_guest, AGAIN},
    {"lies in every byte of HELLO", attack_lies_in_hello, AGAIN},
    {"lies in every byte of REPORT", attack_lies_in_report, AGAIN},
    {"lies in every byte of ATTACHED, REFUSE", attack_lies_in_answers, AGAIN},
    {"lies in every byte of END", attack_lies_in_end, AGAIN},
    {"lies in every number of a header", attack_lies_in_headers, AGAIN},
    {"another tenant: looks, attaches, removes", attack_another_tenant, AGAIN},
    {"another tenant's attachment id", attack_attachment_of_another, ONCE},
    {"what operators may, said by others", attack_operators_words, AGAIN},
    {"a viewer who wants more", attack_viewer, AGAIN},
    {"a viewer's hold and size of its window", attack_viewers_hold, AGAIN},
    {"an operator who wants more", attack_operator, AGAIN},
    {"ACKs of output that was not sent", attack_ack_beyond, AGAIN},
    {"channels used again", attack_channel_again, AGAIN},
    {"a storm of attachments and commands", attack_attach_storm, AGAIN},
    {"100,000 channels", attack_channels, AGAIN},
    {"a client's storm of control items", attack_items_of_a_client, AGAIN},
    {"bombs behind the handshake", attack_bombs, AGAIN},
    {"a client that never reads", attack_never_reads, ONCE},
    {"slow loris on each listener", attack_slow_loris, ONCE},
    {"an agent of the past, a store set back", attack_stale_agent, ONCE},
};

#define ATTACKS (sizeof(attacks) / sizeof(attacks[0]))

static struct row {
    char saw[SAW_MAX];
    size_t before, after; /* resident memory of host 0's agent */
    unsigned rounds;
} rows[ATTACKS];

static struct row *current;
unsigned attack_round;
static size_t at_first;

/* Each piece once. */
void attack_saw(const char *format, ...)
{
    size_t used = strlen(current->saw);
    char piece[SAW_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(piece, sizeof(piece), format, args);
    va_end(args);
    if (strstr(current->saw, piece) == NULL) {
        (void)snprintf(current->saw + used, sizeof(current->saw) - used, "%s%s", used > 0 ? "; " : "", piece);
    }
}

static size_t rss(void)
{
    return daemon_rss(&(const struct daemon){.pid = harness.hosts[0].pid});
}

/* Until the agent holds no more than it may: links are closed a moment after their peers. */
static size_t settled(size_t most, unsigned limit_ms)
{
    uint64_t until = rt_process_now_ms() + limit_ms;
    size_t now;

    do {
        honest_go_on();
        now = rss();
    } while (now > most && rt_process_now_ms() < until);
    return now;
}

static void run(const struct attack *attack)
{
    attack_neglect_all(); /* those of an attack that failed */
    current->saw[0] = '\0';
    attack->run();
    assert_true(current->saw[0] != '\0');
    current->rounds++;
    attack_round++;
}

/* What it leaves when it is made again. True: no more than it may. */
static bool comes_to_rest(const struct attack *attack)
{
    size_t before = rss(), most = before + LEFT_A_SERIES;
    uint64_t until = rt_process_now_ms() + SERIES_MS;
    unsigned rounds = 0;

    do {
        run(attack);
        most += LEFT_A_ROUND;
    } while (++rounds < ROUNDS_MAX && rt_process_now_ms() < until);
    current->after = settled(most, SETTLE_MS);
    return current->after <= most;
}

static void test_attack(void **state)
{
    const struct attack *attack = *state;

    current = &rows[attack - attacks];
    current->before = rss();
    attack_round = 0;
    run(attack);
    current->after = settled(at_first + LEFT_MAX, HARNESS_LIMIT_MS);
    for (unsigned i = 0; attack->how == AGAIN && !comes_to_rest(attack); i++) {
        assert_true(i < SERIES_MAX); /* each series adds more: a leak */
    }
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
    print_message("%-40s | %6s | %8s | %8s | %s\n", "attack (KiB: the agent before, after)", "rounds", "before",
                  "after", "what the attacker saw");
    for (size_t i = 0; i < ATTACKS; i++) {
        if (rows[i].before == 0) {
            continue; /* it was left out */
        }
        print_message("%-40s | %6u | %8zu | %8zu | %s\n", attacks[i].name, rows[i].rounds, rows[i].before >> 10,
                      rows[i].after >> 10, rows[i].saw);
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
