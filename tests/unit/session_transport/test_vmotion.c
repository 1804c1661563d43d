/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/vmotion.h"
#include "tests/lib/vmotion_control.h"

#include "tests/unit/session_transport/fixture.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* The stand-in between bare sockets: this test is the guest and the agents of two hosts. */

struct world {
    struct fixture *fixture;
    struct vmotion v;
    int agents[2]; /* listening */
    bool closed;
    unsigned settled;
};

static void on_close(struct vmotion *v)
{
    ((struct world *)v->data)->closed = true;
}

static void on_settled(struct vmotion *v)
{
    ((struct world *)v->data)->settled++;
}

static int listen_on(struct rt_endpoint where)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, &where.addr.any, where.size), 0);
    assert_int_equal(listen(fd, 64), 0);
    return fd;
}

static void open_world(struct world *world, struct fixture *fixture)
{
    struct rt_endpoint a = fixture_unix(fixture, "a.sock"), b = fixture_unix(fixture, "b.sock");
    struct rt_endpoint guest = fixture_unix(fixture, "guest.sock");

    memset(world, 0, sizeof(*world));
    world->fixture = fixture;
    world->v.data = world;
    world->v.on_close = on_close;
    world->v.on_settled = on_settled;
    world->agents[0] = listen_on(a);
    world->agents[1] = listen_on(b);
    vmotion_init(&world->v, &fixture->loop);
    assert_int_equal(vmotion_start(&world->v, rt_endpoint_path(&guest)), -EINVAL);
    assert_int_equal(vmotion_add_host(&world->v, "a", rt_endpoint_path(&a)), 0);
    assert_int_equal(vmotion_add_host(&world->v, "b", rt_endpoint_path(&b)), 0);
    assert_int_equal(vmotion_add_host(&world->v, "b", rt_endpoint_path(&b)), -EEXIST);
    assert_int_equal(vmotion_start(&world->v, rt_endpoint_path(&guest)), 0);
}

static void close_world(struct world *world)
{
    vmotion_close(&world->v);
    fixture_run(world->fixture, &world->closed);
    (void)close(world->agents[0]);
    (void)close(world->agents[1]);
}

static void turn(struct world *world)
{
    for (int i = 0; i < 5; i++) {
        (void)uv_run(&world->fixture->loop, UV_RUN_NOWAIT);
    }
}

static int dial_guest(struct fixture *fixture)
{
    struct rt_endpoint where = fixture_unix(fixture, "guest.sock");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, &where.addr.any, where.size), 0);
    return fd;
}

/* A connection from the guest to the agent of host. */
static void join(struct world *world, int host, int *guest, int *agent)
{
    *guest = dial_guest(world->fixture);
    turn(world);
    *agent = accept4(world->agents[host], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(*agent >= 0);
    assert_int_equal(accept(world->agents[1 - host], NULL, NULL), -1);
}

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 131 + (i >> 8));
}

static void put(int fd, size_t at, size_t size)
{
    uint8_t bytes[4096];

    assert_true(size <= sizeof(bytes));
    for (size_t i = 0; i < size; i++) {
        bytes[i] = byte_at(at + i);
    }
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
}

/* Reads and checks what is there. Returns how much; *end is 0 while open, 1 at EOF, else the errno. */
static size_t get(int fd, size_t at, int *end)
{
    uint8_t bytes[65536];
    size_t sum = 0;
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        for (size_t i = 0; i < (size_t)n; i++) {
            if (bytes[i] != byte_at(at + sum + i)) {
                fail_msg("byte %zu differs", at + sum + i);
            }
        }
        sum += (size_t)n;
    }
    *end = n == 0 ? 1 : errno == EAGAIN ? 0 : errno;
    return sum;
}

