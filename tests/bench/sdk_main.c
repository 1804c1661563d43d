/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "retether/client.h"
#include "session/base/slice.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

/* What one wake-up costs a client with many attachments: this process is the client, a child a made-up agent. Once all
 * are attached, a byte goes round: the agent sends one byte of stdout, the client takes it and writes one of stdin, the
 * agent sends the next one. So each is one wake-up of the client, with a read, a callback and a write. Measured is the
 * client's own time on a processor, acknowledgements and pings included. */

#define ATTACHMENTS_MAX 4000
#define WARM_UP 2000
#define WINDOW (UINT64_C(1) << 18) /* of stdin; more than a run writes to one attachment */

static const unsigned counts[] = {1, 1000, 2000, 4000};

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench-sdk: %s: %s\n", what, why);
    exit(1);
}

/* ---- the agent ---- */

struct agent {
    int fd;
    bool in_turn;                       /* the byte goes to all attachments in turn, else always to the first */
    unsigned n;                         /* channels */
    uint64_t sent[ATTACHMENTS_MAX + 1]; /* bytes of stdout, by channel */
    uint64_t limit[ATTACHMENTS_MAX + 1];
    unsigned owed; /* the channel whose byte waits for credit; 0: none */
    uint8_t in[1 << 16];
    size_t have;
};

static void put(const struct agent *agent, struct rt_frame frame, const void *payload, size_t size)
{
    uint8_t out[RT_FRAME_HEADER + RT_ITEM_MAX];
    size_t done = 0;

    frame.length = (uint32_t)size;
    rt_frame_put(out, &frame);
    if (size > 0) {
        memcpy(out + RT_FRAME_HEADER, payload, size);
    }
    size += RT_FRAME_HEADER;
    while (done < size) {
        ssize_t n = send(agent->fd, out + done, size - done, MSG_NOSIGNAL);

        if (n <= 0) {
            exit(0); /* the client is done */
        }
        done += (size_t)n;
    }
}

static void put_msg(const struct agent *agent, struct rt_frame frame, enum rt_msg_kind kind, const void *msg)
{
    uint8_t out[RT_ITEM_MAX];
    int size = rt_msg_encode(kind, msg, out, sizeof(out));

    if (size < 0) {
        die(rt_frame_name(frame.type), "cannot be encoded");
    }
    put(agent, frame, out, (size_t)size);
}

static void put_byte(struct agent *agent, unsigned channel)
{
    if (agent->sent[channel] == agent->limit[channel]) {
        agent->owed = channel;
        return;
    }
    agent->owed = 0;
    put(agent,
        (struct rt_frame){.type = RT_DATA, .stream = RT_STDOUT, .channel = channel, .offset = agent->sent[channel]++},
        "x", 1);
}

static void attach(struct agent *agent, unsigned channel)
{
    struct rt_attached_msg msg = {.life = 1, .epoch = 1, .st = 1, .n_out = 3, .n_in = 2};
    struct rt_digest none;
    uint8_t ack[RT_ACK_PAYLOAD];

    rt_digest_start(&none, 0);
    for (unsigned i = 0; i < 3; i++) {
        msg.out[i].s = RT_STDOUT + i;
    }
    msg.in[0] = (struct rt_attached_in){.s = RT_STDIN, .d = rt_digest_value(&none)};
    msg.in[1] = (struct rt_attached_in){.s = RT_CONTROL_DOWN, .d = rt_digest_value(&none)};
    put_msg(agent, (struct rt_frame){.type = RT_ATTACHED, .channel = channel}, RT_MSG_ATTACHED, &msg);
    rt_put_u64(ack, WINDOW);
    rt_put_u64(ack + 8, rt_digest_value(&none));
    put(agent, (struct rt_frame){.type = RT_ACK, .stream = RT_STDIN, .channel = channel}, ack, sizeof(ack));
    agent->limit[channel] = RT_INITIAL_CREDIT;
    agent->n = channel > agent->n ? channel : agent->n;
}

static void take(struct agent *agent, const struct rt_frame *frame, const uint8_t *payload)
{
    struct rt_welcome_msg welcome = {.v = RT_PROTOCOL_VERSION, .host = rt_slice_text("bench")};

    switch (frame->type) {
    case RT_HELLO:
        put_msg(agent, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME, &welcome);
        break;
    case RT_PING:
        put(agent, (struct rt_frame){.type = RT_PONG, .offset = frame->offset}, NULL, 0);
        break;
    case RT_ATTACH:
        if (frame->channel == 0 || frame->channel > ATTACHMENTS_MAX) {
            die("ATTACH", "on a channel that is not expected");
        }
        attach(agent, frame->channel);
        break;
    case RT_ACK:
        if (frame->stream == RT_STDOUT) {
            agent->limit[frame->channel] = rt_get_u64(payload);
            if (agent->owed == frame->channel) {
                put_byte(agent, frame->channel);
            }
        }
        break;
    case RT_DATA:
        put_byte(agent, agent->in_turn ? frame->channel % agent->n + 1 : 1);
        break;
    default:
        break;
    }
}

