/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"

#include "migrate/seal/crypto.h"

#include <stdio.h>
#include <string.h>

/* By what an agent is trusted and trusts: the key ring of the cluster, the certificates of the wire to clients, and
 * those of the wire to the store. They are read at the start, and anew with SIGHUP: then together, and what is not
 * right in one changes none. */

#define TICKET_LABEL "retether tls session ticket v1"

_Static_assert(RT_KEYRING_MAX <= RT_TLS_TICKET_KEYS_MAX, "each key of a ring has its key of session tickets");

static int fail(struct rt_shell *shell, const char *why, const char *more)
{
    rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_DISK, "keys", "%s%s", why, more);
    return RT_EIO;
}

/* The key of session tickets that belongs to a key of the ring. */
static int derive(struct rt_tls_ticket_key *key, const uint8_t *secret)
{
    uint8_t bytes[sizeof(key->name) + sizeof(key->mac) + sizeof(key->cipher)];
    int rc = rt_crypto_derive(secret, TICKET_LABEL, bytes, sizeof(bytes));

    if (rc == 0) {
        memcpy(key->name, bytes, sizeof(key->name));
        memcpy(key->mac, bytes + sizeof(key->name), sizeof(key->mac));
        memcpy(key->cipher, bytes + sizeof(key->name) + sizeof(key->mac), sizeof(key->cipher));
    }
    rt_crypto_wipe(bytes, sizeof(bytes));
    return rc;
}

/* Those of the whole ring, the active key's first: any agent of the cluster has the same. */
static int derive_all(const struct rt_keyring *ring, struct rt_tls_ticket_key *keys)
{
    size_t n = 1;
    int rc = 0;

    for (size_t i = 0; i < ring->n_keys && rc == 0; i++) {
        rc = derive(ring->keys[i].id == ring->active ? &keys[0] : &keys[n++], ring->keys[i].secret);
    }
    return rc;
}

/* An agent is known by the name that its clients were told. */
static int check_own(const struct rt_settings *settings, const struct rt_tls *tls, char *why, size_t why_size)
{
    char label[RT_IDENTITY_LABEL_MAX];

    if (tls->own.role == RT_IDENTITY_AGENT && strcmp(tls->own.name, settings->host_name) == 0) {
        return 0;
    }
    rt_identity_label(&tls->own, label);
    return rt_fail(RT_ECONFIG, why, why_size,
                   "%s/cert.pem: the certificate is of %s, and this agent is agent/%s: have one made for it, as "
                   "\"retether pki issue agent %s\" does, or set host.name",
                   settings->tls, label, settings->host_name, settings->host_name);
}

/* The certificates, into a context of their own. */
static int read_tls(struct rt_tls *tls, const struct rt_settings *settings, const struct rt_keyring *ring, char *why,
                    size_t why_size)
{
    struct rt_tls_directory directory;
    struct rt_tls_ticket_key keys[RT_TLS_TICKET_KEYS_MAX];
    struct rt_tls_settings files = {.ticket_keys = keys, .n_ticket_keys = ring->n_keys};
    int rc = rt_tls_directory(&directory, settings->tls, &files, why, why_size);

    if (rc == 0 && (rc = derive_all(ring, keys)) != 0) {
        (void)snprintf(why, why_size, "the keys of session tickets: %s", rt_strerror(rc));
    }
    if (rc == 0) {
        rc = rt_tls_read(tls, &files, why, why_size);
    }
    rt_crypto_wipe(keys, sizeof(keys));
    return rc == 0 ? check_own(settings, tls, why, why_size) : rc;
}

/* The same of the store's. */
static int read_store_tls(struct rt_tls *tls, const struct rt_settings *settings, char *why, size_t why_size)
{
    struct rt_tls_directory directory;
    struct rt_tls_settings files = {.by_name = true};
    int rc = rt_tls_directory(&directory, settings->store_tls, &files, why, why_size);

    return rc == 0 ? rt_tls_read(tls, &files, why, why_size) : rc;
}

/* rc: of reading the ring. */
static int read_rest(struct rt_shell_trust *trust, const struct rt_settings *settings, int rc)
{
    if (rc != 0) {
        (void)snprintf(trust->why, sizeof(trust->why), "%s", trust->ring.why);
    } else if (settings->tls[0] != '\0') {
        rc = read_tls(&trust->tls, settings, &trust->ring, trust->why, sizeof(trust->why));
    }
    if (rc == 0 && settings->store_tls[0] != '\0') {
        rc = read_store_tls(&trust->store_tls, settings, trust->why, sizeof(trust->why));
    }
    return rc;
}

static void init(struct rt_shell_trust *trust)
{
    rt_keyring_init(&trust->ring);
    rt_tls_init(&trust->tls);
    rt_tls_init(&trust->store_tls);
}

/* A file that is away for a moment, or was forgotten, must not let in whom it named. Who wants to do without says so by
 * starting the agent anew. */
static int check_crl(const struct rt_tls *used, const struct rt_tls *fresh, const char *path, char *why,
                     size_t why_size)
{
    if (!used->has_crl || fresh->has_crl) {
        return 0;
    }
    return rt_fail(RT_ECONFIG, why, why_size,
                   "%s/crl.pem is gone, and without it nobody is revoked: put one there, or start the agent anew to do "
                   "without",
                   path);
}

