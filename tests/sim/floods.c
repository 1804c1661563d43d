/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/floods.h"

#include "session/base/slice.h"
#include "session/core/client.h"
#include "session/core/client_att.h"
#include "session/core/client_machine.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "session/core/tether_machine.h"
#include "tests/sim/agents.h"
#include "tests/sim/clients.h"
#include "tests/sim/event.h"
#include "tests/sim/faults.h"
#include "tests/sim/guests.h"
#include "tests/sim/net.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUEST SIM_GUESTS
#define CLIENT SIM_CLIENTS
static const char ID_PREFIX[8] = "hostile"; /* of its attachments' ids */

#define BURST 65536
#define PAYLOAD_MAX 2048
#define BURST_EVERY_US 500
#define UNDER_WAY_MAX 262144 /* then the network takes no more of it */
#define SHORT_FLOOD 300000   /* bytes */
#define LONG_FLOOD 3000000   /* more than a congested link keeps of anything without credit */
#define SHARED_RATE 4000000  /* bytes a second that honest clients' links take meanwhile: no ping waits for long */
#define SHARED_US 300000     /* for so long */
#define OWN_RATE 100000      /* a hostile peer may not read what it is answered */
#define FLOODS_PER_RUN 4
#define FLOODS_STRIDE 6 /* of types, from one to the next of a run */
#define START_TRIES 16
#define FLOOD_US 2000000         /* one, and time to recover */
#define CHANNELS_FROM (1U << 20) /* of attaches that no machine knows */

const uint8_t sim_flood_types[2][SIM_FLOODS_MAX] = {
    {RT_HELLO, RT_CONFIRM, RT_REPORT, RT_REFUSE, RT_PING, RT_PONG, RT_TAIL, RT_END, RT_ATTACHED, RT_DATA, RT_ACK,
     RT_FIN, RT_GAP, RT_STOP},
    {RT_HELLO, RT_REFUSE, RT_PING, RT_PONG, RT_REQUEST, RT_ATTACH, RT_DATA, RT_ACK, RT_FIN, RT_DETACH},
};

static struct flood {
    bool client; /* else the guest */
    uint8_t type;
    size_t left;      /* bytes */
    uint32_t channel; /* next of ATTACH */
    uint64_t count;
} flood;

/* Each hostile run has one in the middle of other faults, and the more that are drawn. */
static void flood_early(int arg)
{
    (void)arg;
    if (!sim.quiet) {
        sim.stats.faults[FAULT_FLOOD] += sim_flood_some();
    }
}

void sim_start_hostile(void)
{
    int line = sim_new_line(SIM_HOSTILE, -1, NULL);
    int host = (int)sim_random((uint64_t)sim.n_agents);

    if (line < 0 || sim_new_guest(SIM_HOSTILE, host, line) != GUEST) {
        sim_fail("no room for the hostile guest");
    }
    sim.hostile = true;
    sim_guest_pump(GUEST);
    sim_new_client(CLIENT);
    memset(&flood, 0, sizeof(flood));
    sim_post((struct sim_event){.kind = EV_CALL, .call = flood_early}, 500000 + sim_random(1500000));
}

bool sim_hostile_conn(int conn)
{
    const struct sim_conn *c = &sim.conns[conn];

    return c->peer == (c->kind == NODE_GUEST ? GUEST : CLIENT);
}

bool sim_hostile_id(const uint8_t id[RT_ID_SIZE])
{
    return memcmp(id, ID_PREFIX, sizeof(ID_PREFIX)) == 0;
}

void sim_hostile_bytes(void *ctx, void *out, size_t size)
{
    sim_random_bytes(ctx, out, size);
    if (size == RT_ID_SIZE) {
        memcpy(out, ID_PREFIX, sizeof(ID_PREFIX));
    }
}

