/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/tether/fake_agent.h"

#include "tests/lib/command.h"

#include "session/core/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define RX_MAX ((size_t)1 << 20)
#define ARGS_MAX 64

uint64_t fake_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t fake_random(struct fake_agent *agent, uint64_t below)
{
    agent->rng ^= agent->rng << 13;
    agent->rng ^= agent->rng >> 7;
    agent->rng ^= agent->rng << 17;
    return agent->rng % below;
}

void fake_error(struct fake_agent *agent, const char *what, uint64_t got, uint64_t wanted)
{
    if (agent->error[0] == '\0') {
        snprintf(agent->error, sizeof(agent->error), "%.180s (%llu, %llu)", what, (unsigned long long)got,
                 (unsigned long long)wanted);
    }
}

void fake_append(uint8_t **data, size_t *size, size_t *cap, const void *more, size_t n)
{
    if (*size + n + 1 > *cap) {
        *cap = 2 * (*size + n + 1);
        *data = realloc(*data, *cap);
        assert_non_null(*data);
    }
    memcpy(*data + *size, more, n);
    *size += n;
    (*data)[*size] = '\0';
}

/* ---- fixture ---- */

int fake_setup(void **state)
{
    struct fake_agent *agent = calloc(1, sizeof(*agent));

    assert_non_null(agent);
    agent->listener = agent->conn = agent->pidfd = -1;
    agent->rng = 88172645463325252U;
    agent->rx = malloc(RX_MAX);
    assert_non_null(agent->rx);
    for (size_t i = 0; i < 3; i++) {
        agent->out[i].fin = UINT64_MAX;
        rt_digest_start(&agent->out[i].digest, 0);
        fake_append(&agent->out[i].data, &agent->out[i].size, &agent->out[i].cap, "", 0);
    }
    for (size_t i = 0; i < 2; i++) {
        rt_digest_start(&agent->in[i].digest, 0);
        fake_append(&agent->in[i].data, &agent->in[i].size, &agent->in[i].cap, "", 0);
    }
    snprintf(agent->dir, sizeof(agent->dir), "/tmp/retether-tether-XXXXXX");
    assert_non_null(mkdtemp(agent->dir));
    *state = agent;
    return 0;
}

static void path_of(const struct fake_agent *agent, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", agent->dir, name);
}

int fake_teardown(void **state)
{
    static const char *const names[] = {"s", "log", "exec"};
    struct fake_agent *agent = *state;
    char path[128];
    int *fds[] = {&agent->listener, &agent->conn, &agent->pidfd};

    if (agent->tether > 0) {
        kill(agent->tether, SIGKILL);
        waitpid(agent->tether, NULL, 0);
    }
    for (size_t i = 0; i < 3; i++) {
        if (*fds[i] >= 0) {
            close(*fds[i]);
        }
        free(agent->out[i].data);
    }
    for (size_t i = 0; i < 2; i++) {
        free(agent->in[i].data);
        free(agent->tail[i]);
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        path_of(agent, names[i], path, sizeof(path));
        unlink(path);
    }
    rmdir(agent->dir);
    free(agent->rx);
    free(agent);
    return 0;
}

void fake_log(struct fake_agent *agent, char *out, size_t size)
{
    char path[128];
    ssize_t n = -1;
    int fd;

    path_of(agent, "log", path, sizeof(path));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, out, size - 1);
        close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
}

static void give_up(struct fake_agent *agent, const char *what)
{
    char log[4096];

    fake_log(agent, log, sizeof(log));
    fail_msg("%s; error \"%s\", stdout %zu bytes \"%.200s\", stderr \"%.200s\", log:\n%s", what, agent->error,
             agent->out[0].size, fake_text(agent), (const char *)agent->out[1].data, log);
}

/* ---- the tether ---- */

