/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/settings.h"

#include "broker/core/agent.h"
#include "broker/listen_item.h"
#include "broker/names.h"
#include "session/base/units.h"

#include "migrate/store/endpoint.h"
#include "session/base/endpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of tails: one end's at least. */
#define RT_TAILS_LEAST 262144
#define RT_TAILS_MOST (UINT64_C(1) << 40)
#define COUNT_MOST 1000000
/* Four, of which whoever may stand for many has three. */
#define HANDSHAKES_LEAST 4
/* One connection may read slowly. */
#define BYTES_LEAST 33554432
_Static_assert(BYTES_LEAST >= RT_LINK_QUEUED_MAX, "what one connection may have queued is within its tenant's limit");
#define BYTES_MOST (UINT64_C(1) << 40)
#define AT(member) offsetof(struct rt_settings, member)
#define TTL_MAX_MS (UINT64_C(10) * 365 * 24 * 3600 * 1000)

static int check_host(const char *text, char *why, size_t why_size)
{
    size_t size = strlen(text);

    if (size == 0 || size > RT_HOST_MAX) {
        return rt_fail(RT_ECONFIG, why, why_size, "\"%s\": a host name has 1 to %d characters", text, RT_HOST_MAX);
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') {
            return rt_fail(RT_ECONFIG, why, why_size, "\"%s\": a host name is printable ASCII without spaces", text);
        }
    }
    return 0;
}

static int check_advertise(const char *text, char *why, size_t why_size)
{
    struct rt_endpoint endpoint;

    if (rt_endpoint_parse(&endpoint, text, why, why_size) != 0) {
        return RT_ECONFIG;
    }
    if ((endpoint.kind != RT_ENDPOINT_UNIX && endpoint.kind != RT_ENDPOINT_TLS) || strlen(text) > RT_ADDR_MAX) {
        return rt_fail(RT_ECONFIG, why, why_size,
                       "%s: clients are told unix:PATH, tls:ADDRESS:PORT or tls:NAME:PORT, of at most %d bytes", text,
                       RT_ADDR_MAX);
    }
    return 0;
}

static int check_guests(const char *text, char *why, size_t why_size)
{
    struct rt_listen_item item;

    if (rt_listen_item_parse(&item, text, why, why_size) != 0) {
        return RT_ECONFIG;
    }
    if (item.endpoint.kind == RT_ENDPOINT_TLS) {
        return rt_fail(RT_ECONFIG, why, why_size, "%s: TLS is for clients; guests have tokens, and no certificates",
                       text);
    }
    if (item.endpoint.kind == RT_ENDPOINT_TCP && !rt_endpoint_is_loopback(&item.endpoint) &&
        !rt_endpoint_is_link_local(&item.endpoint)) {
        return rt_fail(RT_ECONFIG, why, why_size,
                       "%s: guests on TCP use a loopback or a link-local address (127.0.0.1, 169.254.x.y), as nothing "
                       "protects what they say on a network; else a vSocket or a unix socket",
                       text);
    }
    return 0;
}

static int check_clients(const char *text, char *why, size_t why_size)
{
    struct rt_listen_item item;

    if (rt_listen_item_parse(&item, text, why, why_size) != 0) {
        return RT_ECONFIG;
    }
    if (item.is_vms || (item.endpoint.kind != RT_ENDPOINT_UNIX && item.endpoint.kind != RT_ENDPOINT_TLS)) {
        return rt_fail(RT_ECONFIG, why, why_size, "%s: %s; clients use tls:ADDRESS:PORT or unix:PATH", text,
                       item.endpoint.kind == RT_ENDPOINT_TCP ? "plain TCP proves nobody"
                       : item.is_vms                         ? "virtual machines are guests"
                                                             : "vSockets are for guests");
    }
    return 0;
}

static int check_user(const char *text, char *why, size_t why_size)
{
    struct rt_access_rule rule;

    return rt_access_parse(&rule, text, &rt_access_names, why, why_size);
}

static int check_store(const char *text, char *why, size_t why_size)
{
    struct rt_store_endpoint endpoints[RT_ENDPOINTS_MAX];
    size_t n = 0;

    return rt_store_endpoint_parse(text, endpoints, &n, why, why_size) == 0 ? 0 : RT_ECONFIG;
}

static int check_path(const char *text, char *why, size_t why_size)
{
    if (text[0] != '/') {
        return rt_fail(RT_ECONFIG, why, why_size, "\"%s\" is not an absolute path", text);
    }
    return 0;
}

static int check_run_as(const char *text, char *why, size_t why_size)
{
    uid_t uid;

    return rt_user_id(text, &uid) ? 0
                                  : rt_fail(RT_ECONFIG, why, why_size, "there is no user \"%s\" on this machine", text);
}

static const char *const no_yes[] = {"no", "yes", NULL};
static const char *const off_on[] = {"off", "on", NULL};

