/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/service.h"
#include "broker/shell.h"
#include "session/core/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Who comes to the listeners of all services, and whether there is a place for one more. */

static const struct rt_port *port_of(const struct rt_shell_listener *at)
{
    return &at->service->ports[at->port];
}

/* The virtual machine that it has proved to be, by its own socket, or by the CID that its host's kernel gives. Returns
 * why it may not come in, or NULL. */
static const char *prove(const struct rt_shell *shell, const struct rt_shell_listener *at,
                         const struct rt_listener_peer *who, struct rt_comer *comer)
{
    comer->vm = at->vm;
    if (at->vm != NULL) {
        /* Else its directory has another name now, and this is another machine's. */
        return rt_listener_in_place(&at->listener) ? NULL : "its socket is not at its place any more";
    }
    if (who->kind == RT_ENDPOINT_VSOCK && shell->settings.guests_map[0] != '\0') {
        comer->vm = rt_vm_map_find(&shell->vm_map.used, who->cid);
        return comer->vm != NULL ? NULL : "its CID is not in guests.map";
    }
    return NULL;
}

/* A virtual machine, a vSocket's CID, a user at this listener, an IP address. */
static void identify(const struct rt_shell *shell, const struct rt_shell_listener *at,
                     const struct rt_listener_peer *who, struct rt_comer *comer)
{
    const char *port = strrchr(who->text, ':');

    if (comer->vm != NULL) {
        (void)snprintf(comer->identity, sizeof(comer->identity), RT_VM_PREFIX "%s", comer->vm);
    } else if (who->kind == RT_ENDPOINT_VSOCK) {
        (void)snprintf(comer->identity, sizeof(comer->identity), "vsock:%lu", (unsigned long)who->cid);
    } else if (who->kind == RT_ENDPOINT_UNIX) {
        (void)snprintf(comer->identity, sizeof(comer->identity), "unix:%ld uid %lu", (long)(at - shell->listeners),
                       (unsigned long)who->uid);
    } else {
        (void)snprintf(comer->identity, sizeof(comer->identity), "%.*s",
                       port == NULL ? RT_PEER_IDENTITY_MAX - 1 : (int)(port - who->text), who->text);
    }
    comer->lone = comer->vm != NULL || (who->kind != RT_ENDPOINT_UNIX && !who->loopback);
}

unsigned rt_shell_connections(const struct rt_shell *shell)
{
    unsigned n = shell->vm_connections;

    for (size_t i = 0; i < shell->n_listeners; i++) {
        n += shell->listeners[i].listener.n_open;
    }
    return n;
}

/* Whether there is a descriptor for one that has come, and is counted. If not, one of the same service gives way. */
static bool make_place(struct rt_shell *shell, struct rt_shell_listener *at)
{
    unsigned n = rt_shell_connections(shell) + shell->n_vms;

    if (shell->conns_max == 0 || n <= shell->conns_max) {
        return true;
    }
    at->short_of_fds++;
    return n <= shell->conns_max + RT_SHELL_FDS_SWAP && at->service->spare(shell);
}

void rt_shell_release(struct rt_shell *shell, struct rt_listener *listener)
{
    struct rt_shell_listener *at = (struct rt_shell_listener *)(void *)listener;

    rt_listener_release(listener);
    if (at->vm != NULL) {
        shell->vm_connections--;
        if (listener->n_open == 0 && listener->open_handles == 0) {
            free(at); /* its machine has gone before */
        }
    }
}

void rt_shell_accept_cb(struct rt_listener *listener, int fd, const struct rt_listener_peer *who)
{
    struct rt_shell *shell = listener->data;
    struct rt_shell_listener *at = (struct rt_shell_listener *)(void *)listener;
    struct rt_comer comer = {.listener = listener, .who = who};
    const char *why = prove(shell, at, who, &comer);
    bool taken = false;

    if (who->kind == RT_ENDPOINT_TLS) {
        comer.wire = (struct rt_wire_setup){.ops = &rt_wire_tls, .context = &shell->tls, .side = RT_WIRE_ACCEPTED};
    }
    identify(shell, at, who, &comer);
    shell->vm_connections += at->vm != NULL;
    if (why == NULL && make_place(shell, at)) {
        taken = at->service->accept(shell, at->port, fd, &comer);
        why = taken ? NULL : "there are too many connections";
    }
    if (why != NULL) {
        rt_shell_note(shell, RT_LOG_WARN, RT_LOG_LISTENER, "listener", "%s%s%s, of the %s: turned away, %s", who->text,
                      comer.vm != NULL ? " vm:" : "", comer.vm != NULL ? comer.vm : "", port_of(at)->who, why);
    }
    if (!taken) {
        (void)close(fd);
        rt_shell_release(shell, listener);
    }
    rt_shell_settle(shell);
}

/* Nobody can be accepted, or not without what the store and the state directory need. */
void rt_shell_tell_shortage(struct rt_shell *shell, struct rt_shell_listener *at)
{
    const struct rt_listener *listener = &at->listener;
    uint64_t times = listener->pauses + at->short_of_fds;

    if (times != at->short_told) {
        rt_shell_note(
            shell, RT_LOG_ERROR, RT_LOG_LISTENER, "listener",
            "%s could not connect, or only in the place of an older handshake, %llu times: %s; raise the limit of "
            "open files (LimitNOFILE=, ulimit -Hn) or lower listen.max_guests and listen.max_clients",
            port_of(at)->who, (unsigned long long)(times - at->short_told),
            listener->pauses > 0 ? strerror(listener->pause_error) : "too few descriptors are left");
        at->short_told = times;
    }
}
