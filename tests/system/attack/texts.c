/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "tests/system/attack/cases.h"
#include "tests/system/attack/honest.h"
#include "tests/system/attack/rogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Texts that would write on somebody's terminal, or forge a line of a log, wherever a peer may say a text. */

/* Title, screen and colour of a terminal, a new line of a log, another direction of what follows. */
#define EVIL                                                                                                           \
    "\x1b]0;pwned\x07\x1b[2J\r\n{\"event\":\"kicked\"}\n\xc2\x9b"                                                      \
    "31m\xe2\x80\xae\x7f"
/* It would go on in a line of JSON. */
#define QUOTED "x\",\"event\":\"kicked\",\"y\":\"" EVIL

/* Bytes of a word such as `op`. */
#define WORD_MAX 32

static struct rt_slice cut(const char *text, size_t most)
{
    struct rt_slice slice = rt_slice_text(text);

    slice.size = slice.size < most ? slice.size : most;
    return slice;
}

/* What was said to people has none of it raw. */
static void clean(const char *what, const char *text)
{
    static const char *const never[] = {"\xc2\x9b", "\xe2\x80\xae", "\n{\"event\":\"kicked\"}"};

    for (const char *at = text; *at != '\0'; at++) {
        if (((unsigned char)*at < 0x20 && *at != '\n') || *at == 0x7f) {
            fail_msg("%s prints the byte %02x: %.400s", what, (unsigned)(unsigned char)*at, text);
        }
    }
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (strstr(text, never[i]) != NULL) {
            fail_msg("%s prints what was said to it: %.400s", what, text);
        }
    }
}

/* Every line of an agent's log is one that an agent wrote. */
static void logs_are_clean(void)
{
    for (unsigned host = 0; host < ATTACK_HOSTS; host++) {
        FILE *log = fopen(harness.hosts[host].log, "re");
        char *line = NULL;
        size_t room = 0;
        ssize_t size;

        assert_non_null(log);
        while ((size = getline(&line, &room, log)) > 0) {
            assert_int_equal(strlen(line), size);
            line[size - 1] = line[size - 1] == '\n' ? '\0' : line[size - 1];
            clean("the log", line);
            /* nobody is kicked here but in these texts */
            if (strstr(line, "\"event\":\"kicked\"") != NULL || line[0] != '{' || line[strlen(line) - 1] != '}') {
                fail_msg("a line of the log is not the agent's: %.400s", line);
            }
        }
        free(line);
        assert_int_equal(fclose(log), 0);
    }
}

/* A command, of which nothing raw is seen. */
static void shown(const char *const *args)
{
    struct rt_process_run run;

    harness_cli(&run, NULL, 0, args);
    clean(args[1], run.out);
    clean(args[1], run.err);
    rt_process_run_free(&run);
}

/* Hellos whose texts are evil: each is refused, and told of in the log. */
static void evil_hellos(void)
{
    const struct rt_hello_msg hellos[] = {{.role = cut(EVIL, WORD_MAX)},
                                          {.role = rt_slice_text("guest"), .cid = rt_slice_text(EVIL)},
                                          {.role = rt_slice_text("guest"), .cid = rt_slice_text(QUOTED)},
                                          {.role = rt_slice_text("client"), .name = cut(EVIL, RT_NAME_MAX)},
                                          {.role = rt_slice_text("client"), .name = cut(QUOTED, RT_NAME_MAX)}};
    uint8_t bytes[RT_ID_SIZE] = {1};

    for (size_t i = 0; i < sizeof(hellos) / sizeof(hellos[0]); i++) {
        struct rt_hello_msg hello = hellos[i];
        struct rt_frame frame = {.type = RT_HELLO};
        struct peer peer;

        hello.vmin = hello.vmax = 1;
        if (hello.cid.size > 0) {
            hello.inc = hello.nonce = hello.tok = (struct rt_slice){bytes, sizeof(bytes)};
            hello.epoch = 1;
        }
        peer_open(&peer, i < 3 ? attack_guests(0) : attack_clients(0));
        peer_send_msg(&peer, frame, RT_MSG_HELLO, &hello);
        (void)attack_next(&peer, ATTACK_TYPE(RT_WELCOME) | ATTACK_TYPE(RT_REFUSE), &frame);
        attack_close(&peer);
    }
}