void fake_garbage(struct fake_agent *agent)
{
    uint8_t bytes[200];

    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(send(agent->conn, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
}

void fake_listen(struct fake_agent *agent)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", agent->dir);
    agent->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(agent->listener >= 0);
    assert_int_equal(bind(agent->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(agent->listener, 4), 0);
}

static void exec_in_namespace(const char *const *args)
{
    const char *all[ARGS_MAX + 6] = {"unshare", "--pid", "--fork", "--mount-proc", "--kill-child", TETHER_PROGRAM};
    size_t n = 6;

    for (size_t i = 1; args[i] != NULL; i++) {
        all[n++] = args[i];
    }
    execvp(all[0], (char *const *)all);
}

static void run_tether(const struct fake_agent *agent, const char **args, const char *log)
{
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (agent->subreaper) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    }
    dup2(fd, STDERR_FILENO);
    setenv("RETETHER_TOKEN", FAKE_TOKEN, 1);
    for (size_t i = 0; i < 4 && agent->env[i] != NULL; i++) {
        char *copy = strdup(agent->env[i]);

        if (copy != NULL) {
            putenv(copy);
        }
    }
    if (agent->pid_1) {
        exec_in_namespace(args);
    }
    execv(TETHER_PROGRAM, (char *const *)args);
    _exit(99);
}

void fake_start(struct fake_agent *agent, const char *const *argv)
{
    const char *args[ARGS_MAX] = {"tether", "--cid", "c1", "--agent"};
    char endpoint[160];
    char log[128];
    size_t n = 4;

    snprintf(endpoint, sizeof(endpoint), "unix:%s/s", agent->dir);
    path_of(agent, "log", log, sizeof(log));
    args[n++] = endpoint;
    for (size_t i = 0; agent->options[i] != NULL; i++) {
        args[n++] = agent->options[i];
    }
    args[n++] = "--";
    while (*argv != NULL) {
        assert_true(n < ARGS_MAX - 1);
        args[n++] = *argv++;
    }
    if (!agent->deaf) {
        fake_listen(agent);
    }
    agent->tether = fork();
    assert_true(agent->tether >= 0);
    if (agent->tether == 0) {
        run_tether(agent, args, log);
    }
    agent->pidfd = (int)syscall(SYS_pidfd_open, agent->tether, 0);
    assert_true(agent->pidfd >= 0);
}

void fake_sh(struct fake_agent *agent, const char *script)
{
    fake_start(agent, (const char *const[]){"sh", "-c", script, NULL});
}

/* ---- the link ---- */

void fake_cut(struct fake_agent *agent)
{
    if (agent->conn < 0) {
        return;
    }
    agent->cuts++;
    agent->interrupted_in += agent->in[0].sent > agent->in[0].acked;
    close(agent->conn);
    agent->conn = -1;
    agent->attached = false;
}

void fake_send(struct fake_agent *agent, const struct rt_frame *frame, const void *payload)
{
    uint8_t bytes[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    size_t size = RT_FRAME_HEADER + (size_t)frame->length;
    size_t done = 0;

    rt_frame_put(bytes, frame);
    if (frame->length > 0) {
        memcpy(bytes + RT_FRAME_HEADER, payload, frame->length);
    }
    while (agent->conn >= 0 && done < size) {
        ssize_t n = send(agent->conn, bytes + done, size - done, MSG_NOSIGNAL);

        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno != EINTR) {
            close(agent->conn);
            agent->conn = -1;
            agent->attached = false;
        }
    }
}

static void accept_tether(struct fake_agent *agent)
{
    int fd = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0) {
        return;
    }
    if (agent->conn >= 0) {
        close(agent->conn);
    }
    agent->conn = fd;
    agent->attached = false;
    agent->ended = false;
    agent->rx_size = 0;
    agent->rx_total = 0;
    agent->cut_at = agent->cut_after > 0 ? 1 + fake_random(agent, 2 * agent->cut_after) : UINT64_MAX;
}

static void parse(struct fake_agent *agent)
{
    size_t at = 0;

    while (agent->rx_size - at >= RT_FRAME_HEADER) {
        struct rt_frame frame;

        rt_frame_get(agent->rx + at, &frame);
        if (frame.length > RT_FRAME_PAYLOAD_MAX) {
            fake_error(agent, "frame length", frame.length, RT_FRAME_PAYLOAD_MAX);
            return;
        }
        if (agent->rx_size - at - RT_FRAME_HEADER < frame.length) {
            break;
        }
        fake_frame(agent, &frame, agent->rx + at + RT_FRAME_HEADER);
        at += RT_FRAME_HEADER + frame.length;
    }
    agent->rx_size -= at;
    memmove(agent->rx, agent->rx + at, agent->rx_size);
}

