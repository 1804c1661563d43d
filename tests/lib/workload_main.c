/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The container's process in tests and demo: writes the numbered stream of workload_stream.h, checks the one that it
 * reads, and says at the end, on stderr, what it saw:
 *
 *   workload: out BYTES xxh64 HASH, in BYTES xxh64 HASH, longest pause MS ms
 *
 * The pause is the longest time for which it had something to write and stdout took none.
 *
 * With WORKLOAD_FAULT=KIND:OFFSET in its environment it is at fault itself, so that those who check it can be tested:
 * from that offset of its output on it leaves a block out ("lose"), or says one again ("repeat"), or one byte is
 * another
 * ("change"); or it takes the byte there of its input for another ("input"). */

#define CHUNK 65536
/* A rated writer that was kept waiting may catch up this much of its time at once. */
#define CATCH_UP_MS 20
#define SMALL_PIPE 4096
#define EXIT_WRONG_INPUT 3

enum fault_kind { NONE, LOSE, REPEAT, CHANGE, INPUT };

struct fault {
    enum fault_kind kind;
    uint64_t at;
};

struct program {
    uint64_t out_bytes, in_bytes, rate, seed;
    uint64_t bursts_ms; /* reads for so long, then not for so long; 0: always */
    bool expects_in;    /* --in-bytes was given */
    bool endless;       /* writes until its input ends */
    enum workload_form form;
    struct fault fault;
    uint64_t skew; /* of what is said at an offset, modulo 2^64: 0 but for a fault */
    uint64_t written;
    double credit; /* bytes that the rate allows now */
    double credited_ms;
    double took_ms; /* when stdout took something last, or had nothing to take */
    double longest_ms;
    struct workload_check in;
    struct rt_digest out_digest;
    bool in_ended;
    uint8_t out[CHUNK];
    size_t out_from, out_until;
};

static const char usage_text[] =
    "usage: workload [--out-bytes N | --endless] [--in-bytes N] [--rate BYTES/S] [--in-bursts MS] [--seed N]\n"
    "                [--line]\n"
    "  writes N numbered bytes to stdout, at a rate or as fast as they are taken; checks the stream of seed N + 1 on\n"
    "  stdin, which must end after its N bytes (0: stdin is not read); --line: text.\n"
    "  --endless: writes until stdin has ended.\n"
    "  --in-bursts: by turns reads and does not read for so long, from a small pipe, so that input piles up.\n"
    "  Sizes: 4096, 64K, 256M. Exit status 3: the input was wrong, stderr says where.\n";

static double now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1000.0 + (double)now.tv_nsec / 1e6;
}

