/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Many idle attached sessions on one agent, without a tether each: this program is all guests, a link each, and one
 * client that has attached to every one of them. It says "ready" on stdout when all are attached, answers pings, and
 * ends when its stdin does. Whatever else the agent says ends it with status 1. */

#define SESSIONS_MAX 8000
/* Sessions between their create and their ATTACHED. */
#define UNDER_WAY_MAX 64
#define GUEST_RX ((size_t)4096)
#define CLIENT_RX ((size_t)RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX)
#define STUCK_MS 20000
#define AGAIN_US 50000

struct link {
    int fd;
    uint8_t *rx; /* owned, `cap` bytes */
    size_t size, cap;
};

static struct link client, *guests;
static unsigned n_sessions, n_created, n_attached;
static const char *guest_path;
static struct rt_reply_msg reply;

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench-sessions: %s: %s\n", what, why);
    exit(1);
}

static void link_open(struct link *link, const char *path, size_t cap)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    link->cap = cap;
    link->rx = malloc(cap);
    link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link->rx == NULL || link->fd < 0 || connect(link->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        die(path, strerror(errno));
    }
}

static void send_frame(const struct link *link, struct rt_frame frame, const void *payload, size_t size)
{
    uint8_t out[RT_FRAME_HEADER + RT_ITEM_MAX];

    frame.length = (uint32_t)size;
    rt_frame_put(out, &frame);
    if (size > 0) {
        memcpy(out + RT_FRAME_HEADER, payload, size);
    }
    size += RT_FRAME_HEADER;
    if (send(link->fd, out, size, MSG_NOSIGNAL) != (ssize_t)size) {
        die("send", strerror(errno));
    }
}

static void send_msg(const struct link *link, struct rt_frame frame, enum rt_msg_kind kind, const void *msg)
{
    uint8_t out[RT_ITEM_MAX];
    int size = rt_msg_encode(kind, msg, out, sizeof(out));

    if (size < 0) {
        die(rt_frame_name(frame.type), "cannot be encoded");
    }
    send_frame(link, frame, out, (size_t)size);
}

static void decode(enum rt_msg_kind kind, const struct rt_frame *frame, const uint8_t *payload, void *msg)
{
    char why[RT_TEXT_MAX];

    if (rt_msg_decode(kind, payload, frame->length, msg, why, sizeof(why)) != 0) {
        die(rt_frame_name(frame->type), why);
    }
}

static void refused(const char *who, const struct rt_frame *frame, const uint8_t *payload)
{
    struct rt_refuse_msg refuse;
    char text[RT_TEXT_MAX + 1];

    decode(RT_MSG_REFUSE, frame, payload, &refuse);
    rt_slice_copy(refuse.m, text, sizeof(text));
    (void)fprintf(stderr, "%s: ", who);
    die(rt_class_name(refuse.c), text);
}

static void name_session(unsigned at, char out[32])
{
    (void)snprintf(out, 32, "bench-%u", at);
}

static void name_id(unsigned at, uint8_t out[RT_ID_SIZE])
{
    memset(out, 0xb5, RT_ID_SIZE);
    memcpy(out, &at, sizeof(at));
}

static void create(unsigned at)
{
    char cid[32];
    struct rt_request_msg request = {.op = rt_slice_text("create")};

    name_session(at, cid);
    request.cid = rt_slice_text(cid);
    send_msg(&client, (struct rt_frame){.type = RT_REQUEST, .offset = at + 1U}, RT_MSG_REQUEST, &request);
}

