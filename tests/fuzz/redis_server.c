/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/fuzz/redis_world.h"

#include "migrate/store/codec.h"
#include "migrate/store/functions.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A server: reads commands, and answers each by the rules, or otherwise. */

#define ARGS_MAX 28
#define MARK "0123456789abcdef0123456789abcdef"
#define ROOM ((size_t)8192)

struct word {
    const char *data;
    size_t size;
};

static char text[ROOM]; /* the answer that is made at the moment */
static size_t used;

/* ---- commands ---- */

/* "*N" or "$N" and CRLF. */
static size_t read_head(const char **at, const char *end, char type)
{
    size_t number = 0;
    FUZZ_CHECK(*at < end && *(*at)++ == type);
    while (*at < end && **at != '\r') {
        FUZZ_CHECK(**at >= '0' && **at <= '9' && number < 1U << 24);
        number = number * 10 + (size_t)(*(*at)++ - '0');
    }
    FUZZ_CHECK(end - *at >= 2 && memcmp(*at, "\r\n", 2) == 0);
    *at += 2;
    return number;
}

static size_t read_command(const char **at, const char *end, struct word word[ARGS_MAX])
{
    size_t n = read_head(at, end, '*');
    FUZZ_CHECK(n > 0 && n <= ARGS_MAX);
    for (size_t i = 0; i < n; i++) {
        size_t size = read_head(at, end, '$');
        FUZZ_CHECK(size + 2 <= (size_t)(end - *at) && memcmp(*at + size, "\r\n", 2) == 0);
        word[i] = (struct word){*at, size};
        *at += size + 2;
    }
    return n;
}

static bool word_is(struct word word, const char *other)
{
    return word.size == strlen(other) && memcmp(word.data, other, word.size) == 0;
}

static enum redis_ask what_of(const struct word *word, size_t n)
{
    static const struct {
        const char *name;
        enum redis_ask what;
    } known[] = {
        {"AUTH", ASKED_AUTH},
        {"CLIENT", ASKED_AUTH},
        {"ACL", ASKED_AUTH},
        {"ROLE", ASKED_ROLE},
        {"MASTER", ASKED_MASTER},
        {"get-master-addr-by-name", ASKED_ADDRESS},
        {"INFO", ASKED_INFO},
        {"CONFIG", ASKED_CONFIG},
        {"FUNCTION", ASKED_FUNCTION},
        {"HMGET", ASKED_HOST_ROW},
        {"HGETALL", ASKED_RECORD},
        {"TIME", ASKED_TIME},
        {"ZRANGEBYLEX", ASKED_RANGE},
        {"ZSCORE", ASKED_SCORE},
        {"ZREM", ASKED_NUMBER},
        {"PEXPIRE", ASKED_NUMBER},
        {"WAIT", ASKED_NUMBER},
        {"PING", ASKED_PING},
        {"SUBSCRIBE", ASKED_SUBSCRIBE},
        {"beat", ASKED_BEAT},
        {"claim", ASKED_TAKE},
        {"create", ASKED_CREATE},
        {"remove", ASKED_CREATE},
        {"revoke", ASKED_CREATE},
        {"state", ASKED_WRITE},
        {"report", ASKED_WRITE},
        {"end", ASKED_WRITE},
        {"mark", ASKED_WRITE},
        {"tails", ASKED_TAILS},
        {"hosts", ASKED_HOSTS},
        {"list", ASKED_NUMBER},
        {"listed", ASKED_NUMBER},
        {"touch", ASKED_NUMBER},
        {"tails_cut", ASKED_NUMBER},
        {"tails_uncount", ASKED_NUMBER},
        {"tails_count", ASKED_COUNT},
        {"tails_total", ASKED_TOTAL},
    };
    struct word name = word[(word_is(word[0], "FCALL") || word_is(word[0], "SENTINEL")) && n > 1];
    size_t i = 0;
    if (word_is(word[0], "FCALL")) {
        char version[32];
        size_t own = (size_t)snprintf(version, sizeof(version), "rt_%s_", rt_store_functions_version);
        FUZZ_CHECK(n > 1 && name.size > own && memcmp(name.data, version, own) == 0);
        name.data += own;
        name.size -= own;
    }
    while (i < sizeof(known) / sizeof(known[0]) && !word_is(name, known[i].name)) {
        i++;
    }
    FUZZ_CHECK(i < sizeof(known) / sizeof(known[0])); /* else it asks what no server knows */
    return known[i].what;
}