static void test_relays_both_ways(void **state)
{
    struct world world;
    size_t sent[2] = {0}, got[2] = {0}, total = 3 * MIB;
    int fd[2], end, rounds = 0;

    open_world(&world, *state);
    join(&world, 0, &fd[0], &fd[1]);
    /* Fill until everything is full: the relay holds no more than its buffers. */
    for (int idle = 0; idle < 10;) {
        uint8_t byte = byte_at(sent[0]);
        if (send(fd[0], &byte, 1, MSG_NOSIGNAL) == 1) {
            sent[0]++;
            idle = 0;
        } else {
            turn(&world);
            idle++;
        }
    }
    assert_true(sent[0] < 2 * MIB);
    while (got[0] < total || got[1] < total) {
        for (int d = 0; d < 2; d++) {
            size_t size = total - sent[d] < 4096 ? total - sent[d] : 4096;
            uint8_t bytes[4096];
            ssize_t n;
            for (size_t i = 0; i < size; i++) {
                bytes[i] = byte_at(sent[d] + i);
            }
            n = send(fd[d], bytes, size, MSG_NOSIGNAL);
            sent[d] += n > 0 ? (size_t)n : 0;
        }
        (void)uv_run(&world.fixture->loop, UV_RUN_NOWAIT);
        got[0] += get(fd[1], got[0], &end);
        assert_int_equal(end, 0);
        got[1] += get(fd[0], got[1], &end);
        assert_int_equal(end, 0);
        assert_true(++rounds < 100000);
    }
    assert_int_equal(world.v.stats.bytes[0], total);
    assert_int_equal(world.v.stats.bytes[1], total);
    /* An end: what was sent before is delivered, then the other side ends too. */
    put(fd[1], 0, 100);
    (void)close(fd[1]);
    turn(&world);
    assert_int_equal(get(fd[0], 0, &end), 100);
    assert_int_equal(end, 1);
    assert_int_equal(world.v.stats.live, 0);
    assert_int_equal(world.v.stats.lost[0] + world.v.stats.lost[1], 0);
    (void)close(fd[0]);
    close_world(&world);
}

static const uint64_t lose_all[2] = {VMOTION_NEVER, VMOTION_NEVER};

static void test_on_and_move(void **state)
{
    struct world world;
    int old[2], new[2], end;

    open_world(&world, *state);
    join(&world, 0, &old[0], &old[1]);
    assert_int_equal(vmotion_on(&world.v, "c"), -ENOENT);
    assert_int_equal(vmotion_on(&world.v, "b"), 0);
    join(&world, 1, &new[0], &new[1]);
    put(old[0], 0, 10);
    turn(&world);
    assert_int_equal(get(old[1], 0, &end), 10);
    assert_int_equal(end, 0);
    assert_int_equal(vmotion_move(&world.v, "c", VMOTION_EOF, lose_all), -ENOENT);
    assert_int_equal(world.v.stats.live, 2);
    put(old[0], 0, 7); /* in flight, nothing relayed since */
    put(new[1], 0, 9);
    assert_int_equal(vmotion_move(&world.v, "a", VMOTION_EOF, lose_all), 0);
    assert_int_equal(world.settled, 1);
    assert_int_equal(world.v.stats.live, 0);
    turn(&world);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(get(old[i], 0, &end), 0);
        assert_int_equal(end, 1);
        assert_int_equal(get(new[i], 0, &end), 0);
        assert_int_equal(end, 1);
        (void)close(old[i]);
        (void)close(new[i]);
    }
    assert_int_equal(world.v.stats.lost[0], 7);
    assert_int_equal(world.v.stats.lost[1], 9);
    join(&world, 0, &old[0], &old[1]);
    (void)close(old[0]);
    (void)close(old[1]);
    close_world(&world);
}

static void test_reset(void **state)
{
    struct world world;
    int fd[2], end;

    open_world(&world, *state);
    join(&world, 0, &fd[0], &fd[1]);
    put(fd[0], 0, 7);
    put(fd[1], 0, 9);
    assert_int_equal(vmotion_move(&world.v, "b", VMOTION_RESET, lose_all), 0);
    turn(&world);
    assert_int_equal(get(fd[0], 0, &end), 0);
    assert_int_equal(end, ECONNRESET);
    assert_int_equal(get(fd[1], 0, &end), 0);
    assert_int_equal(end, ECONNRESET);
    (void)close(fd[0]);
    (void)close(fd[1]);
    close_world(&world);
}

