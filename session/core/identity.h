/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_IDENTITY_H
#define RETETHER_SESSION_CORE_IDENTITY_H

#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>

/* Who a peer is, by the one URI of its certificate's alternative names (SPIFFE-ID, X509-SVID section 2):
 *
 *     spiffe://DOMAIN/retether/vch/TENANT       viewer likewise
 *     spiffe://DOMAIN/retether/operator
 *     spiffe://DOMAIN/retether/agent/HOST
 *
 * Each identity has this one form: the text is compared byte by byte, nothing in it is decoded or folded. */

/* Bytes of a domain (SPIFFE-ID section 2.1), and of what stands last. */
#define RT_DOMAIN_MAX 255
#define RT_IDENTITY_NAME_MAX 64
/* Bytes, NUL included, that hold the URI of any identity. */
#define RT_IDENTITY_TEXT_MAX (RT_DOMAIN_MAX + RT_IDENTITY_NAME_MAX + 32)
/* The same for its label. */
#define RT_IDENTITY_LABEL_MAX (RT_IDENTITY_NAME_MAX + 16)

enum rt_identity_role {
    RT_IDENTITY_VCH,
    RT_IDENTITY_VIEWER,
    RT_IDENTITY_OPERATOR,
    RT_IDENTITY_AGENT,
    RT_IDENTITY_ROLES,
};

struct rt_identity {
    enum rt_identity_role role;
    char name[RT_IDENTITY_NAME_MAX + 1]; /* the tenant; of an agent the host; of an operator "" */
};

/* [a-z0-9._-]{1,255} */
bool rt_domain_valid(struct rt_slice domain);

/* The identity of who has these URIs: RT_EAUTH, and in `why` the reason for people, unless it is exactly one, of this
 * domain and of the form above, whose last part is [A-Za-z0-9][A-Za-z0-9_.-]{0,63}. */
RT_MUST_CHECK int rt_identity_parse(struct rt_identity *identity, const struct rt_slice *uris, size_t n,
                                    const char *domain, char *why, size_t why_size);

/* The domain that a URI of that form names; false: it is none. out holds RT_DOMAIN_MAX + 1. */
bool rt_identity_domain(struct rt_slice uri, char *out);

bool rt_identity_equal(const struct rt_identity *a, const struct rt_identity *b);

/* Its URI, NUL-terminated: out holds RT_IDENTITY_TEXT_MAX. */
void rt_identity_print(const struct rt_identity *identity, const char *domain, char *out);
/* "agent/esx17", for people: out holds RT_IDENTITY_LABEL_MAX. */
void rt_identity_label(const struct rt_identity *identity, char *out);

#endif
