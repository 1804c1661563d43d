/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/ends.h"

#include "migrate/store/codec.h"
#include "session/base/file.h"
#include "session/core/digest.h"
#include "session/core/frame.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file: magic, XXH64 of all that follows, the numbers (big-endian), tenant, cid and the claim's hosts padded with
 * NULs, the claim's ids, the tails, their order. */
static const char magic[8] = "rt-end4";
#define KEY_ROOM 136
#define HOST_ROOM 72
#define IDS (4 + (size_t)RT_ANCESTORS_MAX)
#define NUMBERS 14
enum { CLAIM_JOIN = 1, CLAIM_TAKEN = 2 }; /* bits of the number n[8] */
#define HEAD (sizeof(magic) + 8)
#define TEXTS (HEAD + 8 * (size_t)NUMBERS)
#define FIXED (TEXTS + 2 * (size_t)KEY_ROOM + 3 * (size_t)HOST_ROOM + IDS * RT_ID_SIZE)
#define TMP_SUFFIX ".tmp"

_Static_assert(RT_CID_MAX < KEY_ROOM && RT_TENANT_MAX < KEY_ROOM && RT_HOST_MAX < HOST_ROOM, "room for the texts");
_Static_assert(FIXED <= 1024, "the head fits");

static int fail(struct rt_ends *ends, int code, const char *what, const char *path, int error)
{
    (void)snprintf(ends->why, sizeof(ends->why), "%s %s: %s", what, path,
                   error == 0 ? rt_strerror(code) : strerror(error));
    return code;
}

/* '+' is in no container ID and must not be in a tenant, so no two keys share a file. */
static int path_of(struct rt_ends *ends, const struct rt_key *key, uint64_t life, char path[RT_ENDS_PATH_MAX])
{
    int n;

    if (key->tenant[0] == '.' || strpbrk(key->tenant, "/+") != NULL || strpbrk(key->cid, "/+") != NULL) {
        return fail(ends, RT_EINVAL, "keep the end of", key->cid, 0);
    }
    n = snprintf(path, RT_ENDS_PATH_MAX, "%s/%s+%s+%" PRIu64, ends->dir, key->tenant, key->cid, life);
    if (n < 0 || n >= RT_ENDS_PATH_MAX - (int)sizeof(TMP_SUFFIX)) {
        return fail(ends, RT_EINVAL, "keep the end of", key->cid, 0);
    }
    return 0;
}

/* What lies between the numbers and the tails, in its order: members of the operation, each with its room in the file.
 */
#define MEMBER(member, room)                                                                                           \
    {                                                                                                                  \
        offsetof(struct rt_store_op, member), sizeof(((struct rt_store_op *)0)->member), room                          \
    }
