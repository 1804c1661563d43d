/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/service.h"
#include "broker/shell.h"
#include "session/core/frame.h"
#include "session/core/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Links: who comes, what they say, and that they have gone. */

/* Tells the machine of links whose peer reads. The kernel takes more of a queue only once much of what it has was read,
 * perhaps a megabyte: so it is asked how much its peer has not read. */
void rt_shell_look_at_queues(struct rt_shell *shell)
{
    for (struct rt_list *node = shell->links.next; node != &shell->links; node = node->next) {
        struct rt_conn *conn = RT_LIST_OF(node, struct rt_conn, node);
        uint64_t handed = rt_link_sent_total(&conn->link);
        size_t unread;

        if (conn->id == 0 || rt_link_queued(&conn->link) == 0) {
            conn->queues = false;
            continue;
        }
        unread = rt_link_unread(&conn->link);
        if (conn->queues && (handed > conn->handed || unread < conn->unread)) {
            rt_agent_taken(shell->agent, conn->id, rt_shell_now(shell));
        }
        conn->queues = true;
        conn->handed = handed;
        conn->unread = unread;
    }
}

/* Role and tenant of a client, from the URI of its certificate. An agent's certificate shows an agent, and lets nobody
 * in. Returns RT_EAUTH and why for who is none of the domain: the wire let it in by mistake. */
static int prove(const struct rt_conn *conn, const char *uri, struct rt_proof *proof, char *why, size_t why_size)
{
    static const enum rt_client_role roles[RT_IDENTITY_ROLES] = {[RT_IDENTITY_VCH] = RT_CLIENT_VCH,
                                                                 [RT_IDENTITY_VIEWER] = RT_CLIENT_VIEWER,
                                                                 [RT_IDENTITY_OPERATOR] = RT_CLIENT_OPERATOR,
                                                                 [RT_IDENTITY_AGENT] = RT_CLIENT_NOBODY};
    struct rt_slice slice = rt_slice_text(uri);
    struct rt_identity identity;
    char label[RT_IDENTITY_LABEL_MAX];

    _Static_assert(sizeof(identity.name) <= sizeof(proof->who), "any name fits");
    if (rt_identity_parse(&identity, &slice, 1, conn->shell->tls.domain, why, why_size) != 0) {
        return RT_EAUTH;
    }
    proof->as = roles[identity.role];
    if (proof->as == RT_CLIENT_NOBODY) {
        rt_identity_label(&identity, label);
        (void)snprintf(proof->who, sizeof(proof->who), "%.*s", (int)sizeof(proof->who) - 1, label);
    } else {
        memcpy(proof->who, identity.name, sizeof(identity.name));
    }
    return 0;
}

/* Its handshake is done. */
static void ready_cb(struct rt_link *link, const char *peer)
{
    struct rt_conn *conn = link->data;
    struct rt_proof proof = {.who = ""};
    char why[RT_TEXT_MAX];

    if (prove(conn, peer, &proof, why, sizeof(why)) != 0) {
        rt_link_close(&conn->link, RT_LINK_NOW, RT_EAUTH, why);
        return;
    }
    rt_agent_proved(conn->shell->agent, conn->id, &proof, rt_shell_now(conn->shell));
    rt_shell_settle(conn->shell);
}

static size_t data_cb(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct rt_conn *conn = link->data;
    struct rt_shell *shell = conn->shell;
    size_t used;

    if (conn->id == 0) {
        return size;
    }
    shell->input = buf;
    used = rt_agent_input(shell->agent, conn->id, data, size, rt_shell_now(shell));
    rt_shell_settle(shell);
    shell->input = NULL;
    return used;
}

static void drain_cb(struct rt_link *link)
{
    struct rt_conn *conn = link->data;

    rt_shell_report_queued(conn->shell, conn);
    rt_shell_settle(conn->shell);
}

static void close_cb(struct rt_link *link, int reason, const char *text)
{
    struct rt_conn *conn = link->data;
    struct rt_shell *shell = conn->shell;

    (void)reason;
    if (conn->id != 0) {
        shell->conns[conn->id % RT_AGENT_LINKS_MAX] = NULL;
        rt_agent_closed(shell->agent, conn->id, text, rt_shell_now(shell));
        rt_shell_settle(shell);
    }
    rt_shell_release(shell, conn->listener);
    rt_list_remove(&conn->node);
    free(conn);
    rt_shell_progress(shell);
}

static const struct rt_link_ops link_ops = {
    .on_ready = ready_cb, .on_data = data_cb, .on_drain = drain_cb, .on_close = close_cb};

/* There is no place for it: it is told so, where its wire needs no handshake before. If that does not fit into its
 * socket, which is new, it has said nothing that could be answered either. */
static void turn_away(struct rt_shell *shell, const struct rt_comer *comer, int fd, const struct rt_peer *peer)
{
    uint8_t frame[RT_FRAME_HEADER + RT_SHORT_MAX];
    size_t size = comer->wire.ops == NULL ? rt_agent_turned_away(shell->agent, peer, frame, sizeof(frame)) : 0;

    if (size > 0) {
        (void)!send(fd, frame, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

bool rt_shell_adopt(struct rt_shell *shell, const struct rt_comer *comer, int fd, const struct rt_peer *peer,
                    const struct rt_proof *come)
{
    struct rt_link_setup setup = {.loop = &shell->loop, .pool = &shell->pool, .ops = &link_ops, .wire = comer->wire};
    struct rt_conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL) {
        return false;
    }
    conn->shell = shell;
    conn->listener = comer->listener;
    conn->link.data = conn;
    conn->id = rt_agent_opened(shell->agent, peer, rt_shell_now(shell));
    if (conn->id == 0) {
        turn_away(shell, comer, fd, peer);
        free(conn);
        return false;
    }
    shell->conns[conn->id % RT_AGENT_LINKS_MAX] = conn;
    if (rt_link_open(&conn->link, fd, &setup) != 0) {
        shell->conns[conn->id % RT_AGENT_LINKS_MAX] = NULL;
        rt_agent_closed(shell->agent, conn->id, "not a stream socket", rt_shell_now(shell));
        free(conn);
        return false;
    }
    conn->link.high_water = RT_LINK_HIGH_WATER;
    rt_list_push(&shell->links, &conn->node);
    if (!conn->link.wire.ops->handshake) {
        rt_agent_proved(shell->agent, conn->id, come, rt_shell_now(shell));
        rt_shell_settle(shell);
    }
    return true;
}

void rt_shell_close_conns(struct rt_shell *shell)
{
    for (struct rt_list *node = shell->links.next; node != &shell->links; node = node->next) {
        rt_link_close(&RT_LIST_OF(node, struct rt_conn, node)->link, RT_LINK_NOW, RT_ECANCELED, "the agent ends");
    }
}

unsigned rt_shell_close_revoked(struct rt_shell *shell)
{
    unsigned n = 0;

    for (struct rt_list *node = shell->links.next; node != &shell->links; node = node->next) {
        struct rt_conn *conn = RT_LIST_OF(node, struct rt_conn, node);

        if (conn->id != 0 && rt_tls_peer_revoked(&conn->link.wire)) {
            rt_link_close(&conn->link, RT_LINK_NOW, RT_EAUTH, "its certificate has been revoked");
            n++;
        }
    }
    return n;
}