static void test_hang(void **state)
{
    struct world world;
    int fd[2], end;

    open_world(&world, *state);
    join(&world, 0, &fd[0], &fd[1]);
    put(fd[0], 0, 7);
    assert_int_equal(vmotion_move(&world.v, "b", VMOTION_HANG, lose_all), 0);
    put(fd[0], 7, 5);
    put(fd[1], 0, 5);
    turn(&world);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(get(fd[i], 0, &end), 0);
        assert_int_equal(end, 0);
    }
    assert_int_equal(world.v.stats.hung, 1);
    assert_int_equal(world.v.stats.live, 0);
    /* The guest gives up first; the old agent notices nothing until released. */
    (void)close(fd[0]);
    turn(&world);
    assert_int_equal(world.v.stats.lost[0], 12);
    assert_int_equal(get(fd[1], 0, &end), 0);
    assert_int_equal(end, 0);
    assert_int_equal(world.v.stats.hung, 1);
    vmotion_release(&world.v);
    turn(&world);
    assert_int_equal(get(fd[1], 0, &end), 0);
    assert_int_equal(end, ECONNRESET);
    assert_int_equal(world.v.stats.hung, 0);
    assert_int_equal(world.v.stats.lost[1], 5);
    (void)close(fd[1]);
    /* The other order, and one that stays hung to the end. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vmotion_on(&world.v, "a"), 0);
        join(&world, 0, &fd[0], &fd[1]);
        assert_int_equal(vmotion_move(&world.v, "b", VMOTION_HANG, lose_all), 0);
        if (i == 0) {
            (void)close(fd[1]);
            turn(&world);
            assert_int_equal(get(fd[0], 0, &end), 0);
            assert_int_equal(end, 0);
            vmotion_release(&world.v);
            (void)close(fd[0]);
            turn(&world);
            assert_int_equal(world.v.stats.hung, 0);
        }
    }
    close_world(&world);
    assert_int_equal(get(fd[1], 0, &end), 0);
    assert_int_equal(end, 1);
    (void)close(fd[0]);
    (void)close(fd[1]);
}

/* Cut after each number of bytes, each way: exactly these arrive. */
static void test_cut_after(void **state)
{
    struct world world;
    int fd[2], end;

    open_world(&world, *state);
    for (int d = 0; d < 2; d++) {
        for (size_t n = 0; n < 50; n++) {
            join(&world, 0, &fd[0], &fd[1]);
            vmotion_cut_after(&world.v, d == 0 ? VMOTION_UP : VMOTION_DOWN, n, VMOTION_EOF);
            turn(&world);
            assert_int_equal(world.v.stats.live, 1);
            put(fd[d], 0, n / 2);
            turn(&world);
            put(fd[d], n / 2, 50 - n / 2);
            turn(&world);
            assert_int_equal(get(fd[1 - d], 0, &end), n);
            assert_int_equal(end, 1);
            assert_int_equal(world.v.cut_left[d], VMOTION_NEVER);
            (void)close(fd[0]);
            (void)close(fd[1]);
        }
    }
    assert_int_equal(world.v.stats.cuts, 100);
    close_world(&world);
}

/* Armed before anybody connects, so that a handshake can be cut anywhere. */
static void test_cut_is_armed_ahead(void **state)
{
    struct world world;
    int fd[2], end;

    open_world(&world, *state);
    vmotion_cut_after(&world.v, VMOTION_UP, 30, VMOTION_HANG);
    join(&world, 0, &fd[0], &fd[1]);
    put(fd[0], 0, 29);
    put(fd[1], 0, 50);
    turn(&world);
    assert_int_equal(get(fd[1], 0, &end), 29);
    assert_int_equal(get(fd[0], 0, &end), 50);
    assert_int_equal(world.v.stats.live, 1);
    put(fd[0], 29, 1);
    turn(&world);
    assert_int_equal(get(fd[1], 29, &end), 1);
    assert_int_equal(end, 0);
    assert_int_equal(world.v.stats.hung, 1);
    (void)close(fd[0]);
    (void)close(fd[1]);
    close_world(&world);
}

