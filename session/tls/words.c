/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/tls/words.h"

#include "session/tls/tls.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#define NO_TLS13 "the peer speaks no TLS 1.3"
#define NO_TLS "the peer speaks no TLS"
#define NO_ALPN "the peer does not speak " RT_TLS_ALPN
#define UNKNOWN_CA "is of an unknown CA"
#define NOT_ACCEPTED "the peer does not accept our certificate"

/* Reasons of libssl that people should not have to look up; an ALERT is what the peer says of us. */
static const struct {
    int reason, code;
    const char *text;
} reasons[] = {
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, RT_EAUTH, "the peer has shown no certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, RT_EAUTH, "the peer says that our certificate has expired"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, RT_EAUTH, "the peer says that our certificate is revoked"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, RT_EAUTH, "the peer does not know the CA of our certificate"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, RT_EAUTH, "the peer wants a certificate"},
    {SSL_R_SSLV3_ALERT_NO_CERTIFICATE, RT_EAUTH, "the peer wants a certificate"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, RT_EAUTH, NOT_ACCEPTED},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, RT_EAUTH, NOT_ACCEPTED},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, RT_EAUTH, NOT_ACCEPTED},
    {SSL_R_TLSV1_ALERT_ACCESS_DENIED, RT_EAUTH, NOT_ACCEPTED},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, RT_EPROTO, NO_TLS13},
    {SSL_R_UNSUPPORTED_PROTOCOL, RT_EPROTO, NO_TLS13},
    {SSL_R_WRONG_SSL_VERSION, RT_EPROTO, NO_TLS13},
    {SSL_R_VERSION_TOO_LOW, RT_EPROTO, NO_TLS13},
    {SSL_R_WRONG_VERSION_NUMBER, RT_EPROTO, NO_TLS},
    {SSL_R_HTTP_REQUEST, RT_EPROTO, NO_TLS},
    {SSL_R_HTTPS_PROXY_REQUEST, RT_EPROTO, NO_TLS},
    {SSL_R_BAD_RECORD_TYPE, RT_EPROTO, NO_TLS},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, RT_EPROTO, NO_ALPN},
    {SSL_R_NO_APPLICATION_PROTOCOL, RT_EPROTO, NO_ALPN},
};

/* The same for a certificate; behind "the peer's certificate ". */
static const struct {
    int error;
    const char *text;
} verdicts[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED, "has expired"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "is not valid yet"},
    {X509_V_ERR_CERT_REVOKED, "is revoked"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, UNKNOWN_CA},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, UNKNOWN_CA},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, UNKNOWN_CA},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, UNKNOWN_CA},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, UNKNOWN_CA},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, "is not signed by the CA that it names"},
    {X509_V_ERR_UNABLE_TO_GET_CRL, "is of a CA whose CRL is not there"},
    {X509_V_ERR_CRL_HAS_EXPIRED, "is of a CA whose CRL has expired"},
    {X509_V_ERR_CRL_NOT_YET_VALID, "is of a CA whose CRL is not valid yet"},
    {X509_V_ERR_INVALID_PURPOSE, "is not for this use"},
};

int rt_tls_failure(char *why, size_t why_size)
{
    unsigned long error = ERR_peek_last_error();
    int reason = ERR_GET_REASON(error);
    const char *text = ERR_reason_error_string(error);

    ERR_clear_error();
    if (reason == ERR_R_MALLOC_FAILURE) {
        return rt_fail(RT_ENOMEM, why, why_size, "%s", rt_strerror(RT_ENOMEM));
    }
    for (size_t i = 0; ERR_GET_LIB(error) == ERR_LIB_SSL && i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].reason == reason) {
            return rt_fail(reasons[i].code, why, why_size, "%s", reasons[i].text);
        }
    }
    return rt_fail(RT_EPROTO, why, why_size, "%s", text == NULL ? "TLS failed" : text);
}

void rt_tls_distrust(int error, int depth, char *why, size_t why_size)
{
    const char *text = NULL, *whose = "the peer's certificate";

    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]) && text == NULL; i++) {
        text = verdicts[i].error == error ? verdicts[i].text : NULL;
    }
    if (depth > 0 && (text == NULL || strcmp(text, UNKNOWN_CA) != 0)) {
        whose = "a CA's certificate, on the way to the peer's,";
    }
    (void)snprintf(why, why_size, "%s %s%s", whose, text == NULL ? "does not count: " : text,
                   text == NULL ? X509_verify_cert_error_string(error) : "");
}
