/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/access.h"
#include "broker/ends.h"
#include "broker/listen_item.h"
#include "broker/vm_map.h"
#include "clients/tether/options.h"
#include "migrate/seal/keyring.h"
#include "migrate/store/codec.h"
#include "migrate/store/endpoint.h"
#include "session/base/text.h"
#include "session/base/units.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/order.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the programs read from disks and settings, each by its own reader: key ring, map of virtual machines, ends that
 * were kept, the tether's configuration, rules of access, listeners, endpoints, numbers, texts for people. The first
 * byte chooses. What is read is within its bounds, and is written as it was read; what is not is refused with a text.
 */

#define TEXT_MAX 4096
/* Of an end's file (broker/ends.c): magic and digest, then what the digest is of. */
#define END_MAGIC "rt-end4"
#define END_HEAD 16

/* The bytes as a file of this user's alone. */
static const char *file_of(struct rt_slice bytes)
{
    static int file = -1;
    static char path[64];
    if (file < 0) {
        file = memfd_create("fuzz_file", MFD_CLOEXEC);
        FUZZ_CHECK(file >= 0 && fchmod(file, 0600) == 0);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    }
    FUZZ_CHECK(ftruncate(file, 0) == 0 && pwrite(file, bytes.data, bytes.size, 0) == (ssize_t)bytes.size);
    return path;
}

/* The bytes as a text that ends with a NUL, and behind it nothing that may be read. */
static char *text_of(struct rt_slice bytes)
{
    char *text = malloc(bytes.size + 1);
    FUZZ_CHECK(text != NULL);
    rt_slice_copy(bytes, text, bytes.size + 1);
    return text;
}

static void check_why(const char *why, size_t size, const char *begin)
{
    FUZZ_CHECK(memchr(why, '\0', size) != NULL && strncmp(why, begin, strlen(begin)) == 0 && why[0] != '\0');
}

static void key_ring(struct rt_slice bytes)
{
    static const uint8_t secret[RT_SECRET_SIZE] = {1};
    struct rt_keyring ring, again;
    char path[128];
    int rc;
    rt_keyring_init(&ring);
    FUZZ_CHECK(rt_keyring_add(&ring, 7, secret) == 0);
    rc = rt_keyring_load(&ring, file_of(bytes));
    if (rc != 0) { /* the ring is as it was */
        FUZZ_CHECK(rc == RT_ECONFIG && ring.n_keys == 1 && ring.active == 7);
        check_why(ring.why, sizeof(ring.why), "key ring /proc/self/fd/");
        return;
    }
    FUZZ_CHECK(ring.n_keys > 0 && ring.n_keys <= RT_KEYRING_MAX && rt_keyring_find(&ring, ring.active) != NULL);
    (void)snprintf(path, sizeof(path), "%s/keys", fuzz_folder());
    rt_keyring_init(&again);
    FUZZ_CHECK(rt_keyring_save(&ring, path) == 0 && rt_keyring_load(&again, path) == 0);
    FUZZ_CHECK(again.n_keys == ring.n_keys && again.active == ring.active);
    for (size_t i = 0; i < ring.n_keys; i++) {
        FUZZ_CHECK(ring.keys[i].id != 0 && rt_keyring_find(&ring, ring.keys[i].id) == ring.keys[i].secret);
        FUZZ_CHECK(memcmp(&again.keys[i], &ring.keys[i], sizeof(ring.keys[i])) == 0);
    }
    rt_keyring_close(&ring);
    rt_keyring_close(&again);
}

/* Each line that says something is in the map, and nothing else is. */
static void check_vm_map(const struct rt_vm_map *map, struct rt_slice bytes)
{
    char *text = text_of(bytes), *rest = text, *line;
    size_t n = 0;
    while ((line = strsep(&rest, "\n")) != NULL) {
        unsigned cid;
        char name[RT_VM_MAX + 1];
        line[strcspn(line, "#")] = '\0';
        if (line[strspn(line, " \t\r")] == '\0') {
            continue;
        }
        n++;
        FUZZ_CHECK(sscanf(line, "%u %60s", &cid, name) == 2); /* NOLINT(cert-err34-c): the map has looked at it */
        FUZZ_CHECK(rt_vm_map_find(map, cid) != NULL && strcmp(rt_vm_map_find(map, cid), name) == 0);
        FUZZ_CHECK(cid >= 3 && rt_vm_valid(rt_slice_text(name)));
    }
    FUZZ_CHECK(n == map->n);
    free(text);
}

static void vm_map(struct rt_slice bytes)
{
    struct rt_vm_map map;
    char why[RT_TEXT_MAX] = "";
    int rc = rt_vm_map_load(&map, file_of(bytes), why);
    FUZZ_CHECK(rc == 0 || rc == RT_ECONFIG);
    if (rc != 0) {
        check_why(why, sizeof(why), "/proc/self/fd/");
    } else {
        check_vm_map(&map, bytes);
    }
    rt_vm_map_free(&map);
}

