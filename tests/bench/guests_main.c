/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/cluster_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <retether/client.h>
#include <retether/guest.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

/* Many guests in one process, through the SDK: bench-guests DIR AGENT NUMBER. Guest i, container "storm-i", dials
 * DIR/guest-(i modulo 3). The process of each hands its stdout over (bench-pump hand), so that this program writes for
 * all of them without waking one. Says "ready" when all of them are there. With a fourth argument, a number, each
 * process writes as much as it can itself (bench-pump flood), in writes of that size. On stdin, a byte each:
 *
 *   w   writes a record to each: the time, 64 bytes
 *   s   from now on does that by itself, to each ten times a second
 *   q   stops that
 *   r   prints how many bytes breaks have made all guests send again, in all
 *
 * Ends with its stdin. */

#define GUESTS_MAX 4000
#define UNDER_WAY_MAX 32
#define NAMES 3
#define RING ((size_t)64 << 10)
#define RECORD 8 /* times eight bytes */
#define STREAM_MS 20
#define STREAM_STEPS 5 /* so many calls until each had one */
#define AGAIN_MS 50

struct one {
    unsigned number;
    struct retether_guest *guest;
    int out; /* -1: not handed over yet */
    uint64_t resent;
};

static struct one *all;
static unsigned n_all, n_made, n_answered, n_handed, turn;
static const char *dir;
static const char *flood; /* the size of the writes, or NULL */
static char hand[100], pump[RT_PROCESS_PATH];
static uv_loop_t loop;
static struct retether_client *client;
static uv_poll_t commands, hands;
static uv_timer_t stream, again;

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench-guests: %s: %s\n", what, why);
    exit(1);
}

static void name_of(unsigned number, char cid[32])
{
    (void)snprintf(cid, 32, "storm-%u", number);
}

/* ---- the guests ---- */

static void event_cb(struct retether_guest *guest, const struct retether_guest_event *event, void *ctx)
{
    struct one *one = ctx;

    (void)guest;
    if (event->kind == RETETHER_GUEST_LINK) {
        one->resent = event->resent;
    }
}

static void start_guest(struct one *one, const char *token)
{
    char number[16], agent[160], cid[32], why[256];
    const char *hands_over[] = {pump, "hand", hand, number, NULL}, *floods[] = {pump, "flood", flood, NULL};
    const struct retether_guest_callbacks callbacks = {.size = sizeof(callbacks), .event = event_cb, .ctx = one};
    struct retether_guest_options options;

    (void)snprintf(number, sizeof(number), "%u", one->number);
    (void)snprintf(agent, sizeof(agent), "unix:%s/guest-%u", dir, one->number % NAMES);
    name_of(one->number, cid);
    retether_guest_defaults(&options, sizeof(options));
    options.agent = agent;
    options.cid = cid;
    options.token = token;
    options.argv = flood != NULL ? floods : hands_over;
    options.ring_bytes = RING;
    if (retether_guest_new(&loop, &options, &callbacks, &one->guest, why, sizeof(why)) != 0 ||
        retether_guest_start(one->guest) != 0) {
        die(cid, why);
    }
}

static void say_ready(void)
{
    (void)puts("ready");
    (void)fflush(stdout);
}

static void made_cb(struct retether_client *c, const struct retether_reply *reply, void *ctx);

static void make(struct one *one)
{
    char cid[32];

    name_of(one->number, cid);
    if (retether_create(client, cid, NULL, made_cb, one) != 0) {
        die(cid, "cannot be asked for");
    }
}

static void make_more(void)
{
    while (n_made < n_all && n_made - n_answered < UNDER_WAY_MAX) {
        make(&all[n_made++]);
    }
}

static void again_cb(uv_timer_t *timer)
{
    make(timer->data);
}

static void made_cb(struct retether_client *c, const struct retether_reply *reply, void *ctx)
{
    struct one *one = ctx;

    (void)c;
    if (reply->error == 0 && reply->cls == RETETHER_RETRY_LATER && n_answered == 0 && n_made <= 1) {
        again.data = one; /* the store is on its way up */
        (void)uv_timer_start(&again, again_cb, AGAIN_MS, 0);
        return;
    }
    if (reply->error != 0 || reply->cls != RETETHER_OK) {
        die("create", reply->error != 0 ? retether_strerror(reply->error) : reply->text);
    }
    n_answered++;
    start_guest(one, reply->token);
    if (flood != NULL && n_answered == n_all) {
        say_ready();
    }
    make_more();
}