static void receive(struct fake_agent *agent)
{
    uint64_t room = RX_MAX - agent->rx_size;
    bool cut = agent->cuts_left > 0 && agent->cut_at - agent->rx_total <= room;
    ssize_t n;

    if (cut) {
        room = agent->cut_at - agent->rx_total;
    }
    n = recv(agent->conn, agent->rx + agent->rx_size, (size_t)room, 0);
    if (n <= 0) {
        close(agent->conn);
        agent->conn = -1;
        agent->attached = false;
        return;
    }
    agent->rx_size += (size_t)n;
    agent->rx_total += (uint64_t)n;
    parse(agent);
    fake_send_input(agent);
    if (cut && (uint64_t)n == room) {
        agent->cuts_left--;
        agent->interrupted_out += agent->rx_size > 0; /* in mid-frame */
        fake_cut(agent);
        return;
    }
    fake_send_acks(agent);
}

void fake_step(struct fake_agent *agent, int timeout_ms)
{
    struct pollfd fds[3] = {
        {.fd = agent->listener, .events = POLLIN},
        {.fd = agent->conn, .events = POLLIN},
        {.fd = agent->pidfd, .events = POLLIN},
    };

    fake_send_input(agent);
    if (poll(fds, 3, timeout_ms) <= 0) {
        return;
    }
    if (agent->conn >= 0 && agent->conn == fds[1].fd && fds[1].revents != 0) {
        receive(agent);
    }
    if (fds[0].revents != 0) {
        accept_tether(agent);
    }
    if (fds[2].revents != 0 && agent->tether > 0 && waitpid(agent->tether, &agent->status, WNOHANG) > 0) {
        agent->tether = 0;
        close(agent->pidfd);
        agent->pidfd = -1;
    }
}

void fake_until(struct fake_agent *agent, fake_condition *condition, const void *arg, int timeout_ms)
{
    uint64_t end = fake_now_ms() + (uint64_t)timeout_ms;

    while (!condition(agent, arg)) {
        uint64_t now = fake_now_ms();

        if (now >= end || agent->tether == 0) {
            give_up(agent, now >= end ? "it took too long" : "the tether is gone");
        }
        fake_step(agent, (int)(end - now));
    }
}

static bool has_text(struct fake_agent *agent, const void *arg)
{
    return strstr(fake_text(agent), arg) != NULL;
}

void fake_until_text(struct fake_agent *agent, const char *text, int timeout_ms)
{
    fake_until(agent, has_text, text, timeout_ms);
}

void fake_finish(struct fake_agent *agent, int status, int timeout_ms)
{
    uint64_t end = fake_now_ms() + (uint64_t)timeout_ms;
    char what[64];

    while (agent->tether > 0) {
        uint64_t now = fake_now_ms();

        if (now >= end) {
            give_up(agent, "the tether does not exit");
        }
        fake_step(agent, (int)(end - now));
    }
    if (!WIFEXITED(agent->status) || WEXITSTATUS(agent->status) != status || agent->error[0] != '\0') {
        snprintf(what, sizeof(what), "wait status %d, wanted exit %d", agent->status, status);
        give_up(agent, what);
    }
}

/* ---- the client's side ---- */

void fake_input(struct fake_agent *agent, const void *data, size_t size)
{
    fake_append(&agent->in[0].data, &agent->in[0].size, &agent->in[0].cap, data, size);
}

void fake_input_end(struct fake_agent *agent)
{
    agent->in[0].fin = true;
}

static size_t put_item(const struct rt_down_item *item, uint8_t *out, size_t cap)
{
    int n = rt_msg_encode(RT_MSG_DOWN_ITEM, item, out + 2, cap - 2);

    assert_true(n > 0);
    out[0] = (uint8_t)(n >> 8);
    out[1] = (uint8_t)n;
    return (size_t)n + 2;
}

void fake_item(struct fake_agent *agent, const struct rt_down_item *item)
{
    struct fake_in *down = &agent->in[1];
    uint8_t bytes[2 + RT_ITEM_MAX];

    fake_append(&down->data, &down->size, &down->cap, bytes, put_item(item, bytes, sizeof(bytes)));
}

void fake_exec(struct fake_agent *agent, const char *const *argv, const char *const *env, const char *cwd)
{
    struct rt_down_item item = rt_test_command(argv, env, cwd);

    agent->exec_size = put_item(&item, agent->exec, sizeof(agent->exec));
    fake_send_exec(agent);
}

bool fake_done(const struct fake_agent *agent)
{
    return agent->exited && agent->out[0].fin == agent->out[0].size && agent->out[1].fin == agent->out[1].size;
}

const char *fake_text(struct fake_agent *agent)
{
    return (const char *)agent->out[0].data;
}