/* A move that may lose n bytes of what is in flight: the others arrive, though the reader was slow. */
static void test_lose_some(void **state)
{
    static const uint64_t losses[] = {0, 1, 999, 70000, 400000};
    struct world world;

    open_world(&world, *state);
    for (size_t l = 0; l < sizeof(losses) / sizeof(*losses); l++) {
        uint64_t lose[2] = {losses[l], VMOTION_NEVER};
        struct vmotion_stats before = world.v.stats;
        size_t sent = 0, got = 0;
        unsigned settled = world.settled;
        int fd[2], end = 0, rounds = 0;

        assert_int_equal(vmotion_on(&world.v, "a"), 0);
        join(&world, 0, &fd[0], &fd[1]);
        while (sent < 350000) {
            put(fd[0], sent, 2500);
            sent += 2500;
            if (sent % 100000 == 0) {
                turn(&world);
            }
        }
        assert_int_equal(vmotion_move(&world.v, "b", VMOTION_EOF, lose), 0);
        while (end == 0) {
            got += get(fd[1], got, &end);
            turn(&world);
            assert_true(++rounds < 1000);
        }
        assert_int_equal(world.settled, settled + 1);
        assert_int_equal(got, world.v.stats.bytes[0] - before.bytes[0]);
        assert_int_equal(sent - got, world.v.stats.lost[0] - before.lost[0]);
        assert_true(sent - got <= losses[l]);
        if (losses[l] < 1000) {
            assert_int_equal(sent - got, losses[l]);
        }
        (void)close(fd[0]);
        (void)close(fd[1]);
    }
    close_world(&world);
}

/* A reader that never reads cannot hold up a move. */
static void test_settling_has_a_deadline(void **state)
{
    uint64_t lose[2] = {0, 0};
    uint8_t bytes[4096] = {0};
    struct world world;
    int fd[2];

    open_world(&world, *state);
    join(&world, 0, &fd[0], &fd[1]);
    for (int i = 0; i < 1000; i++) {
        (void)send(fd[0], bytes, sizeof(bytes), MSG_NOSIGNAL);
        turn(&world);
    }
    assert_int_equal(vmotion_move(&world.v, "b", VMOTION_RESET, lose), 0);
    assert_int_equal(world.settled, 0);
    assert_int_equal(world.v.settling, 1);
    fixture_sleep(world.fixture, VMOTION_SETTLE_MS + 100);
    assert_int_equal(world.settled, 1);
    assert_int_equal(world.v.stats.live, 0);
    assert_true(world.v.stats.lost[0] > 0);
    (void)close(fd[0]);
    (void)close(fd[1]);
    close_world(&world);
}

static void test_stall(void **state)
{
    struct world world;
    int fd[2], late, end;

    open_world(&world, *state);
    join(&world, 0, &fd[0], &fd[1]);
    vmotion_stall(&world.v);
    put(fd[0], 0, 100);
    late = dial_guest(world.fixture);
    turn(&world);
    assert_int_equal(get(fd[1], 0, &end), 0);
    assert_int_equal(world.v.stats.conns, 1);
    vmotion_resume(&world.v);
    turn(&world);
    assert_int_equal(get(fd[1], 0, &end), 100);
    assert_int_equal(world.v.stats.conns, 2);
    (void)close(late);
    (void)close(fd[0]);
    (void)close(fd[1]);
    close_world(&world);
}

static void test_no_agent(void **state)
{
    struct world world;
    int guest, end;

    open_world(&world, *state);
    (void)close(world.agents[0]);
    guest = dial_guest(world.fixture);
    turn(&world);
    assert_int_equal(get(guest, 0, &end), 0);
    assert_int_equal(end, 1);
    assert_int_equal(world.v.stats.refused, 1);
    (void)close(guest);
    world.agents[0] = -1;
    close_world(&world);
}