static const struct {
    size_t at, size, room; /* a text has more room than it takes, ids have what they take */
} members[] = {
    MEMBER(key.tenant, KEY_ROOM),       MEMBER(key.cid, KEY_ROOM),
    MEMBER(claim.host, HOST_ROOM),      MEMBER(claim.proof, HOST_ROOM),
    MEMBER(claim.dead_host, HOST_ROOM), MEMBER(claim.inc, RT_ID_SIZE),
    MEMBER(claim.nonce, RT_ID_SIZE),    MEMBER(claim.ticket, RT_ID_SIZE),
    MEMBER(claim.next, RT_ID_SIZE),     MEMBER(claim.ancestors, (size_t)RT_ANCESTORS_MAX *RT_ID_SIZE),
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

static bool is_text(size_t i)
{
    return members[i].room > members[i].size;
}

static uint8_t *put_slice(uint8_t *out, struct rt_slice slice)
{
    if (slice.size > 0) {
        memcpy(out, slice.data, slice.size);
    }
    return out + slice.size;
}

static size_t encode(const struct rt_store_op *end, uint8_t out[RT_END_FILE_MAX])
{
    const struct rt_claim *claim = &end->claim;
    const uint64_t flags = (claim->join ? CLAIM_JOIN : 0U) | (claim->taken ? CLAIM_TAKEN : 0U);
    const uint64_t numbers[NUMBERS] = {
        end->life,          end->epoch,        end->end.code, end->end.sig, end->end.out, end->end.err,
        end->tail[0].size,  end->tail[1].size, flags,         claim->life,  claim->epoch, claim->granted_life,
        claim->n_ancestors, end->end.ord.size};
    struct rt_digest digest;
    uint8_t *at = out + TEXTS;

    memset(out, 0, FIXED);
    memcpy(out, magic, sizeof(magic));
    for (size_t i = 0; i < NUMBERS; i++) {
        rt_put_u64(out + HEAD + 8 * i, numbers[i]);
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        const char *member = (const char *)end + members[i].at;

        memcpy(at, member, is_text(i) ? strlen(member) : members[i].size);
        at += members[i].room;
    }
    at = put_slice(at, end->tail[0]);
    at = put_slice(at, end->tail[1]);
    at = put_slice(at, end->end.ord);
    rt_digest_start(&digest, 0);
    rt_digest_extend(&digest, out + HEAD, (size_t)(at - out) - HEAD);
    rt_put_u64(out + sizeof(magic), rt_digest_value(&digest));
    return (size_t)(at - out);
}

/* Whether the store can be asked to take it: else it would be offered for ever, and answered never. */
static bool fits(const struct rt_store_op *end)
{
    const struct rt_store_op take = {.kind = RT_STORE_TAKE, .claim = end->claim};
    struct rt_store_args args;

    return rt_store_encode(end, end->claim.host, &args) == 0 && rt_store_encode(&take, end->claim.host, &args) == 0;
}

static bool decode(const uint8_t *in, size_t size, struct rt_store_op *end)
{
    struct rt_digest digest;
    uint64_t n[NUMBERS];
    const uint8_t *at = in + TEXTS;

    if (size < FIXED || memcmp(in, magic, sizeof(magic)) != 0) {
        return false;
    }
    rt_digest_start(&digest, 0);
    rt_digest_extend(&digest, in + HEAD, size - HEAD);
    if (rt_digest_value(&digest) != rt_get_u64(in + sizeof(magic))) {
        return false;
    }
    for (size_t i = 0; i < NUMBERS; i++) {
        n[i] = rt_get_u64(in + HEAD + 8 * i);
    }
    if (n[6] > RT_TAIL_MAX || n[7] > RT_TAIL_MAX || n[13] > RT_ORDER_PACKED_MAX ||
        size != FIXED + n[6] + n[7] + n[13] || n[8] > (CLAIM_JOIN | CLAIM_TAKEN) || n[12] > RT_ANCESTORS_MAX) {
        return false;
    }
    memset(end, 0, sizeof(*end));
    end->kind = RT_STORE_END;
    end->life = n[0];
    end->epoch = n[1];
    end->end = (struct rt_end_msg){.code = n[2], .sig = n[3], .out = n[4], .err = n[5]};
    for (size_t i = 0; i < MEMBERS; i++) {
        char *member = (char *)end + members[i].at;

        memcpy(member, at, members[i].size);
        if (is_text(i)) {
            member[members[i].size - 1] = '\0';
        }
        at += members[i].room;
    }
    end->claim.join = (n[8] & CLAIM_JOIN) != 0;
    end->claim.taken = (n[8] & CLAIM_TAKEN) != 0;
    end->claim.life = n[9];
    end->claim.epoch = n[10];
    end->claim.granted_life = n[11];
    end->claim.n_ancestors = (size_t)n[12];
    end->claim.key = end->key;
    end->tail[0] = (struct rt_slice){at, (size_t)n[6]};
    end->tail[1] = (struct rt_slice){at + n[6], (size_t)n[7]};
    end->end.ord = (struct rt_slice){at + n[6] + n[7], (size_t)n[13]};
    return rt_cid_valid(rt_slice_text(end->key.cid)) && fits(end);
}

static int write_file(struct rt_ends *ends, const char *path, const uint8_t *data, size_t size)
{
    char tmp[RT_ENDS_PATH_MAX + sizeof(TMP_SUFFIX)];
    int fd, rc;

    (void)snprintf(tmp, sizeof(tmp), "%s%s", path, TMP_SUFFIX);
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return fail(ends, RT_EIO, "open", tmp, errno);
    }
    rc = rt_write_all(fd, data, size) != 0 ? -1 : fsync(fd);
    if (close(fd) != 0 || rc != 0 || rename(tmp, path) != 0 || rt_sync_folder(ends->dir) != 0) {
        rc = fail(ends, RT_EIO, "write", path, errno);
        (void)unlink(tmp);
        return rc;
    }
    return 0;
}

