/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors
 *
 * attach AGENT CONTAINER: stdin goes to the container, its output comes here, until its process ends. On a libuv loop.
 */
#include <retether/client.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

static struct retether_client *client;
static uv_poll_t input;
static char buf[4096];
static size_t have, sent; /* bytes of buf */
static int status = 1;

static size_t output_cb(struct retether_attachment *att, enum retether_stream stream, const void *data, size_t size,
                        void *x)
{
    fwrite(data, 1, size, stream == RETETHER_STDOUT ? stdout : stderr);
    fflush(NULL);
    return size; /* taken: the container need not keep it */
}

static void input_cb(uv_poll_t *poll, int error, int events);

static void feed(struct retether_attachment *att, void *x)
{
    sent += retether_write(att, buf + sent, have - sent); /* less than all: this comes again when there is room */
    if (sent == have) {
        uv_poll_start(&input, UV_READABLE, input_cb);
    }
}

static void input_cb(uv_poll_t *poll, int error, int events)
{
    ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
    uv_poll_stop(poll);
    have = n > 0 ? (size_t)n : 0;
    sent = 0;
    have > 0 ? feed(poll->data, NULL) : retether_write_end(poll->data);
}

static void exited_cb(struct retether_attachment *att, unsigned code, unsigned signum, void *x)
{
    status = signum != 0 ? 128 + (int)signum : (int)code;
    retether_client_close(client, NULL, NULL);
    uv_close((uv_handle_t *)&input, NULL);
}

static void failed_cb(struct retether_attachment *att, unsigned cls, const char *text, unsigned code, unsigned sig,
                      void *x)
{
    fprintf(stderr, "attach: %s: %s\n", retether_class_name(cls), text);
    exited_cb(att, 1, 0, x);
}

static void rewound_cb(struct retether_attachment *att, const struct retether_rewound *rewound, void *x)
{
    failed_cb(att, RETETHER_REWOUND, rewound->anew ? "it was started anew" : "it was set back", 0, 0, x);
}

int main(int argc, char **argv)
{
    const struct retether_attachment_callbacks callbacks = {.size = sizeof(callbacks),
                                                            .output = output_cb,
                                                            .writable = feed,
                                                            .rewound = rewound_cb,
                                                            .exited = exited_cb,
                                                            .failed = failed_cb};
    struct retether_attach_options options;
    char why[RETETHER_TEXT_MAX] = "attach AGENT CONTAINER";
    signal(SIGPIPE, SIG_IGN);
    retether_attach_defaults(&options, sizeof(options));
    options.container = argc == 3 ? argv[2] : "";
    options.from = RETETHER_FROM_OLDEST;
    if (uv_poll_init(uv_default_loop(), &input, STDIN_FILENO) != 0 ||
        retether_client_new(uv_default_loop(), "attach", NULL, &client) != 0 || argc != 3 ||
        retether_client_add_agent(client, argv[1], why, sizeof(why)) != 0 ||
        retether_attach(client, &options, &callbacks, (struct retether_attachment **)&input.data) != 0) {
        fprintf(stderr, "attach: %s\n", why);
        return 1;
    }
    uv_poll_start(&input, UV_READABLE, input_cb);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT) + status;
}