/* It stays attached to the honest containers, reads, holds nothing and writes nothing but floods. */
void sim_hostile_app(void)
{
    struct sim_client *c = &sim.clients[CLIENT];

    for (int i = 0; i < SIM_ATTS; i++) {
        struct sim_att *att = &c->atts[i];
        struct rt_attach_options options = {.want = 31, .from = RT_FROM_NOW};
        struct rt_catt_event ev;
        struct rt_key key;

        for (unsigned s = RT_STDOUT; att->att != NULL && s <= RT_STDERR; s++) {
            size_t size;

            (void)rt_catt_peek(att->att, s, &size);
            if (size != 0) {
                rt_catt_consumed(att->att, s, size, sim_ms());
            }
        }
        while (att->att != NULL && rt_catt_event(att->att, &ev)) {
            if (ev.kind == RT_CATT_FAILED || ev.kind == RT_CATT_REWOUND || ev.kind == RT_CATT_EXITED) {
                att->final = true;
            }
        }
        if (att->final) {
            rt_catt_free(att->att);
            memset(att, 0, sizeof(*att));
        }
        if (att->att != NULL || sim.ending || !sim_chance(30)) {
            continue;
        }
        sim_key(i % sim.n_containers, &key);
        memcpy(options.cid, key.cid, sizeof(key.cid));
        if (rt_client_attach(c->client, &options, sim_ms(), &att->att) != 0) {
            sim_fail("an attach was refused");
        }
    }
}

/* ---- frames ---- */

/* A channel that is in use, or any. */
static uint32_t a_channel(int conn)
{
    const struct sim_conn *c = &sim.conns[conn];
    uint32_t found = 0;

    if (sim_chance(10)) {
        return 1 + (uint32_t)sim_random(1000);
    }
    if (c->kind == NODE_GUEST) {
        const struct rt_tether *t = sim.guests[GUEST].tether;
        int first = (int)sim_random(RT_ATTS_MAX);

        for (int i = 0; i < RT_ATTS_MAX && !found; i++) {
            if (t->atts[(first + i) % RT_ATTS_MAX].state != RT_ATT_FREE) {
                found = t->atts[(first + i) % RT_ATTS_MAX].channel;
            }
        }
    } else {
        const struct sim_client *client = &sim.clients[CLIENT];
        int first = (int)sim_random(SIM_ATTS);

        for (int i = 0; i < SIM_ATTS && !found; i++) {
            const struct rt_catt *att = client->atts[(first + i) % SIM_ATTS].att;

            if (att != NULL && att->link == (int)c->slot) {
                found = att->channel;
            }
        }
    }
    return found ? found : 1;
}

static unsigned a_stream(bool client, uint8_t type)
{
    static const uint8_t up[] = {RT_STDOUT, RT_STDERR, RT_CONTROL_UP}, down[] = {RT_STDIN, RT_CONTROL_DOWN};
    bool out = client ? type == RT_ACK : type != RT_ACK; /* names an output stream */

    if (type == RT_STOP) {
        return RT_STDIN;
    }
    if (type == RT_FIN) {
        return client ? RT_STDIN : 1 + (unsigned)sim_random(2);
    }
    if (type == RT_TAIL) {
        return 1 + (unsigned)sim_random(2);
    }
    return out ? up[sim_random(sizeof(up))] : down[sim_random(sizeof(down))];
}

static int refuse_payload(uint8_t *out, size_t cap)
{
    static const unsigned classes[] = {RT_CLASS_LOST, RT_CLASS_MOVED, RT_CLASS_ENDED, RT_CLASS_STOLEN, RT_CLASS_LIMIT};
    struct rt_refuse_msg msg = {.c = classes[sim_random(sizeof(classes) / sizeof(classes[0]))],
                                .m = rt_slice_text("flood")};

    if (msg.c == RT_CLASS_MOVED) { /* to an address that nobody may believe */
        msg.host = rt_slice_text("elsewhere");
        msg.addr[0] = rt_slice_text("unix:/sim/elsewhere");
        msg.n_addr = 1;
        msg.life = UINT64_C(1) << 50;
        msg.epoch = 1;
    }
    return rt_msg_encode(RT_MSG_REFUSE, &msg, out, cap);
}

