/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/ticket.h"
#include "migrate/core/token_text.h"
#include "tests/vectors/vector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Writes what the targets start from:  fuzz_seeds VECTORS OUT
 * The vectors are the inputs of fuzz_frame and fuzz_msg; the others have few of their own. */

struct output {
    const char *folder;
    int failed;
};

static const char *const targets[] = {"",           "fuzz_frame", "fuzz_msg",   "fuzz_tether", "fuzz_client",
                                      "fuzz_agent", "fuzz_store", "fuzz_redis", "fuzz_token",  "fuzz_config",
                                      "fuzz_file",  "fuzz_tls",   "fuzz_cert"};

#define ID "00112233445566778899aabbccddeeff"
#define IDS ID ID ID ID

/* The first byte is what the target chooses by: a machine that begins attached, a reply, a text. */
static const struct {
    const char *target, *name, *text;
} texts[] = {
    {"fuzz_tether", "attached", "\x04"},
    {"fuzz_tether", "attached-tty", "\x05"},
    {"fuzz_client", "attached", "\x01"},
    {"fuzz_agent", "attached", "\x03"},
    {"fuzz_agent", "store-up", "\x01"},
    {"fuzz_store", "outcome", "\x10*8\r\n:0\r\n:1\r\n:7\r\n:0\r\n:0\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n"},
    {"fuzz_store", "created", "\x10*2\r\n:0\r\n$1\r\na\r\n"},
    {"fuzz_store", "written", "\x10*4\r\n:2\r\n:7\r\n:1\r\n$1\r\na\r\n"},
    {"fuzz_store", "record",
     "\x10*8\r\n$2\r\nst\r\n$1\r\n2\r\n$4\r\nlife\r\n$1\r\n7\r\n$2\r\nep\r\n$1\r\n1\r\n"
     "$4\r\nhost\r\n$1\r\na\r\n"},
    {"fuzz_store", "record-chain",
     "\x10*6\r\n$2\r\nst\r\n$1\r\n2\r\n$3\r\ninc\r\n$32\r\n" ID "\r\n"
     "$3\r\nanc\r\n$64\r\n" ID ID "\r\n"},
    {"fuzz_store", "record-longest-chain",
     "\x10*4\r\n$2\r\nst\r\n$1\r\n2\r\n$3\r\nanc\r\n$512\r\n" IDS IDS IDS IDS "\r\n"},
    {"fuzz_store", "record-history",
     "\x10*6\r\n$2\r\nst\r\n$1\r\n2\r\n$4\r\nhist\r\n$15\r\n1 1 5 a\n2 1 6 b\r\n"
     "$3\r\nrep\r\n$1\r\nr\r\n"},
    {"fuzz_store", "tails",
     "\x10*12\r\n:5\r\n:0\r\n:0\r\n:0\r\n:3\r\n:1\r\n$3\r\nabc\r\n$1\r\nd\r\n:7\r\n$0\r\n\r\n:0\r\n$4\r\n\1\2\1\1\r\n"},
    {"fuzz_store", "others", "\x10+OK\r\n-ERR no\r\n$-1\r\n*-1\r\n*0\r\n"},
    {"fuzz_store", "record-chosen", "\x80\x02\x14\x3c\x01\x05"},
    {"fuzz_store", "row", "\xa0" ID "\n7\n500\n3\n1.0\nunix:/a\nunix:/b\n"},
    {"fuzz_store", "claimed",
     "\xa0"
     "7\n1\nhost\ntenant\nbox\n"},
    {"fuzz_store", "host", "\xa0h1\n" ID "\n7\n500\n3\n1.0\nm\ntls:10.0.0.1:7401\n"},
    {"fuzz_store", "past",
     "\xa0"
     "1 2 65536 5\nlabel1 1 5 a\n2 1 6 b\n"},
    {"fuzz_store", "member", "\xa0tenant/box"},
    {"fuzz_store", "id", "\xa0" ID},
    {"fuzz_config", "whole",
     "# a host\nhost {\n  name = \"esx-17\"\n  advertise = {\"unix:/run/c.sock\"}\n}\nlisten {\n"
     "  guests = {\"vsock::7400\", \"unix:/run/g.sock,mode=0660,group=0\"}\n  clients = {\"unix:/run/c.sock\"}\n  "
     "max_guests = 10\n}\n"
     "store {\n  endpoints = {\"sentinel://retether@10.0.0.11:26379,10.0.0.12:26379\"}\n  timeout = 1s\n}\n"
     "state_dir = \"/var/lib/retether\"\nticket_ttl = 24h\naccess {\n  users = {\"root = operator\", \"@27 = "
     "vch/acme\"}\n}\nlog {\n  level = info\n"
     "  format = json\n}\n"},
    {"fuzz_config", "store",
     "store {\n  endpoints = {\"rediss://redis-1.example:6380\", \"redis+unix:///run/redis.sock\",\n"
     "    \"sentinel+tls://main@[::1]:26379,s2:26379\"}\n  tls = /etc/retether/store-tls\n"
     "  password_file = /etc/retether/a\n  sentinel_password_file = /etc/retether/b\n}\n"},
    {"fuzz_config", "small", "keys = ${HOME}\nlisten { guests = {} }\n"},
    {"fuzz_tls", "handshake", "\x04"},
    {"fuzz_tls", "dialled", "\x02"},
    {"fuzz_tls", "dialled-to", "\x06\x05\xc8\x7f\x7f\x40\x40\x40\x40\x40\x40\x40\x40"},
    {"fuzz_tls", "pieces",
     "\x04\x05\xc8\x7f\x7f\x7f\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40"},
    {"fuzz_tls", "hello", "\x01\x09\x16\x03\x01\x01\x04\x01\x01\x02\x03"},
    {"fuzz_cert", "honest", "\x04"},
    {"fuzz_cert", "pieces", "\x04\x04\x03\x03\x03\x03\x06\x01\x02\x03\x04\x08\x05"},
    {"fuzz_cert", "files", "\x01\x03\x04\x01\x01"},
    {"fuzz_cert", "names", "\x02\x30\x28\x86\x26spiffe://lab.example/retether/vch/acme"},
    {"fuzz_cert", "identity", "\x03spiffe://lab.example/retether/vch/acme"},
    {"fuzz_cert", "identity-operator", "\x03spiffe://lab.example/retether/operator"},
    {"fuzz_redis", "up", "\x01"},
    {"fuzz_redis", "healed", "\x09\x04"},
    {"fuzz_redis", "sentinels", "\x0b\x04"},
    {"fuzz_file", "user", "\x09web = vch/acme"},
    {"fuzz_file", "group", "\x09@27 = operator"},
    {"fuzz_file", "listener", "\x01unix:/run/a,mode=0660,group=0"},
    {"fuzz_file", "vms", "\x01vm:/run/vms:7400"},
    {"fuzz_file", "endpoint", "\x02tls:[fe80::1]:7401"},
    {"fuzz_file", "name", "\x02tls:esx17.example:7401"},
    {"fuzz_file", "vsock", "\x02vsock:2:7400"},
    {"fuzz_file", "sentinels", "\x02sentinel://main@10.0.0.1:26379,10.0.0.2:26379"},
    {"fuzz_file", "rediss", "\x02rediss://redis-1.example:6380"},
    {"fuzz_file", "redis-socket", "\x02redis+unix:///run/redis.sock"},
    {"fuzz_file", "duration",
     "\x03"
     "1500ms"},
    {"fuzz_file", "size",
     "\x03"
     "64K"},
    {"fuzz_file", "keys", "\x04# ring\nkey 1 " ID ID " active\nkey 2 " ID ID "\n"},
    {"fuzz_file", "map", "\x05# CID NAME\n3 web\n4 db-1\n"},
    {"fuzz_file", "tether",
     "\x06"
     "cid web1\nagent tcp:169.254.1.1:7400\nring 1M\ntty\nlink eth0=10.0.0.2/24\ncommand /bin/sh\nargument -c\n"},
    {"fuzz_file", "people", "\x07\x20\xc3\xa9\x1b[2J\xe2\x80\xae\xf0\x9f\x98\x80 box"},
    {"fuzz_file", "end", "\x08\x02\x07\x01\x05\x40\x05\x01\x03"},
    {"fuzz_file", "end-changed", "\x08\x01\x07\x01\x03\x40\x05\x01\x03\x02\x30\x01\x40\x02"},
};