int rt_ends_keep(struct rt_ends *ends, const struct rt_store_op *end)
{
    char path[RT_ENDS_PATH_MAX];
    uint8_t *file;
    bool there;
    int rc = path_of(ends, &end->key, end->life, path);

    if (rc != 0) {
        return rc;
    }
    there = access(path, F_OK) == 0;
    if (!there && ends->n >= ends->max) {
        return fail(ends, RT_ELIMIT, "keep", path, 0);
    }
    if (end->tail[0].size > RT_TAIL_MAX || end->tail[1].size > RT_TAIL_MAX || end->end.ord.size > RT_ORDER_PACKED_MAX) {
        return fail(ends, RT_EINVAL, "keep", path, 0);
    }
    file = malloc(RT_END_FILE_MAX);
    if (file == NULL) {
        return fail(ends, RT_ENOMEM, "keep", path, 0);
    }
    rc = write_file(ends, path, file, encode(end, file));
    free(file);
    ends->n += rc == 0 && !there;
    return rc;
}

void rt_ends_drop(struct rt_ends *ends, const struct rt_key *key, uint64_t life)
{
    char path[RT_ENDS_PATH_MAX];

    if (path_of(ends, key, life, path) == 0 && unlink(path) == 0 && ends->n > 0) {
        ends->n--;
    }
}

struct reading {
    rt_ends_cb each;
    rt_ends_bad_cb bad;
    void *ctx;
    uint8_t *file; /* owned; one byte more than a good file has */
};

/* Under another name it could never be dropped. */
static bool has_its_name(struct rt_ends *ends, const struct rt_store_op *end, const char *path)
{
    char own[RT_ENDS_PATH_MAX];

    return path_of(ends, &end->key, end->life, own) == 0 && strcmp(own, path) == 0;
}

static void read_entry(struct rt_ends *ends, const char *name, const struct reading *reading)
{
    char path[RT_ENDS_PATH_MAX + 256];
    size_t size = strlen(name), suffix = sizeof(TMP_SUFFIX) - 1;
    struct rt_store_op end;
    int fd, rc, error;

    (void)snprintf(path, sizeof(path), "%s/%s", ends->dir, name);
    if (size > suffix && strcmp(name + size - suffix, TMP_SUFFIX) == 0) {
        (void)unlink(path);
        return;
    }
    ends->n++;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* a FIFO does not hold up the start */
    rc = fd < 0 ? RT_EIO : rt_read_all(fd, reading->file, RT_END_FILE_MAX + 1, &size);
    error = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (rc == RT_EIO) {
        reading->bad(reading->ctx, path, strerror(error));
    } else if (rc != 0 || !decode(reading->file, size, &end) || !has_its_name(ends, &end, path)) {
        reading->bad(reading->ctx, path, "it is not the whole end of a session");
    } else {
        reading->each(reading->ctx, &end);
    }
}

int rt_ends_open(struct rt_ends *ends, const char *dir, size_t max, rt_ends_cb each, rt_ends_bad_cb bad, void *ctx)
{
    struct reading reading = {each, bad, ctx, NULL};
    struct dirent *entry;
    DIR *list;

    memset(ends, 0, sizeof(*ends));
    ends->max = max;
    /* Room for a file's name behind it. */
    if (strlen(dir) + RT_TENANT_MAX + RT_CID_MAX + 32 >= sizeof(ends->dir)) {
        return fail(ends, RT_EINVAL, "the path is too long", dir, 0);
    }
    (void)snprintf(ends->dir, sizeof(ends->dir), "%s", dir);
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return fail(ends, RT_EIO, "make", dir, errno);
    }
    list = opendir(dir);
    if (list == NULL) {
        return fail(ends, RT_EIO, "read", dir, errno);
    }
    reading.file = malloc(RT_END_FILE_MAX + 1);
    if (reading.file == NULL) {
        (void)closedir(list);
        return fail(ends, RT_ENOMEM, "read", dir, 0);
    }
    while ((entry = readdir(list)) != NULL) {
        if (entry->d_name[0] != '.') {
            read_entry(ends, entry->d_name, &reading);
        }
    }
    free(reading.file);
    (void)closedir(list);
    return 0;
}
