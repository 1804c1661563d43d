/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/program.h"

#include "clients/cli/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define WORDS_MAX 40
#define FDS_MAX 256

/* ---- in the child ---- */

/* The agents' ends, which only the test may hold. Not all: libuv keeps a pipe of its own from before. */
static void close_inherited(void)
{
    struct stat st;

    for (int fd = 3; fd < FDS_MAX; fd++) {
        if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
            close(fd);
        }
    }
}

__attribute__((noreturn)) static void child(int argc, char **argv, const int fds[3], bool tty)
{
    static struct cli_options options;
    char why[CLI_WHY_MAX] = "";
    int status = CLI_EXIT_FAILED;

    if (tty) {
        (void)setsid();
        (void)ioctl(fds[0], TIOCSCTTY, 0);
    }
    for (int i = 0; i < 3; i++) {
        if (dup2(fds[i], i) != i) {
            _exit(99);
        }
        close(fds[i]);
    }
    close_inherited();
    (void)setenv("TERM", "dumb", 1);
    if (cli_options_read(&options, argc, argv, why) == RT_OK) {
        status = cli_command_run(&options);
    } else {
        cli_say("%s", why);
    }
    cli_options_close(&options);
    exit(status);
}

/* ---- in the test ---- */

static void read_text(struct program *p, unsigned s)
{
    while (p->out[s] >= 0) {
        size_t room = sizeof(p->text[s].data) - 1 - p->text[s].size;
        ssize_t n = read(p->out[s], p->text[s].data + p->text[s].size, room);

        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            close(p->out[s]);
            p->out[s] = -1;
            return;
        }
        p->text[s].size += (size_t)n;
        p->text[s].data[p->text[s].size] = '\0';
    }
}

bool program_look(struct program *p)
{
    int status;

    if (p->pid > 0 && waitpid(p->pid, &status, WNOHANG) == p->pid) {
        p->pid = 0;
        p->ended = true;
        p->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    read_text(p, 0);
    read_text(p, 1);
    return true;
}

int program_setup(void **state)
{
    struct program *p = calloc(1, sizeof(*p));
    void *fixture;

    assert_non_null(p);
    assert_int_equal(fixture_setup(&fixture), 0);
    p->f = fixture;
    p->box = box_open(p->f);
    p->in = p->out[0] = p->out[1] = -1;
    peer_listen(&p->f->peer[0]);
    *state = p;
    return 0;
}

static void close_all(struct program *p)
{
    int *fds[] = {&p->in, &p->out[0], &p->out[1]};

    for (size_t i = 0; i < 3; i++) {
        if (*fds[i] >= 0) {
            close(*fds[i]);
            *fds[i] = -1;
        }
    }
}

int program_teardown(void **state)
{
    struct program *p = *state;
    void *fixture = p->f;
    int rc;

    if (p->pid > 0) {
        (void)kill(p->pid, SIGKILL);
        (void)waitpid(p->pid, NULL, 0);
    }
    close_all(p);
    rc = fixture_teardown(&fixture);
    free(p);
    return rc;
}

/* The program's ends in theirs, the test's in the program. */
static void open_fds(struct program *p, int theirs[3])
{
    int fds[2];

    if (p->tty) {
        struct winsize size = {.ws_row = 24, .ws_col = 80};

        p->in = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(p->in >= 0 && grantpt(p->in) == 0 && unlockpt(p->in) == 0);
        theirs[0] = open(ptsname(p->in), O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(theirs[0] >= 0);
        (void)ioctl(theirs[0], TIOCSWINSZ, &size);
        theirs[1] = dup(theirs[0]);
        p->out[0] = dup(p->in);
    } else {
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        theirs[0] = fds[0];
        p->in = fds[1];
        if (p->stdin_path != NULL) {
            close(theirs[0]);
            theirs[0] = open(p->stdin_path, O_RDONLY | O_CLOEXEC);
            assert_true(theirs[0] >= 0);
        }
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        theirs[1] = fds[1];
        p->out[0] = fds[0];
        if (p->stdout_closed) {
            close(p->out[0]);
            p->out[0] = -1;
        }
    }
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    theirs[2] = fds[1];
    p->out[1] = fds[0];
    for (unsigned s = 0; s < 2; s++) {
        if (p->out[s] >= 0) {
            (void)fcntl(p->out[s], F_SETFL, O_NONBLOCK);
        }
    }
}

static bool is_local(const char *name)
{
    const struct cli_command *command = cli_command_named(cli_commands, name);

    return command != NULL && command->local;
}

void program_start(struct program *p, const char *args)
{
    static char words[1024];
    char *argv[WORDS_MAX + 4] = {(char *)"retether"};
    char *rest = NULL;
    int argc = 1;
    int theirs[3];

    snprintf(words, sizeof(words), "%s", args);
    for (char *word = strtok_r(words, " ", &rest); word != NULL && argc < WORDS_MAX;
         word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = word;
        if (argc == 2 && !is_local(word)) { /* the agent behind the command's name */
            argv[argc++] = (char *)"--agent";
            argv[argc++] = p->f->peer[0].address;
        }
    }
    close_all(p);
    memset(p->text, 0, sizeof(p->text));
    p->ended = false;
    open_fds(p, theirs);
    (void)fflush(NULL); /* or the child prints it too */
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        close_all(p);
        child(argc, argv, theirs, p->tty);
    }
    for (int i = 0; i < 3; i++) {
        close(theirs[i]);
    }
}

void program_wait(struct program *p, int status)
{
    FIXTURE_UNTIL(p->f, (program_look(p), p->ended));
    (void)program_look(p);
    if (p->status != status) {
        fail_msg("exit status %d, not %d; it said \"%s\"", p->status, status, p->text[1].data);
    }
}

void program_run(struct program *p, const char *args, int status)
{
    program_start(p, args);
    program_wait(p, status);
}

void program_type(struct program *p, const char *text)
{
    assert_int_equal(write(p->in, text, strlen(text)), strlen(text));
}

void program_type_end(struct program *p)
{
    close(p->in);
    p->in = -1;
}

void program_until(struct program *p, unsigned s, const char *text)
{
    FIXTURE_UNTIL(p->f, (program_look(p), strstr(p->text[s].data, text) != NULL));
}

void program_attached(struct program *p, unsigned proc)
{
    FIXTURE_UNTIL(p->f, (program_look(p), box_bound(p->box, proc)));
}

const char *program_err(const struct program *p)
{
    return p->text[1].data;
}

void program_has(const struct program *p, const char *text)
{
    if (strstr(program_err(p), text) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", text, program_err(p));
    }
}

void program_ordered(const struct program *p, const char *key, const char *const *values)
{
    const char *text = p->text[0].data;

    for (size_t i = 0; values[i] != NULL; i++) {
        char want[64];

        snprintf(want, sizeof(want), "{\"%s\":\"%s\",", key, values[i]);
        assert_memory_equal(text, want, strlen(want));
        text = strchr(text, '\n');
        assert_non_null(text);
        text++;
    }
    assert_string_equal(text, "");
}
