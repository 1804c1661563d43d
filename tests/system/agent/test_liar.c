/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/daemon.h"
#include "tests/system/agent/peer.h"

#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* A guest that lies to the users of its own container: whatever it says, the real `retether` goes where only an agent
 * sent it, ends as no container that runs does, and prints clean text; the guest's own link goes on. */

#define CID "liar"
#define LIMIT_MS 30000
/* Answers to one command: then the guest says something that ends it. */
#define LIES_MAX 3

static const char lie[] = "\x1b]0;pwned\x07\x1b[2J\r\nyour password:\xc2\x9b"
                          "31m\xe2\x80\xae?";
static const char *const commands[][4] = {
    {"attach", CID}, {"signal", CID, "USR1"}, {"wait", CID}, {"logs", "-f", CID}, {"exec", CID, "true"}};

static struct peer guest;
static char trap[96]; /* where the guest sends people */
static int trap_fd;

static void set_trap(const struct daemon *daemon)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    (void)snprintf(trap, sizeof(trap), "unix:%s/trap", daemon->dir);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", trap + 5);
    trap_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(trap_fd >= 0);
    assert_int_equal(bind(trap_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(trap_fd, 8), 0);
}

static void refuse(uint32_t channel, uint64_t cls)
{
    struct rt_refuse_msg msg = {.c = cls, .m = rt_slice_text(lie), .host = rt_slice_text("elsewhere")};
    struct rt_frame frame = {.type = RT_REFUSE, .channel = channel};

    msg.addr[msg.n_addr++] = rt_slice_text(trap);
    msg.life = msg.epoch = RT_COUNTER_MAX - 1;
    peer_send_msg(&guest, frame, RT_MSG_REFUSE, &msg);
}

/* That all streams stand at the last offset that there is. */
static void attached(uint32_t channel)
{
    const uint64_t last = RT_COUNTER_MAX - 1;
    struct rt_attached_msg msg = {.life = guest.life, .epoch = 1, .st = 1, .n_out = 3};
    struct rt_frame frame = {.type = RT_ATTACHED, .channel = channel};

    for (unsigned i = 0; i < 3; i++) {
        msg.out[i].s = RT_STDOUT + i;
        msg.out[i].c = msg.out[i].head = last;
    }
    peer_send_msg(&guest, frame, RT_MSG_ATTACHED, &msg);
}

/* One command, to whose attaches the guest answers with this class (or with `attached`). Returns its exit status. */
static int ask(const struct daemon *daemon, const char *const words[4], uint64_t cls, bool bind)
{
    char agent[128], path[160];
    const char *argv[12] = {"retether", words[0], "--agent", agent};
    struct rt_process_spec spec;
    uint64_t until = test_now_ms() + (uint64_t)LIMIT_MS * TEST_PATIENCE;
    unsigned lies = 0;
    int status;

    (void)snprintf(agent, sizeof(agent), "unix:%s", daemon->client);
    (void)snprintf(path, sizeof(path), "%s/said", daemon->dir);
    for (size_t i = 1; i < 4 && words[i] != NULL; i++) {
        argv[3 + i] = words[i];
    }
    rt_process_spec_init(&spec, argv);
    spec.out = spec.err = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(spec.err >= 0);
    pid_t pid = rt_process_start(&spec);
    assert_true(pid > 0);
    (void)close(spec.err);
    while ((status = rt_process_wait(pid, 0)) == RT_PROCESS_LATE) {
        struct rt_frame frame;

        assert_true(test_now_ms() < until);
        while (peer_frame(&guest, &frame) != NULL) {
            if (frame.type == RT_ATTACH && lies++ >= LIES_MAX) {
                refuse(frame.channel, RT_CLASS_INVALID);
            } else if (frame.type == RT_ATTACH && bind) {
                attached(frame.channel);
                refuse(frame.channel, RT_CLASS_LOST);
            } else if (frame.type == RT_ATTACH) {
                refuse(frame.channel, cls);
            }
        }
        assert_false(guest.eof);
        peer_read(&guest, 20);
    }
    return status;
}

static void check_said(const struct daemon *daemon, const char *what, uint64_t cls)
{
    static char said[1 << 16];
    char path[160];

    (void)snprintf(path, sizeof(path), "%s/said", daemon->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, said, sizeof(said) - 1);
    assert_true(size > 0);
    (void)close(fd);
    said[size] = '\0';
    for (ssize_t i = 0; i < size; i++) {
        if (((unsigned char)said[i] < 0x20 && said[i] != '\n') || said[i] == 0x7f) {
            fail_msg("%s printed byte %02x of what a guest said with class %u", what, (unsigned char)said[i],
                     (unsigned)cls);
        }
    }
    assert_null(strstr(said, "\xc2\x9b"));
    assert_null(strstr(said, "\xe2\x80\xae"));
    assert_null(strstr(said, "\nyour password"));
}

static void test_each_class(void **state)
{
    const struct daemon *daemon = *state;

    for (uint64_t cls = 0; cls <= RT_CLASS_AMBIGUOUS + 1; cls++) {
        for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
            int status = ask(daemon, commands[i], cls, false);

            if (status != 125 && !(status == 126 && strcmp(commands[i][0], "exec") == 0)) {
                fail_msg("%s ended with %d when the guest said %s", commands[i][0], status, rt_class_name(cls));
            }
            check_said(daemon, commands[i][0], cls);
        }
    }
    assert_int_equal(accept(trap_fd, NULL, NULL), -1);
}

/* A link that others share is not ended by what its client answers to a guest. */
static void test_last_offsets(void **state)
{
    const struct daemon *daemon = *state;

    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        (void)ask(daemon, commands[i], 0, true);
        check_said(daemon, commands[i][0], 0);
    }
    assert_int_equal(daemon_said(daemon, "is not below 2^53"), 0);
}

static int setup(void **state)
{
    uint8_t token[RT_TOKEN_MAX];
    struct peer client;

    if (daemon_setup(state) != 0) {
        return -1;
    }
    struct daemon *daemon = *state;
    daemon_up(daemon, NULL);
    set_trap(daemon);
    peer_client(&client, daemon->client);
    size_t size = peer_create(&client, CID, token);
    peer_guest(&guest, daemon->guest, CID, token, size);
    peer_close(&client);
    return 0;
}

static int teardown(void **state)
{
    peer_close(&guest);
    (void)close(trap_fd);
    return daemon_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_class, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_offsets, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
