/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/record.h"

#include "clients/cli/values.h"
#include "session/base/clock.h"
#include "session/base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const stream_names[] = {"stdout", "stderr", "control"};

/* The last report of a container is older than its end, so the state of its record decides. */
static bool has_exited(const struct retether_record *record, const struct retether_process *process)
{
    return process->exited || record->state == RETETHER_STATE_ENDED;
}

/* As tethers report it: 128 + n for signal n. */
static unsigned exit_status(const struct retether_record *record, const struct retether_process *process)
{
    bool main_one = process->id == 0 && record->state == RETETHER_STATE_ENDED;

    return main_one ? (unsigned)cli_status(record->code, record->signal) : process->code;
}

/* An ended container has no attachments and nobody holds it up, even if its last report, which is older, says so. */
static bool is_bound(const struct retether_record *record, const struct retether_holder *att)
{
    return att->bound && record->state != RETETHER_STATE_ENDED;
}

static uint64_t hold_left_ms(const struct retether_record *record, const struct retether_holder *att)
{
    return record->state != RETETHER_STATE_ENDED ? att->hold_left_ms : 0;
}

static const struct retether_process *process_of(const struct retether_record *record, uint32_t id)
{
    for (size_t i = 0; i < record->n_processes; i++) {
        if (record->processes[i].id == id) {
            return &record->processes[i];
        }
    }
    return NULL;
}

/* The bytes that an attachment has still to consume: 0 when it is ahead of the head, which may be from an older report.
 */
static uint64_t lag(const struct retether_process *process, const struct retether_holder *att, unsigned s)
{
    return process != NULL && process->head[s] > att->consumed[s] ? process->head[s] - att->consumed[s] : 0;
}

/* ---- JSON ---- */

static void move_json(struct cli_text *text, const struct retether_move *move)
{
    cli_json_text(text, "host", move->host);
    cli_json_number(text, "life", move->life);
    cli_json_number(text, "epoch", move->epoch);
    cli_json_time(text, "at", move->at_ms);
}

void cli_moves_json(struct cli_text *text, const struct retether_record *record)
{
    for (size_t i = 0; i < record->n_history; i++) {
        cli_json_open(text);
        cli_json_text(text, "container", record->container);
        move_json(text, &record->history[i]);
        cli_json_close(text);
    }
}

static void history_json(struct cli_text *text, const struct retether_record *record)
{
    cli_json_begin(text, "history", '[');
    for (size_t i = 0; i < record->n_history; i++) {
        cli_json_begin(text, NULL, '{');
        move_json(text, &record->history[i]);
        cli_json_end(text, '}');
    }
    cli_json_end(text, ']');
}

static void process_json(struct cli_text *text, const struct retether_record *record,
                         const struct retether_process *process)
{
    cli_json_begin(text, NULL, '{');
    cli_json_number(text, "process", process->id);
    cli_json_text(text, "state", has_exited(record, process) ? "exited" : "running");
    cli_json_bool(text, "tty", process->tty);
    cli_json_number_or_null(text, "code", has_exited(record, process), exit_status(record, process));
    cli_json_begin(text, "streams", '[');
    for (unsigned s = 0; s < 3; s++) {
        cli_json_begin(text, NULL, '{');
        cli_json_text(text, "stream", stream_names[s]);
        cli_json_number(text, "base", process->base[s]);
        cli_json_number(text, "head", process->head[s]);
        cli_json_end(text, '}');
    }
    cli_json_end(text, ']');
    cli_json_end(text, '}');
}