static void tether_config(struct rt_slice bytes)
{
    static struct tether_options options;
    char why[TETHER_WHY_MAX] = "";
    int rc;
    memset(&options, 0, sizeof(options));
    retether_guest_defaults(&options.guest, sizeof(options.guest));
    rc = tether_config_read(&options, file_of(bytes), tether_options_set, why);
    FUZZ_CHECK(rc == 0 || rc == RT_EINVAL);
    if (rc != 0) {
        check_why(why, sizeof(why), "/proc/self/fd/");
    }
    FUZZ_CHECK(options.argc <= TETHER_ARGV_MAX && options.argv[TETHER_ARGV_MAX] == NULL);
    for (size_t i = 0; i < options.argc; i++) {
        FUZZ_CHECK(options.argv[i] >= options.config && options.argv[i] < options.config + sizeof(options.config));
    }
    FUZZ_CHECK(options.boot.n_modules <= TETHER_MODULES_MAX && options.boot.n_links <= TETHER_LINKS_MAX);
    for (size_t i = 0; i < options.boot.n_links; i++) {
        FUZZ_CHECK(memchr(options.boot.links[i].name, '\0', sizeof(options.boot.links[i].name)) != NULL);
    }
}

static bool user_of(const char *text, uid_t *uid)
{
    *uid = (uid_t)strlen(text);
    return text[0] != 'x';
}

static bool group_of(const char *text, gid_t *gid)
{
    *gid = (gid_t)strlen(text);
    return text[0] != 'x';
}

static void access_rule(const char *text)
{
    static const struct rt_access_names names = {user_of, group_of};
    struct rt_access access = {.n = 1};
    const struct rt_access_rule *rule = &access.rules[0];
    char why[256] = "";
    int rc = rt_access_parse(&access.rules[0], text, &names, why, sizeof(why));
    gid_t gids[] = {5};
    FUZZ_CHECK(rc == 0 || rc == RT_ECONFIG);
    if (rc != 0) {
        check_why(why, sizeof(why), "");
        return;
    }
    FUZZ_CHECK(rule->as == RT_CLIENT_VCH || rule->as == RT_CLIENT_VIEWER || rule->as == RT_CLIENT_OPERATOR);
    FUZZ_CHECK(rule->as == RT_CLIENT_OPERATOR ? rule->tenant[0] == '\0' : rt_cid_valid(rt_slice_text(rule->tenant)));
    FUZZ_CHECK(rt_access_by_group(&access) == (rule->whom == RT_ACCESS_GROUP));
    FUZZ_CHECK((rt_access_find(&access, UINT32_MAX, gids, 0) == rule) == (rule->whom == RT_ACCESS_ANY));
    FUZZ_CHECK(rule->whom != RT_ACCESS_USER || rt_access_find(&access, rule->id.uid, gids, 1) == rule);
}

/* What an address is shown as is read as the same; what is refused is never shown with what a password may be. */
static void store_endpoint(const char *text)
{
    struct rt_store_endpoint list[RT_ENDPOINTS_MAX], again[RT_ENDPOINTS_MAX];
    char why[512] = "";
    size_t n = 0, one;
    int rc = rt_store_endpoint_parse(text, list, &n, why, sizeof(why));
    FUZZ_CHECK(rc == 0 ? n > 0 && n <= RT_ENDPOINTS_MAX
                       : n == 0 && (rc == RT_EINVAL || rc == RT_ELIMIT || rc == RT_EEXIST));
    if (rc != 0) {
        check_why(why, sizeof(why), "");
    }
    for (size_t i = 0; i < n; i++) {
        one = 0;
        FUZZ_CHECK(rt_store_endpoint_parse(list[i].text, again, &one, why, sizeof(why)) == 0 && one == 1);
        FUZZ_CHECK(strcmp(list[i].text, again[0].text) == 0 && list[i].tls == again[0].tls);
        FUZZ_CHECK(strcmp(list[i].host, again[0].host) == 0 && strcmp(list[i].master, again[0].master) == 0);
        FUZZ_CHECK((list[i].at.kind == RT_ENDPOINT_UNIX) == (list[i].host[0] == '\0'));
    }
}