void attack_texts_of_clients(void)
{
    static const char *const texts[] = {EVIL, QUOTED};
    struct peer client;
    char labelled[32];

    evil_hellos();
    attack_client(&client, NULL);
    for (size_t i = 0; i < 2; i++) {
        struct rt_slice cid = cut(texts[i], RT_CID_MAX), op = rt_slice_text("show");
        const struct rt_request_msg requests[] = {
            {.op = cut(texts[i], WORD_MAX)},
            {.op = op, .cid = cid},
            {.op = op, .cid = cid, .prefix = true},
            {.op = rt_slice_text("list"), .host = cut(texts[i], RT_HOST_MAX)},
            {.op = rt_slice_text("create"), .cid = rt_slice_text("vms"), .vm = cut(texts[i], RT_VM_MAX)}};

        for (size_t k = 0; k < sizeof(requests) / sizeof(requests[0]); k++) {
            const struct rt_reply_msg *reply;
            char text[RT_TEXT_MAX + 1];

            (void)attack_ask(&client, &requests[k], &reply, NULL);
            rt_slice_copy(reply->m, text, sizeof(text));
            clean("a refusal", text);
        }
        shown(ARGS("show", texts[i]));
        shown(ARGS("attach", texts[i]));
        shown(ARGS("exec", HONEST_CID, texts[i]));
        shown(ARGS("create", texts[i]));
        shown(ARGS("create", "vms", "--vm", texts[i]));
    }
    (void)snprintf(labelled, sizeof(labelled), "labelled-%u", attack_round);
    struct rt_request_msg create = {
        .op = rt_slice_text("create"), .cid = rt_slice_text(labelled), .label = rt_slice_text(QUOTED)};
    assert_int_equal(attack_ask(&client, &create, NULL, NULL), RT_CLASS_OK);
    shown(ARGS("ls"));
    shown(ARGS("ls", "--json"));
    shown(ARGS("show", labelled));
    shown(ARGS("show", "--json", labelled));
    attack_saw("nothing raw in ls, show, attach, exec, create, nor in the log");
    attack_close(&client);
    logs_are_clean();
}

/* What a guest refuses an attach with. */
void attack_texts_of_guests(void)
{
    static const uint64_t classes[] = {RT_CLASS_LIMIT, RT_CLASS_INVALID, RT_CLASS_MOVED};
    struct rogue guest;

    rogue_start(&guest, "speaker");
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        struct harness_attach attach;
        struct rt_frame frame;

        harness_start(&attach, false, ARGS("attach", guest.cid));
        while (attach.err >= 0) {
            peer_read(&guest.peer, 20);
            while (peer_frame(&guest.peer, &frame) != NULL) {
                if (frame.type == RT_ATTACH) {
                    rogue_refuse(&guest, frame.channel, classes[i], i == 0 ? QUOTED : EVIL);
                }
            }
            assert_false(guest.peer.eof);
            (void)harness_read(&attach, 20);
        }
        assert_int_not_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
        clean("attach", attach.text);
        clean("attach", attach.err_text);
        harness_close(&attach);
    }
    attack_saw("nothing raw in what attach says, nor in the log");
    rogue_close(&guest);
    logs_are_clean();
}

void attack_texts_of_certificates(void)
{
    static const char *const texts[] = {ATTACK_DOMAIN "vch/" EVIL, ATTACK_DOMAIN QUOTED, QUOTED};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct attack_certificate one = {.directory = attack_in(i == 0   ? "evil-0"
                                                                : i == 1 ? "evil-1"
                                                                         : "evil-2"),
                                         .uris = {rt_slice_text(texts[i])},
                                         .n_uris = 1};
        struct peer peer;

        attack_issue(&one);
        assert_int_equal(attack_tls_hello(&peer, one.directory, false), ATTACK_CLOSED);
        attack_saw("%s", peer.why);
        attack_close(&peer);
    }
    logs_are_clean();
}