static void holder_json(struct cli_text *text, const struct retether_record *record, const struct retether_holder *att)
{
    const struct retether_process *process = process_of(record, att->process);
    char id[2 * RETETHER_ATTACHMENT_ID_SIZE + 1];

    rt_hex(att->id, sizeof(att->id), id);
    cli_json_begin(text, NULL, '{');
    cli_json_text(text, "id", id);
    cli_json_number(text, "process", att->process);
    cli_json_bool(text, "bound", is_bound(record, att));
    cli_json_bool(text, "observer", att->observer);
    cli_json_number(text, "hold_left_ms", hold_left_ms(record, att));
    cli_json_begin(text, "streams", '[');
    for (unsigned s = 0; s < 2; s++) {
        cli_json_begin(text, NULL, '{');
        cli_json_text(text, "stream", stream_names[s]);
        cli_json_number(text, "consumed", att->consumed[s]);
        cli_json_number(text, "lag", lag(process, att, s));
        cli_json_end(text, '}');
    }
    cli_json_end(text, ']');
    cli_json_number(text, "stdin_taken", att->applied[0]);
    cli_json_end(text, '}');
}

void cli_record_json(struct cli_text *text, const struct retether_record *record, bool detail)
{
    cli_json_open(text);
    cli_json_text(text, "container", record->container);
    cli_json_text(text, "tenant", record->tenant);
    cli_json_text_or_null(text, "label", record->label);
    cli_json_text(text, "state", retether_state_name(record->state));
    cli_json_text_or_null(text, "host", record->host);
    cli_json_number(text, "life", record->life);
    cli_json_number(text, "epoch", record->epoch);
    cli_json_number(text, "moves", record->moves);
    cli_json_bool(text, "revoked", record->revoked);
    cli_json_time(text, "created", record->made_ms);
    cli_json_time(text, "claimed", record->claimed_ms);
    cli_json_time(text, "seen", record->seen_ms);
    cli_json_exit(text, record->state == RETETHER_STATE_ENDED, record->code, record->signal);
    cli_json_text_or_null(text, "local", record->local);
    if (detail) {
        history_json(text, record);
        cli_json_begin(text, "processes", '[');
        for (size_t i = 0; i < record->n_processes; i++) {
            process_json(text, record, &record->processes[i]);
        }
        cli_json_end(text, ']');
        cli_json_number(text, "processes_exited", record->processes_exited);
        cli_json_number(text, "processes_more", record->processes_more);
        cli_json_begin(text, "attachments", '[');
        for (size_t i = 0; i < record->n_attachments; i++) {
            holder_json(text, record, &record->attachments[i]);
        }
        cli_json_end(text, ']');
        cli_json_number(text, "attachments_more", record->attachments_more);
    }
}

/* ---- people ---- */

static enum cli_colour state_colour(enum retether_state state)
{
    switch (state) {
    case RETETHER_RUNNING:
        return CLI_GREEN;
    case RETETHER_MOVING:
    case RETETHER_CREATED:
        return CLI_YELLOW;
    case RETETHER_STATE_LOST:
        return CLI_RED;
    default:
        return CLI_DIM;
    }
}

static void exit_text(const struct retether_record *record, char *out, size_t size)
{
    char name[24];

    if (record->state != RETETHER_STATE_ENDED) {
        snprintf(out, size, "-");
    } else if (record->signal != 0) {
        cli_signal_name(record->signal, name, sizeof(name));
        snprintf(out, size, "%s", name);
    } else {
        snprintf(out, size, "%u", record->code);
    }
}

void cli_ago_text(uint64_t then, char *out, size_t size)
{
    if (then == 0) {
        snprintf(out, size, "-");
    } else {
        cli_age_text(cli_since(then), out, size);
    }
}

/* CONTAINER STATE HOST >AGE >MOVES >EPOCH >EXIT LABEL */
void cli_record_row(struct cli_table *table, const struct retether_record *record)
{
    char text[64];

    cli_table_add(table, CLI_PLAIN, record->container);
    cli_table_add(table, state_colour(record->state), retether_state_name(record->state));
    cli_table_add(table, CLI_PLAIN, record->host[0] != '\0' ? record->host : "-");
    cli_ago_text(record->made_ms, text, sizeof(text));
    cli_table_add(table, CLI_PLAIN, text);
    cli_table_addf(table, "%" PRIu64, record->moves);
    cli_table_addf(table, "%" PRIu64, record->epoch);
    exit_text(record, text, sizeof(text));
    cli_table_add(table, CLI_PLAIN, text);
    cli_table_add(table, CLI_PLAIN, record->label);
}