/* What is printed is read as the same. */
static void endpoint(const char *text)
{
    struct rt_endpoint first, second;
    char printed[RT_ENDPOINT_TEXT_MAX], again[RT_ENDPOINT_TEXT_MAX], why[256] = "";
    int rc = rt_endpoint_parse(&first, text, why, sizeof(why));
    FUZZ_CHECK(rc == 0 || rc == RT_EINVAL);
    if (rc != 0) {
        check_why(why, sizeof(why), "");
    } else {
        rt_endpoint_print(&first, printed, sizeof(printed));
        FUZZ_CHECK(rt_endpoint_parse(&second, printed, why, sizeof(why)) == 0 && second.kind == first.kind);
        rt_endpoint_print(&second, again, sizeof(again));
        FUZZ_CHECK(strcmp(printed, again) == 0);
        FUZZ_CHECK(strlen(rt_endpoint_path(&first)) == 0 || first.kind == RT_ENDPOINT_UNIX);
    }
    store_endpoint(text);
}

static void listener(const char *text)
{
    struct rt_listen_item item;
    char why[512] = "";
    int rc = rt_listen_item_parse(&item, text, why, sizeof(why));
    FUZZ_CHECK(rc == 0 || rc == RT_ECONFIG);
    if (rc != 0) {
        check_why(why, sizeof(why), "");
    } else {
        FUZZ_CHECK(item.mode <= 0777 && item.endpoint.name[0] == '\0');
        FUZZ_CHECK(!item.is_vms || item.endpoint.kind == RT_ENDPOINT_UNIX);
    }
}

static void numbers(const char *text)
{
    uint64_t ms, bytes, number;
    char printed[32];
    if (rt_read_duration(text, &ms)) {
        uint64_t again;
        rt_duration_text(ms, printed, sizeof(printed));
        FUZZ_CHECK(ms <= UINT64_C(10) * 366 * 86400 * 1000 && rt_read_duration(printed, &again) && again == ms);
    }
    if (rt_read_bytes(text, &bytes)) {
        FUZZ_CHECK(strspn(text, "0123456789") > 0);
    }
    if (rt_read_number(rt_slice_text(text), UINT32_MAX, &number)) {
        FUZZ_CHECK(number <= UINT32_MAX && strspn(text, "0123456789") == strlen(text));
    }
}

/* Nothing that steers a terminal is left, and what is cut is cut between two characters. */
static void for_people(struct rt_slice bytes)
{
    static char copy[TEXT_MAX + 1], quoted[TEXT_MAX * RT_TEXT_JSON_MAX + 2];
    size_t cap = bytes.size == 0 ? 1 : 1 + bytes.data[0], size = rt_text_copy(bytes, copy, cap);
    char *text = text_of(bytes);
    FUZZ_CHECK(size < cap && strlen(copy) == size);
    for (size_t at = 0; at < size;) {
        uint32_t point;
        at += rt_text_char((const uint8_t *)copy + at, size - at, &point);
        FUZZ_CHECK(at <= size && rt_text_plain(point));
    }
    size = rt_text_quote(text, quoted, cap + 1);
    FUZZ_CHECK(size >= 2 && size <= cap + 1 && quoted[0] == '"' && quoted[size - 1] == '"');
    for (size_t at = 1; at < size - 1;) {
        uint32_t point;
        FUZZ_CHECK(quoted[at] != '"');
        at += quoted[at] == '\\' && (quoted[at + 1] == '\\' || quoted[at + 1] == '"')
                  ? 2
                  : rt_text_char((const uint8_t *)quoted + at, size - 1 - at, &point);
    }
    free(text);
}

/* ---- ends ---- */

static struct kept {
    struct rt_store_op op; /* as it was kept */
    unsigned good, bad;
    bool honest;
} kept;

static void on_end(void *ctx, const struct rt_store_op *end)
{
    static struct rt_store_args args;
    struct rt_store_op take = {.kind = RT_STORE_TAKE, .claim = end->claim};
    FUZZ_CHECK(ctx == &kept && end->kind == RT_STORE_END && rt_key_equal(&end->key, &end->claim.key));
    FUZZ_CHECK(end->tail[0].size <= RT_TAIL_MAX && end->tail[1].size <= RT_TAIL_MAX);
    FUZZ_CHECK(end->claim.n_ancestors <= RT_ANCESTORS_MAX && rt_cid_valid(rt_slice_text(end->key.cid)));
    /* Or the agent would offer it to the store for ever. */
    FUZZ_CHECK(rt_store_encode(end, "h0", &args) == 0 && rt_store_encode(&take, "h0", &args) == 0);
    kept.good++;
    if (kept.honest) {
        FUZZ_CHECK(end->life == kept.op.life && end->epoch == kept.op.epoch && end->end.out == kept.op.end.out);
        FUZZ_CHECK(rt_slice_equal(end->tail[0], kept.op.tail[0]) && rt_slice_equal(end->tail[1], kept.op.tail[1]));
        FUZZ_CHECK(rt_slice_equal(end->end.ord, kept.op.end.ord));
        FUZZ_CHECK(strcmp(end->claim.host, kept.op.claim.host) == 0 && end->claim.join == kept.op.claim.join);
        FUZZ_CHECK(end->claim.n_ancestors == kept.op.claim.n_ancestors && rt_key_equal(&end->key, &kept.op.key));
    }
}