static int attach_payload(uint8_t *out, size_t cap)
{
    struct rt_attach_msg msg = {.try_no = 1, .want = 31, .wait = 5000};
    struct rt_key key;
    uint8_t id[RT_ID_SIZE];

    sim_key(SIM_HOSTILE, &key);
    sim_hostile_bytes(NULL, id, sizeof(id));
    msg.cid = rt_slice_text(key.cid);
    msg.id = (struct rt_slice){id, RT_ID_SIZE};
    return rt_msg_encode(RT_MSG_ATTACH, &msg, out, cap);
}

static int payload(bool client, uint8_t type, uint8_t *out, size_t cap)
{
    static struct rt_report_msg report;
    static const struct rt_attached_msg attached = {.life = 1, .st = 1};
    static const struct rt_hello_msg hello = {.vmin = 1, .vmax = 1};
    struct rt_end_msg end = {.code = sim_random(200)};
    struct rt_request_msg request = {.op = rt_slice_text(sim_chance(50) ? "show" : "list")};
    struct rt_hello_msg again = hello;
    struct rt_key key;

    sim_key(SIM_HOSTILE, &key);
    switch (type) {
    case RT_HELLO:
        again.role = rt_slice_text(client ? "client" : "guest");
        return rt_msg_encode(RT_MSG_HELLO, &again, out, cap);
    case RT_REPORT:
        return rt_msg_encode(RT_MSG_REPORT, &report, out, cap);
    case RT_REFUSE:
        return refuse_payload(out, cap);
    case RT_END:
        return rt_msg_encode(RT_MSG_END, &end, out, cap);
    case RT_ATTACHED:
        return rt_msg_encode(RT_MSG_ATTACHED, &attached, out, cap);
    case RT_ATTACH:
        return attach_payload(out, cap);
    case RT_REQUEST:
        request.cid = rt_slice_text(key.cid);
        return rt_msg_encode(RT_MSG_REQUEST, &request, out, cap);
    case RT_DATA:
    case RT_TAIL:
        memset(out, 0, 1000);
        return 1 + (int)sim_random(1000);
    case RT_ACK:
        rt_put_u64(out, flood.count + 100000);
        rt_put_u64(out + 8, 0);
        return RT_ACK_PAYLOAD;
    case RT_GAP:
        rt_put_u64(out, flood.count + 10);
        return RT_GAP_PAYLOAD;
    default:
        return 0;
    }
}

static bool on_channel(uint8_t type)
{
    return type == RT_REFUSE || type >= RT_ATTACH;
}

/* One frame into out, of at least PAYLOAD_MAX bytes and a header. */
static size_t make_frame(int conn, uint8_t *out)
{
    struct rt_frame frame = {.type = flood.type};
    int size = payload(flood.client, flood.type, out + RT_FRAME_HEADER, PAYLOAD_MAX);

    if (size < 0) {
        sim_fail("a flood of %s cannot be made", rt_frame_name(flood.type));
    }
    frame.length = (uint32_t)size;
    if (on_channel(flood.type)) {
        frame.channel = flood.type == RT_ATTACH ? flood.channel++ : a_channel(conn);
    }
    if ((flood.type >= RT_DATA && flood.type != RT_DETACH) || flood.type == RT_TAIL) {
        frame.stream = (uint16_t)a_stream(flood.client, flood.type);
    }
    if (flood.type == RT_PING || flood.type == RT_PONG || flood.type == RT_REQUEST || flood.type == RT_TAIL ||
        (flood.type >= RT_DATA && flood.type != RT_DETACH)) {
        frame.offset = ++flood.count;
    }
    rt_frame_put(out, &frame);
    return RT_FRAME_HEADER + frame.length;
}

/* ---- bursts ---- */

/* The connection that it floods: one whose handshake is done. */
static int live_conn(bool client)
{
    const struct sim_client *c = &sim.clients[CLIENT];

    if (!client) {
        return sim.guests[GUEST].running && sim.guests[GUEST].tether->state == RT_TETHER_LIVE ? sim.guests[GUEST].conn
                                                                                              : -1;
    }
    for (int i = 0; i < SIM_ATTS; i++) {
        if (c->atts[i].att != NULL && c->atts[i].att->channel && c->conn[c->atts[i].att->link] >= 0) {
            return c->conn[c->atts[i].att->link];
        }
    }
    return -1;
}

