/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/init.h"
#include "clients/tether/log.h"
#include "clients/tether/options.h"
#include "retether/guest.h"
#include "session/base/program.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

/* Allocations from this size on are given back to the machine when they are freed. Rings are larger, so a command that
 * has ended holds no memory. malloc itself would raise the bound when the first ring is freed. */
#define HEAP_THRESHOLD (128 * 1024)

/* Bytes of a help. */
#define HELP_MAX 8192

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

#define N_FORWARDED (sizeof(forwarded) / sizeof(forwarded[0]))

struct program {
    uv_loop_t loop;
    uv_signal_t signals[N_FORWARDED];
    struct tether_log log;
    struct retether_guest *guest; /* owned; NULL once it is being stopped */
    uint64_t end_timeout_ms;
    bool live, ended; /* an agent serves; the command has ended */
    bool stay_told;   /* since the last agent */
    int status;
};

static void signal_cb(uv_signal_t *handle, int signum)
{
    struct program *program = handle->data;

    if (program->guest != NULL) {
        retether_guest_signal(program->guest, signum);
    }
}

/* Logs why this program stays after its command has ended: whoever ended the command may wonder. */
static void tell_stay(struct program *program, const struct retether_guest_event *event)
{
    if (event->kind == RETETHER_GUEST_LINK) {
        program->live = strcmp(event->to, "live") == 0;
        program->stay_told = program->stay_told && !program->live;
        program->ended = program->ended && strcmp(event->to, "over") != 0;
    } else if (event->process == 0 && (strcmp(event->to, "exited") == 0 || strcmp(event->to, "failed") == 0)) {
        program->ended = true;
    }
    if (program->ended && !program->live && !program->stay_told) {
        program->stay_told = true;
        tether_log_stay(&program->log, event->container, program->end_timeout_ms);
    }
}

static void event_cb(struct retether_guest *guest, const struct retether_guest_event *event, void *ctx)
{
    struct program *program = ctx;

    (void)guest;
    tether_log_event(&program->log, event, uv_now(&program->loop));
    tell_stay(program, event);
}

static void close_signals(struct program *program)
{
    for (size_t i = 0; i < N_FORWARDED; i++) {
        uv_close((uv_handle_t *)&program->signals[i], NULL);
    }
}

static void over_cb(struct retether_guest *guest, int status, void *ctx)
{
    struct program *program = ctx;

    program->status = status;
    program->guest = NULL;
    close_signals(program);
    retether_guest_stop(guest, NULL, NULL);
}

static int run(struct program *program, const struct tether_options *options)
{
    const struct retether_guest_callbacks callbacks = {
        .size = sizeof(callbacks), .event = event_cb, .over = over_cb, .ctx = program};
    char why[TETHER_WHY_MAX] = "";
    int rc = uv_loop_init(&program->loop);

    program->end_timeout_ms = options->guest.end_timeout_ms;
    if (rc != 0) {
        tether_log_error(&program->log, uv_strerror(rc));
        return RETETHER_EXIT_FAILED;
    }
    for (size_t i = 0; i < N_FORWARDED; i++) {
        (void)uv_signal_init(&program->loop, &program->signals[i]);
        program->signals[i].data = program;
        (void)uv_signal_start(&program->signals[i], signal_cb, forwarded[i]);
    }
    rc = retether_guest_new(&program->loop, &options->guest, &callbacks, &program->guest, why, sizeof(why));
    if (rc == RT_OK && (rc = retether_guest_start(program->guest)) != RT_OK) {
        snprintf(why, sizeof(why), "cannot start: %s", rt_strerror(rc));
        retether_guest_stop(program->guest, NULL, NULL);
    }
    if (rc != RT_OK) {
        tether_log_error(&program->log, why);
        program->guest = NULL;
        close_signals(program);
    }
    (void)uv_run(&program->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&program->loop);
    return program->status;
}

/* A process 1 must not exit, whatever happens. */
static _Noreturn void run_init(struct program *program, const struct tether_options *options, int rc, const char *why)
{
    int console = tether_init_console();
    int status = RETETHER_EXIT_FAILED;

    tether_log_init(&program->log, options->log_level, options->json);
    if (rc != RT_OK) {
        tether_log_error(&program->log, why);
    } else if (console != RT_OK) {
        tether_log_error(&program->log,
                         "there is no /dev/null: use a kernel with devtmpfs, or put a /dev into the root");
    } else {
        tether_init_boot(&options->boot, &program->log);
        status = run(program, options);
    }
    /* A command that ends with this status by itself is taken for a failure: its machine stays a second longer. */
    tether_init_power_off(&program->log, status == RETETHER_EXIT_FAILED);
}

int main(int argc, char **argv)
{
    static struct tether_options options;
    static struct program program = {.status = RETETHER_EXIT_FAILED};
    char why[TETHER_WHY_MAX] = "";
    int rc;

    rt_program_hide();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)mallopt(M_MMAP_THRESHOLD, HEAP_THRESHOLD);
    rc = tether_options_read(&options, argc, argv, getpid() == 1, why);
    if (options.init) {
        run_init(&program, &options, rc, why);
    }
    if (rt_program_hold_fds("/dev/null") != RT_OK) {
        return RETETHER_EXIT_FAILED;
    }
    tether_log_init(&program.log, options.log_level, options.json);
    if (rc != RT_OK) {
        tether_log_error(&program.log, why);
        return RETETHER_EXIT_FAILED;
    }
    if (options.help) {
        static char text[HELP_MAX];
        struct rt_help help = {text, sizeof(text), 0};

        tether_help(&help);
        return rt_program_print(text) != RT_OK ? RETETHER_EXIT_FAILED : 0;
    }
    if (options.version) {
        return rt_program_print("tether " RETETHER_VERSION "\n") != RT_OK ? RETETHER_EXIT_FAILED : 0;
    }
    return run(&program, &options);
}
