/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors
 *
 * list AGENT: the containers that the agent's cluster knows, one a line. With a loop of its own, and no libuv in it. */
#include <poll.h>
#include <retether/client.h>
#include <signal.h>
#include <stdio.h>

static int status = 1;

static void reply_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    (void)ctx;
    if (reply->error != 0 || reply->cls != RETETHER_OK) {
        fprintf(stderr, "list: %s: %s\n",
                reply->error != 0 ? retether_strerror(reply->error) : retether_class_name(reply->cls), reply->text);
    }
    for (size_t i = 0; i < reply->n_records; i++) {
        const struct retether_record *record = &reply->records[i];

        printf("%s %s %s\n", record->container, retether_state_name(record->state), record->host);
    }
    if (!reply->more) {
        status = reply->error != 0 || reply->cls != RETETHER_OK;
        retether_client_close(client, NULL, NULL);
    }
}

int main(int argc, char **argv)
{
    struct retether_client *client;
    char why[RETETHER_TEXT_MAX] = "usage: list AGENT";
    int rc;

    signal(SIGPIPE, SIG_IGN);
    rc = retether_client_new(NULL, "list", NULL, &client);
    if (rc != 0) {
        fprintf(stderr, "list: %s\n", retether_strerror(rc));
        return 1;
    }
    if (argc != 2 || retether_client_add_agent(client, argv[1], why, sizeof(why)) != 0) {
        fprintf(stderr, "list: %s\n", why);
        retether_client_close(client, NULL, NULL);
    } else if ((rc = retether_list(client, NULL, reply_cb, NULL)) != 0) {
        fprintf(stderr, "list: %s\n", retether_strerror(rc));
        retether_client_close(client, NULL, NULL);
    }
    while (retether_client_dispatch(client) > 0) {
        struct pollfd ready = {.fd = retether_client_fd(client), .events = POLLIN};

        poll(&ready, 1, retether_client_timeout(client));
    }
    return status;
}