static void on_bad(void *ctx, const char *path, const char *why)
{
    FUZZ_CHECK(ctx == &kept && path[0] == '/' && why[0] != '\0');
    kept.bad++;
}

static void make_end(struct fuzz_in *in)
{
    static const uint8_t tail[2048];
    struct rt_store_op *op = &kept.op;
    *op = (struct rt_store_op){.kind = RT_STORE_END, .life = fuzz_number(in), .epoch = fuzz_number(in)};
    memcpy(op->key.tenant, "t", 2);
    memcpy(op->key.cid, "box", 4);
    op->end.code = fuzz_number(in);
    op->end.out = op->end.err = 5000;
    op->tail[0] = (struct rt_slice){tail, (size_t)fuzz_number(in) % sizeof(tail)};
    op->tail[1] = (struct rt_slice){tail, fuzz_byte(in)};
    op->end.ord = rt_slice_text(fuzz_byte(in) & 1 ? "\1\1\1\2" : "");
    op->claim = (struct rt_claim){.key = op->key, .join = op->life & 1, .life = op->life, .host = "h0", .proof = "vm"};
    op->claim.n_ancestors = fuzz_byte(in) % (RT_ANCESTORS_MAX + 1);
}

/* Some of its bytes are others; its digest is right all the same, unless that is changed too. */
static void change_end(struct fuzz_in *in, const char *path)
{
    static uint8_t bytes[RT_END_FILE_MAX];
    FILE *file = fopen(path, "r+");
    size_t size = file == NULL ? 0 : fread(bytes, 1, sizeof(bytes), file);
    struct rt_digest digest;
    FUZZ_CHECK(size > END_HEAD && memcmp(bytes, END_MAGIC, sizeof(END_MAGIC)) == 0);
    for (unsigned n = 1 + fuzz_byte(in) % 8; n > 0; n--) {
        size_t at = END_HEAD + (size_t)fuzz_number(in) % (size - END_HEAD);
        bytes[at] = (uint8_t)(bytes[at] + 1 + fuzz_byte(in));
    }
    size -= (size_t)fuzz_number(in) % (size - END_HEAD);
    rt_digest_start(&digest, 0);
    rt_digest_extend(&digest, bytes + END_HEAD, size - END_HEAD);
    rt_put_u64(bytes + sizeof(END_MAGIC), rt_digest_value(&digest) + (fuzz_byte(in) == 255));
    FUZZ_CHECK(fseek(file, 0, SEEK_SET) == 0 && fwrite(bytes, 1, size, file) == size && fflush(file) == 0);
    FUZZ_CHECK(ftruncate(fileno(file), (off_t)size) == 0 && fclose(file) == 0);
}

static void end_kept(struct fuzz_in *in)
{
    static char dir[128];
    struct rt_ends ends;
    char path[RT_ENDS_PATH_MAX];
    (void)snprintf(dir, sizeof(dir), "%s/ends", fuzz_folder());
    kept = (struct kept){.honest = (fuzz_byte(in) & 1) == 0};
    make_end(in);
    FUZZ_CHECK(rt_ends_open(&ends, dir, 4, on_end, on_bad, &kept) == 0 && ends.n == 0);
    FUZZ_CHECK(rt_ends_keep(&ends, &kept.op) == 0 && ends.n == 1);
    (void)snprintf(path, sizeof(path), "%s/t+box+%llu", dir, (unsigned long long)kept.op.life);
    if (!kept.honest) {
        change_end(in, path);
    }
    FUZZ_CHECK(rt_ends_open(&ends, dir, 4, on_end, on_bad, &kept) == 0 && ends.n == 1);
    FUZZ_CHECK(kept.good + kept.bad == 1 && (!kept.honest || kept.good == 1));
    rt_ends_drop(&ends, &kept.op.key, kept.op.life);
    FUZZ_CHECK(ends.n == 0 && access(path, F_OK) != 0);
}

static void as_text(uint8_t what, struct rt_slice bytes)
{
    char *text = text_of(bytes);
    switch (what) {
    case 0:
        access_rule(text);
        break;
    case 1:
        listener(text);
        break;
    case 2:
        endpoint(text);
        break;
    default:
        numbers(text);
        break;
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t what = fuzz_byte(&in) % 9;
    struct rt_slice rest = {in.data, in.size};
    switch (what) {
    case 4:
        key_ring(rest);
        break;
    case 5:
        vm_map(rest);
        break;
    case 6:
        tether_config(rest);
        break;
    case 7:
        for_people(rest);
        break;
    case 8:
        end_kept(&in);
        break;
    default:
        as_text(what, rest);
        break;
    }
    return 0;
}