static void test_commands(void **state)
{
    static const struct {
        const char *line, *answer;
    } cases[] = {
        {"stall", "ok"},
        {"resume", "ok"},
        {"on b", "ok"},
        {"on c", "error: no such host"},
        {"move b", "error: usage: move NAME reset|eof|hang [lose-up N] [lose-down N]"},
        {"move b softly", "error: usage: move NAME reset|eof|hang [lose-up N] [lose-down N]"},
        {"move b eof lose-up", "error: usage: move NAME reset|eof|hang [lose-up N] [lose-down N]"},
        {"move b eof lose-up x", "error: wants lose-up N or lose-down N"},
        {"move b eof lose-it 1", "error: wants lose-up N or lose-down N"},
        {"move c eof", "error: no such host"},
        {"move a hang lose-up 1 lose-down 2", "ok moved"},
        {"cut-after", "error: usage: cut-after up|down N [reset|eof|hang]"},
        {"cut-after sideways 1", "error: usage: cut-after up|down N [reset|eof|hang]"},
        {"cut-after up -1", "error: usage: cut-after up|down N [reset|eof|hang]"},
        {"cut-after up 1 hard", "error: usage: cut-after up|down N [reset|eof|hang]"},
        {"cut-after up 17 hang", "ok"},
        {"stats", "ok on=a live=0 hung=0 conns=0 refused=0 moves=1 cuts=0 up=0 down=0 lost-up=0 lost-down=0 armed=yes"},
        {"cut-never", "ok"},
        {"release", "ok"},
        {"stats", "ok on=a live=0 hung=0 conns=0 refused=0 moves=1 cuts=0 up=0 down=0 lost-up=0 lost-down=0 armed=no"},
        {"", "error: what?"},
        {"fly", "error: what?"},
        {"stats now", "error: what?"},
        {"1 2 3 4 5 6 7 8 9 10", "error: what?"},
    };
    struct world world;

    open_world(&world, *state);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char answer[2 * VMOTION_LINE_MAX];
        assert_true(vmotion_command(&world.v, cases[i].line, answer, sizeof(answer)));
        assert_string_equal(answer, cases[i].answer);
    }
    close_world(&world);
}

/* One line from a blocking socket, without the newline. */
static void get_line(int fd, char *line, size_t size)
{
    size_t n = 0;

    while (n < size - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n') {
        n++;
    }
    line[n] = '\0';
}

/* The program itself: started, asked, ended. */
static void test_program(void **state)
{
    struct fixture *fixture = *state;
    struct rt_endpoint agent = fixture_unix(fixture, "agent.sock"), control = fixture_unix(fixture, "control.sock");
    char self[512] = "", program[600], guest[128], host[128], ctl[128], line[512];
    const char *asks = "cut-after up 3 eof\nmove x reset\nstats\n";
    int out[2], fd, listener = listen_on(agent), status = -1;
    pid_t pid;

    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    *strrchr(self, '/') = '\0';
    (void)snprintf(program, sizeof(program), "%s/vmotion", self);
    (void)snprintf(guest, sizeof(guest), "unix:%s/g.sock", fixture->dir);
    (void)snprintf(host, sizeof(host), "x=unix:%s", rt_endpoint_path(&agent));
    (void)snprintf(ctl, sizeof(ctl), "unix:%s", rt_endpoint_path(&control));
    assert_int_equal(pipe(out), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(out[1], 1);
        (void)execl(program, "vmotion", "--guest", guest, "--host", host, "--on", "x", "--control", ctl, (char *)NULL);
        _exit(127);
    }
    (void)close(out[1]);
    get_line(out[0], line, sizeof(line));
    assert_string_equal(line, "ready");
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, &control.addr.any, control.size), 0);
    assert_int_equal(write(fd, asks, strlen(asks)), strlen(asks));
    get_line(fd, line, sizeof(line));
    assert_string_equal(line, "ok");
    get_line(fd, line, sizeof(line));
    assert_string_equal(line, "ok moved");
    get_line(fd, line, sizeof(line));
    assert_non_null(strstr(line, "moves=1"));
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(access(guest + 5, F_OK), -1);
    assert_int_equal(access(ctl + 5, F_OK), -1);
    (void)close(fd);
    (void)close(out[0]);
    (void)close(listener);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_relays_both_ways),
        TEST(test_on_and_move),
        TEST(test_reset),
        TEST(test_hang),
        TEST(test_cut_after),
        TEST(test_cut_is_armed_ahead),
        TEST(test_lose_some),
        TEST(test_settling_has_a_deadline),
        TEST(test_stall),
        TEST(test_no_agent),
        TEST(test_commands),
        TEST(test_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
