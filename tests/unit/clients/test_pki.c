/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* retether pki, with openssl(1) as the judge of what it makes. */

#define OUT_MAX 16384

struct lab {
    struct program *p;
    char before[256]; /* the working directory */
    char path[64];    /* a new one, in which all of it happens */
    char out[OUT_MAX];
};

static int setup(void **state)
{
    struct lab *lab = calloc(1, sizeof(*lab));
    void *program;

    assert_non_null(lab);
    assert_int_equal(program_setup(&program), 0);
    lab->p = program;
    snprintf(lab->path, sizeof(lab->path), "/tmp/retether-pki-XXXXXX");
    assert_non_null(getcwd(lab->before, sizeof(lab->before)));
    assert_non_null(mkdtemp(lab->path));
    assert_int_equal(chdir(lab->path), 0);
    (void)umask(022);
    *state = lab;
    return 0;
}

/* Runs a shell's line; returns its exit status. lab->out is what it wrote on both outputs. */
__attribute__((format(printf, 2, 3))) static int shell(struct lab *lab, const char *format, ...)
{
    char line[1024], command[1024 + 16];
    va_list args;
    FILE *file;
    size_t size;
    int status;

    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    (void)snprintf(command, sizeof(command), "{ %s; } 2>&1", line);
    file = popen(command, "re"); /* NOLINT(cert-env33-c): lines of this file */
    assert_non_null(file);
    size = fread(lab->out, 1, sizeof(lab->out) - 1, file);
    lab->out[size] = '\0';
    status = pclose(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int teardown(void **state)
{
    struct lab *lab = *state;
    void *program = lab->p;
    int rc = chdir(lab->before);

    (void)shell(lab, "rm -rf %s", lab->path);
    rc |= program_teardown(&program);
    free(lab);
    return rc;
}

#define RUN(status, ...)                                                                                               \
    do {                                                                                                               \
        char line[512];                                                                                                \
        snprintf(line, sizeof(line), "pki " __VA_ARGS__);                                                              \
        program_run(lab->p, line, status);                                                                             \
    } while (0)
#define SHELL(status, ...)                                                                                             \
    do {                                                                                                               \
        int got = shell(lab, __VA_ARGS__);                                                                             \
        if (got != (status)) {                                                                                         \
            fail_msg("line %d: exit status %d: %s", __LINE__, got, lab->out);                                          \
        }                                                                                                              \
    } while (0)
#define PRINTED(part)                                                                                                  \
    do {                                                                                                               \
        if (strstr(lab->p->text[0].data, part) == NULL) {                                                              \
            fail_msg("line %d: \"%s\" is not in %s", __LINE__, part, lab->p->text[0].data);                            \
        }                                                                                                              \
    } while (0)
#define HAS(part)                                                                                                      \
    do {                                                                                                               \
        if (strstr(lab->out, part) == NULL) {                                                                          \
            fail_msg("line %d: \"%s\" is not in %s", __LINE__, part, lab->out);                                        \
        }                                                                                                              \
    } while (0)

static mode_t mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void test_authority(void **state)
{
    struct lab *lab = *state;

    RUN(0, "init ca --domain lab.example");
    PRINTED("made a CA for lab.example in ca");
    assert_int_equal(mode_of("ca/ca-key.pem"), 0600);
    assert_int_equal(mode_of("ca"), 0700);
    SHELL(0, "openssl verify -x509_strict -check_ss_sig -CAfile ca/ca.pem ca/ca.pem");
    SHELL(0, "openssl x509 -in ca/ca.pem -noout -text");
    HAS("CA:TRUE, pathlen:0\n");
    HAS("X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n");
    HAS("NIST CURVE: P-256");
    HAS("ecdsa-with-SHA256");
    HAS("URI:spiffe://lab.example\n");
    SHELL(0, "openssl pkey -in ca/ca-key.pem -noout -text");
    /* It is never written over, and a try leaves nothing behind. */
    SHELL(0, "sha256sum ca/* > before");
    RUN(125, "init ca --domain lab.example");
    program_has(lab->p, "is there already, and not empty");
    SHELL(0, "sha256sum -c before");
    SHELL(0, "test $(ls | wc -l) = 2");
    RUN(0, "show ca");
    PRINTED("role      ca\n");
}

/* What openssl(1) says of the certificate in a directory. */
static void check_cert(struct lab *lab, const char *dir, const char *uri, bool server)
{
    SHELL(0, "openssl verify -x509_strict -CAfile ca/ca.pem -purpose sslclient %s/cert.pem", dir);
    SHELL(server ? 0 : 2, "openssl verify -x509_strict -CAfile ca/ca.pem -purpose sslserver %s/cert.pem", dir);
    SHELL(0, "openssl x509 -in %s/cert.pem -noout -ext subjectAltName", dir);
    HAS(uri);
    SHELL(0, "openssl x509 -in %s/cert.pem -noout -text", dir);
    HAS("CA:FALSE");
    HAS("X509v3 Key Usage: critical\n                Digital Signature\n");
    HAS("NIST CURVE: P-256");
    SHELL(0, "test $(openssl x509 -in %s/cert.pem -noout -text | grep -c URI:) = 1", dir);
    SHELL(0, "openssl x509 -in %s/cert.pem -noout -serial | grep -Ex 'serial=[0-9A-F]{32}'", dir);
    SHELL(0, "test \"$(openssl x509 -in %s/cert.pem -noout -pubkey)\" = \"$(openssl pkey -in %s/key.pem -pubout)\"",
          dir, dir);
    SHELL(0, "openssl x509 -in %s/cert.pem -noout -checkend %d", dir, 90 * 86400 - 600);
    SHELL(1, "openssl x509 -in %s/cert.pem -noout -checkend %d", dir, 90 * 86400 + 600);
    SHELL(0, "cmp ca/ca.pem %s/ca.pem", dir);
}

static void test_issue(void **state)
{
    struct lab *lab = *state;

    RUN(0, "init ca --domain lab.example");
    RUN(0, "issue ca agent esx17.lab");
    assert_string_equal(lab->p->text[0].data, "ca/agent-esx17.lab\n");
    check_cert(lab, "ca/agent-esx17.lab", "URI:spiffe://lab.example/retether/agent/esx17.lab\n", true);
    RUN(0, "issue ca vch blue --out blue/");
    check_cert(lab, "blue", "URI:spiffe://lab.example/retether/vch/blue\n", false);
    RUN(0, "issue ca viewer blue --out eye");
    check_cert(lab, "eye", "URI:spiffe://lab.example/retether/viewer/blue\n", false);
    RUN(0, "issue ca operator --out op");
    check_cert(lab, "op", "URI:spiffe://lab.example/retether/operator\n", false);
    assert_int_equal(mode_of("op/key.pem"), 0600);
    assert_int_equal(mode_of("op/cert.pem"), 0644);
    RUN(0, "show op");
    RUN(0, "show --json blue");
    PRINTED(
        "\"identity\":\"spiffe://lab.example/retether/vch/blue\",\"role\":\"vch\",\"tenant\":\"blue\",\"host\":null");
    PRINTED(
        "\"days_left\":89,\"key\":\"EC P-256\",\"key_fits\":true,\"trusted\":true,\"revoked\":null,\"problems\":[]}");
}

/* A Redis: names of hosts and addresses, and nobody of the domain. */
static void test_store(void **state)
{
    static const char *const bad[] = {"", " a,", " ,a", " a,,b", " a:b", " 192.0.2.256", " fe80::1%lo"};
    struct lab *lab = *state;

    RUN(0, "init ca --domain lab.example");
    RUN(0, "issue ca store redis-1.example,192.0.2.1,2001:db8::1");
    assert_string_equal(lab->p->text[0].data, "ca/store-redis-1.example\n");
    SHELL(0, "openssl x509 -in ca/store-redis-1.example/cert.pem -noout -ext subjectAltName");
    HAS("DNS:redis-1.example, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1\n");
    SHELL(0, "openssl verify -x509_strict -CAfile ca/ca.pem -purpose sslserver -verify_hostname redis-1.example "
             "ca/store-redis-1.example/cert.pem");
    SHELL(0, "openssl verify -x509_strict -CAfile ca/ca.pem -purpose sslclient -verify_ip 192.0.2.1 "
             "ca/store-redis-1.example/cert.pem");
    RUN(0, "show --json ca/store-redis-1.example");
    PRINTED("\"identity\":null,\"role\":\"store\",\"tenant\":null,\"host\":null,"
            "\"names\":\"redis-1.example,192.0.2.1,2001:db8::1\"");
    PRINTED("\"problems\":[]");
    RUN(0, "show ca/store-redis-1.example");
    PRINTED("names     redis-1.example,192.0.2.1,2001:db8::1\n");
    SHELL(0, "sha256sum ca/store-redis-1.example/* > before");
    RUN(125, "issue ca store redis-1.example");
    program_has(lab->p, "is there already, and not empty");
    SHELL(0, "sha256sum -c before");
    /* Renewed: names are the same in any case, and addresses in any form. */
    RUN(0, "issue ca store Redis-1.EXAMPLE,192.0.2.1,2001:DB8:0::1");
    assert_string_equal(lab->p->text[0].data, "ca/store-redis-1.example\n");
    SHELL(1, "sha256sum --status -c before");
    RUN(0, "show ca/store-redis-1.example");
    PRINTED("names     redis-1.example,192.0.2.1,2001:db8::1\n");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[128];

        snprintf(line, sizeof(line), "pki issue ca store%s", bad[i]);
        program_run(lab->p, line, 125);
        program_has(lab->p, "a store has the names and IP addresses");
    }
    SHELL(0, "test $(ls ca | wc -l) = 3");
}

/* Of the same name: key and certificate change together, and keep owner and mode. Of another: nothing changes. */
static void test_renew(void **state)
{
    struct lab *lab = *state;

    RUN(0, "init ca --domain lab.example");
    RUN(0, "issue ca agent a --out a --days 13");
    RUN(2, "show a");
    program_has(lab->p, "a/cert.pem: it ends in less than 14 days: issue it anew");
    SHELL(0, "chmod 750 a && chmod 640 a/cert.pem && sha256sum a/* > before");
    RUN(0, "issue ca agent a --out a");
    SHELL(1, "sha256sum --status -c before");
    RUN(0, "show a");
    assert_int_equal(mode_of("a"), 0750);
    assert_int_equal(mode_of("a/cert.pem"), 0640);
    assert_int_equal(mode_of("a/key.pem"), 0600);
    SHELL(0, "test $(ls | wc -l) = 3; sha256sum a/* > before");
    RUN(125, "issue ca agent b --out a");
    program_has(lab->p, "/a is there already, and not empty: name another directory");
    SHELL(0, "sha256sum -c before && touch a/notes");
    RUN(125, "issue ca agent a --out a");
    program_has(lab->p, "/a has other files too (notes)");
    SHELL(0, "sha256sum -c before && test $(ls | wc -l) = 3 && test $(ls ca | wc -l) = 2");
    SHELL(0, "mkdir -m 711 empty");
    RUN(0, "issue ca agent b --out empty"); /* what the packages may have made */
    assert_int_equal(mode_of("empty"), 0711);
}

/* A program that is killed leaves the old directory or the new one. */
static void test_cut_off(void **state)
{
    struct lab *lab = *state;

    RUN(0, "init ca --domain lab.example");
    RUN(0, "issue ca agent a --out a");
    for (unsigned i = 0; i < 40; i++) {
        int status;

        program_start(lab->p, "pki issue ca agent a --out a");
        (void)usleep(200 * i);
        (void)kill(lab->p->pid, SIGKILL);
        assert_int_equal(waitpid(lab->p->pid, &status, 0), lab->p->pid);
        lab->p->pid = 0;
        RUN(0, "show a");
    }
}

static void test_revoke(void **state)
{
    struct lab *lab = *state;

    RUN(0, "init ca --domain lab.example");
    RUN(0, "issue ca vch a --out a");
    RUN(0, "issue ca vch b --out b");
    RUN(0, "revoke ca a");
    PRINTED("revoked ");
    SHELL(0, "openssl crl -in ca/crl.pem -CAfile ca/ca.pem -noout -text");
    HAS("verify OK");
    HAS("Version 2");
    HAS("X509v3 CRL Number: \n                1\n");
    HAS("Next Update: ");
    SHELL(2, "openssl verify -x509_strict -crl_check -CRLfile ca/crl.pem -CAfile ca/ca.pem a/cert.pem");
    HAS("certificate revoked");
    SHELL(0, "openssl verify -x509_strict -crl_check -CRLfile ca/crl.pem -CAfile ca/ca.pem b/cert.pem");
    SHELL(0, "cp ca/crl.pem a && sha256sum ca/crl.pem > before");
    RUN(1, "show --json a");
    PRINTED("\"revoked\":true,\"problems\":[\"it is revoked: crl.pem has its serial number\"]}");
    RUN(0, "issue ca agent d --out d");
    RUN(0, "revoke ca d");
    SHELL(0, "cp ca/crl.pem d && cp ca/crl.pem a && sha256sum ca/crl.pem > before");
    RUN(1, "show --json d"); /* told once, though an agent is looked at twice: as a server, and as a client */
    PRINTED("\"revoked\":true,\"problems\":[\"it is revoked: crl.pem has its serial number\"]}");
    /* Twice is once. */
    RUN(0, "revoke ca a/cert.pem");
    SHELL(0, "sha256sum -c before");
    /* By its number, and the first one stays. What is issued now brings the list along. */
    SHELL(0, "openssl x509 -in b/cert.pem -noout -serial | cut -d = -f 2 | sed 's/../&:/g; s/:$//' > serial");
    SHELL(0, "cat serial");
    lab->out[strcspn(lab->out, "\n")] = '\0';
    RUN(0, "revoke ca %.64s", lab->out);
    RUN(0, "issue ca vch c --out c");
    SHELL(2, "openssl verify -crl_check -CRLfile c/crl.pem -CAfile ca/ca.pem a/cert.pem");
    SHELL(2, "openssl verify -crl_check -CRLfile c/crl.pem -CAfile ca/ca.pem b/cert.pem");
    RUN(0, "show --json c");
    PRINTED("\"revoked\":false");
    /* Not what another CA has signed, or nobody. */
    RUN(0, "init other --domain lab.example");
    RUN(125, "revoke other c");
    program_has(lab->p, "c has no certificate of this CA");
    RUN(125, "revoke ca neither");
    program_has(lab->p, "\"neither\" is no file, and no serial number in hex digits");
    RUN(125, "revoke nowhere 1234");
    program_has(lab->p, "retether pki init nowhere --domain DOMAIN makes a CA");
}

/* What show finds wrong, each in a copy of a good directory. */
static void test_bad(void **state)
{
    static const struct {
        const char *change, *told;
    } bad[] = {
        {"cp b/key.pem bad", "key.pem is the key of another certificate"},
        {"chmod 604 bad/key.pem", "bad/key.pem: its mode 0604 lets others read or write it: chmod 600 bad/key.pem"},
        {"rm bad/key.pem && mkfifo bad/key.pem", "bad/key.pem: this is not a regular file"},
        {"head -c 65537 /dev/zero > bad/key.pem", "bad/key.pem: it is longer than 65536 bytes"},
        {"rm bad/key.pem", "bad/key.pem: No such file or directory"},
        {"cp other/ca.pem bad", "no peer takes it by ca.pem: "},
        {"rm bad/ca.pem", "bad/ca.pem: No such file or directory"},
        {"echo > bad/ca.pem", "bad/ca.pem holds no certificate in PEM form"},
        {"cp old/* bad", "it has expired"},
        {"cp two/* bad", "it has no URI, or several"},
        {"cp odd/* bad", "no role of retether: spiffe://lab.example/retether/root/a"},
        {"cp esc/* bad", "no role of retether: spiffe://lab.example/retether/?[2Jroot"},
        {"cp eye/* bad", "no peer takes it by ca.pem: unsuitable certificate purpose"},
    };
    struct lab *lab = *state;

    RUN(0, "init ca --domain lab.example");
    RUN(0, "init other --domain lab.example");
    RUN(0, "issue ca agent a --out a");
    RUN(0, "issue ca agent b --out b");
    /* Certificates that no action of ours makes. */
#define FOREIGN(dir, days, san, usage)                                                                                 \
    SHELL(0,                                                                                                           \
          "mkdir %s && cp a/ca.pem a/key.pem %s && printf 'subjectAltName=%s\\nextendedKeyUsage=%s\\n"                 \
          "basicConstraints=CA:FALSE\\nsubjectKeyIdentifier=hash\\nauthorityKeyIdentifier=keyid\\n' > ext && "         \
          "openssl req -new -key a/key.pem -subj /CN=x -out req && openssl x509 -req -in req -days %s -CA ca/ca.pem "  \
          "-CAkey ca/ca-key.pem -set_serial 7 -extfile ext -out %s/cert.pem",                                          \
          dir, dir, san, usage, days, dir)
    FOREIGN("old", "-1", "URI:spiffe://lab.example/retether/vch/a", "clientAuth");
    FOREIGN("two", "9", "URI:spiffe://lab.example/retether/vch/a,URI:spiffe://lab.example/retether/vch/b",
            "clientAuth");
    FOREIGN("odd", "9", "URI:spiffe://lab.example/retether/root/a", "clientAuth");
    FOREIGN("esc", "9", "URI:spiffe://lab.example/retether/\\033[2Jroot", "clientAuth");
    FOREIGN("eye", "9", "URI:spiffe://lab.example/retether/agent/a", "clientAuth");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        SHELL(0, "rm -rf bad && cp -a a bad && %s", bad[i].change);
        RUN(1, "show bad");
        program_has(lab->p, bad[i].told);
        assert_null(strchr(lab->p->text[0].data, '\033')); /* nor does a name steer the terminal */
        assert_null(strchr(lab->p->text[1].data, '\033'));
    }
}

