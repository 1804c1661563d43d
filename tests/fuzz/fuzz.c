/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define ARGS_MAX 64
/* Bytes behind a pipe's that may not be touched. */
#define FENCE 256

/* Freed memory is kept for less than the usual 256 MiB: what comes back soon is warm, a fresh page costs more than a
 * step of a machine does. */
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=8:malloc_context_size=8";
}

/* Adds the folder of seeds when the command line names neither a folder nor a file, and the length of the longest
 * input worth its time when it says none. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char seeds[] = RT_FUZZ_SEEDS, max_len[] = "-max_len=" RT_FUZZ_MAX_LEN;
    static char *args[ARGS_MAX + 3];
    bool has_path = false, has_len = false;
    if (*argc > ARGS_MAX) {
        return 0;
    }
    for (int i = 0; i < *argc; i++) {
        args[i] = (*argv)[i];
        has_path = has_path || (i > 0 && args[i][0] != '-');
        has_len = has_len || strncmp(args[i], max_len, strlen("-max_len=")) == 0;
    }
    if (!has_len) {
        args[(*argc)++] = max_len;
    }
    if (!has_path && access(seeds, R_OK) == 0) {
        args[(*argc)++] = seeds;
    }
    *argv = args;
    return 0;
}

uint8_t fuzz_byte(struct fuzz_in *in)
{
    if (in->size == 0) {
        return 0;
    }
    in->size--;
    return *in->data++;
}

uint64_t fuzz_number(struct fuzz_in *in)
{
    uint64_t low = fuzz_byte(in), high;
    if (low < 224) {
        return low;
    }
    high = fuzz_byte(in);
    return low & 1 ? high << 8 | fuzz_byte(in) : high << (low & 30);
}

struct rt_slice fuzz_bytes(struct fuzz_in *in)
{
    size_t size = fuzz_byte(in);
    size = size < in->size ? size : in->size;
    struct rt_slice bytes = {in->data, size};
    if (size > 0) {
        in->data += size;
        in->size -= size;
    }
    return bytes;
}

void fuzz_random(void *ctx, void *out, size_t size)
{
    uint8_t *count = ctx;
    memset(out, ++*count, size);
}

static char folder[64];

static void leave_folder(void)
{
    DIR *list = opendir(folder);
    struct dirent *entry;
    char path[512];
    while (list != NULL && (entry = readdir(list)) != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        (void)remove(path);
    }
    if (list != NULL) {
        (void)closedir(list);
    }
    (void)rmdir(folder);
}

const char *fuzz_folder(void)
{
    if (folder[0] == '\0') {
        (void)snprintf(folder, sizeof(folder), "%s/retether-fuzz-XXXXXX",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        FUZZ_CHECK(mkdtemp(folder) != NULL && atexit(leave_folder) == 0);
    }
    return folder;
}

void fuzz_pipe_reset(struct fuzz_pipe *pipe)
{
    pipe->size = 0;
}

void fuzz_pipe_add(struct fuzz_pipe *pipe, const uint8_t *data, size_t size)
{
    FUZZ_CHECK(size <= sizeof(pipe->bytes) - FENCE - pipe->size);
    memcpy(pipe->bytes + pipe->size, data, size);
    pipe->size += size;
    __asan_poison_memory_region(pipe->bytes + pipe->size, FENCE);
}

void fuzz_pipe_used(struct fuzz_pipe *pipe, size_t used)
{
    __asan_unpoison_memory_region(pipe->bytes + pipe->size, FENCE);
    FUZZ_CHECK(used <= pipe->size && pipe->size - used < FUZZ_FRAME_MAX);
    pipe->size -= used;
    memmove(pipe->bytes, pipe->bytes + used, pipe->size);
}

size_t fuzz_frame_end(struct fuzz_frame *frame)
{
    rt_frame_put(frame->bytes, &frame->head);
    return RT_FRAME_HEADER + (size_t)frame->head.length;
}

size_t fuzz_frame_any(struct fuzz_in *in, struct fuzz_frame *frame)
{
    uint8_t kind = fuzz_byte(in);
    struct rt_slice payload;
    frame->head = (struct rt_frame){
        .type = kind & 31, .flags = kind >> 6 & 1, .stream = fuzz_byte(in) % 6, .channel = fuzz_byte(in) % 8};
    frame->head.offset = fuzz_number(in);
    payload = fuzz_bytes(in);
    if (payload.size > 0) {
        memcpy(frame->bytes + RT_FRAME_HEADER, payload.data, payload.size);
    }
    frame->head.length = (uint32_t)payload.size;
    if (kind < 128) { /* else a length that may break the rules */
        switch (frame->head.type) {
        case RT_PING:
        case RT_PONG:
        case RT_FIN:
        case RT_STOP:
        case RT_DETACH:
        case RT_CONFIRM:
            frame->head.length = 0;
            break;
        case RT_ACK:
            frame->head.length = RT_ACK_PAYLOAD;
            break;
        case RT_GAP:
            frame->head.length = RT_GAP_PAYLOAD;
            break;
        default:
            break;
        }
    }
    return fuzz_frame_end(frame);
}

size_t fuzz_frame_map(struct fuzz_frame *frame, enum rt_msg_kind kind, const void *msg)
{
    int size = rt_msg_encode(kind, msg, frame->bytes + RT_FRAME_HEADER, RT_FRAME_PAYLOAD_MAX);
    if (size <= 0) {
        return 0;
    }
    frame->head.length = (uint32_t)size;
    return fuzz_frame_end(frame);
}

void fuzz_check_frames(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        struct rt_frame frame;
        const char *why;
        FUZZ_CHECK(size - at >= RT_FRAME_HEADER);
        rt_frame_get(data + at, &frame);
        FUZZ_CHECK(rt_frame_check(&frame, RT_WAY_ANY, &why) == 0);
        at += RT_FRAME_HEADER + frame.length;
        FUZZ_CHECK(at <= size);
    }
}