static void write_file(struct output *output, const char *target, const char *name, const void *head, size_t head_size,
                       const void *data, size_t size)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s/%s", output->folder, target, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        output->failed = 1;
        return;
    }
    bool written = fwrite(head, 1, head_size, file) == head_size;
    written = fwrite(data, 1, size, file) == size && written;
    if (fclose(file) != 0 || !written) {
        perror(path);
        output->failed = 1;
    }
}

static void write_cb(const struct rt_vector *vector, void *data)
{
    const char *base = strrchr(vector->path, '/');
    const char *name = base == NULL ? vector->path : base + 1;
    if (strcmp(vector->what, "frame") == 0) {
        write_file(data, "fuzz_frame", name, "", 0, vector->bytes, vector->size);
    } else {
        uint8_t kind = (uint8_t)rt_vector_kind(vector->name);
        write_file(data, "fuzz_msg", name, &kind, 1, vector->bytes, vector->size);
    }
}

static void write_tokens(struct output *output)
{
    static const char *const names[] = {"join", "ticket"};
    struct rt_ticket ticket = {.key = {"t", "box"}, .key_id = 1, .issuer = "host", .bound_to = "vm"};
    uint8_t plain[RT_TOKEN_MAX];
    char text[RT_TOKEN_TEXT_MAX + 16] = "";
    ticket.life = ticket.epoch = 5;
    ticket.n_ancestors = 2;
    for (int i = 0; i < 2; i++) {
        ticket.join = i == 0;
        int size = rt_ticket_encode(&ticket, plain, sizeof(plain));
        if (size > 0) {
            write_file(output, "fuzz_token", names[i], "\x02", 1, plain, (size_t)size);
            write_file(output, "fuzz_token", i == 0 ? "forged-join" : "forged", "\x01", 1, plain, (size_t)size);
        }
    }
    int size = rt_token_text_encode(plain, 40, text, sizeof(text));
    if (size < 0) {
        output->failed = 1;
        return;
    }
    write_file(output, "fuzz_token", "text", "", 1, text, (size_t)size);
    memcpy(text + size, RT_TOKEN_RING "4096\n", sizeof(RT_TOKEN_RING "4096\n"));
    write_file(output, "fuzz_token", "text-ring", "", 1, text, strlen(text));
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fprintf(stderr, "usage: fuzz_seeds VECTORS OUT\n");
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        char path[512];
        (void)snprintf(path, sizeof(path), "%s/%s", argv[2], targets[i]);
        (void)mkdir(path, 0777); /* what is wrong with it shows when a seed is written */
    }
    struct output output = {.folder = argv[2]};
    int rc = rt_vector_each(argv[1], write_cb, &output);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_file(&output, texts[i].target, texts[i].name, "", 0, texts[i].text, strlen(texts[i].text));
    }
    write_tokens(&output);
    return rc < 0 || output.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
