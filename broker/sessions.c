/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/service.h"
#include "broker/shell.h"

#include "migrate/seal/seal.h"
#include "session/base/clock.h"
#include "session/base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* The first service: sessions of guests, and the clients that use them, by the pure machine of broker/core. */

static const enum rt_peer_role roles[] = {RT_PEER_GUEST, RT_PEER_CLIENT}; /* by port */

static void event_cb(void *ctx, const struct rt_agent_event *event)
{
    struct rt_shell *shell = ctx;

    rt_log_event(&shell->log, event, rt_shell_now(shell));
}

static uint64_t wall_cb(void *ctx)
{
    (void)ctx;
    return rt_wall_ms();
}

static int make_agent(struct rt_shell *shell)
{
    struct rt_agent_config config = {.n_addr = shell->addr.n,
                                     .ticket_ttl_ms = shell->settings.ticket_ttl_ms,
                                     .store_timeout_ms = shell->settings.store_timeout_ms,
                                     .operators_read = shell->settings.operators_read != 0};

    (void)snprintf(config.host, sizeof(config.host), "%.*s", RT_HOST_MAX, shell->settings.host_name);
    for (size_t i = 0; i < shell->addr.n; i++) {
        (void)snprintf(config.addr[i], sizeof(config.addr[i]), "%.*s", RT_ADDR_MAX, shell->addr.item[i]);
    }
    config.links_max[RT_PEER_GUEST] = (uint32_t)shell->settings.max_guests;
    config.links_max[RT_PEER_CLIENT] = (uint32_t)shell->settings.max_clients;
    config.handshakes_max = (uint32_t)shell->settings.handshakes;
    config.peer_handshakes_max = (uint32_t)shell->settings.peer_handshakes;
    memcpy(config.limits, shell->settings.limits, sizeof(config.limits));
    config.sealer = rt_keyring_sealer(&shell->ring);
    config.io = (struct rt_agent_io){.ctx = shell,
                                     .send = rt_shell_send,
                                     .close = rt_shell_hang_up,
                                     .store = rt_shell_submit,
                                     .event = event_cb,
                                     .random = rt_random_fill,
                                     .wall_ms = wall_cb,
                                     .keep_end = rt_shell_keep_end,
                                     .drop_end = rt_shell_drop_end,
                                     .keep_revoked = rt_shell_keep_revoked,
                                     .drop_revoked = rt_shell_drop_revoked,
                                     .keep_drains = rt_shell_keep_drains};
    rt_random_fill(NULL, &config.seed, sizeof(config.seed));
    shell->agent = rt_agent_new(&config, rt_shell_now(shell));
    return shell->agent == NULL ? RT_ENOMEM : 0;
}

static int open_sessions(struct rt_shell *shell)
{
    int rc = make_agent(shell);

    if (rc == 0) {
        rc = rt_shell_open_ends(shell);
    }
    if (rc == 0) {
        rc = rt_shell_open_revoked(shell);
    }
    if (rc == 0) {
        rc = rt_shell_open_drains(shell);
    }
    return rc != 0 ? rc : rt_shell_open_store(shell);
}

/* The groups of who has connected, the main one first; to be freed. NULL: they cannot be had. */
static gid_t *groups_of(int fd, gid_t main_group, size_t *n)
{
    socklen_t size = 0;
    gid_t *gids;

    /* Asked with no room, the kernel tells how much it takes (ERANGE). They are those at the connect, and stay. */
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size);
    gids = malloc(sizeof(*gids) + size);
    if (gids == NULL || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids + 1, &size) != 0) {
        free(gids);
        return NULL;
    }
    gids[0] = main_group;
    *n = 1 + size / sizeof(*gids);
    return gids;
}

/* As whom a local user comes. Where its groups would matter and cannot be had, nobody: a later rule may give more. */
static const struct rt_access_rule *rule_for(const struct rt_shell *shell, int fd, const struct rt_listener_peer *who)
{
    const struct rt_access *access = &shell->settings.access;
    const struct rt_access_rule *rule = NULL;
    size_t n = 0;
    gid_t *gids = NULL;

    if (!rt_access_by_group(access)) {
        return rt_access_find(access, who->uid, NULL, 0);
    }
    gids = groups_of(fd, who->gid, &n);
    if (gids != NULL) {
        rule = rt_access_find(access, who->uid, gids, n);
    }
    free(gids);
    return rule;
}

/* Role and tenant of a client on a unix socket. */
static void identify_client(const struct rt_shell *shell, int fd, const struct rt_listener_peer *who,
                            struct rt_proof *proof)
{
    const struct rt_access_rule *rule = rule_for(shell, fd, who);

    if (rule == NULL) {
        proof->as = RT_CLIENT_NOBODY;
        (void)snprintf(proof->who, sizeof(proof->who), "user %lu", (unsigned long)who->uid);
    } else {
        proof->as = rule->as;
        memcpy(proof->who, rule->tenant, sizeof(rule->tenant));
    }
}

