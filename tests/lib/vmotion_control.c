/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/vmotion_control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 8

struct words {
    char text[VMOTION_LINE_MAX];
    char *word[WORDS_MAX];
    size_t n;
};

static void split(struct words *words, const char *line)
{
    char *save = NULL;

    (void)snprintf(words->text, sizeof(words->text), "%s", line);
    words->n = 0;
    for (char *word = strtok_r(words->text, " \t\r", &save); word != NULL && words->n < WORDS_MAX;
         word = strtok_r(NULL, " \t\r", &save)) {
        words->word[words->n++] = word;
    }
}

static bool mode_of(const char *word, enum vmotion_mode *mode)
{
    static const char *const names[] = {"reset", "eof", "hang"};

    for (int i = 0; i < 3; i++) {
        if (strcmp(word, names[i]) == 0) {
            *mode = (enum vmotion_mode)i;
            return true;
        }
    }
    return false;
}

static bool number(const char *word, uint64_t *value)
{
    char *end;

    *value = strtoull(word, &end, 10);
    return *word >= '0' && *word <= '9' && *end == '\0';
}

static bool answer_error(char *answer, size_t size, const char *text)
{
    (void)snprintf(answer, size, "error: %s", text);
    return true;
}

static bool move(struct vmotion *v, const struct words *words, char *answer, size_t size)
{
    uint64_t lose[2] = {VMOTION_NEVER, VMOTION_NEVER};
    enum vmotion_mode mode;

    if (words->n < 3 || words->n % 2 == 0 || !mode_of(words->word[2], &mode)) {
        return answer_error(answer, size, "usage: move NAME reset|eof|hang [lose-up N] [lose-down N]");
    }
    for (size_t i = 3; i < words->n; i += 2) {
        bool up = strcmp(words->word[i], "lose-up") == 0;
        if ((!up && strcmp(words->word[i], "lose-down") != 0) || !number(words->word[i + 1], &lose[up ? 0 : 1])) {
            return answer_error(answer, size, "wants lose-up N or lose-down N");
        }
    }
    if (vmotion_move(v, words->word[1], mode, lose) != 0) {
        return answer_error(answer, size, "no such host");
    }
    (void)snprintf(answer, size, "ok moved");
    return v->settling == 0;
}

static bool cut_after(struct vmotion *v, const struct words *words, char *answer, size_t size)
{
    enum vmotion_mode mode = VMOTION_RESET;
    bool up = words->n > 1 && strcmp(words->word[1], "up") == 0;
    uint64_t n;

    if (words->n < 3 || words->n > 4 || (!up && strcmp(words->word[1], "down") != 0) || !number(words->word[2], &n) ||
        (words->n == 4 && !mode_of(words->word[3], &mode))) {
        return answer_error(answer, size, "usage: cut-after up|down N [reset|eof|hang]");
    }
    vmotion_cut_after(v, up ? VMOTION_UP : VMOTION_DOWN, n, mode);
    (void)snprintf(answer, size, "ok");
    return true;
}

static bool stats(const struct vmotion *v, char *answer, size_t size)
{
    const struct vmotion_stats *s = &v->stats;
    bool armed = v->cut_left[0] != VMOTION_NEVER || v->cut_left[1] != VMOTION_NEVER;

    (void)snprintf(answer, size,
                   "ok on=%s live=%u hung=%u conns=%" PRIu64 " refused=%" PRIu64 " moves=%" PRIu64 " cuts=%" PRIu64
                   " up=%" PRIu64 " down=%" PRIu64 " lost-up=%" PRIu64 " lost-down=%" PRIu64 " armed=%s",
                   v->hosts[v->on].name, s->live, s->hung, s->conns, s->refused, s->moves, s->cuts, s->bytes[0],
                   s->bytes[1], s->lost[0], s->lost[1], armed ? "yes" : "no");
    return true;
}

bool vmotion_command(struct vmotion *v, const char *line, char *answer, size_t size)
{
    struct words words;
    const char *verb;

    split(&words, line);
    verb = words.n > 0 ? words.word[0] : "";
    (void)snprintf(answer, size, "ok");
    if (strcmp(verb, "move") == 0) {
        return move(v, &words, answer, size);
    }
    if (strcmp(verb, "cut-after") == 0) {
        return cut_after(v, &words, answer, size);
    }
    if (strcmp(verb, "on") == 0 && words.n == 2) {
        return vmotion_on(v, words.word[1]) == 0 || answer_error(answer, size, "no such host");
    }
    if (words.n != 1) {
        return answer_error(answer, size, "what?");
    }
    if (strcmp(verb, "stats") == 0) {
        return stats(v, answer, size);
    }
    if (strcmp(verb, "stall") == 0) {
        vmotion_stall(v);
    } else if (strcmp(verb, "resume") == 0) {
        vmotion_resume(v);
    } else if (strcmp(verb, "release") == 0) {
        vmotion_release(v);
    } else if (strcmp(verb, "cut-never") == 0) {
        vmotion_cut_after(v, VMOTION_UP, VMOTION_NEVER, VMOTION_RESET);
        vmotion_cut_after(v, VMOTION_DOWN, VMOTION_NEVER, VMOTION_RESET);
    } else {
        return answer_error(answer, size, "what?");
    }
    return true;
}