const struct rt_setting rt_settings_table[] = {
    {"host.name", "host-name", "NAME", RT_SETTING_TEXT, AT(host_name), 0, 0, NULL, NULL, "the machine's name",
     "this agent's name; no other live agent of the store may have it", check_host},
    {"host.advertise", "advertise", "ENDPOINT", RT_SETTING_LIST, AT(advertise), 0, RT_ADDRS_MAX, NULL, NULL,
     "the client listeners", "where clients of other hosts reach this agent", check_advertise},
    {"listen.guests", "guests", "ENDPOINT", RT_SETTING_LIST, AT(guests), 0, RT_SETTING_LISTENERS_MAX, NULL,
     "unix:/run/retether/guest.sock", NULL,
     "where guests connect: vm:DIR[:PORT], vsock::PORT, unix:PATH[,mode=0600][,group=NAME], tcp:ADDRESS:PORT "
     "(loopback and link-local only)",
     check_guests},
    {"listen.clients", "clients", "ENDPOINT", RT_SETTING_LIST, AT(clients), 0, RT_SETTING_LISTENERS_MAX, NULL,
     "unix:/run/retether/client.sock", NULL,
     "where clients connect: unix:PATH[,mode=0600][,group=NAME], tls:ADDRESS:PORT", check_clients},
    {"tls", "tls", "DIR", RT_SETTING_TEXT, AT(tls), 0, 0, NULL, NULL, NULL,
     "certificates for clients on tls: listeners: cert.pem, key.pem, ca.pem, and crl.pem if there is one", check_path},
    {"listen.max_guests", "max-guests", "N", RT_SETTING_NUMBER, AT(max_guests), 1, RT_AGENT_LINKS_MAX, NULL, "8192",
     NULL, "connections of guests; for one more the oldest unproven one goes, or it is turned away", NULL},
    {"listen.max_clients", "max-clients", "N", RT_SETTING_NUMBER, AT(max_clients), 1, RT_AGENT_LINKS_MAX, NULL, "4096",
     NULL, "connections of clients; for one more the oldest unproven one goes, or it is turned away", NULL},
    {"limits.tenant_sessions", "tenant-sessions", "N", RT_SETTING_NUMBER, AT(limits[RT_LIMIT_TENANT_SESSIONS]), 1,
     RT_AGENT_SESSIONS_MAX, NULL, "16384", NULL,
     "containers of one tenant at this agent: served, or made and not started; one more is not made", NULL},
    {"limits.tenant_clients", "tenant-clients", "N", RT_SETTING_NUMBER, AT(limits[RT_LIMIT_TENANT_CLIENTS]), 1,
     RT_AGENT_LINKS_MAX, NULL, NULL, "3/4 of max_clients", "connections of one tenant's clients", NULL},
    {"limits.tenant_channels", "tenant-channels", "N", RT_SETTING_NUMBER, AT(limits[RT_LIMIT_TENANT_CHANNELS]), 1,
     COUNT_MOST, NULL, "65536", NULL, "attachments of one tenant's clients", NULL},
    {"limits.tenant_waiting", "tenant-waiting", "N", RT_SETTING_NUMBER, AT(limits[RT_LIMIT_TENANT_WAITING]), 1,
     RT_AGENT_HELD_MAX, NULL, "12288", NULL, "those among them that wait for their container, and `show`s that do",
     NULL},
    {"limits.tenant_bytes", "tenant-bytes", "BYTES", RT_SETTING_NUMBER, AT(limits[RT_LIMIT_TENANT_BYTES]), BYTES_LEAST,
     BYTES_MOST, NULL, "1073741824", NULL,
     "what waits for one tenant's clients: attachments, and output that they read too slowly", NULL},
    {"limits.tenant_requests", "tenant-requests", "N", RT_SETTING_NUMBER, AT(limits[RT_LIMIT_TENANT_REQUESTS]), 1,
     COUNT_MOST, NULL, "20000", NULL, "requests and attaches of one tenant's clients in a second", NULL},
    {"limits.client_channels", "client-channels", "N", RT_SETTING_NUMBER, AT(limits[RT_LIMIT_CLIENT_CHANNELS]), 1,
     RT_LINK_CHANNELS_MAX, NULL, "4096", NULL, "attachments of one client's connection", NULL},
    {"limits.client_requests", "client-requests", "N", RT_SETTING_NUMBER, AT(limits[RT_LIMIT_CLIENT_REQUESTS]), 1,
     COUNT_MOST, NULL, "10000", NULL, "requests and attaches on one client's connection in a second", NULL},
    {"limits.handshakes", "handshakes", "N", RT_SETTING_NUMBER, AT(handshakes), HANDSHAKES_LEAST, RT_AGENT_LINKS_MAX,
     NULL, "1024", NULL, "guests' connections that have not proved themselves yet, and clients'; the oldest goes",
     NULL},
    {"limits.peer_handshakes", "peer-handshakes", "N", RT_SETTING_NUMBER, AT(peer_handshakes), 1, RT_AGENT_LINKS_MAX,
     NULL, "16", NULL, "the same of one virtual machine, or of one address", NULL},
    {"guests.map", "guests-map", "FILE", RT_SETTING_TEXT, AT(guests_map), 0, 0, NULL, NULL, NULL,
     "which virtual machine has which vSocket CID; whose CID is not in it is turned away", check_path},
    {"access.users", "user", "RULE", RT_SETTING_LIST, AT(users), 0, RT_ACCESS_RULES_MAX, NULL, NULL,
     "root = operator, own = vch/local",
     "as whom a local user comes to the unix sockets for clients: USER|@GROUP|* = vch/TENANT|viewer/TENANT|operator; "
     "the first rule that fits counts",
     check_user},
    {"access.operators_read", "operators-read", "YES", RT_SETTING_CHOICE, AT(operators_read), 0, 0, no_yes, "no", NULL,
     "yes or no: whether operators may read what containers say", NULL},
    {"store.endpoints", "store", "ADDRESS", RT_SETTING_LIST, AT(store), 0, RT_ENDPOINTS_MAX, NULL, NULL,
     "a private redis-server",
     "the Redis that all agents share: redis://HOST:PORT, rediss://HOST:PORT, redis+unix:///PATH, "
     "sentinel://NAME@HOST:PORT,..., sentinel+tls://NAME@HOST:PORT,..., redis-cluster://HOST:PORT,..., "
     "redis-cluster+tls://HOST:PORT,...",
     check_store},
    {"store.tls", "store-tls", "DIR", RT_SETTING_TEXT, AT(store_tls), 0, 0, NULL, NULL, NULL,
     "directory for TLS to the store: ca.pem; cert.pem, key.pem and crl.pem if they are there", check_path},
    {"store.password_file", "store-password-file", "FILE", RT_SETTING_TEXT, AT(store_password_file), 0, 0, NULL, NULL,
     NULL, "file with the password for the store, or with a user and, on a second line, its password", check_path},
    {"store.sentinel_password_file", "store-sentinel-password-file", "FILE", RT_SETTING_TEXT,
     AT(store_sentinel_password_file), 0, 0, NULL, NULL, NULL, "the same for the Sentinels", check_path},
    {"store.timeout", "store-timeout", "TIME", RT_SETTING_DURATION, AT(store_timeout_ms), 50, 60000, NULL, "1s", NULL,
     "how long an operation of the store, or connecting to it, may take", NULL},
    {"store.tails", "store-tails", "BYTES", RT_SETTING_NUMBER, AT(store_tails), RT_TAILS_LEAST, RT_TAILS_MOST, NULL,
     "33554432", NULL, "last output of ended containers in the store, of all hosts; beyond it the oldest goes", NULL},
    {"store.tails_host", "store-tails-host", "BYTES", RT_SETTING_NUMBER, AT(store_tails_host), RT_TAILS_LEAST,
     RT_TAILS_MOST, NULL, "16777216", NULL, "the same, of this host", NULL},
    {"store.redis_server", "redis-server", "PROGRAM", RT_SETTING_TEXT, AT(redis_server), 0, 0, NULL, "redis-server",
     NULL, "the program of the private store", NULL},
    {"state_dir", "state-dir", "DIR", RT_SETTING_TEXT, AT(state_dir), 0, 0, NULL, "/var/lib/retether", NULL,
     "what outlives the agent: keys, ends not yet stored, the private store", check_path},
    {"keys", "keys", "FILE", RT_SETTING_TEXT, AT(keys), 0, 0, NULL, NULL, "STATE_DIR/keys",
     "the key ring, the same on all hosts; made when it is missing", check_path},
    {"ticket_ttl", "ticket-ttl", "TIME", RT_SETTING_DURATION, AT(ticket_ttl_ms), 0, TTL_MAX_MS, NULL, "0", NULL,
     "how long join tokens and tickets are good; 0: until their key is taken out", NULL},
    {"max_ends", "max-ends", "N", RT_SETTING_NUMBER, AT(max_ends), 0, RT_ENDS_MAX, NULL, "256", NULL,
     "ends kept in the state directory until the store has them; one more waits in its guest", NULL},
    {"run_as", "run-as", "USER", RT_SETTING_TEXT, AT(run_as), 0, 0, NULL, NULL, "whoever starts it",
     "started by root, the agent becomes this user before it opens anything", check_run_as},
    {"sandbox", "sandbox", "ON", RT_SETTING_CHOICE, AT(sandbox), 0, 0, off_on, "on", NULL,
     "on or off: whether the agent gives up what it does not need; off is for debuggers", NULL},
    {"log.level", "log-level", "LEVEL", RT_SETTING_CHOICE, AT(log_level), 0, 0, rt_log_levels, "info", NULL,
     "error, warn, info or debug", NULL},
    {"log.format", "log-format", "FORMAT", RT_SETTING_CHOICE, AT(log_format), 0, 0, rt_log_formats, "auto", NULL,
     "auto (text on a terminal, else json), text or json", NULL},
};
const size_t rt_settings_count = sizeof(rt_settings_table) / sizeof(rt_settings_table[0]);

