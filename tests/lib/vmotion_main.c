/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/vmotion.h"
#include "tests/lib/vmotion_control.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The stand-in for vMotion as a process. Prints "ready" on stdout when both sockets listen; TERM and INT end it. With a
 * command behind its options it tells a running one that, and prints the answer. */

struct program {
    struct vmotion v;
    struct vmotion_control control;
    uv_signal_t signals[2];
    const char *guest, *on, *control_path;
};

static int usage(void)
{
    (void)fprintf(stderr, "usage: vmotion --guest unix:PATH --host NAME=unix:PATH ... [--on NAME] --control unix:PATH\n"
                          "       vmotion --control unix:PATH COMMAND\n"
                          "commands, also on the control socket, a line each:\n"
                          "  move NAME reset|eof|hang [lose-up N] [lose-down N]\n"
                          "  on NAME | stall | resume | release | stats\n"
                          "  cut-after up|down N [reset|eof|hang] | cut-never\n");
    return 2;
}

static const char *path_of(const char *text)
{
    return strncmp(text, "unix:", 5) == 0 && text[5] != '\0' ? text + 5 : NULL;
}

static bool add_host(struct vmotion *v, char *text)
{
    char *equals = strchr(text, '=');
    const char *path = equals == NULL ? NULL : path_of(equals + 1);

    if (path == NULL || equals == text) {
        return false;
    }
    *equals = '\0';
    return vmotion_add_host(v, text, path) == 0;
}

static bool parse(struct program *program, int argc, char **argv)
{
    static const struct option options[] = {
        {"guest", required_argument, NULL, 'g'},
        {"host", required_argument, NULL, 'h'},
        {"on", required_argument, NULL, 'o'},
        {"control", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'g':
            program->guest = path_of(optarg);
            break;
        case 'h':
            if (!add_host(&program->v, optarg)) {
                return false;
            }
            break;
        case 'o':
            program->on = optarg;
            break;
        case 'c':
            program->control_path = path_of(optarg);
            break;
        default:
            return false;
        }
    }
    if (optind < argc) {
        return program->control_path != NULL && program->guest == NULL && program->v.n_hosts == 0;
    }
    return program->guest != NULL && program->control_path != NULL && program->v.n_hosts > 0 &&
           (program->on == NULL || vmotion_on(&program->v, program->on) == 0);
}

/* 0 when the answer was "ok". */
static int tell(const char *path, char *const *words)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char answer[2 * VMOTION_LINE_MAX] = "";
    size_t got = 0;
    ssize_t n;

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        (void)fprintf(stderr, "vmotion: %s: %s\n", path, strerror(errno));
        return 1;
    }
    while (*words != NULL) {
        (void)dprintf(fd, "%s ", *words++);
    }
    (void)dprintf(fd, "\n");
    while (strchr(answer, '\n') == NULL && (n = read(fd, answer + got, sizeof(answer) - 1 - got)) > 0) {
        got += (size_t)n;
        answer[got] = '\0';
    }
    (void)close(fd);
    (void)fputs(answer, stdout);
    return strncmp(answer, "ok", 2) == 0 ? 0 : 1;
}

static void signal_cb(uv_signal_t *handle, int signum)
{
    struct program *program = handle->data;

    (void)signum;
    vmotion_close(&program->v);
    vmotion_control_close(&program->control);
    uv_close((uv_handle_t *)&program->signals[0], NULL);
    uv_close((uv_handle_t *)&program->signals[1], NULL);
}

int main(int argc, char **argv)
{
    static struct program program;
    uv_loop_t *loop = uv_default_loop();
    int err;

    (void)signal(SIGPIPE, SIG_IGN);
    vmotion_init(&program.v, loop);
    if (!parse(&program, argc, argv)) {
        return usage();
    }
    if (optind < argc) {
        return tell(program.control_path, argv + optind);
    }
    err = vmotion_start(&program.v, program.guest);
    if (err != 0) {
        (void)fprintf(stderr, "vmotion: %s: %s\n", program.guest, uv_strerror(err));
        return 1;
    }
    err = vmotion_control_start(&program.control, &program.v, program.control_path);
    if (err != 0) {
        (void)fprintf(stderr, "vmotion: %s: %s\n", program.control_path, uv_strerror(err));
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        (void)uv_signal_init(loop, &program.signals[i]);
        program.signals[i].data = &program;
        (void)uv_signal_start(&program.signals[i], signal_cb, i == 0 ? SIGTERM : SIGINT);
    }
    (void)puts("ready");
    (void)fflush(stdout);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    return uv_loop_close(loop) == 0 ? 0 : 1;
}