static const char *without_crl(const struct rt_shell *shell)
{
    return shell->settings.tls[0] == '\0' || shell->tls.has_crl ? "" : ", without crl.pem: nobody is revoked";
}

/* What was read counts from now on. */
static void take(struct rt_shell *shell, struct rt_shell_trust *trust)
{
    shell->ring = trust->ring;
    if (trust->tls.ctx != NULL) {
        rt_tls_replace(&shell->tls, &trust->tls);
    }
    if (trust->store_tls.ctx != NULL) {
        rt_tls_replace(&shell->store_tls, &trust->store_tls);
    }
}

static void close_trust(struct rt_shell_trust *trust)
{
    rt_keyring_close(&trust->ring);
    rt_tls_close(&trust->tls);
    rt_tls_close(&trust->store_tls);
}

static int load_keys(struct rt_shell *shell, struct rt_keyring *ring)
{
    const char *path = shell->settings.keys;
    int rc = rt_keyring_load(ring, path);

    if (rc == RT_ENOTFOUND) {
        rc = rt_keyring_create(ring, path);
        if (rc == RT_EEXIST) { /* another agent of this host was quicker */
            rc = rt_keyring_load(ring, path);
        } else if (rc == 0) {
            rt_shell_note(shell, RT_LOG_WARN, RT_LOG_DISK, "keys", "%s made: agents of other hosts need a copy of it",
                          path);
        }
    }
    return rc;
}

int rt_shell_open_trust(struct rt_shell *shell)
{
    struct rt_shell_trust *trust = &shell->trust.next;
    int rc;

    init(trust);
    rc = read_rest(trust, &shell->settings, load_keys(shell, &trust->ring));
    if (rc == 0) {
        take(shell, trust);
        if (without_crl(shell)[0] != '\0') {
            rt_shell_note(shell, RT_LOG_INFO, RT_LOG_DISK, "keys", "certificates of %s%s", shell->settings.tls,
                          without_crl(shell));
        }
    } else {
        rc = fail(shell, trust->why, "");
    }
    close_trust(trust);
    return rc;
}

/* On a thread of libuv's pool: a disk may hang. */
static void read_cb(uv_work_t *work)
{
    struct rt_shell *shell = work->data;
    struct rt_shell_trust *next = &shell->trust.next;

    shell->trust.error = read_rest(next, &shell->settings, rt_keyring_load(&next->ring, shell->settings.keys));
}

static void done_cb(uv_work_t *work, int status)
{
    struct rt_shell *shell = work->data;
    struct rt_shell_trust *next = &shell->trust.next;
    bool another = shell->ring.active != next->ring.active, again;
    unsigned revoked;

    (void)status; /* nothing is cancelled */
    if (shell->trust.error == 0) {
        shell->trust.error = check_crl(&shell->tls, &next->tls, shell->settings.tls, next->why, sizeof(next->why));
    }
    if (shell->trust.error == 0) {
        shell->trust.error =
            check_crl(&shell->store_tls, &next->store_tls, shell->settings.store_tls, next->why, sizeof(next->why));
    }
    if (shell->trust.error != 0) {
        (void)fail(shell, next->why, "; what was read before stays in use");
    } else {
        take(shell, next);
        rt_shell_note(shell, RT_LOG_INFO, RT_LOG_DISK, "keys", "%s read: %zu keys, key %u seals%s%s%s%s%s",
                      shell->settings.keys, shell->ring.n_keys, (unsigned)shell->ring.active,
                      shell->settings.tls[0] == '\0' ? "" : "; certificates of ", shell->settings.tls,
                      without_crl(shell),
                      shell->settings.store_tls[0] == '\0' ? "" : "; of the store: ", shell->settings.store_tls);
        if ((revoked = rt_shell_close_revoked(shell)) > 0) {
            rt_shell_note(shell, RT_LOG_WARN, RT_LOG_DISK, "keys",
                          "connections whose certificate has been revoked are ended: %u", revoked);
        }
        if (another && shell->phase == RT_SHELL_RUNNING) {
            rt_agent_rekeyed(shell->agent, rt_shell_now(shell));
            rt_shell_settle(shell);
        }
    }
    close_trust(next);
    again = shell->trust.phase == RT_TRUST_AGAIN;
    shell->trust.phase = RT_TRUST_IDLE;
    if (again) {
        rt_shell_reload_trust(shell);
    } else {
        rt_notify_say(&shell->notify, "READY=1");
    }
    rt_shell_progress(shell);
}

void rt_shell_reload_trust(struct rt_shell *shell)
{
    if (shell->trust.phase != RT_TRUST_IDLE) {
        shell->trust.phase = RT_TRUST_AGAIN; /* a file may have been written since it was opened */
        return;
    }
    init(&shell->trust.next);
    shell->trust.work.data = shell;
    if (uv_queue_work(&shell->loop, &shell->trust.work, read_cb, done_cb) == 0) {
        shell->trust.phase = RT_TRUST_READING;
        rt_notify_reloading(&shell->notify);
    }
}
