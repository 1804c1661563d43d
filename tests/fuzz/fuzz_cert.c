/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/pki/pki.h"
#include "session/tls/verify.h"
#include "tests/fuzz/tls_world.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* Who a certificate says that somebody is. The first byte chooses: one URI; the names of a certificate as they are
 * encoded in it; a certificate of any names, CA, dates and use, through a whole handshake; the PEM files of an agent,
 * one of which is changed, exchanged or made up. */

#define NAMES_MAX 3
#define NAME_SIZE 512
#define PEM_SIZE ((size_t)65536)
#define HANDSHAKE_TURNS_MAX 40

/* ---- names ---- */

static void check_identity(int rc, const struct rt_identity *identity, const char *why, struct rt_slice uri)
{
    char text[RT_IDENTITY_TEXT_MAX];

    FUZZ_CHECK(rc == 0 || (rc == RT_EAUTH && why[0] != '\0'));
    if (rc != 0) {
        FUZZ_CHECK(identity->role == RT_IDENTITY_VCH && identity->name[0] == '\0');
        return;
    }
    FUZZ_CHECK(strchr(identity->name, '/') == NULL && identity->name[0] != '.');
    rt_identity_print(identity, TLS_DOMAIN, text);
    FUZZ_CHECK(uri.data == NULL || rt_slice_equal(rt_slice_text(text), uri));
}

static void one_uri(struct rt_slice uri)
{
    struct rt_identity identity;
    char why[RT_TLS_WHY_MAX] = "";
    int rc = rt_identity_parse(&identity, &uri, 1, TLS_DOMAIN, why, sizeof(why));

    check_identity(rc, &identity, why, uri);
}

static void add_encoded(X509 *cert, struct rt_slice names)
{
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension;

    FUZZ_CHECK(value != NULL && ASN1_OCTET_STRING_set(value, names.data, (int)names.size) == 1);
    extension = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, value);
    FUZZ_CHECK(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
}

static void encoded_names(struct rt_slice names)
{
    struct rt_identity identity;
    char why[RT_TLS_WHY_MAX] = "", domain[RT_DOMAIN_MAX + 1];
    X509 *cert = X509_new();
    int rc;

    FUZZ_CHECK(cert != NULL);
    add_encoded(cert, names);
    rc = rt_tls_identity(cert, TLS_DOMAIN, &identity, why, sizeof(why));
    check_identity(rc, &identity, why, (struct rt_slice){NULL, 0});
    rt_tls_domain(cert, domain);
    FUZZ_CHECK(domain[0] == '\0' || rt_domain_valid(rt_slice_text(domain)));
    FUZZ_CHECK(rc != 0 || strcmp(domain, TLS_DOMAIN) == 0);
    X509_free(cert);
    ERR_clear_error();
}

/* ---- a certificate ---- */

struct made {
    X509 *cert;  /* owned */
    bool counts; /* it is one of an honest client */
    bool known;  /* or not: its names are bytes of the fuzzer's own, counts says nothing of them */
    char uri[NAME_SIZE];
};

/* The rule of session/core/identity.h once more, from its words. */
static bool is_identity(const char *uri)
{
    static const char prefix[] = "spiffe://" TLS_DOMAIN "/retether/";
    static const struct {
        const char *word;
        size_t max;
    } roles[] = {{"vch/", RT_TENANT_MAX}, {"viewer/", RT_TENANT_MAX}, {"agent/", RT_HOST_MAX}};
    const char *role = uri + sizeof(prefix) - 1;

    if (strncmp(uri, prefix, sizeof(prefix) - 1) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        size_t size = strlen(roles[i].word);
        if (strncmp(role, roles[i].word, size) == 0) {
            return strlen(role + size) <= roles[i].max && rt_cid_valid(rt_slice_text(role + size));
        }
    }
    return strcmp(role, "operator") == 0;
}

/* A name out of pieces. Returns its size; it may hold NULs. */
static size_t make_name(struct fuzz_in *in, char name[NAME_SIZE])
{
    static const char *const pieces[] = {TLS_CLIENT, "spiffe://", TLS_DOMAIN, "/retether/", "vch/",      "viewer/",
                                         "operator", "agent/",    "acme",     "/",          "SPIFFE://", ".."};
    uint8_t what = fuzz_byte(in);
    size_t size = 0;

    if (what == 0) {
        return strlen(strcpy(name, TLS_CLIENT));
    }
    for (unsigned n = what % 8; n > 0; n--) {
        uint8_t which = fuzz_byte(in);
        struct rt_slice piece = which < 240 ? rt_slice_text(pieces[which % 12]) : fuzz_bytes(in);
        if (piece.size > 0 && piece.size < NAME_SIZE - 1 - size) {
            memcpy(name + size, piece.data, piece.size);
            size += piece.size;
        }
    }
    name[size] = '\0';
    return size;
}

