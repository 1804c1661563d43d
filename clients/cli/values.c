/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/values.h"

#include "clients/cli/detach_keys.h"
#include "session/base/slice.h"
#include "session/base/units.h"
#include "session/core/msg_scan.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static_assert(sizeof(struct cli_start) <= RT_VALUE_MAX && sizeof(struct cli_keys) <= RT_VALUE_MAX, "values fit");

bool cli_read_count(const char *text, void *out)
{
    return rt_read_number(rt_slice_text(text), RT_COUNTER_MAX - 1, out);
}

static bool read_cid(const char *text, void *out)
{
    return rt_read_text(text, out) && rt_cid_valid(rt_slice_text(text));
}

static bool read_name(const char *text, void *out)
{
    return rt_read_text(text, out) && rt_whole_name_valid(rt_slice_text(text));
}

/* What a request carries as text. */
static bool read_text(const char *text, size_t most, void *out)
{
    size_t size = strlen(text);

    return rt_read_text(text, out) && size <= most && rt_utf8_valid((const uint8_t *)text, size);
}

static bool read_label(const char *text, void *out)
{
    return read_text(text, RT_LABEL_MAX, out);
}

static bool read_host(const char *text, void *out)
{
    return read_text(text, RT_HOST_MAX, out);
}

static bool read_vm(const char *text, void *out)
{
    return rt_read_text(text, out) && rt_vm_valid(rt_slice_text(text));
}

static bool read_prefix(const char *text, void *out)
{
    return read_text(text, RT_CID_MAX, out);
}

static bool read_setting(const char *text, void *out)
{
    return rt_read_text(text, out) && strchr(text, '=') != NULL;
}

static bool read_ring(const char *text, void *out)
{
    const uint64_t *bytes = out;

    return rt_read_bytes(text, out) && *bytes >= RT_RING_BYTES_MIN && *bytes <= RT_RING_BYTES_MAX;
}

static bool read_process(const char *text, void *out)
{
    const uint64_t *number = out;

    return cli_read_count(text, out) && *number < UINT32_MAX;
}

static bool read_keys(const char *text, void *out)
{
    return cli_keys_parse(out, text) == RT_OK;
}

bool cli_read_signal(const char *text, void *out)
{
    unsigned *signum = out;
    uint64_t number;

    if (rt_read_number(rt_slice_text(text), CLI_SIGNAL_MAX, &number)) {
        *signum = (unsigned)number;
        return number > 0;
    }
    if (strncasecmp(text, "SIG", 3) == 0) {
        text += 3;
    }
    for (*signum = 1; *signum < CLI_SIGNALS_END; (*signum)++) {
        const char *name = sigabbrev_np((int)*signum);

        if (name != NULL && strcasecmp(name, text) == 0) {
            return true;
        }
    }
    *signum = SIGIO; /* which has two names */
    return strcasecmp(text, "IO") == 0;
}

void cli_signal_name(unsigned signum, char *out, size_t size)
{
    const char *name = signum < CLI_SIGNALS_END ? sigabbrev_np((int)signum) : NULL;

    if (name != NULL) {
        snprintf(out, size, "SIG%s", name);
    } else {
        snprintf(out, size, "signal %u", signum);
    }
}

int cli_status(unsigned code, unsigned signum)
{
    return signum != 0 ? (int)(128 + signum) : (int)code;
}

static bool read_start(const char *text, void *out)
{
    struct cli_start *start = out;
    size_t size = strcspn(text, ",");

    *start = (struct cli_start){.from = RETETHER_FROM_OFFSET};
    if (strcmp(text, "oldest") == 0 || strcmp(text, "now") == 0) {
        start->from = text[0] == 'o' ? RETETHER_FROM_OLDEST : RETETHER_FROM_NOW;
        return true;
    }
    return rt_read_number((struct rt_slice){(const uint8_t *)text, size}, RT_COUNTER_MAX - 1, &start->at[0]) &&
           (text[size] == '\0' || cli_read_count(text + size + 1, &start->at[1]));
}

static bool read_limit(const char *text, void *out)
{
    const uint64_t *number = out;

    return cli_read_count(text, out) && *number > 0;
}

/* "running,lost" */
static bool read_states(const char *text, void *out)
{
    unsigned *states = out;

    *states = 0;
    for (;;) {
        size_t size = strcspn(text, ",");
        unsigned state = RETETHER_CREATED;

        while (state <= RETETHER_STATE_ENDED &&
               (strlen(retether_state_name(state)) != size || strncmp(retether_state_name(state), text, size) != 0)) {
            state++;
        }
        if (state > RETETHER_STATE_ENDED) {
            return false;
        }
        *states |= 1U << state;
        if (text[size] == '\0') {
            return true;
        }
        text += size + 1;
    }
}

const char *cli_sort_name(unsigned key)
{
    static const char *const names[CLI_SORTS] = {"id", "host", "state", "age", "moves", "epoch", "label"};

    return key < CLI_SORTS ? names[key] : NULL;
}

static bool read_sort(const char *text, void *out)
{
    unsigned *key = out;

    for (*key = 0; *key < CLI_SORTS; (*key)++) {
        if (strcmp(cli_sort_name(*key), text) == 0) {
            return true;
        }
    }
    return false;
}

#define A_CID "a container ID: a letter or digit, then up to 127 letters, digits, and _ . -"

const struct rt_kind cli_kind_label = {"TEXT", "up to 256 bytes of UTF-8", read_label};
const struct rt_kind cli_kind_host = {"NAME", "the name of a host, up to 64 bytes of UTF-8", read_host};
const struct rt_kind cli_kind_vm = {"NAME", "a letter or digit, then up to 59 letters, digits, and _ . -", read_vm};
const struct rt_kind cli_kind_program = {"PATH", "a program", rt_read_text};
const struct rt_kind cli_kind_setting = {"NAME=VALUE", "NAME=VALUE", read_setting};
const struct rt_kind cli_kind_cid = {"CID", A_CID, read_cid};
const struct rt_kind cli_kind_name = {"CID", A_CID, read_name};
const struct rt_kind cli_kind_prefix = {"PREFIX", "up to 128 bytes of UTF-8", read_prefix};
const struct rt_kind cli_kind_command = {"COMMAND", "a command", rt_read_text};
const struct rt_kind cli_kind_ring = {"BYTES", "bytes from 4K to 64M", read_ring};
const struct rt_kind cli_kind_lines = {"LINES", "a number of lines", cli_read_count};
const struct rt_kind cli_kind_process = {"N", "the number of a process as show lists it", read_process};
const struct rt_kind cli_kind_signal = {"SIGNAL", "a name such as TERM or SIGTERM, or a number", cli_read_signal};
const struct rt_kind cli_kind_limit = {"N", "a number from 1", read_limit};
const struct rt_kind cli_kind_states = {"STATE[,STATE...]", "created, running, moving, lost or ended", read_states};
const struct rt_kind cli_kind_sort = {"KEY", "id, host, state, age, moves, epoch or label", read_sort};
const struct rt_kind cli_kind_start = {
    "N[,M]|oldest|now", "oldest, now, or an offset in stdout (and with a comma one in stderr)", read_start};
const struct rt_kind cli_kind_keys = {"KEYS", "keys such as ctrl-p,ctrl-q, or none", read_keys};