static void handed_cb(uv_poll_t *poll, int status, int events)
{
    uint32_t number = 0;
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = &number, .iov_len = sizeof(number)};
    struct msghdr msg = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)};
    int fd;

    (void)status;
    (void)events;
    uv_fileno((uv_handle_t *)poll, &fd);
    while (recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == (ssize_t)sizeof(number)) {
        if (number >= n_all || msg.msg_controllen < sizeof(control.head) || all[number].out >= 0) {
            die("hand", "a message that is none");
        }
        memcpy(&all[number].out, CMSG_DATA(&control.head), sizeof(int));
        (void)fcntl(all[number].out, F_SETFL, O_NONBLOCK);
        if (++n_handed == n_all) {
            say_ready();
        }
        msg.msg_controllen = sizeof(control.room);
    }
}

/* ---- what they say ---- */

static void write_to(unsigned first, unsigned step)
{
    for (unsigned i = first; i < n_all; i += step) {
        uint64_t record[RECORD];
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        for (size_t j = 0; j < RECORD; j++) {
            record[j] = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
        }
        (void)!write(all[i].out, record, sizeof(record)); /* whole, or it does not fit */
    }
}

static void stream_cb(uv_timer_t *timer)
{
    (void)timer;
    write_to(turn++ % STREAM_STEPS, STREAM_STEPS);
}

static void command_cb(uv_poll_t *poll, int status, int events)
{
    uint64_t resent = 0;
    char command = '\0';

    (void)poll;
    (void)status;
    (void)events;
    if (read(STDIN_FILENO, &command, 1) != 1) {
        exit(0); /* the processes end with this one */
    }
    switch (command) {
    case 'w':
        write_to(0, 1);
        break;
    case 's':
        (void)uv_timer_start(&stream, stream_cb, STREAM_MS, STREAM_MS);
        break;
    case 'q':
        (void)uv_timer_stop(&stream);
        break;
    default:
        for (unsigned i = 0; i < n_all; i++) {
            resent += all[i].resent;
        }
        (void)printf("%" PRIu64 "\n", resent);
        (void)fflush(stdout);
    }
}

static int hand_socket(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(hand, sizeof(hand), "%s/hand", dir);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", hand);
    (void)unlink(hand);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        die(hand, strerror(errno));
    }
    return fd;
}

int main(int argc, char **argv)
{
    long n = argc == 4 || argc == 5 ? strtol(argv[3], NULL, 10) : 0;
    struct rlimit files;
    char why[RETETHER_TEXT_MAX];

    if (n < 1 || n > GUESTS_MAX) {
        (void)fprintf(stderr, "usage: bench-guests DIR AGENT NUMBER [SIZE]\n");
        return 2;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    dir = argv[1];
    flood = argv[4];
    rt_process_program("bench-pump", pump);
    n_all = (unsigned)n;
    all = calloc(n_all, sizeof(*all));
    if (all == NULL) {
        die("guests", "no memory");
    }
    for (unsigned i = 0; i < n_all; i++) {
        all[i] = (struct one){.number = i, .out = -1};
    }
    if (uv_loop_init(&loop) != 0 || retether_client_new(&loop, "bench-guests", NULL, &client) != 0 ||
        retether_client_add_agent(client, argv[2], why, sizeof(why)) != 0) {
        die("client", "cannot be made");
    }
    (void)uv_timer_init(&loop, &stream);
    (void)uv_timer_init(&loop, &again);
    (void)uv_poll_init(&loop, &hands, hand_socket());
    (void)uv_poll_init(&loop, &commands, STDIN_FILENO);
    (void)uv_poll_start(&hands, UV_READABLE, handed_cb);
    (void)uv_poll_start(&commands, UV_READABLE, command_cb);
    make(&all[n_made++]); /* the others once the first one is there */
    return uv_run(&loop, UV_RUN_DEFAULT);
}
