/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/listen_item.h"
#include "broker/service.h"
#include "broker/shell.h"
#include "broker/vms.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Listeners of all services, and who comes there. */

static const struct rt_listener_ops listener_ops = {.on_accept = rt_shell_accept_cb};

/* The directory of a unix socket, made when it is missing. */
static void make_dir(const struct rt_endpoint *endpoint)
{
    char dir[RT_ENDPOINT_TEXT_MAX];
    char *slash;

    (void)snprintf(dir, sizeof(dir), "%s", rt_endpoint_path(endpoint));
    slash = strrchr(dir, '/');
    if (slash != NULL && slash != dir) {
        *slash = '\0';
        (void)mkdir(dir, 0755); /* what is wrong with it, bind(2) says */
    }
}

/* For each virtual machine of a directory. */
static int listen_for_vms(struct rt_shell *shell, const struct rt_listen_item *item, const struct rt_service *service,
                          size_t port)
{
    struct rt_vms *vms = calloc(1, sizeof(*vms));

    assert(shell->n_vms_dirs < RT_SETTING_LISTENERS_MAX);
    if (vms == NULL) {
        return RT_ENOMEM;
    }
    shell->vms[shell->n_vms_dirs++] = vms;
    return rt_vms_open(vms, shell, item, service, port);
}

static int listen_on(struct rt_shell *shell, const char *text, const struct rt_service *service, size_t port)
{
    struct rt_shell_listener *at = &shell->listeners[shell->n_listeners];
    struct rt_listener_config config = {.max_open = service->ports[port].connections_max};
    struct rt_listen_item item;
    char why[RT_SETTING_WHY_MAX];
    int rc = rt_listen_item_parse(&item, text, why, sizeof(why));

    assert(shell->n_listeners < RT_SHELL_LISTENERS_MAX); /* all services' ports fit */
    if (rc == 0 && item.is_vms) {
        return listen_for_vms(shell, &item, service, port);
    }
    config.endpoint = item.endpoint;
    config.mode = item.mode;
    config.has_group = item.has_group;
    config.gid = item.gid;
    if (rc == 0) {
        config.fd = rt_passed_find(&shell->settings.passed, service->ports[port].endpoints, &config.endpoint);
        if (config.fd == 0) {
            make_dir(&config.endpoint);
        }
        at->listener.data = shell;
        at->service = service;
        at->port = port;
        rc = rt_listener_open(&at->listener, &shell->loop, &config, &listener_ops, why, sizeof(why));
    }
    if (rc != 0 && config.endpoint.kind == RT_ENDPOINT_VSOCK && rc == RT_EINVAL) {
        rt_shell_note(shell, RT_LOG_WARN, RT_LOG_LISTENER, "listener",
                      "%s; going on without it (is the vsock module loaded?)", why);
        return 0;
    }
    if (rc != 0) {
        rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_LISTENER, "listener", "%s", why);
        return rc;
    }
    shell->n_listeners++;
    rt_endpoint_print(&at->listener.config.endpoint, why, sizeof(why));
    rt_shell_note(shell, RT_LOG_INFO, RT_LOG_LISTENER, "listener", "%s for %s%s", why, service->ports[port].who,
                  config.fd != 0 ? ", a socket that was passed" : "");
    if (service->ports[port].advertised && shell->settings.advertise.n == 0 && shell->addr.n < RT_ADDRS_MAX &&
        strlen(why) <= RT_ADDR_MAX) {
        (void)snprintf(shell->addr.item[shell->addr.n++], sizeof(shell->addr.item[0]), "%.*s", RT_SETTING_TEXT_MAX,
                       why);
    }
    return 0;
}

int rt_shell_listen(struct rt_shell *shell)
{
    int rc = 0;

    if (shell->settings.advertise.n > 0) {
        shell->addr = shell->settings.advertise;
    }
    for (const struct rt_service *const *at = shell->services; *at != NULL; at++) {
        for (size_t port = 0; port < (*at)->n_ports; port++) {
            const struct rt_setting_list *list =
                (const struct rt_setting_list *)(const void *)((const char *)&shell->settings +
                                                               (*at)->ports[port].endpoints);

            for (size_t k = 0; rc == 0 && k < list->n; k++) {
                rc = listen_on(shell, list->item[k], *at, port);
            }
        }
    }
    return rc;
}

void rt_shell_unlisten(struct rt_shell *shell)
{
    for (size_t i = 0; i < shell->n_listeners; i++) {
        rt_listener_close(&shell->listeners[i].listener);
    }
    for (size_t i = 0; i < shell->n_vms_dirs; i++) {
        rt_vms_close(shell->vms[i]);
    }
}

/* A socket file that somebody has removed leaves the agent unreachable. */
static void look_after(struct rt_shell *shell, struct rt_shell_listener *at)
{
    char why[RT_TEXT_MAX], where[RT_ENDPOINT_TEXT_MAX];
    int rc = rt_listener_renew(&at->listener, why, sizeof(why));

    if (rc < 0) { /* its directory may be gone too */
        make_dir(&at->listener.config.endpoint);
        rc = rt_listener_renew(&at->listener, why, sizeof(why));
    }
    if (rc > 0) {
        rt_endpoint_print(&at->listener.config.endpoint, where, sizeof(where));
        rt_shell_note(shell, RT_LOG_WARN, RT_LOG_LISTENER, "listener", "%s: somebody has removed the socket; made anew",
                      where);
    } else if (rc < 0 && !at->gone_told) {
        rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_LISTENER, "listener",
                      "the socket has been removed and cannot be made anew: %s; tried again each second", why);
    }
    at->gone_told = rc < 0;
}

void rt_shell_look_after_listeners(struct rt_shell *shell)
{
    for (size_t i = 0; i < shell->n_listeners; i++) {
        struct rt_shell_listener *at = &shell->listeners[i];

        rt_shell_tell_shortage(shell, at);
        if (shell->phase == RT_SHELL_RUNNING) {
            look_after(shell, at);
        }
    }
    for (size_t i = 0; i < shell->n_vms_dirs && shell->phase == RT_SHELL_RUNNING; i++) {
        rt_vms_beat(shell->vms[i]);
    }
}
