/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TLS_TLS_H
#define RETETHER_SESSION_TLS_TLS_H

#include "session/base/error.h"
#include "session/core/identity.h"
#include "session/transport/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* TLS 1.3 as a wire (wire.h) over a plain one, and what its wires share. Both sides always show a certificate, and each
 * is who the identity in it says (identity.h). No older version, renegotiation, compression or early data; the
 * application protocol is RT_TLS_ALPN.
 *
 * The setup of such a wire: ops rt_wire_tls; context a struct rt_tls that is loaded; expect NULL, or the URI of the
 * identity that the far end must have. The `peer` of on_ready is the URI of the one that it has.
 *
 * An end that the peer has told (close_notify) reads "closed by the peer", as on a plain wire; one that anybody on the
 * way may have made reads "cut off: ...". Both are RT_ECONN: the peer may come back. A handshake that fails says
 * "handshake: ..." and why, for people: RT_EAUTH for who the peer is, RT_EPROTO for what it speaks, RT_ELIMIT,
 * RT_ECONN. Who dials is done with the handshake before its own certificate is judged: that it was refused comes as the
 * end of the wire.
 *
 * A context `by_name` dials servers of another make, a Redis for instance. `expect` is then the host's name or its IP
 * address, which the server's certificate has to be of (RFC 6125; the subject does not count), and which on_ready tells
 * as `peer`; no application protocol is asked for, no session resumed, and a certificate shown only where there is one.
 *
 * A dialled wire that expects somebody, or guesses, resumes its newest session with that peer, if there is one: no
 * certificates are sent then, and those that were shown when it began are judged as if they had been. One that does not
 * count any more (expired, revoked, not of the CAs or the domain) costs a whole handshake; so does one with CAs in
 * between that are neither in the CA file nor behind the own certificate. */

#define RT_TLS_ALPN "retether/1"
/* Bytes that a peer may send until its handshake is done; one more ends the wire with RT_ELIMIT. */
#define RT_TLS_HANDSHAKE_MAX ((size_t)64 * 1024)
/* Bytes of a file, and certificates or CRLs in one; a file with more is refused. */
#define RT_TLS_FILE_MAX ((size_t)8 * 1024 * 1024)
#define RT_TLS_FILE_ITEMS_MAX 256
/* Bytes of a path in a directory of certificates, NUL included; a longer one is refused. */
#define RT_TLS_PATH_SIZE 1024
/* Certificates from the peer's to the one of a CA, both included; a longer chain is refused. */
#define RT_TLS_CHAIN_MAX 6

/* Seconds for which a session may be resumed: the most that RFC 8446 allows (section 4.6.1). */
#define RT_TLS_SESSION_S (7L * 24 * 3600)
/* Sessions that are kept of peers that were dialled; one more takes the place of the oldest. */
#define RT_TLS_SESSIONS_MAX 64
#define RT_TLS_TICKET_KEYS_MAX 16
/* Bytes of a host's name or address, NUL included; a longer one is refused. */
#define RT_TLS_NAME_SIZE 128

/* A key of session tickets. All agents of a cluster have the same, so any of them resumes what another began. Whoever
 * has it can be any client to them, and any of them to a client that resumes. */
struct rt_tls_ticket_key {
    uint8_t name[16]; /* not secret: by it the key of a ticket is found */
    uint8_t mac[32], cipher[32];
};

struct rt_tls_settings {
    bool by_name;          /* as above */
    const char *cert_file; /* PEM: the own certificate, then those between it and its CA; by name: or NULL */
    const char *key_file;  /* PEM: its key, without a password; others may not read the file */
    const char *ca_file;   /* PEM: CAs whose certificates count, each by itself */
    const char *crl_file;  /* PEM: a CRL of each CA of a chain, up to one of ca_file; NULL: nothing is revoked */
    const char *domain;    /* of all identities (rt_domain_valid()); NULL: that of the own certificate */
    const struct rt_tls_ticket_key *ticket_keys; /* the first seals, all open; none: what is accepted is not resumed */
    size_t n_ticket_keys;                        /* at most RT_TLS_TICKET_KEYS_MAX */
};

struct rt_tls {
    /* Owner: the functions below. */
    struct ssl_ctx_st *ctx;       /* owned; a wire keeps the one that it was opened with */
    struct bio_method_st *method; /* owned */
    uint8_t *input;               /* owned: what a read of a socket goes into, of any wire */
    bool by_name;
    char domain[RT_DOMAIN_MAX + 1]; /* by name: "" */
    struct rt_identity own;         /* whom our certificate is of, unless by name */
    bool has_crl;                   /* else nobody is revoked */
    uint64_t whole, resumed;        /* handshakes that were done, since init */
    struct rt_tls_ticket_key ticket_keys[RT_TLS_TICKET_KEYS_MAX];
    size_t n_ticket_keys;
    struct {
        struct rt_identity peer;
        struct ssl_session_st *session; /* owned */
    } sessions[RT_TLS_SESSIONS_MAX];    /* the newest last */
    size_t n_sessions;
};

/* Nothing is loaded: no wire can be opened. All wires of a context are on one loop. */
void rt_tls_init(struct rt_tls *tls);
/* Every wire must be closed before. */
void rt_tls_close(struct rt_tls *tls);

/* Reads the files anew, for the wires that are opened from now on; those that are open go on as they are, and their
 * owner may ask rt_tls_peer_revoked(). On failure
 * the context stays as it was, and `why` says "FILE: what is wrong": RT_EINVAL for the domain, RT_ENOTFOUND, RT_EIO,
 * RT_EAUTH for a key that others may read, RT_ECONFIG, RT_ENOMEM. Also refused are an own certificate that is no
 * identity or not valid now, a key of another certificate, and CRLs that are not valid now or lack one of the CAs. No
 * session from before is resumed by who dials. */
RT_MUST_CHECK int rt_tls_load(struct rt_tls *tls, const struct rt_tls_settings *settings, char *why, size_t why_size);
/* The same in two steps. The first, into a context of its own, may take place on any thread; the second cannot fail,
 * and leaves `loaded` to be closed. */
RT_MUST_CHECK int rt_tls_read(struct rt_tls *loaded, const struct rt_tls_settings *settings, char *why,
                              size_t why_size);
void rt_tls_replace(struct rt_tls *tls, struct rt_tls *loaded);

/* A directory of certificates: cert.pem, key.pem, ca.pem, and crl.pem if there is one. */
struct rt_tls_directory {
    char cert[RT_TLS_PATH_SIZE], key[RT_TLS_PATH_SIZE], ca[RT_TLS_PATH_SIZE], crl[RT_TLS_PATH_SIZE];
};

/* Its files into settings, which point into `directory` then; by name cert.pem and key.pem need not be there, both.
 * RT_EINVAL: the path is too long. */
RT_MUST_CHECK int rt_tls_directory(struct rt_tls_directory *directory, const char *path,
                                   struct rt_tls_settings *settings, char *why, size_t why_size);

/* Lets go of the session with this peer: the next handshake with it is a whole one. */
void rt_tls_forget(struct rt_tls *tls, const struct rt_identity *peer);

extern const struct rt_wire_ops rt_wire_tls;

/* Whether what is loaded now says that the far end's certificate, or one between it and its CA, is revoked. False also
 * of a wire whose handshake is not done: there it is asked at its end. Of a wire of another kind. */
bool rt_tls_peer_revoked(const struct rt_wire *wire);

#endif
