/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/past.h"

#include "migrate/core/store_op.h"
#include "session/base/error.h"
#include "session/base/units.h"
#include "session/core/frame.h"

#include <string.h>

struct reader {
    const uint8_t *at, *end;
};

/* Digits up to `stop`, which is passed over. */
static int number(struct reader *reader, uint8_t stop, uint64_t *out)
{
    const uint8_t *first = reader->at, *end = memchr(first, stop, (size_t)(reader->end - first));

    if (end == NULL || !rt_read_number((struct rt_slice){first, (size_t)(end - first)}, RT_COUNTER_MAX - 1, out)) {
        return RT_EPROTO;
    }
    reader->at = end + 1;
    return 0;
}

static int move(struct reader *reader, struct rt_store_record *record)
{
    const uint8_t *end;

    if (record->n_hist == RT_HISTORY_MAX || number(reader, ' ', &record->hist[record->n_hist].life) != 0 ||
        number(reader, ' ', &record->hist[record->n_hist].epoch) != 0 ||
        number(reader, ' ', &record->hist[record->n_hist].at_ms) != 0) {
        return RT_EPROTO;
    }
    end = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    if (end == NULL || end - reader->at > RT_HOST_MAX || memchr(reader->at, '\0', (size_t)(end - reader->at)) != NULL) {
        return RT_EPROTO;
    }
    rt_slice_copy((struct rt_slice){reader->at, (size_t)(end - reader->at)}, record->hist[record->n_hist].host,
                  sizeof(record->hist[0].host));
    record->n_hist++;
    reader->at = end + 1;
    return 0;
}

int rt_past_history(struct rt_slice hist, struct rt_store_record *record)
{
    struct reader reader = {hist.data, hist.data + hist.size};

    record->n_hist = 0;
    while (reader.at < reader.end) {
        if (move(&reader, record) != 0) {
            return RT_EPROTO;
        }
    }
    return 0;
}

int rt_past_read(struct rt_slice past, struct rt_store_record *record)
{
    struct rt_store_record read = *record;
    struct reader reader;
    uint64_t size;

    if (past.size == 0) {
        return RT_EPROTO;
    }
    reader = (struct reader){past.data, past.data + past.size};
    if (number(&reader, ' ', &read.made_ms) != 0 || number(&reader, ' ', &read.moves) != 0 ||
        number(&reader, ' ', &read.ring) != 0 || number(&reader, '\n', &size) != 0 || size > RT_LABEL_MAX ||
        size > (uint64_t)(reader.end - reader.at)) {
        return RT_EPROTO;
    }
    rt_slice_copy((struct rt_slice){reader.at, (size_t)size}, read.label, sizeof(read.label));
    reader.at += size;
    if (rt_past_history((struct rt_slice){reader.at, (size_t)(reader.end - reader.at)}, &read) != 0) {
        return RT_EPROTO;
    }
    if (read.n_hist > 0) {
        read.claimed_ms = read.hist[read.n_hist - 1].at_ms;
    }
    *record = read;
    return 0;
}
