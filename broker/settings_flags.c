/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/settings.h"

#include "broker/core/agent.h"
#include "broker/listen_item.h"
#include "broker/names.h"
#include "migrate/store/endpoint.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The command line: flags made from the table, and what the settings are in the end. */

#define SETTINGS_MAX 64

static const struct rt_option config = {"config", 0, &rt_kind_file, "read settings from FILE; flags win over it", NULL};
static const struct rt_option check = {"check-config", 0, NULL,
                                       "read the settings, say what is wrong with them, and end", NULL};
static const struct rt_option version = {"version", 0, NULL, "show the version", NULL};
static const struct rt_option help = {"help", 0, NULL, "show this", NULL};
static const struct rt_option *const own_flags[] = {&config, &check, &version, &help};
#define OWN_FLAGS (sizeof(own_flags) / sizeof(own_flags[0]))

/* The settings as options, in the order of their table, and all flags. */
struct flags {
    struct rt_kind kinds[SETTINGS_MAX];
    struct rt_option settings[SETTINGS_MAX];
    const struct rt_option *list[OWN_FLAGS + SETTINGS_MAX + 1];
};

static void make_flags(struct flags *flags)
{
    assert(rt_settings_count <= SETTINGS_MAX);
    memset(flags, 0, sizeof(*flags));
    memcpy((void *)flags->list, (const void *)own_flags, sizeof(own_flags));
    for (size_t i = 0; i < rt_settings_count; i++) {
        const struct rt_setting *setting = &rt_settings_table[i];

        flags->kinds[i] = (struct rt_kind){setting->argument, "", rt_read_text};
        flags->settings[i] = (struct rt_option){setting->flag, 0, &flags->kinds[i], setting->help, NULL};
        flags->list[OWN_FLAGS + i] = &flags->settings[i];
    }
}

/* As numbers: they hold where the names are not known. */
static int default_users(struct rt_settings *settings, char why[RT_SETTING_WHY_MAX])
{
    const struct rt_setting *users = rt_setting_by_key("access", "users");
    char own[64];
    uid_t uid = geteuid();

    if (uid == 0 && settings->run_as[0] != '\0' && !rt_user_id(settings->run_as, &uid)) {
        (void)snprintf(why, RT_SETTING_WHY_MAX, "run_as: there is no user \"%s\" on this machine", settings->run_as);
        return RT_ECONFIG;
    }
    (void)snprintf(own, sizeof(own), "%lu = vch/local", (unsigned long)uid);
    if (rt_setting_set(users, settings, "0 = operator", why, RT_SETTING_WHY_MAX) != 0) {
        return RT_ECONFIG;
    }
    return uid == 0 ? 0 : rt_setting_set(users, settings, own, why, RT_SETTING_WHY_MAX);
}

static int set_defaults(struct rt_settings *settings, char why[RT_SETTING_WHY_MAX])
{
    memset(settings, 0, sizeof(*settings));
    for (size_t i = 0; i < rt_settings_count; i++) {
        if (rt_settings_table[i].value != NULL &&
            rt_setting_set(&rt_settings_table[i], settings, rt_settings_table[i].value, why, RT_SETTING_WHY_MAX) != 0) {
            return RT_ECONFIG;
        }
    }
    return 0;
}

/* Whether an item of the list is at the socket's address. */
static bool is_listed(const struct rt_setting_list *list, const struct rt_passed *passed, size_t socket)
{
    struct rt_listen_item item;
    char why[RT_SETTING_WHY_MAX];
    bool found = false;

    for (size_t i = 0; i < list->n && !found; i++) {
        found = rt_listen_item_parse(&item, list->item[i], why, sizeof(why)) == 0 && !item.is_vms &&
                rt_passed_find(passed, passed->sockets[socket].list, &item.endpoint) == passed->sockets[socket].fd;
    }
    return found;
}