static void line(struct cli_table *table, const char *name, const char *value)
{
    cli_table_add(table, CLI_DIM, name);
    cli_table_add(table, CLI_PLAIN, value);
}

static void times(struct cli_table *table, const char *name, uint64_t at)
{
    char date[48];
    char age[32];
    char both[96];

    if (at == 0) {
        line(table, name, "-");
        return;
    }
    rt_time_text(at, date, sizeof(date));
    cli_ago_text(at, age, sizeof(age));
    snprintf(both, sizeof(both), "%s ago (%s)", age, date);
    line(table, name, both);
}

static void streams_page(struct cli_text *text, const struct retether_record *record, bool colours)
{
    char heads[] = "PROCESS STATE STREAM >BASE >HEAD >KEPT";
    struct cli_table table;
    char kept[32];

    cli_table_init(&table, heads, colours);
    for (size_t i = 0; i < record->n_processes; i++) {
        const struct retether_process *process = &record->processes[i];

        for (unsigned s = 0; s < 2; s++) {
            if (s == 1 && process->tty) {
                continue;
            }
            cli_table_addf(&table, "%" PRIu32, process->id);
            if (has_exited(record, process)) {
                cli_table_addf(&table, "exited %u", exit_status(record, process));
            } else {
                cli_table_add(&table, CLI_GREEN, process->tty ? "running, tty" : "running");
            }
            cli_table_add(&table, CLI_PLAIN, stream_names[s]);
            cli_table_addf(&table, "%" PRIu64, process->base[s]);
            cli_table_addf(&table, "%" PRIu64, process->head[s]);
            cli_size_text(process->head[s] - process->base[s], kept, sizeof(kept));
            cli_table_add(&table, CLI_PLAIN, kept);
        }
    }
    cli_text_printf(text, "\n");
    cli_table_print(&table, text);
}

static void holders_page(struct cli_text *text, const struct retether_record *record, bool colours)
{
    char heads[] = "ATTACHMENT PROCESS KIND STREAM >CONSUMED >LAG >HOLD";
    struct cli_table table;
    char id[2 * RETETHER_ATTACHMENT_ID_SIZE + 1];
    char cell[32];

    cli_table_init(&table, heads, colours);
    for (size_t i = 0; i < record->n_attachments; i++) {
        const struct retether_holder *att = &record->attachments[i];
        const struct retether_process *process = process_of(record, att->process);

        rt_hex(att->id, sizeof(att->id), id);
        for (unsigned s = 0; s < 2; s++) {
            if (s == 1 && process != NULL && process->tty) {
                continue;
            }
            cli_table_addf(&table, "%.8s", id);
            cli_table_addf(&table, "%" PRIu32, att->process);
            cli_table_addf(&table, "%s%s", att->observer ? "observer" : "holding",
                           is_bound(record, att) ? "" : ", away");
            cli_table_add(&table, CLI_PLAIN, stream_names[s]);
            cli_table_addf(&table, "%" PRIu64, att->consumed[s]);
            cli_size_text(lag(process, att, s), cell, sizeof(cell));
            cli_table_add(&table, CLI_PLAIN, cell);
            cli_age_text(hold_left_ms(record, att), cell, sizeof(cell));
            cli_table_add(&table, CLI_PLAIN, att->observer ? "-" : cell);
        }
    }
    cli_text_printf(text, "\n");
    cli_table_print(&table, text);
}

/* A line for the rows that the report had no room for. */
static void more_line(struct cli_text *text, uint64_t n, const char *one, const char *many)
{
    if (n > 0) {
        cli_text_printf(text, "and %" PRIu64 " more %s\n", n, n == 1 ? one : many);
    }
}