const struct rt_setting *rt_setting_by_key(const char *section, const char *name)
{
    char key[128];

    (void)snprintf(key, sizeof(key), "%s%s%s", section, section[0] == '\0' ? "" : ".", name);
    for (size_t i = 0; i < rt_settings_count; i++) {
        if (strcmp(rt_settings_table[i].key, key) == 0) {
            return &rt_settings_table[i];
        }
    }
    return NULL;
}

static void *place(const struct rt_setting *setting, struct rt_settings *settings)
{
    return (char *)settings + setting->offset;
}

static int set_text(const struct rt_setting *setting, char *out, const char *text, char *why, size_t why_size)
{
    size_t max = setting->type == RT_SETTING_TEXT && setting->max > 0 ? setting->max : RT_SETTING_TEXT_MAX;

    if (strlen(text) > max) {
        return rt_fail(RT_ECONFIG, why, why_size, "a text of %zu bytes, at most %zu are allowed", strlen(text), max);
    }
    if (text[0] == '\0') {
        return rt_fail(RT_ECONFIG, why, why_size, "an empty text");
    }
    if (setting->check != NULL && setting->check(text, why, why_size) != 0) {
        return RT_ECONFIG;
    }
    (void)snprintf(out, RT_SETTING_TEXT_MAX + 1, "%s", text);
    return 0;
}