static bool parse(struct program *program, int argc, char **argv)
{
    static const struct option options[] = {
        {"out-bytes", required_argument, NULL, 'o'},
        {"endless", no_argument, NULL, 'e'},
        {"in-bytes", required_argument, NULL, 'i'},
        {"in-bursts", required_argument, NULL, 'b'},
        {"rate", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 's'},
        {"line", no_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    int option;
    bool good = true;

    while (good && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'o':
            good = workload_read_size(optarg, &program->out_bytes);
            break;
        case 'e':
            program->endless = true;
            program->out_bytes = UINT64_MAX;
            break;
        case 'i':
            good = workload_read_size(optarg, &program->in_bytes);
            program->expects_in = true;
            break;
        case 'r':
            good = workload_read_size(optarg, &program->rate);
            break;
        case 'b':
            good = workload_read_size(optarg, &program->bursts_ms);
            break;
        case 's':
            good = workload_read_size(optarg, &program->seed);
            break;
        case 'l':
            program->form = WORKLOAD_TEXT;
            break;
        default:
            good = false;
        }
    }
    return good && optind == argc;
}

static int wrong(const char *why)
{
    (void)fprintf(stderr, "workload: stdin: %s\n", why);
    return EXIT_WRONG_INPUT;
}

/* Reads once. 0, or the exit status. */
static int read_input(struct program *program)
{
    static uint8_t buf[CHUNK];
    char why[128];
    ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (n <= 0) {
        program->in_ended = true;
        if (program->endless) {
            program->out_bytes = program->written + (program->out_until - program->out_from);
        }
        if (program->expects_in && program->in.offset != program->in_bytes) {
            (void)snprintf(why, sizeof(why), "ended at %" PRIu64 " of %" PRIu64 " bytes", program->in.offset,
                           program->in_bytes);
            return wrong(why);
        }
        return 0;
    }
    if (program->fault.kind == INPUT && program->fault.at - program->in.offset < (uint64_t)n) {
        buf[program->fault.at - program->in.offset] ^= 1;
    }
    if (!workload_check_feed(&program->in, buf, (size_t)n)) {
        while ((n = read(STDIN_FILENO, buf, WORKLOAD_SAMPLE)) > 0 && program->in.sample_size < WORKLOAD_SAMPLE) {
            (void)workload_check_feed(&program->in, buf, (size_t)n);
        }
        workload_check_explain(&program->in, why, sizeof(why));
        return wrong(why);
    }
    return 0;
}

/* How many bytes may be written now. */
static size_t allowance(struct program *program, double now)
{
    uint64_t left = program->out_bytes - program->written;
    double most = (double)program->rate * CATCH_UP_MS / 1000.0;

    if (program->rate > 0) {
        program->credit += (now - program->credited_ms) * (double)program->rate / 1000.0;
        program->credited_ms = now;
        program->credit = program->credit > most ? most : program->credit;
        if ((double)left > program->credit) {
            left = program->credit < WORKLOAD_BLOCK ? 0 : (uint64_t)program->credit;
        }
    }
    return left > CHUNK ? CHUNK : (size_t)left;
}

/* False: the variable makes no sense. */
static bool read_fault(struct fault *fault)
{
    static const char *const kinds[] = {
        [LOSE] = "lose:", [REPEAT] = "repeat:", [CHANGE] = "change:", [INPUT] = "input:"};
    const char *text = getenv("WORKLOAD_FAULT");

    for (int kind = LOSE; text != NULL && kind <= INPUT; kind++) {
        if (strncmp(text, kinds[kind], strlen(kinds[kind])) == 0) {
            fault->kind = (enum fault_kind)kind;
            return workload_read_size(text + strlen(kinds[kind]), &fault->at);
        }
    }
    return text == NULL;
}

/* Makes the next bytes of the output. Returns how many: a fault begins a piece of its own. */
static size_t make_output(struct program *program, size_t size)
{
    struct fault *fault = &program->fault;
    bool output = fault->kind != NONE && fault->kind != INPUT, now = output && program->written == fault->at;

    if (output && program->written < fault->at && fault->at - program->written < size) {
        size = (size_t)(fault->at - program->written);
    }
    if (now && fault->kind != CHANGE) {
        program->skew = fault->kind == LOSE ? WORKLOAD_BLOCK : (uint64_t)-WORKLOAD_BLOCK;
    }
    workload_fill(program->seed, program->form, program->written + program->skew, program->out, size);
    if (now && fault->kind == CHANGE) {
        program->out[0] ^= 1;
    }
    return size;
}

static bool write_output(struct program *program)
{
    double now = now_ms();
    ssize_t n;

    if (program->out_from == program->out_until) {
        size_t size = allowance(program, now);

        if (size == 0) {
            program->took_ms = now;
            return true;
        }
        program->out_from = 0;
        program->out_until = make_output(program, size);
    }
    n = write(STDOUT_FILENO, program->out + program->out_from, program->out_until - program->out_from);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    rt_digest_extend(&program->out_digest, program->out + program->out_from, (size_t)n);
    program->out_from += (size_t)n;
    program->written += (uint64_t)n;
    program->credit -= (double)n;
    if (now_ms() - program->took_ms > program->longest_ms) {
        program->longest_ms = now_ms() - program->took_ms;
    }
    program->took_ms = now_ms();
    return true;
}

/* Whether stdin is left alone now. */
static bool resting(const struct program *program)
{
    return program->bursts_ms > 0 && !program->in_ended && (uint64_t)now_ms() / program->bursts_ms % 2 == 1;
}

static int run(struct program *program)
{
    int status = 0;

    if (program->bursts_ms > 0) {
        (void)fcntl(STDIN_FILENO, F_SETPIPE_SZ, SMALL_PIPE);
    }
    (void)fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
    while (status == 0 && !(program->in_ended && program->written == program->out_bytes)) {
        bool waits = program->out_from < program->out_until;
        bool writes = program->written < program->out_bytes, rests = resting(program);
        int limit_ms = rests || (writes && program->rate > 0) ? 1 : writes ? 0 : -1;
        struct pollfd fds[2] = {
            {.fd = program->in_ended || rests ? -1 : STDIN_FILENO, .events = POLLIN},
            {.fd = waits ? STDOUT_FILENO : -1, .events = POLLOUT},
        };

        if (poll(fds, 2, waits && !rests ? -1 : limit_ms) < 0 && errno != EINTR) {
            return 1;
        }
        if (fds[0].revents != 0) {
            status = read_input(program);
        }
        if (status == 0 && writes && !write_output(program)) {
            (void)fprintf(stderr, "workload: stdout: %s\n", strerror(errno));
            return 1;
        }
    }
    return status;
}

int main(int argc, char **argv)
{
    static struct program program;
    int status;

    if (!parse(&program, argc, argv) || !read_fault(&program.fault)) {
        (void)fputs(usage_text, stderr);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    workload_check_init(&program.in, program.seed + 1, program.form, 0);
    rt_digest_start(&program.out_digest, 0);
    program.in_ended = program.expects_in && program.in_bytes == 0;
    program.credited_ms = program.took_ms = now_ms();
    status = run(&program);
    (void)fprintf(stderr,
                  "workload: out %" PRIu64 " xxh64 %016" PRIx64 ", in %" PRIu64 " xxh64 %016" PRIx64
                  ", longest pause %.0f ms\n",
                  program.written, rt_digest_value(&program.out_digest), program.in.offset,
                  rt_digest_value(&program.in.digest), program.longest_ms);
    return status;
}