void cli_record_page(struct cli_text *text, const struct retether_record *record, bool colours)
{
    char heads[] = "CONTAINER .";
    struct cli_table table;
    char value[64];

    cli_table_init(&table, heads, colours);
    table.heads[1] = record->container;
    cli_table_add(&table, CLI_DIM, "state");
    cli_table_add(&table, state_colour(record->state), retether_state_name(record->state));
    if (record->state == RETETHER_STATE_ENDED) {
        exit_text(record, value, sizeof(value));
        if (record->signal != 0) { /* the same status as in the table of processes */
            size_t used = strlen(value);

            snprintf(value + used, sizeof(value) - used, " (status %d)", cli_status(record->code, record->signal));
        }
        line(&table, "exit", value);
    }
    line(&table, "host", record->host[0] != '\0' ? record->host : "-");
    snprintf(value, sizeof(value), "%" PRIu64 " of life %" PRIu64, record->epoch, record->life);
    line(&table, "epoch", value);
    snprintf(value, sizeof(value), "%" PRIu64, record->moves);
    line(&table, "moves", value);
    times(&table, "created", record->made_ms);
    times(&table, "claimed", record->claimed_ms);
    times(&table, "reported", record->seen_ms);
    if (record->revoked) {
        line(&table, "revoked", "yes");
    }
    if (record->local[0] != '\0') {
        snprintf(value, sizeof(value), "local, of %.40s", record->local);
        line(&table, "view", value);
    }
    line(&table, "tenant", record->tenant);
    if (record->label[0] != '\0') {
        line(&table, "label", record->label);
    }
    cli_table_print(&table, text);
    if (record->n_processes > 0) {
        streams_page(text, record, colours);
    }
    more_line(text, record->processes_more, "process", "processes");
    more_line(text, record->processes_exited, "command, which has ended", "commands, which have ended");
    if (record->n_attachments > 0) {
        holders_page(text, record, colours);
    }
    more_line(text, record->attachments_more, "attachment", "attachments");
}

/* ---- hosts ---- */

static const char *host_state(const struct retether_host *host)
{
    switch (host->state) {
    case RETETHER_HOST_ALIVE:
        return host->draining ? "draining" : "alive";
    case RETETHER_HOST_DEAD:
        return "dead";
    case RETETHER_HOST_UNKNOWN:
        break;
    }
    return "unknown";
}

void cli_addresses_json(struct cli_text *out, const struct retether_host *host)
{
    cli_json_begin(out, "addresses", '[');
    for (size_t i = 0; host != NULL && i < host->n_addresses; i++) {
        cli_json_text(out, NULL, host->address[i]);
    }
    cli_json_end(out, ']');
}

void cli_host_json(struct cli_text *out, const struct retether_host *host)
{
    cli_json_open(out);
    cli_json_text(out, "host", host->name);
    cli_json_text(out, "state", host_state(host));
    cli_json_bool(out, "draining", host->draining);
    cli_json_number(out, "age_ms", host->age_ms);
    cli_json_number_or_null(out, "sessions", !host->sessions_untold, host->sessions);
    cli_json_text(out, "version", host->version);
    cli_json_number(out, "sequence", host->sequence);
    cli_addresses_json(out, host);
    cli_json_close(out);
}

void cli_host_row(struct cli_table *out, const struct retether_host *host)
{
    char cell[4 * (RETETHER_ADDRESS_MAX + 1) + 1] = "";
    size_t used = 0;

    cli_table_add(out, CLI_PLAIN, host->name);
    cli_table_add(out,
                  host->state == RETETHER_HOST_DEAD                       ? CLI_RED
                  : host->state == RETETHER_HOST_ALIVE && !host->draining ? CLI_GREEN
                                                                          : CLI_PLAIN,
                  host_state(host));
    cli_age_text(host->age_ms, cell, sizeof(cell));
    cli_table_add(out, CLI_PLAIN, cell);
    if (host->sessions_untold) {
        cli_table_add(out, CLI_PLAIN, "-");
    } else {
        cli_table_addf(out, "%" PRIu64, host->sessions);
    }
    cli_table_add(out, CLI_PLAIN, host->version);
    cell[0] = '\0';
    for (size_t i = 0; i < host->n_addresses && used < sizeof(cell); i++) {
        used += (size_t)snprintf(cell + used, sizeof(cell) - used, "%s%s", i > 0 ? " " : "", host->address[i]);
    }
    cli_table_add(out, CLI_PLAIN, cell);
}