/* A socket that was passed is one more item of its list, unless an item is at its address already. */
static int take_passed(struct rt_settings *settings, char why[RT_SETTING_WHY_MAX])
{
    for (size_t i = 0; i < settings->passed.n; i++) {
        const char *name = settings->passed.sockets[i].name;
        struct rt_endpoint *endpoint = &settings->passed.sockets[i].endpoint;
        bool clients = strcmp(name, "listen.clients") == 0;
        const struct rt_setting *setting = rt_setting_by_key("listen", clients ? "clients" : "guests");
        char text[RT_ENDPOINT_TEXT_MAX], reason[RT_SETTING_WHY_MAX - 64] = "";

        if (!clients && strcmp(name, "listen.guests") != 0) {
            return rt_fail(RT_ECONFIG, why, RT_SETTING_WHY_MAX,
                           "a socket was passed as \"%s\": its unit has FileDescriptorName=listen.guests or "
                           "listen.clients",
                           name);
        }
        endpoint->kind = clients && endpoint->kind == RT_ENDPOINT_TCP ? RT_ENDPOINT_TLS : endpoint->kind;
        settings->passed.sockets[i].list = setting->offset;
        rt_endpoint_print(endpoint, text, sizeof(text));
        if (!is_listed(clients ? &settings->clients : &settings->guests, &settings->passed, i) &&
            rt_setting_set(setting, settings, text, reason, sizeof(reason)) != 0) {
            return rt_fail(RT_ECONFIG, why, RT_SETTING_WHY_MAX, "a socket was passed as \"%s\": %s", name, reason);
        }
    }
    return 0;
}

/* TLS takes certificates. */
static int check_tls(const struct rt_settings *settings, char why[RT_SETTING_WHY_MAX])
{
    for (size_t i = 0; i < settings->clients.n && settings->tls[0] == '\0'; i++) {
        if (strncmp(settings->clients.item[i], "tls:", 4) == 0) {
            return rt_fail(RT_ECONFIG, why, RT_SETTING_WHY_MAX,
                           "listen.clients: %s takes certificates: set tls to a directory of them, as \"retether pki "
                           "issue agent %s\" makes one",
                           settings->clients.item[i], settings->host_name);
        }
    }
    return 0;
}

/* The addresses of one store go together. */
static int check_store(const struct rt_settings *settings, char why[RT_SETTING_WHY_MAX])
{
    struct rt_store_endpoint endpoints[RT_ENDPOINTS_MAX];
    const char *texts[RT_SETTING_ITEMS_MAX];
    char reason[RT_SETTING_WHY_MAX - 64];
    size_t n;

    for (size_t i = 0; i < settings->store.n; i++) {
        texts[i] = settings->store.item[i];
    }
    if (rt_store_endpoints_parse(texts, settings->store.n, endpoints, &n, reason, sizeof(reason)) != 0) {
        return rt_fail(RT_ECONFIG, why, RT_SETTING_WHY_MAX, "store.endpoints: %s", reason);
    }
    for (size_t i = 0; i < n && settings->store_tls[0] == '\0'; i++) {
        if (endpoints[i].tls) {
            return rt_fail(RT_ECONFIG, why, RT_SETTING_WHY_MAX,
                           "store.endpoints: %s is TLS: set store.tls to a directory whose ca.pem has the CA of its "
                           "certificate",
                           endpoints[i].text);
        }
    }
    return 0;
}

/* What has no value of its own is worked out from the others. */
static int compute(struct rt_settings *settings, char why[RT_SETTING_WHY_MAX])
{
    const struct rt_setting *name = rt_setting_by_key("host", "name");
    char host[RT_HOST_MAX + 2] = "", text[RT_SETTING_WHY_MAX / 2];

    if (settings->host_name[0] == '\0') {
        (void)gethostname(host, sizeof(host) - 1);
        if (rt_setting_set(name, settings, host, text, sizeof(text)) != 0) {
            (void)snprintf(why, RT_SETTING_WHY_MAX, "the machine's name cannot be the host.name: %s", text);
            return RT_ECONFIG;
        }
    }
    if (settings->keys[0] == '\0' && (size_t)snprintf(settings->keys, sizeof(settings->keys), "%s/keys",
                                                      settings->state_dir) >= sizeof(settings->keys)) {
        (void)snprintf(why, RT_SETTING_WHY_MAX, "state_dir: the path is too long");
        return RT_ECONFIG;
    }
    if (settings->guests.n == 0 && settings->clients.n == 0) {
        (void)snprintf(why, RT_SETTING_WHY_MAX, "neither listen.guests nor listen.clients has an endpoint");
        return RT_ECONFIG;
    }
    if (settings->max_guests + settings->max_clients > RT_AGENT_LINKS_MAX) {
        (void)snprintf(why, RT_SETTING_WHY_MAX,
                       "listen.max_guests and listen.max_clients together are %" PRIu64 ", at most %d are possible",
                       settings->max_guests + settings->max_clients, RT_AGENT_LINKS_MAX);
        return RT_ECONFIG;
    }
    if (settings->limits[RT_LIMIT_TENANT_CLIENTS] == 0) { /* as for one user or address */
        settings->limits[RT_LIMIT_TENANT_CLIENTS] = settings->max_clients - settings->max_clients / 4;
    }
    if (!settings->users.given && default_users(settings, why) != 0) {
        return RT_ECONFIG;
    }
    for (settings->access.n = 0; settings->access.n < settings->users.n; settings->access.n++) {
        size_t i = settings->access.n;

        if (rt_access_parse(&settings->access.rules[i], settings->users.item[i], &rt_access_names, why,
                            RT_SETTING_WHY_MAX) != 0) {
            return RT_ECONFIG;
        }
    }
    return check_tls(settings, why) != 0 ? RT_ECONFIG : check_store(settings, why);
}