static int set_list(const struct rt_setting *setting, struct rt_setting_list *list, const char *text, char *why,
                    size_t why_size)
{
    if (list->n >= setting->max) {
        return rt_fail(RT_ECONFIG, why, why_size, "more than %" PRIu64 " items", setting->max);
    }
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->item[i], text) == 0) {
            return rt_fail(RT_ECONFIG, why, why_size, "\"%s\" is there twice", text);
        }
    }
    if (set_text(setting, list->item[list->n], text, why, why_size) != 0) {
        return RT_ECONFIG;
    }
    list->n++;
    return 0;
}

static int set_number(const struct rt_setting *setting, uint64_t *out, const char *text, char *why, size_t why_size)
{
    uint64_t value = 0;
    bool good = setting->type == RT_SETTING_DURATION ? rt_read_duration(text, &value)
                                                     : rt_read_number(rt_slice_text(text), UINT64_MAX, &value);

    if (good && value >= setting->min && value <= setting->max) {
        *out = value;
        return 0;
    }
    return rt_fail(RT_ECONFIG, why, why_size,
                   setting->type == RT_SETTING_DURATION ? "\"%s\" is no time from %" PRIu64 "ms to %" PRIu64
                                                          "ms (500ms, 2s, 5m, 12h, 30d)"
                                                        : "\"%s\" is no number from %" PRIu64 " to %" PRIu64,
                   text, setting->min, setting->max);
}

static int set_choice(const struct rt_setting *setting, uint64_t *out, const char *text, char *why, size_t why_size)
{
    for (size_t i = 0; setting->choices[i] != NULL; i++) {
        if (strcmp(setting->choices[i], text) == 0) {
            *out = i;
            return 0;
        }
    }
    return rt_fail(RT_ECONFIG, why, why_size, "\"%s\" is none of: %s", text, setting->help);
}

int rt_setting_set(const struct rt_setting *setting, struct rt_settings *settings, const char *text, char *why,
                   size_t why_size)
{
    switch (setting->type) {
    case RT_SETTING_TEXT:
        return set_text(setting, place(setting, settings), text, why, why_size);
    case RT_SETTING_LIST:
        return set_list(setting, place(setting, settings), text, why, why_size);
    case RT_SETTING_CHOICE:
        return set_choice(setting, place(setting, settings), text, why, why_size);
    case RT_SETTING_DURATION:
    case RT_SETTING_NUMBER:
        return set_number(setting, place(setting, settings), text, why, why_size);
    }
    return RT_ECONFIG;
}

void rt_setting_clear(const struct rt_setting *setting, struct rt_settings *settings)
{
    if (setting->type == RT_SETTING_LIST) {
        ((struct rt_setting_list *)place(setting, settings))->n = 0;
        ((struct rt_setting_list *)place(setting, settings))->given = true;
    } else if (setting->type == RT_SETTING_TEXT) {
        *(char *)place(setting, settings) = '\0';
    }
}
