/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors
 * attach AGENT CONTAINER: stdin goes to the container, its output comes here, and its status is this program's. */
#include <poll.h>
#include <retether/client.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static struct retether_client *client;
static struct retether_attachment *att; /* NULL once it is over */
static int status = 1;

static size_t output_cb(struct retether_attachment *a, enum retether_stream stream, const void *data, size_t n, void *x)
{
    (void)a, (void)x;
    return fwrite(data, 1, n, stream == RETETHER_STDOUT ? stdout : stderr); /* taken: it need not be kept any more */
}

static void exited_cb(struct retether_attachment *a, unsigned code, unsigned signum, void *x)
{
    (void)a, (void)x;
    status = signum != 0 ? 128 + (int)signum : (int)code;
    att = NULL;
    retether_client_close(client, NULL, NULL);
}

static void failed_cb(struct retether_attachment *a, unsigned cls, const char *text, unsigned code, unsigned s, void *x)
{
    fprintf(stderr, "attach: %s: %s\n", retether_class_name(cls), text);
    exited_cb(a, cls == RETETHER_ENDED ? code : 1, s, x); /* it ended, but some of its output did not come here */
}

int main(int argc, char **argv)
{
    const struct retether_attachment_callbacks callbacks = {
        .size = sizeof(callbacks), .output = output_cb, .exited = exited_cb, .failed = failed_cb};
    struct retether_attach_options options;
    char buf[4096], why[RETETHER_TEXT_MAX] = "usage: attach AGENT CONTAINER";

    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IONBF, 0);
    retether_attach_defaults(&options, sizeof(options));
    options.container = argv[argc - 1];
    if (argc != 3 || retether_client_new(NULL, "attach", NULL, &client) != 0 ||
        retether_client_add_agent(client, argv[1], why, sizeof(why)) != 0 ||
        retether_attach(client, &options, &callbacks, &att) != 0) {
        fprintf(stderr, "attach: %s\n", why);
        return 1;
    }
    while (retether_client_dispatch(client) > 0 && !ferror(stdout)) {
        int in = att != NULL && retether_room(att) >= sizeof(buf) ? STDIN_FILENO : -1; /* -1: not waited for */
        struct pollfd ready[] = {{retether_client_fd(client), POLLIN, 0}, {in, POLLIN, 0}};
        if (poll(ready, 2, retether_client_timeout(client)) > 0 && ready[1].revents != 0) {
            ssize_t n = read(in, buf, sizeof(buf));
            n > 0 ? (void)retether_write(att, buf, (size_t)n) : retether_write_end(att);
        }
    }
    return ferror(stdout) ? (perror("attach: stdout"), 1) : status;
}
