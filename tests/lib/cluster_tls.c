/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/cluster.h"
#include "tests/lib/pki.h"

#include <stdio.h>
#include <string.h>

/* The CA, and the certificates of who commands the agents. */
static int make_ca(struct rt_cluster *cluster, const char *ca)
{
    char client[sizeof(cluster->dir) + 16];

    (void)snprintf(client, sizeof(client), "%s/vch", cluster->dir);
    (void)snprintf(cluster->tls_env, sizeof(cluster->tls_env), "RETETHER_TLS=%s", client);
    return rt_test_pki_ca(ca) != 0 || rt_test_pki_issue(ca, "vch", "local", client) != 0 ? -1 : 0;
}

/* In the place of the host's socket, which is the last one there. */
static void name_endpoint(struct rt_cluster *cluster, unsigned host, const char *endpoint)
{
    char *item = strrchr(cluster->agents_env, host == 0 ? '=' : ',') + 1;

    (void)snprintf(item, sizeof(cluster->agents_env) - (size_t)(item - cluster->agents_env), "%s", endpoint);
}

int rt_cluster_tls(struct rt_cluster *cluster, unsigned host)
{
    struct rt_cluster_host *h = &cluster->hosts[host];
    char ca[sizeof(cluster->dir) + 16], dir[sizeof(cluster->dir)], name[sizeof(h->name)];
    unsigned port = rt_test_free_port();

    memcpy(dir, cluster->dir, sizeof(dir));
    memcpy(name, h->name, sizeof(name));
    (void)snprintf(ca, sizeof(ca), "%s/ca", dir);
    if (port == 0 || (host == 0 && make_ca(cluster, ca) != 0)) {
        return -1;
    }
    (void)snprintf(h->more_clients, sizeof(h->more_clients), "tls:127.0.0.1:%u", port);
    memcpy(h->advertise, h->more_clients, sizeof(h->advertise));
    (void)snprintf(h->tls, sizeof(h->tls), "%s/%s.tls", dir, name);
    name_endpoint(cluster, host, h->advertise);
    return rt_test_pki_issue(ca, "agent", name, h->tls);
}