static void burst(int arg)
{
    static uint8_t bytes[BURST + RT_FRAME_HEADER + PAYLOAD_MAX];
    int conn = live_conn(flood.client);
    size_t size = 0;

    (void)arg;
    if (conn >= 0 && sim_in_flight(conn, 1) < UNDER_WAY_MAX) {
        while (size < BURST) {
            size += make_frame(conn, bytes + size);
        }
        sim_send(conn, 1, bytes, size);
    }
    flood.left -= flood.left < BURST ? flood.left : BURST;
    if (flood.left > 0) {
        sim_post((struct sim_event){.kind = EV_CALL, .call = burst}, BURST_EVERY_US);
    }
}

/* Of the types that the two sides may flood the one of this number, modulo their count: at the end of one side's list
 * the other's begins. */
static bool start(size_t bytes, uint64_t number)
{
    unsigned n[2] = {0, 0}, draw;
    int conn;

    if (flood.left > 0) {
        return false;
    }
    for (int side = 0; side < 2; side++) {
        while (n[side] < SIM_FLOODS_MAX && sim_flood_types[side][n[side]]) {
            n[side]++;
        }
    }
    draw = (unsigned)(number % (n[0] + n[1]));
    flood.client = draw >= n[0];
    draw -= flood.client ? n[0] : 0;
    conn = live_conn(flood.client);
    if (conn < 0) {
        return false;
    }
    flood.type = sim_flood_types[flood.client][draw];
    flood.channel = CHANNELS_FROM;
    flood.left = bytes;
    sim.stats.floods[flood.client][draw]++;
    sim_log("fault: the hostile %s floods %s", flood.client ? "client" : "guest", rt_frame_name(flood.type));
    if (sim_chance(50)) {
        sim_slow(conn, OWN_RATE, SHARED_US);
    }
    burst(0);
    return true;
}

bool sim_flood_some(void)
{
    return sim.hostile && start(SHORT_FLOOD, sim_random(1U << 20));
}

/* The types go by turns from run to run. Who was refused for an earlier flood may take a while to come back. */
static bool start_by_turns(unsigned n, void (*run_for)(uint64_t us))
{
    for (int tries = 0; tries < START_TRIES; tries++) {
        if (start(LONG_FLOOD, sim.options.seed / SIM_HOSTILE_EVERY + (uint64_t)n * FLOODS_STRIDE)) {
            return true;
        }
        run_for(FLOOD_US);
    }
    return false;
}

void sim_floods(void (*run_for)(uint64_t us))
{
    static char name[64];
    uint64_t epoch[SIM_GUESTS];

    for (int n = 0; n < FLOODS_PER_RUN; n++) {
        for (int i = 0; i < SIM_GUESTS; i++) {
            epoch[i] = sim.guests[i].running ? sim.guests[i].tether->epoch : 0;
        }
        if (!start_by_turns((unsigned)n, run_for)) {
            continue;
        }
        (void)snprintf(name, sizeof(name), "%s of a %s", rt_frame_name(flood.type), flood.client ? "client" : "guest");
        sim.flood = name;
        for (int i = 0; i < sim.top_conn; i++) {
            if (sim.conns[i].used && !sim.conns[i].cut && !sim_hostile_conn(i) && sim.conns[i].kind == NODE_CLIENT) {
                sim_slow(i, SHARED_RATE, SHARED_US);
            }
        }
        run_for(FLOOD_US);
        for (int i = 0; i < SIM_GUESTS; i++) {
            if (sim.guests[i].running && !sim.forked[sim.guests[i].container] &&
                sim.guests[i].tether->epoch != epoch[i]) {
                sim_fail("guest %d has had to connect anew in a flood of %s", i, name);
            }
        }
        sim.flood = NULL;
    }
}