void redis_server_read(struct redis_dial *dial, const char *data, size_t size)
{
    const char *at = data, *end = data + size;
    while (at < end) {
        struct word word[ARGS_MAX];
        size_t n = read_command(&at, end, word);
        struct redis_asked asked = {.what = (uint8_t)what_of(word, n)};
        if (asked.what == ASKED_BEAT) {
            FUZZ_CHECK(n > 8);
            asked.seq = strtoull(word[8].data, NULL, 10); /* a CR stands behind it */
        } else if (asked.what == ASKED_TAKE && n > 6 && word_is(word[6], "test")) {
            asked.what = ASKED_TEST;
        } else if (asked.what == ASKED_ROLE && dial->sentinel) {
            asked.what = ASKED_SENTINEL_ROLE;
        }
        if (dial->n_asked == REDIS_ASKED_MAX) {
            redis_loop_lost(dial);
            return;
        }
        dial->asked[dial->n_asked++] = asked;
    }
}

/* ---- answers ---- */

static __attribute__((format(printf, 1, 2))) void add(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    used += (size_t)vsnprintf(text + used, ROOM - used, format, args);
    va_end(args);
    FUZZ_CHECK(used < ROOM);
}

static void add_bytes(struct rt_slice bytes)
{
    add("$%zu\r\n", bytes.size);
    if (bytes.size > 0) {
        FUZZ_CHECK(bytes.size + 2 < ROOM - used);
        memcpy(text + used, bytes.data, bytes.size);
        used += bytes.size;
    }
    add("\r\n");
}

static void add_text(const char *value)
{
    add_bytes(rt_slice_text(value));
}

static void add_number(struct fuzz_in *in)
{
    add(":%" PRIu64 "\r\n", fuzz_number(in));
}

static void add_digits(struct fuzz_in *in)
{
    char digits[24];
    (void)snprintf(digits, sizeof(digits), "%" PRIu64, fuzz_number(in));
    add_text(digits);
}

/* Names as they are in a store, and not. */
static void add_name(struct fuzz_in *in, const char *usual)
{
    static const char *const names[] = {"", "h0", "h1", "h2", "t/box", "t/c1", "u/box", "/", "h3/", "t/box/x"};
    uint8_t which = fuzz_byte(in);
    if (which == 0) {
        add_text(usual);
    } else if (which < 200) {
        add_text(names[which % (sizeof(names) / sizeof(names[0]))]);
    } else {
        add_bytes(fuzz_bytes(in));
    }
}

static void add_row(struct fuzz_in *in)
{
    char row[256];
    uint8_t what = fuzz_byte(in);
    if (what >= 240) {
        add_bytes(fuzz_bytes(in));
        return;
    }
    (void)snprintf(row, sizeof(row), MARK "\n%u\n500\n3\n1.0\n%s\n0\n%s", (unsigned)fuzz_number(in),
                   what & 1 ? "m" : "-", what & 2 ? "unix:/a\ntls:10.0.0.1:7401" : "tls:10.0.0.2:7401");
    add_text(row);
}

static void add_record(struct fuzz_in *in)
{
    static const char *const names[] = {"host", "life", "ep",  "moves", "claimed",
                                        "hist", "rep",  "anc", "label", "lost"};
    unsigned n = fuzz_byte(in) % 8;
    bool none = n == 7;
    add("*%u\r\n", none ? 0 : 4 + 2 * n);
    if (none) {
        return;
    }
    add_text("st");
    add("$1\r\n%u\r\n", 1 + (1 + fuzz_byte(in)) % 5);
    add_text("set");
    add_name(in, "h0");
    for (unsigned i = 0; i < n; i++) {
        uint8_t which = fuzz_byte(in);
        add_text(names[which % 10]);
        if (which % 10 == 0) {
            add_name(in, "h0");
        } else if (which % 10 < 5) {
            char value[24];
            (void)snprintf(value, sizeof(value), "%" PRIu64, fuzz_number(in));
            add_text(value);
        } else if (which % 10 == 5) {
            add_text("1 1 5 h1\n2 1 9000000 h0\n");
        } else {
            add_bytes(fuzz_bytes(in));
        }
    }
}