static int take_setting(struct rt_settings *settings, size_t index, bool *fixed, const char *text,
                        char why[RT_SETTING_WHY_MAX])
{
    const struct rt_setting *setting = &rt_settings_table[index];
    char reason[RT_SETTING_WHY_MAX - 64];

    if (!fixed[index]) {
        rt_setting_clear(setting, settings);
        fixed[index] = true;
    }
    if (rt_setting_set(setting, settings, text, reason, sizeof(reason)) != 0) {
        (void)snprintf(why, RT_SETTING_WHY_MAX, "--%s: %s", setting->flag, reason);
        return RT_ECONFIG;
    }
    return 0;
}

int rt_settings_read(struct rt_settings *settings, enum rt_settings_verb *verb, int argc, char **argv,
                     char why[RT_SETTING_WHY_MAX])
{
    struct flags flags;
    struct rt_args args = {.options = flags.list, .argv = argv + (argc > 0)};
    bool fixed[SETTINGS_MAX] = {false};
    const char *path = NULL;
    enum rt_arg arg;

    *verb = RT_SETTINGS_RUN;
    make_flags(&flags);
    if (set_defaults(settings, why) != 0 || rt_passed_read(&settings->passed, why, RT_SETTING_WHY_MAX) != 0) {
        return RT_ECONFIG;
    }
    while ((arg = rt_args_next(&args, why)) != RT_ARG_OVER) {
        if (arg == RT_ARG_UNKNOWN || arg == RT_ARG_WORD) {
            (void)snprintf(why, RT_SETTING_WHY_MAX, "%.100s: %s; see retetherd --help", args.value,
                           arg == RT_ARG_WORD ? "retetherd takes flags only" : "there is no such flag");
        }
        if (arg != RT_ARG_OPTION) {
            return RT_ECONFIG;
        }
        if (args.option == &config) {
            path = args.value;
        } else if (args.option == &check) {
            *verb = RT_SETTINGS_CHECK;
        } else if (args.option == &version || args.option == &help) {
            *verb = args.option == &help ? RT_SETTINGS_HELP : RT_SETTINGS_VERSION;
            return 0;
        } else if (take_setting(settings, (size_t)(args.option - flags.settings), fixed, args.value, why) != 0) {
            return RT_ECONFIG;
        }
    }
    if ((path != NULL && rt_settings_file(settings, path, fixed, why) != 0) || take_passed(settings, why) != 0) {
        return RT_ECONFIG;
    }
    return compute(settings, why);
}

void rt_settings_help(struct rt_help *out)
{
    struct flags flags;

    make_flags(&flags);
    rt_help_text(
        out,
        "Usage: retetherd [OPTION...]\n"
        "\n"
        "The agent of one hypervisor host: guests keep their containers' streams through it, clients attach to "
        "them.\n"
        "\n",
        0, 0);
    for (size_t i = 0; flags.list[i] != NULL; i++) {
        if (i == OWN_FLAGS) {
            rt_help_text(out,
                         "\nSettings (in the file under the name in brackets; a list's flag is given once per item):\n",
                         0, 0);
        }
        rt_help_option(out, flags.list[i]);
        if (i >= OWN_FLAGS) {
            const struct rt_setting *setting = &rt_settings_table[i - OWN_FLAGS];

            rt_help_printf(out, "%*s[%s] default %s\n", RT_HELP_COLUMN, "", setting->key,
                           setting->value != NULL      ? setting->value
                           : setting->computed != NULL ? setting->computed
                                                       : "none");
        }
    }
    rt_help_text(out,
                 "\n"
                 "SIGTERM or SIGINT: record, tell the clients, close, end within 3 s; a second one: at once.\n"
                 "Exit status: 0 after a clean stop, 1 when it could not start, 2 for wrong flags or settings.\n",
                 0, 0);
}