/* A company's own: a root, a CA below it that signs, and lists of both. */
static void test_company(void **state)
{
    static const char *const make[] = {
        "mkdir c && openssl ecparam -name secp384r1 -genkey -noout -out root.key && "
        "openssl req -x509 -new -key root.key -subj /CN=root -days 9 -out c/ca.pem "
        "-addext keyUsage=critical,keyCertSign,cRLSign",
        "printf 'basicConstraints=critical,CA:TRUE,pathlen:0\\nkeyUsage=critical,keyCertSign,cRLSign\\n"
        "subjectKeyIdentifier=hash\\nauthorityKeyIdentifier=keyid\\n' > sub.ext && openssl genrsa -out sub.key 2048 && "
        "openssl req -new -key sub.key -subj /CN=sub -out sub.req && openssl x509 -req -in sub.req -days 9 -CA "
        "c/ca.pem "
        "-CAkey root.key -set_serial 2 -extfile sub.ext -out sub.pem",
        "printf '%s\\n' 'subjectAltName=URI:spiffe://corp.example/retether/agent/esx17,DNS:esx17' "
        "basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature extendedKeyUsage=serverAuth,clientAuth "
        "subjectKeyIdentifier=hash authorityKeyIdentifier=keyid > ext && "
        "openssl genpkey -algorithm ed25519 -out c/key.pem && chmod 600 c/key.pem && "
        "openssl req -new -key c/key.pem -subj /CN=x -out req && openssl x509 -req -in req -CA sub.pem -CAkey sub.key "
        "-set_serial 3 -days 90 -extfile ext -out leaf.pem",
        "cat leaf.pem sub.pem > c/cert.pem && touch index",
        "printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\ndefault_md=sha256\\ndefault_crl_days=9\\n' > conf",
    };
    struct lab *lab = *state;

    for (size_t i = 0; i < sizeof(make) / sizeof(make[0]); i++) {
        SHELL(0, "%s", make[i]);
    }
    SHELL(0, "chmod 640 c/key.pem"); /* as systemd may hand it over */
    RUN(0, "show c");
    PRINTED("key       ED25519\n");
    /* The lists of both stand in one file; that of the root alone says nothing of what the other has signed. */
    SHELL(0, "openssl ca -config conf -gencrl -keyfile root.key -cert c/ca.pem -out c/crl.pem");
    RUN(1, "show c");
    program_has(lab->p, "no peer takes it by ca.pem and crl.pem: unable to get certificate CRL");
    SHELL(0, "openssl ca -config conf -gencrl -keyfile sub.key -cert sub.pem >> c/crl.pem");
    RUN(0, "show --json c");
    PRINTED("\"revoked\":false");
    /* What it hangs on may end before it. */
    SHELL(0, "openssl x509 -req -in sub.req -days -1 -CA c/ca.pem -CAkey root.key -set_serial 2 -extfile sub.ext -out "
             "old.pem "
             "&& cat leaf.pem old.pem > c/cert.pem");
    RUN(1, "show c");
    program_has(lab->p, "no peer takes it by ca.pem and crl.pem: certificate has expired");
    SHELL(0, "cp leaf.pem c/cert.pem"); /* without what leads to the root */
    RUN(1, "show c");
    program_has(lab->p, "no peer takes it by ca.pem and crl.pem: unable to get local issuer certificate");
}