static void conn_closed_cb(uv_handle_t *handle)
{
    struct vmotion_control_conn *conn = handle->data;

    conn->open = false;
}

static void close_conn(struct vmotion_control_conn *conn)
{
    conn->waiting = false;
    if (!uv_is_closing((uv_handle_t *)&conn->pipe)) {
        uv_close((uv_handle_t *)&conn->pipe, conn_closed_cb);
    }
}

static void say(struct vmotion_control_conn *conn, char *answer)
{
    size_t size = strlen(answer);
    uv_buf_t buf;

    answer[size] = '\n';
    buf = uv_buf_init(answer, (unsigned)size + 1);
    /* A line always fits into an empty socket buffer; who never reads the answers is dropped. */
    if (uv_try_write((uv_stream_t *)&conn->pipe, &buf, 1) != (int)size + 1) {
        close_conn(conn);
    }
}

static void settled(struct vmotion *v)
{
    struct vmotion_control *control = v->data;

    for (int i = 0; i < VMOTION_CONTROLS_MAX; i++) {
        if (control->conns[i].waiting) {
            char answer[VMOTION_LINE_MAX] = "ok moved";
            control->conns[i].waiting = false;
            say(&control->conns[i], answer);
        }
    }
}

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct vmotion_control_conn *conn = handle->data;

    (void)suggested;
    *buf = uv_buf_init(conn->line + conn->size, (unsigned)(sizeof(conn->line) - 1 - conn->size));
}

static void read_cb(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct vmotion_control_conn *conn = stream->data;
    char *end;

    (void)buf;
    if (n < 0) { /* too long a line ends here as well: no room is UV_ENOBUFS */
        close_conn(conn);
        return;
    }
    conn->size += (size_t)n;
    while (!uv_is_closing((uv_handle_t *)stream) && (end = memchr(conn->line, '\n', conn->size)) != NULL) {
        char answer[2 * VMOTION_LINE_MAX];
        size_t used = (size_t)(end - conn->line) + 1;

        *end = '\0';
        if (vmotion_command(conn->control->v, conn->line, answer, sizeof(answer) - 1)) {
            say(conn, answer);
        } else {
            conn->waiting = true;
        }
        conn->size -= used;
        memmove(conn->line, conn->line + used, conn->size);
    }
}

static void spare_closed_cb(uv_handle_t *handle)
{
    free(handle);
}

static void connection_cb(uv_stream_t *listener, int status)
{
    struct vmotion_control *control = listener->data;
    struct vmotion_control_conn *conn = NULL;
    uv_pipe_t *spare;

    if (status != 0) {
        return;
    }
    for (int i = 0; i < VMOTION_CONTROLS_MAX && conn == NULL; i++) {
        conn = control->conns[i].open ? NULL : &control->conns[i];
    }
    if (conn == NULL) {
        spare = malloc(sizeof(*spare));
        if (spare != NULL) {
            (void)uv_pipe_init(listener->loop, spare, 0);
            (void)uv_accept(listener, (uv_stream_t *)spare);
            uv_close((uv_handle_t *)spare, spare_closed_cb);
        }
        return;
    }
    *conn = (struct vmotion_control_conn){.control = control, .open = true};
    (void)uv_pipe_init(listener->loop, &conn->pipe, 0);
    conn->pipe.data = conn;
    if (uv_accept(listener, (uv_stream_t *)&conn->pipe) != 0 ||
        uv_read_start((uv_stream_t *)&conn->pipe, alloc_cb, read_cb) != 0) {
        close_conn(conn);
    }
}

int vmotion_control_start(struct vmotion_control *control, struct vmotion *v, const char *path)
{
    int err;

    memset(control, 0, sizeof(*control));
    if (strlen(path) >= sizeof(control->path)) {
        return UV_ENAMETOOLONG;
    }
    control->v = v;
    memcpy(control->path, path, strlen(path) + 1);
    (void)uv_pipe_init(v->loop, &control->listener, 0);
    control->listener.data = control;
    (void)unlink(path);
    err = uv_pipe_bind(&control->listener, path);
    if (err == 0) {
        err = uv_listen((uv_stream_t *)&control->listener, VMOTION_CONTROLS_MAX, connection_cb);
    }
    if (err != 0) {
        uv_close((uv_handle_t *)&control->listener, NULL);
        return err;
    }
    v->data = control;
    v->on_settled = settled;
    return 0;
}

void vmotion_control_close(struct vmotion_control *control)
{
    uv_close((uv_handle_t *)&control->listener, NULL); /* unlinks the path */
    for (int i = 0; i < VMOTION_CONTROLS_MAX; i++) {
        if (control->conns[i].open) {
            close_conn(&control->conns[i]);
        }
    }
}