/* An array: "#" a number, "n" a name, "b" bytes. */
static void add_list(struct fuzz_in *in, const char *shape)
{
    add("*%zu\r\n", strlen(shape));
    for (; *shape != '\0'; shape++) {
        if (*shape == '#') {
            add_number(in);
        } else if (*shape == 'n') {
            add_name(in, "h0");
        } else {
            add_bytes(fuzz_bytes(in));
        }
    }
}

static void add_beat(const struct redis_asked *asked, struct fuzz_in *in)
{
    uint8_t what = fuzz_byte(in);
    uint64_t found = what & 4 ? fuzz_number(in) : asked->seq;
    add("*7\r\n:%" PRIu64 "\r\n", 100000 + fuzz_number(in));
    add_text(what & 1 ? "ff23456789abcdef0123456789abcdef" : MARK); /* of another store */
    add(":%u\r\n:%u\r\n", what & 2 ? 99999U : 1U, what >> 3 & 1U);
    add_text(what & 16 ? "" : what & 32 ? "aa23456789abcdef0123456789abcdef" : MARK);
    add(":%" PRIu64 "\r\n:%" PRIu64 "\r\n", found, found + 1);
}

static void add_role(struct fuzz_in *in)
{
    uint8_t what = fuzz_byte(in) % 8;
    add("*3\r\n");
    add_text(what == 7 ? "slave" : "master");
    add(":0\r\n%s", what & 1 ? "*1\r\n*1\r\n$1\r\na\r\n" : "*0\r\n");
}

static void add_info(struct fuzz_in *in)
{
    uint8_t what = fuzz_byte(in);
    char info[256];
    (void)snprintf(info, sizeof(info), "# Server\r\nrun_id:%s\r\nconnected_slaves:%u\r\nmaxmemory:%u\r\n%s",
                   what & 1 ? "beef" : "cafe", what >> 1 & 1, what >> 2 & 1 ? 1000 : 0,
                   what & 8 ? "maxmemory_policy:allkeys-lru\r\naof_enabled:0\r\n" : "");
    add_text(info);
}

static void add_members(struct fuzz_in *in)
{
    unsigned n = fuzz_byte(in) % 40;
    add("*%u\r\n", n);
    for (unsigned i = 0; i < n; i++) {
        add_name(in, "t/box");
    }
}

static void add_pairs(struct fuzz_in *in, bool rows)
{
    unsigned n = fuzz_byte(in) % 6;
    if (rows) {
        add("*3\r\n");
        add_number(in);
        add_name(in, "");
        add("*%u\r\n", 3 * n);
    } else {
        add("*%u\r\n", 2 + 2 * n);
        add_number(in);
        add_number(in);
    }
    for (unsigned i = 0; i < n; i++) {
        add_name(in, rows ? "h1" : "t/box");
        if (rows) {
            add_row(in);
            add_text(fuzz_byte(in) & 1 ? "" : MARK);
        } else {
            add_text("7");
        }
    }
}