static void guest_hello(unsigned at, struct rt_slice token)
{
    char cid[32];
    uint8_t id[RT_ID_SIZE];
    struct rt_hello_msg hello = {.vmin = 1, .vmax = 1, .role = rt_slice_text("guest"), .epoch = 1, .tok = token};

    name_session(at, cid);
    name_id(at, id);
    hello.cid = rt_slice_text(cid);
    hello.inc = hello.nonce = (struct rt_slice){id, sizeof(id)};
    link_open(&guests[at], guest_path, GUEST_RX);
    send_msg(&guests[at], (struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &hello);
}

static void attach(unsigned at)
{
    char cid[32];
    uint8_t id[RT_ID_SIZE];
    struct rt_attach_msg msg = {.try_no = 1, .want = 0x1f, .from = RT_FROM_NOW, .hold = 30000, .wait = RT_WAIT_MAX_MS};

    name_session(at, cid);
    name_id(at, id);
    msg.cid = rt_slice_text(cid);
    msg.id = (struct rt_slice){id, sizeof(id)};
    send_msg(&client, (struct rt_frame){.type = RT_ATTACH, .channel = at + 1}, RT_MSG_ATTACH, &msg);
}

static void report(unsigned at, bool attached)
{
    uint8_t id[RT_ID_SIZE];
    struct rt_report_msg msg = {.n_procs = 1, .procs = {{.st = 1, .n_base = 3, .n_head = 3}}};

    name_id(at, id);
    if (attached) {
        msg.n_atts = 1;
        msg.atts[0] =
            (struct rt_report_att){.id = {id, sizeof(id)}, .bound = true, .n_cons = 3, .n_app = 2, .hold = 30000};
    }
    send_msg(&guests[at], (struct rt_frame){.type = RT_REPORT}, RT_MSG_REPORT, &msg);
}

static void guest_frame(unsigned at, const struct rt_frame *frame, const uint8_t *payload)
{
    static uint64_t lives[SESSIONS_MAX];
    static struct rt_welcome_msg welcome;
    const struct rt_attached_msg attached = {.life = lives[at],
                                             .epoch = 1,
                                             .st = 1,
                                             .n_out = 3,
                                             .out = {{.s = RT_STDOUT}, {.s = RT_STDERR}, {.s = RT_CONTROL_UP}},
                                             .n_in = 2,
                                             .in = {{.s = RT_STDIN}, {.s = RT_CONTROL_DOWN}}};

    switch (frame->type) {
    case RT_WELCOME:
        decode(RT_MSG_WELCOME, frame, payload, &welcome);
        lives[at] = welcome.life;
        send_frame(&guests[at], (struct rt_frame){.type = RT_CONFIRM}, NULL, 0);
        report(at, false);
        attach(at);
        break;
    case RT_ATTACH:
        send_msg(&guests[at], (struct rt_frame){.type = RT_ATTACHED, .channel = frame->channel}, RT_MSG_ATTACHED,
                 &attached);
        report(at, true);
        break;
    case RT_REFUSE:
        refused("guest", frame, payload);
        break;
    default:
        break;
    }
}

static void client_frame(const struct rt_frame *frame, const uint8_t *payload)
{
    switch (frame->type) {
    case RT_REPLY:
        decode(RT_MSG_REPLY, frame, payload, &reply);
        if (reply.c == RT_CLASS_RETRY_LATER) {
            (void)usleep(AGAIN_US); /* the store is on its way up */
            create((unsigned)frame->offset - 1);
        } else if (reply.c != RT_CLASS_OK) {
            die("create", rt_class_name(reply.c));
        } else {
            guest_hello((unsigned)frame->offset - 1, reply.tok);
        }
        break;
    case RT_ATTACHED:
        n_attached++;
        break;
    case RT_REFUSE:
        refused("client", frame, payload);
        break;
    default:
        break;
    }
}

/* at: the guest, or n_sessions for the client */
static void take(struct link *link, unsigned at)
{
    ssize_t n = recv(link->fd, link->rx + link->size, link->cap - link->size, MSG_DONTWAIT);
    size_t used = 0;

    if (n <= 0) {
        die("the agent", n == 0 ? "has closed a link" : strerror(errno));
    }
    link->size += (size_t)n;
    while (link->size - used >= RT_FRAME_HEADER) {
        const uint8_t *payload = link->rx + used + RT_FRAME_HEADER;
        struct rt_frame frame;

        rt_frame_get(link->rx + used, &frame);
        if (frame.length > link->cap - RT_FRAME_HEADER) {
            die("the agent", "a frame is too long");
        }
        if (link->size - used - RT_FRAME_HEADER < frame.length) {
            break;
        }
        used += RT_FRAME_HEADER + (size_t)frame.length;
        if (frame.type == RT_PING) {
            send_frame(link, (struct rt_frame){.type = RT_PONG, .offset = frame.offset}, NULL, 0);
        } else if (at == n_sessions) {
            client_frame(&frame, payload);
        } else {
            guest_frame(at, &frame, payload);
        }
    }
    memmove(link->rx, link->rx + used, link->size - used);
    link->size -= used;
}

static void run(void)
{
    struct pollfd *fds = calloc(n_sessions + 2, sizeof(*fds));
    bool told = false;

    if (fds == NULL) {
        die("poll", "no memory");
    }
    for (;;) {
        fds[n_sessions] = (struct pollfd){.fd = client.fd, .events = POLLIN};
        fds[n_sessions + 1] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        for (unsigned i = 0; i < n_sessions; i++) {
            fds[i] = (struct pollfd){.fd = guests[i].fd, .events = POLLIN};
        }
        if (poll(fds, n_sessions + 2, STUCK_MS) <= 0) {
            die("poll", "nothing happens");
        }
        for (unsigned i = 0; i <= n_sessions; i++) {
            if (fds[i].revents != 0) {
                take(i == n_sessions ? &client : &guests[i], i);
            }
        }
        if (fds[n_sessions + 1].revents != 0) {
            break;
        }
        while (n_created < n_sessions && n_created - n_attached < UNDER_WAY_MAX) {
            create(n_created++);
        }
        if (n_attached == n_sessions && !told) {
            told = true;
            (void)puts("ready");
            (void)fflush(stdout);
        }
    }
    free(fds);
}

int main(int argc, char **argv)
{
    struct rt_hello_msg hello = {.vmin = 1, .vmax = 1, .role = rt_slice_text("client"), .name = rt_slice_text("bench")};
    struct rlimit files;
    long n = argc == 4 ? strtol(argv[3], NULL, 10) : 0;

    if (n < 1 || n > SESSIONS_MAX) {
        (void)fprintf(stderr, "usage: bench-sessions GUEST_SOCKET CLIENT_SOCKET SESSIONS\n");
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    guest_path = argv[1];
    n_sessions = (unsigned)n;
    guests = calloc(n_sessions, sizeof(*guests));
    if (guests == NULL) {
        die("sessions", "no memory");
    }
    for (unsigned i = 0; i < n_sessions; i++) {
        guests[i].fd = -1;
    }
    link_open(&client, argv[2], CLIENT_RX);
    send_msg(&client, (struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &hello);
    run();
    for (unsigned i = 0; i < n_sessions; i++) {
        free(guests[i].rx);
    }
    free(guests);
    free(client.rx);
    return 0;
}
