/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vectors/vector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Writes the vectors of one folder as the inputs that fuzz_frame and fuzz_msg read:  fuzz_seeds VECTORS OUT */

struct output {
    const char *folder;
    int failed;
};

static void write_seed(struct output *output, const char *target, const struct rt_vector *vector, const void *head,
                       size_t head_size)
{
    char path[512];
    const char *base = strrchr(vector->path, '/');
    (void)snprintf(path, sizeof(path), "%s/%s/%s", output->folder, target, base == NULL ? vector->path : base + 1);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        output->failed = 1;
        return;
    }
    bool written = fwrite(head, 1, head_size, file) == head_size;
    written = fwrite(vector->bytes, 1, vector->size, file) == vector->size && written;
    if (fclose(file) != 0 || !written) {
        perror(path);
        output->failed = 1;
    }
}

static void write_cb(const struct rt_vector *vector, void *data)
{
    if (strcmp(vector->what, "frame") == 0) {
        write_seed(data, "fuzz_frame", vector, "", 0);
    } else {
        uint8_t kind = (uint8_t)rt_vector_kind(vector->name);
        write_seed(data, "fuzz_msg", vector, &kind, 1);
    }
}

int main(int argc, char **argv)
{
    static const char *const targets[] = {"", "fuzz_frame", "fuzz_msg"};
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
    return rc < 0 || output.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