static void serve(struct agent *agent)
{
    for (;;) {
        ssize_t n = read(agent->fd, agent->in + agent->have, sizeof(agent->in) - agent->have);
        size_t used = 0;
        struct rt_frame frame;

        if (n <= 0) {
            exit(0);
        }
        agent->have += (size_t)n;
        while (agent->have - used >= RT_FRAME_HEADER) {
            rt_frame_get(agent->in + used, &frame);
            if (frame.length > agent->have - used - RT_FRAME_HEADER) {
                break;
            }
            take(agent, &frame, agent->in + used + RT_FRAME_HEADER);
            used += RT_FRAME_HEADER + frame.length;
        }
        agent->have -= used;
        memmove(agent->in, agent->in + used, agent->have);
    }
}

static pid_t start_agent(const char *path, bool in_turn)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    static struct agent agent;
    pid_t pid;

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    (void)unlink(path);
    if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(listener, 1) != 0) {
        die(path, strerror(errno));
    }
    pid = fork();
    if (pid == 0) {
        agent.in_turn = in_turn;
        agent.fd = accept(listener, NULL, NULL);
        serve(&agent);
    }
    (void)close(listener);
    return pid;
}

/* ---- the client ---- */

static struct {
    uv_loop_t loop;
    struct retether_client *client;
    struct retether_attachment *atts[ATTACHMENTS_MAX];
    unsigned n, attached;
    unsigned long rounds, wanted; /* those after the warm-up are measured */
    uint64_t began_ns, spent_ns;
} bench;

static uint64_t cpu_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void attached_cb(struct retether_attachment *att, const struct retether_attached *attached, void *ctx)
{
    (void)attached;
    (void)ctx;
    if (++bench.attached == bench.n) {
        (void)retether_write(att, "x", 1);
    }
}

static size_t output_cb(struct retether_attachment *att, enum retether_stream stream, const void *data, size_t size,
                        void *ctx)
{
    (void)stream;
    (void)data;
    (void)ctx;
    bench.rounds++;
    if (bench.rounds == WARM_UP) {
        bench.began_ns = cpu_ns();
    } else if (bench.rounds == WARM_UP + bench.wanted) {
        bench.spent_ns = cpu_ns() - bench.began_ns;
        retether_client_close(bench.client, NULL, NULL);
        return size;
    }
    if (retether_write(att, "x", 1) != 1) {
        die("retether_write", "no room");
    }
    return size;
}

static void failed_cb(struct retether_attachment *att, unsigned cls, const char *text, unsigned code, unsigned signum,
                      void *ctx)
{
    (void)att;
    (void)code;
    (void)signum;
    (void)ctx;
    die(retether_class_name(cls), text);
}

static void interrupted_cb(struct retether_attachment *att, void *ctx)
{
    (void)att;
    (void)ctx;
    die("client", "interrupted");
}

/* Returns microseconds a wake-up. */
static double run(const char *dir, unsigned n, bool in_turn, unsigned long rounds)
{
    const struct retether_attachment_callbacks callbacks = {.size = sizeof(callbacks),
                                                            .attached = attached_cb,
                                                            .output = output_cb,
                                                            .interrupted = interrupted_cb,
                                                            .failed = failed_cb};
    struct retether_attach_options options;
    char path[64];
    char endpoint[80];
    char why[RETETHER_TEXT_MAX];
    pid_t agent;

    (void)snprintf(path, sizeof(path), "%s/agent", dir);
    (void)snprintf(endpoint, sizeof(endpoint), "unix:%s", path);
    memset(&bench, 0, sizeof(bench));
    bench.n = n;
    bench.wanted = rounds;
    agent = start_agent(path, in_turn);
    retether_attach_defaults(&options, sizeof(options));
    options.container = "bench";
    if (agent < 0 || uv_loop_init(&bench.loop) != 0 ||
        retether_client_new(&bench.loop, "bench", NULL, &bench.client) != 0 ||
        retether_client_add_agent(bench.client, endpoint, why, sizeof(why)) != 0) {
        die("client", "cannot be made");
    }
    for (unsigned i = 0; i < n; i++) {
        if (retether_attach(bench.client, &options, &callbacks, &bench.atts[i]) != 0) {
            die("retether_attach", "refused");
        }
    }
    (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&bench.loop);
    (void)waitpid(agent, NULL, 0);
    (void)unlink(path);
    return (double)bench.spent_ns / 1000.0 / (double)rounds;
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000;
    char dir[] = "/tmp/retether-bench-XXXXXX";

    if (rounds == 0 || rounds + WARM_UP >= WINDOW) {
        die("usage: bench-sdk [ROUNDS]", "at least one, and less than 250,000");
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (mkdtemp(dir) == NULL) {
        die(dir, strerror(errno));
    }
    (void)setvbuf(stdout, NULL, _IONBF, 0); /* the children must not have it */
    (void)printf("%11s  %22s  %22s\n", "attachments", "one of them has bytes", "all of them in turn");
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        double one = run(dir, counts[i], false, rounds);

        (void)printf("%11u  %19.1f us  %19.1f us\n", counts[i], one, run(dir, counts[i], true, rounds));
    }
    (void)rmdir(dir);
    return 0;
}