static void answer_to(enum redis_ask what, const struct redis_asked *asked, struct fuzz_in *in)
{
    switch (what) {
    case ASKED_AUTH:
        add("+OK\r\n");
        break;
    case ASKED_ROLE:
        add_role(in);
        break;
    case ASKED_SENTINEL_ROLE:
        add("*2\r\n$8\r\nsentinel\r\n*1\r\n$4\r\nmain\r\n");
        break;
    case ASKED_MASTER:
        add("*4\r\n$12\r\nconfig-epoch\r\n");
        add_digits(in);
        add("$10\r\nnum-slaves\r\n");
        add_digits(in);
        break;
    case ASKED_ADDRESS:
        add("*2\r\n");
        add_text(fuzz_byte(in) % 4 == 3 ? "primary.example" : "127.0.0.1");
        add_text(fuzz_byte(in) % 4 == 3 ? "6380" : "6379");
        break;
    case ASKED_INFO:
        add_info(in);
        break;
    case ASKED_CONFIG:
        add("*2\r\n");
        add_text("min-replicas-to-write");
        add_text(fuzz_byte(in) & 1 ? "1" : "0");
        break;
    case ASKED_FUNCTION:
        add_text("retether_0");
        break;
    case ASKED_BEAT:
        add_beat(asked, in);
        break;
    case ASKED_TEST:
        add_list(in, "#####n#n");
        break;
    case ASKED_TAKE:
        add_list(in, "#####n#nb");
        break;
    case ASKED_CREATE:
        add_list(in, "##");
        break;
    case ASKED_WRITE:
        add_list(in, "###n");
        break;
    case ASKED_TAILS:
        add_list(in, "######bb#n#b");
        break;
    case ASKED_HOSTS:
        add_pairs(in, true);
        break;
    case ASKED_HOST_ROW:
        add("*2\r\n");
        add_row(in);
        add_text(fuzz_byte(in) & 1 ? "" : MARK);
        break;
    case ASKED_RECORD:
        add_record(in);
        break;
    case ASKED_RANGE:
        add_members(in);
        break;
    case ASKED_TIME:
        add("*2\r\n$4\r\n1000\r\n$6\r\n000000\r\n");
        break;
    case ASKED_SCORE:
        add("%s", fuzz_byte(in) & 1 ? "$-1\r\n" : "$1\r\n0\r\n");
        break;
    case ASKED_COUNT:
        add_pairs(in, false);
        break;
    case ASKED_TOTAL:
        add("*2\r\n");
        add_number(in);
        add_name(in, "h0");
        break;
    case ASKED_SUBSCRIBE:
        add("*3\r\n$9\r\nsubscribe\r\n$8\r\nrt:hosts\r\n:1\r\n");
        break;
    case ASKED_PING:
        add("*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        break;
    case ASKED_NUMBER:
    case ASKED_KINDS:
        add(":%u\r\n", 1U + fuzz_byte(in));
        break;
    }
}

size_t redis_server_answer(const struct redis_asked *asked, struct fuzz_in *in, const char **out, bool *broken)
{
    static const char *const errors[] = {"ERR no",
                                         "OOM command not allowed",
                                         "READONLY replica",
                                         "LOADING it",
                                         "NOREPLICAS",
                                         "MOVED 1 192.0.2.1:6379",
                                         "CLUSTERDOWN Hash slot not served",
                                         "MASTERDOWN",
                                         "BUSY",
                                         "WRONGTYPE of a key",
                                         "ERR Function not found",
                                         "NOAUTH",
                                         "ERR Library already exists"};
    uint8_t how = fuzz_byte(in);
    used = 0;
    *out = text;
    *broken = *broken || how >= 232;
    if (how < 176) {
        answer_to((enum redis_ask)asked->what, asked, in);
    } else if (how < 200) {
        add("-%s\r\n", errors[how % (sizeof(errors) / sizeof(errors[0]))]);
    } else if (how < 224) { /* of another kind */
        answer_to((enum redis_ask)(fuzz_byte(in) % ASKED_KINDS), asked, in);
    } else if (how < 232) {
        add("%s", how & 1 ? "$-1\r\n" : how & 2 ? "*-1\r\n" : how & 4 ? "*0\r\n" : "+QUEUED\r\n");
    } else if (how < 248) { /* with one byte changed */
        answer_to((enum redis_ask)asked->what, asked, in);
        text[fuzz_number(in) % used] = (char)fuzz_byte(in);
    } else {
        struct rt_slice bytes = fuzz_bytes(in);
        if (bytes.size > 0) {
            memcpy(text, bytes.data, bytes.size);
        }
        used = bytes.size;
    }
    return used;
}

size_t redis_server_push(struct fuzz_in *in, const char **out)
{
    uint8_t what = fuzz_byte(in);
    char message[512];
    used = 0;
    *out = text;
    add("*3\r\n$7\r\nmessage\r\n");
    add_text(what & 1 ? RT_STORE_HOSTS_CHANNEL : RT_STORE_CHANNEL);
    if (what & 8) {
        add_bytes(fuzz_bytes(in));
    } else if (what & 1) {
        (void)snprintf(message, sizeof(message), "h%u\n" MARK "\n%u\n500\n3\n1.0\nm\ntls:10.0.0.1:7401\n",
                       what >> 1 & 3U, (unsigned)fuzz_number(in));
        add_text(message);
    } else {
        (void)snprintf(message, sizeof(message), "%u\n%u\n%s\nt\nbox\n", (unsigned)fuzz_number(in),
                       (unsigned)fuzz_number(in), what & 4 ? "" : "h1");
        add_text(message);
    }
    return used;
}
