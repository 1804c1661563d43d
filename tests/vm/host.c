/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COMMAND_LIMIT_MS 120000
#define DIAG_BUFFER 16384
#define BRIDGE_MAC "02:72:74:00:00:01"

static int fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "host: %s: %s\n", what, why);
    return -1;
}

/* Runs `ip` with these commands on its stdin, in the namespace; NULL: here. */
static int ip_batch(const char *netns, const char *commands)
{
    const char *in_it[] = {"ip", "-n", netns, "-batch", "-", NULL}, *here[] = {"ip", "-batch", "-", NULL};
    struct rt_process_spec spec;
    struct rt_process_run run;
    int rc;

    rt_process_spec_init(&spec, netns != NULL ? in_it : here);
    rc = rt_process_run(&spec, commands, strlen(commands), COMMAND_LIMIT_MS, &run);
    if (rc == 0 && run.status != 0) {
        rc = fail("ip", run.err);
    }
    rt_process_run_free(&run);
    return rc;
}

/* Both sockets, made inside; this thread comes back out. */
static int open_sockets(struct vm_host *host)
{
    char path[64];
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), there, rc = -1;

    (void)snprintf(path, sizeof(path), "/run/netns/%s", host->netns);
    there = open(path, O_RDONLY | O_CLOEXEC);
    if (home >= 0 && there >= 0 && setns(there, CLONE_NEWNET) == 0) {
        host->raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);
        host->diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
        rc = setns(home, CLONE_NEWNET) == 0 && host->raw >= 0 && host->diag >= 0 ? 0 : -1;
    }
    if (rc != 0) {
        (void)fail(host->netns, strerror(errno));
    }
    (void)close(home);
    (void)close(there);
    return rc;
}

int vm_host_open(struct vm_host *host, unsigned index, struct rt_janitor *janitor)
{
    char add[64];

    host->raw = host->diag = -1;
    (void)snprintf(host->netns, sizeof(host->netns), "retether-%ld-h%u", (long)getpid(), index);
    rt_janitor_netns(janitor, host->netns);
    (void)snprintf(add, sizeof(add), "netns add %s\n", host->netns);
    if (ip_batch(NULL, add) != 0 ||
        ip_batch(host->netns, "link set lo up\n"
                              "link add br0 address " BRIDGE_MAC " type bridge forward_delay 0\n"
                              "address add " VM_HOST_ADDRESS "/16 dev br0\n"
                              "link set br0 up\n") != 0) {
        return -1;
    }
    return open_sockets(host);
}

void vm_host_close(struct vm_host *host)
{
    if (host->netns[0] == '\0') {
        return;
    }
    if (host->raw >= 0) {
        (void)close(host->raw);
    }
    if (host->diag >= 0) {
        (void)close(host->diag);
    }
    host->netns[0] = '\0';
}

int vm_host_tap(const struct vm_host *host, const char *tap)
{
    char commands[256];
    const char *argv[] = {"ip", "-n", host->netns, "link", "show", tap, NULL};
    struct rt_process_spec spec;
    struct rt_process_run run;
    bool there;

    rt_process_spec_init(&spec, argv);
    there = rt_process_run(&spec, NULL, 0, COMMAND_LIMIT_MS, &run) == 0 && run.status == 0;
    rt_process_run_free(&run);
    if (there) {
        return 0;
    }
    (void)snprintf(commands, sizeof(commands), "tuntap add %s mode tap\nlink set %s master br0 up\n", tap, tap);
    return ip_batch(host->netns, commands);
}

int vm_host_link(const struct vm_host *host, const char *tap, bool up)
{
    char commands[64];

    (void)snprintf(commands, sizeof(commands), "link set %s %s\n", tap, up ? "up" : "down");
    return ip_batch(host->netns, commands);
}

static void take_conns(const struct nlmsghdr *header, size_t left, uint32_t guest,
                       struct vm_host_conn conns[VM_HOST_CONNS_MAX], size_t *n, bool *over)
{
    for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
        const struct inet_diag_msg *msg = NLMSG_DATA(header);

        if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) {
            *over = true;
            return;
        }
        if (msg->id.idiag_dst[0] == guest && ntohs(msg->id.idiag_sport) == VM_HOST_PORT && *n < VM_HOST_CONNS_MAX) {
            conns[*n] = (struct vm_host_conn){.port = ntohs(msg->id.idiag_dport),
                                              .unacked = msg->idiag_wqueue,
                                              .unread = msg->idiag_rqueue,
                                              .cookie = {msg->id.idiag_cookie[0], msg->id.idiag_cookie[1]}};
            (*n)++;
        }
    }
}

size_t vm_host_conns(const struct vm_host *host, const char *guest, struct vm_host_conn conns[VM_HOST_CONNS_MAX])
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 body;
    } request = {
        .header = {.nlmsg_len = sizeof(request),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1U << TCP_ESTABLISHED},
    };
    _Alignas(struct nlmsghdr) char buf[DIAG_BUFFER];
    bool over = false;
    size_t n = 0;

    if (send(host->diag, &request, sizeof(request), 0) < 0) {
        return 0;
    }
    while (!over) {
        ssize_t got = recv(host->diag, buf, sizeof(buf), 0);

        if (got <= 0) {
            break;
        }
        take_conns((const struct nlmsghdr *)(const void *)buf, (size_t)got, inet_addr(guest), conns, &n, &over);
    }
    return n;
}

void vm_host_destroy(const struct vm_host *host, const char *guest, const struct vm_host_conn *conn)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 body;
    } request = {
        .header = {.nlmsg_len = sizeof(request), .nlmsg_type = SOCK_DESTROY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
        .body = {.sdiag_family = AF_INET,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = 1U << TCP_ESTABLISHED,
                 .id = {.idiag_sport = htons(VM_HOST_PORT),
                        .idiag_dport = htons(conn->port),
                        .idiag_src = {inet_addr(VM_HOST_ADDRESS)},
                        .idiag_dst = {inet_addr(guest)},
                        .idiag_cookie = {conn->cookie[0], conn->cookie[1]}}},
    };
    char answer[1024];

    if (send(host->diag, &request, sizeof(request), 0) >= 0) {
        (void)!recv(host->diag, answer, sizeof(answer), 0);
    }
}

static uint16_t checksum(const struct tcphdr *header, uint32_t from, uint32_t to)
{
    struct {
        uint32_t from, to;
        uint8_t zero, protocol;
        uint16_t size;
        struct tcphdr header;
    } data = {from, to, 0, IPPROTO_TCP, htons(sizeof(*header)), *header};
    uint16_t words[sizeof(data) / 2];
    uint32_t sum = 0;

    memcpy(words, &data, sizeof(words));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        sum += words[i];
    }
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t) ~(sum + (sum >> 16));
}

void vm_host_probe(const struct vm_host *host, const char *guest, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(guest)};
    struct tcphdr syn = {.source = htons(VM_HOST_PORT),
                         .dest = htons(port),
                         .seq = htonl(1),
                         .doff = 5,
                         .syn = 1,
                         .window = htons(1024)};

    syn.check = checksum(&syn, inet_addr(VM_HOST_ADDRESS), to.sin_addr.s_addr);
    (void)sendto(host->raw, &syn, sizeof(syn), 0, (struct sockaddr *)&to, sizeof(to));
}