/* What is asked, and what is told. */
static void test_refused(void **state)
{
    static const char *const refused[][2] = {
        {"init new", "which domain? --domain lab.example"},
        {"init new --domain a/b", "\"a/b\" is no domain"},
        {"issue ca", "an argument is missing (usage: retether pki issue DIR ROLE [NAME])"},
        {"issue ca boss x", "no role of retether: spiffe://lab.example/retether/boss/x; a role is agent, vch, viewer"},
        {"issue ca vch", "whose? A name is missing"},
        {"issue ca vch a/b", "no name that a tenant or a host may have: spiffe://lab.example/retether/vch/a/b; "},
        {"issue ca operator me", "something behind a role that has no name: "},
        {"issue ca vch a --days 0", "days from 1 to 3650"},
        {"issue ca vch a --days 3650 --out a", "the CA itself ends before"},
        {"issue ca vch a --json", "pki issue takes no --json"},
        {"make ca", "pki does not know \"make\"; it is one of: init, issue, revoke, show"},
        {"show nothing", "nothing: No such file or directory"},
    };
    struct lab *lab = *state;

    RUN(0, "init ca --domain lab.example");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        RUN(125, "%s", refused[i][0]);
        program_has(lab->p, refused[i][1]);
    }
    SHELL(0, "chmod 644 ca/ca-key.pem");
    RUN(125, "issue ca vch a --out a");
    program_has(lab->p, "ca/ca-key.pem: its mode 0644 lets others read or write it");
    SHELL(0, "test $(ls | wc -l) = 1 && test $(ls ca | wc -l) = 2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_authority), TEST(test_issue), TEST(test_store),   TEST(test_renew),   TEST(test_cut_off),
        TEST(test_revoke),    TEST(test_bad),   TEST(test_company), TEST(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