static bool accept_peer(struct rt_shell *shell, size_t port, int fd, const struct rt_comer *comer)
{
    struct rt_peer peer = {.role = roles[port], .lone = comer->lone};
    struct rt_proof come = {.who = ""};

    (void)snprintf(peer.identity, sizeof(peer.identity), "%s", comer->identity);
    if (peer.role == RT_PEER_CLIENT && comer->who->kind == RT_ENDPOINT_UNIX) {
        identify_client(shell, fd, comer->who, &come);
    } else if (comer->vm != NULL) {
        (void)snprintf(come.who, sizeof(come.who), RT_VM_PREFIX "%s", comer->vm);
    }
    (void)snprintf(peer.name, sizeof(peer.name), "%s %s%s%s", peer.role == RT_PEER_GUEST ? "guest" : "client",
                   peer.role == RT_PEER_GUEST ? come.who : "", comer->vm != NULL ? " " : "", comer->who->text);
    return rt_shell_adopt(shell, comer, fd, &peer, &come);
}

static bool spare(struct rt_shell *shell)
{
    return rt_agent_spare(shell->agent, rt_shell_now(shell));
}

static size_t counters(struct rt_shell *shell, struct rt_counter out[RT_SERVICE_COUNTERS_MAX])
{
    struct rt_agent_stats stats;

    rt_agent_stats(shell->agent, &stats);
    {
        const struct rt_counter all[] = {{"guests", stats.guests},
                                         {"clients", stats.clients},
                                         {"handshakes", stats.handshakes},
                                         {"sessions", stats.sessions},
                                         {"served", stats.served},
                                         {"provisional", stats.provisional},
                                         {"channels", stats.channels},
                                         {"held", stats.held},
                                         {"claims", stats.claims},
                                         {"moves", stats.moves},
                                         {"forks", stats.forks},
                                         {"refused", stats.refused},
                                         {"forbidden", stats.forbidden},
                                         {"evicted_guests", stats.evicted[RT_PEER_GUEST]},
                                         {"evicted_clients", stats.evicted[RT_PEER_CLIENT]},
                                         {"turned_away_guests", stats.turned_away[RT_PEER_GUEST]},
                                         {"turned_away_clients", stats.turned_away[RT_PEER_CLIENT]},
                                         {"over_tenant_sessions", stats.over[RT_LIMIT_TENANT_SESSIONS]},
                                         {"over_tenant_clients", stats.over[RT_LIMIT_TENANT_CLIENTS]},
                                         {"over_tenant_channels", stats.over[RT_LIMIT_TENANT_CHANNELS]},
                                         {"over_tenant_waiting", stats.over[RT_LIMIT_TENANT_WAITING]},
                                         {"over_tenant_bytes", stats.over[RT_LIMIT_TENANT_BYTES]},
                                         {"over_tenant_requests", stats.over[RT_LIMIT_TENANT_REQUESTS]},
                                         {"over_client_channels", stats.over[RT_LIMIT_CLIENT_CHANNELS]},
                                         {"over_client_requests", stats.over[RT_LIMIT_CLIENT_REQUESTS]},
                                         {"store_weak", stats.store_weak},
                                         {"store_unknown", stats.store_unknown},
                                         {"store_replicas", stats.store_replicas},
                                         {"tls_handshakes", shell->tls.whole},
                                         {"tls_resumed", shell->tls.resumed}};

        _Static_assert(sizeof(all) / sizeof(all[0]) <= RT_SERVICE_COUNTERS_MAX, "more counters than there is room for");
        memcpy(out, all, sizeof(all));
        return sizeof(all) / sizeof(all[0]);
    }
}

static void beat(struct rt_shell *shell)
{
    struct rt_agent_stats stats;

    rt_agent_stats(shell->agent, &stats);
    rt_shell_look_at_queues(shell);
    if (shell->store_open && shell->phase == RT_SHELL_RUNNING) {
        rt_store_set_self(&shell->store, stats.served, stats.drains);
    }
}

static void stop(struct rt_shell *shell)
{
    if (shell->agent != NULL) {
        rt_agent_stop(shell->agent, rt_shell_now(shell));
        rt_shell_settle(shell);
    }
}

const struct rt_service rt_sessions = {.name = "sessions",
                                       .ports = {{.who = "guests",
                                                  .endpoints = offsetof(struct rt_settings, guests),
                                                  .connections_max = 2 * RT_AGENT_LINKS_MAX},
                                                 {.who = "clients",
                                                  .endpoints = offsetof(struct rt_settings, clients),
                                                  .connections_max = 2 * RT_AGENT_LINKS_MAX,
                                                  .advertised = true}},
                                       .n_ports = 2,
                                       .open = open_sessions,
                                       .accept = accept_peer,
                                       .spare = spare,
                                       .counters = counters,
                                       .beat = beat,
                                       .stop = stop,
                                       .close = rt_shell_close_conns};