/* Up to three names, one of which may be a URI that counts. */
static void add_names(struct fuzz_in *in, struct made *made)
{
    static const int kinds[] = {GEN_URI, GEN_DNS, GEN_EMAIL, GEN_URI};
    unsigned n = 1 + fuzz_byte(in) % NAMES_MAX, uris = 0;
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool good = false;

    for (; n > 0; n--) {
        int kind = kinds[fuzz_byte(in) % 4];
        char text[NAME_SIZE];
        size_t size = make_name(in, text);
        ASN1_IA5STRING *string = ASN1_IA5STRING_new();
        GENERAL_NAME *name = GENERAL_NAME_new();
        FUZZ_CHECK(string != NULL && name != NULL && ASN1_STRING_set(string, text, (int)size) == 1);
        GENERAL_NAME_set0_value(name, kind, string);
        FUZZ_CHECK(sk_GENERAL_NAME_push(names, name) > 0);
        if (kind == GEN_URI) {
            uris++;
            good = strlen(text) == size && is_identity(text);
            memcpy(made->uri, text, size + 1);
        }
    }
    FUZZ_CHECK(X509_add1_ext_i2d(made->cert, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND) == 1);
    GENERAL_NAMES_free(names);
    made->counts = made->counts && uris == 1 && good;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    FUZZ_CHECK(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

/* Which of these it is, and whether such a one counts. */
static void make_use(struct fuzz_in *in, struct made *made)
{
    static const struct {
        const char *usage;
        bool counts;
    } uses[] = {{NULL, true},
                {"clientAuth", true},
                {"serverAuth", false},
                {"clientAuth,serverAuth", true},
                {"emailProtection", false}};
    uint8_t use = fuzz_byte(in) % 5;

    if (uses[use].usage != NULL) {
        add_extension(made->cert, NID_ext_key_usage, uses[use].usage);
    }
    made->counts = made->counts && uses[use].counts;
}

static void make_dates(struct fuzz_in *in, struct made *made)
{
    static const long from_s[] = {-60, -7200, 3600}, until_s[] = {36000, -3600, 7200};
    uint8_t dates = fuzz_byte(in) % 3;

    FUZZ_CHECK(X509_gmtime_adj(X509_getm_notBefore(made->cert), from_s[dates]) != NULL);
    FUZZ_CHECK(X509_gmtime_adj(X509_getm_notAfter(made->cert), until_s[dates]) != NULL);
    made->counts = made->counts && dates == 0;
}

/* By the CA, by one of the same name, or by the key that it is of. */
static void sign(struct fuzz_in *in, struct made *made, EVP_PKEY *key)
{
    uint8_t by = fuzz_byte(in) % 3;
    const struct certs_ca *ca = by == 1 ? &tls_world.other : &tls_world.ca;

    FUZZ_CHECK(X509_set_issuer_name(made->cert, X509_get_subject_name(ca->cert)) == 1);
    FUZZ_CHECK(X509_sign(made->cert, by == 2 ? key : ca->key, EVP_sha256()) > 0);
    made->counts = made->counts && by == 0;
}

static void make(struct fuzz_in *in, struct made *made)
{
    EVP_PKEY *key = SSL_CTX_get0_privatekey(tls_world.client);
    uint8_t what = fuzz_byte(in);
    long serial = what & 4 ? TLS_REVOKED : 2;

    *made = (struct made){.cert = X509_new(), .counts = serial != TLS_REVOKED, .known = (what & 3) != 1};
    FUZZ_CHECK(made->cert != NULL && X509_set_version(made->cert, 2) == 1 && X509_set_pubkey(made->cert, key) == 1);
    FUZZ_CHECK(ASN1_INTEGER_set(X509_get_serialNumber(made->cert), serial) == 1);
    make_dates(in, made);
    make_use(in, made);
    if ((what & 3) == 1) {
        add_encoded(made->cert, fuzz_bytes(in));
    } else if ((what & 3) == 3) {
        made->counts = false; /* it names nobody */
    } else {
        add_names(in, made);
        if ((what & 3) == 2) { /* two extensions of the kind */
            add_names(in, made);
            made->counts = false;
        }
    }
    sign(in, made, key);
}

static bool shake(X509 *cert, struct tls_end *end)
{
    BIO *to = BIO_new(BIO_s_mem()), *from = BIO_new(BIO_s_mem());
    SSL *ssl = SSL_new(tls_world.client);
    int fd = tls_end_open(end, RT_WIRE_ACCEPTED, NULL);

    FUZZ_CHECK(to != NULL && from != NULL && ssl != NULL && SSL_use_certificate(ssl, cert) == 1);
    FUZZ_CHECK(SSL_use_PrivateKey(ssl, SSL_CTX_get0_privatekey(tls_world.client)) == 1);
    BIO_set_nbio(to, 1);
    SSL_set_bio(ssl, to, from);
    SSL_set_connect_state(ssl);
    for (int i = 0; i < HANDSHAKE_TURNS_MAX && !end->ready && !end->closed; i++) {
        uint8_t bytes[16384];
        ssize_t got = read(fd, bytes, sizeof(bytes));
        int n;
        if (got > 0) {
            FUZZ_CHECK(BIO_write(to, bytes, (int)got) == (int)got);
        }
        (void)SSL_do_handshake(ssl);
        n = BIO_read(from, bytes, sizeof(bytes));
        if (n > 0) {
            tls_deliver(&(struct fuzz_in){NULL, 0}, fd, bytes, (size_t)n);
        }
        (void)uv_run(&tls_world.loop, UV_RUN_NOWAIT);
    }
    FUZZ_CHECK(end->ready || end->closed); /* it is decided */
    tls_end_close(end, fd);
    SSL_free(ssl);
    ERR_clear_error();
    return end->ready;
}

static void certificate(struct fuzz_in *in)
{
    static const struct rt_identity agent = {.role = RT_IDENTITY_AGENT, .name = "esx17"};
    struct rt_tls_peer peer = {.tls = &tls_world.tls};
    struct rt_identity identity;
    struct tls_end end;
    struct made made;
    bool ready, again;

    make(in, &made);
    ready = shake(made.cert, &end);
    FUZZ_CHECK(!made.known || ready == made.counts);
    FUZZ_CHECK(!ready || (is_identity(end.peer) && (!made.known || strcmp(end.peer, made.uri) == 0)));
    /* The same when a session is resumed that began with it. */
    again = rt_tls_still_counts(&peer, tls_world.tls.ctx, made.cert, "ssl_client");
    FUZZ_CHECK(again == ready);
    /* To who expects an agent it is one only if it is that agent's. */
    peer.expects = RT_TLS_NOBODY_ELSE;
    peer.expect = agent;
    if (rt_tls_check_peer(&peer, made.cert, &identity) == 0) {
        FUZZ_CHECK(rt_identity_equal(&identity, &agent) && (!made.known || strcmp(made.uri, TLS_AGENT) == 0));
    }
    X509_free(made.cert);
    ERR_clear_error();
}

/* ---- files ---- */

/* Some bytes of a DER or a text are others, or are not there. Returns its size. */
static size_t edit(struct fuzz_in *in, uint8_t *bytes, size_t size)
{
    for (unsigned n = 1 + fuzz_byte(in) % 4; n > 0 && size > 1; n--) {
        size_t at = (size_t)fuzz_number(in) % size;
        uint8_t how = fuzz_byte(in);
        if (how == 0) {
            memmove(bytes + at, bytes + at + 1, --size - at);
        } else {
            bytes[at] = (uint8_t)(bytes[at] + how);
        }
    }
    return size;
}

static size_t add_text(char out[PEM_SIZE], size_t at, const void *data, size_t size)
{
    size = size < PEM_SIZE - at ? size : PEM_SIZE - at;
    if (size > 0) {
        memcpy(out + at, data, size);
    }
    return at + size;
}

/* What the first block of a file holds is changed, and encoded again. */
static size_t edited_der(struct fuzz_in *in, enum tls_file which, char out[PEM_SIZE])
{
    BIO *text = BIO_new_mem_buf(tls_world.file[which], (int)tls_world.file_size[which]), *made = BIO_new(BIO_s_mem());
    char *name = NULL, *header = NULL, *data;
    unsigned char *der = NULL;
    long size = 0;
    size_t used;
    long made_size;

    FUZZ_CHECK(text != NULL && made != NULL && PEM_read_bio(text, &name, &header, &der, &size) == 1);
    size = (long)edit(in, der, (size_t)size);
    FUZZ_CHECK(PEM_write_bio(made, name, "", der, size) > 0);
    made_size = BIO_get_mem_data(made, &data);
    used = add_text(out, 0, data, (size_t)made_size);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    BIO_free(text);
    BIO_free(made);
    return used;
}

static size_t make_file(struct fuzz_in *in, enum tls_file which, char out[PEM_SIZE])
{
    size_t used = add_text(out, 0, tls_world.file[which], tls_world.file_size[which]);
    struct rt_slice raw;

    switch (fuzz_byte(in) % 5) {
    case 1:
        return edited_der(in, which, out);
    case 2:
        return edit(in, (uint8_t *)out, used);
    case 3: /* several files in one */
        used = 0;
        for (unsigned n = fuzz_byte(in) % 8; n > 0; n--) {
            uint8_t other = fuzz_byte(in) % TLS_FILES;
            used = add_text(out, used, tls_world.file[other], tls_world.file_size[other]);
        }
        return used;
    case 4:
        raw = fuzz_bytes(in);
        return add_text(out, 0, raw.data, raw.size);
    default:
        return used;
    }
}

/* One of the files of the folder. */
static void put_file(enum tls_file which, const void *data, size_t size)
{
    static const char *const names[TLS_CRL + 1] = {"cert.pem", "key.pem", "ca.pem", "crl.pem"};
    static int fds[TLS_CRL + 1];
    char path[128];

    if (fds[which] == 0) {
        (void)snprintf(path, sizeof(path), "%s/%s", fuzz_folder(), names[which]);
        fds[which] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    }
    FUZZ_CHECK(ftruncate(fds[which], 0) == 0 && pwrite(fds[which], data, size, 0) == (ssize_t)size);
}

static void put_honest_files(void)
{
    for (unsigned i = 0; i <= TLS_CRL; i++) {
        put_file((enum tls_file)i, tls_world.file[i], tls_world.file_size[i]);
    }
}

/* What `retether pki show` says of them. */
static void look(void)
{
    static struct pki_view view;
    char why[PKI_WHY_MAX] = "";

    if (pki_look(fuzz_folder(), (uint64_t)time(NULL) * 1000, &view, why) != 0) {
        FUZZ_CHECK(why[0] != '\0');
        return;
    }
    FUZZ_CHECK(view.n_problems <= PKI_PROBLEMS_MAX);
    FUZZ_CHECK(strpbrk(view.identity, "\033\n\r") == NULL && strpbrk(view.subject, "\033\n\r") == NULL);
    FUZZ_CHECK(strpbrk(view.issuer, "\033\n\r") == NULL && strlen(view.role) < sizeof(view.role));
    for (size_t i = 0; i < view.n_problems; i++) {
        FUZZ_CHECK(view.problem[i][0] != '\0' && strchr(view.problem[i], '\033') == NULL);
    }
}

static void files(struct fuzz_in *in)
{
    static char out[PEM_SIZE];
    enum tls_file which = (enum tls_file)(fuzz_byte(in) % (TLS_CRL + 1));
    uint8_t how = fuzz_byte(in);
    const struct ssl_ctx_st *before = tls_world.tls.ctx;
    struct rt_tls_settings settings = {.domain = how & 2 ? NULL : TLS_DOMAIN};
    struct rt_tls_directory directory;
    char why[256] = "";
    int rc;

    put_honest_files();
    put_file(which, out, make_file(in, which, out));
    FUZZ_CHECK(rt_tls_directory(&directory, fuzz_folder(), &settings, why, sizeof(why)) == 0);
    settings.crl_file = how & 1 ? NULL : settings.crl_file;
    rc = rt_tls_load(&tls_world.tls, &settings, why, sizeof(why));
    FUZZ_CHECK(memchr(why, '\0', sizeof(why)) != NULL && ERR_peek_error() == 0);
    look();
    if (rc != 0) { /* all or nothing, and it says which file is wrong */
        FUZZ_CHECK(rc == RT_ECONFIG && tls_world.tls.ctx == before);
        FUZZ_CHECK(strncmp(why, fuzz_folder(), strlen(fuzz_folder())) == 0);
        return;
    }
    FUZZ_CHECK(rt_domain_valid(rt_slice_text(tls_world.tls.domain)));
    put_honest_files(); /* so that no input depends on the one before it */
    settings.crl_file = directory.crl;
    settings.domain = TLS_DOMAIN;
    FUZZ_CHECK(rt_tls_load(&tls_world.tls, &settings, why, sizeof(why)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t choice = fuzz_byte(&in) % 4;

    if (tls_world.client == NULL) {
        tls_world_init();
    }
    switch (choice) {
    case 0:
        certificate(&in);
        break;
    case 1:
        files(&in);
        break;
    case 2:
        encoded_names((struct rt_slice){in.data, in.size});
        break;
    default:
        one_uri((struct rt_slice){in.data, in.size});
        break;
    }
    return 0;
}
