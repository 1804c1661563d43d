/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/detach_keys.h"

#include <ctype.h>
#include <string.h>

/* Reads one key: a character, or ctrl- and a letter or one of @[\]^_ . Returns its length in the text, 0 for none. */
static size_t read_key(const char *text, uint8_t *key)
{
    if (strncmp(text, "ctrl-", 5) == 0 && text[5] != '\0') {
        unsigned char c = (unsigned char)text[5];

        if (isalpha(c) || strchr("@[\\]^_", c) != NULL) {
            *key = (uint8_t)(toupper(c) & 0x1f);
            return 6;
        }
        return 0;
    }
    if (text[0] > ' ' && text[0] <= '~' && text[0] != ',') {
        *key = (uint8_t)text[0];
        return 1;
    }
    return 0;
}

/* The failure function of Knuth, Morris and Pratt. */
static void fill_back(struct cli_keys *keys)
{
    for (size_t i = 1; i < keys->n; i++) {
        size_t k = keys->back[i - 1];

        while (k > 0 && keys->key[i] != keys->key[k]) {
            k = keys->back[k - 1];
        }
        keys->back[i] = (uint8_t)(k + (keys->key[i] == keys->key[k]));
    }
}

int cli_keys_parse(struct cli_keys *keys, const char *text)
{
    memset(keys, 0, sizeof(*keys));
    if (text[0] == '\0' || strcmp(text, "none") == 0) {
        return RT_OK;
    }
    for (;;) {
        size_t size = keys->n < CLI_KEYS_MAX ? read_key(text, &keys->key[keys->n]) : 0;

        if (size == 0 || (text[size] != ',' && text[size] != '\0')) {
            keys->n = 0;
            return RT_EINVAL;
        }
        keys->n++;
        if (text[size] == '\0') {
            break;
        }
        text += size + 1;
    }
    fill_back(keys);
    return RT_OK;
}

size_t cli_keys_filter(struct cli_keys *keys, const uint8_t *in, size_t size, uint8_t *out, bool *found)
{
    size_t used = 0;

    *found = false;
    if (keys->n == 0) {
        memcpy(out, in, size);
        return size;
    }
    for (size_t i = 0; i < size; i++) {
        while (keys->seen > 0 && in[i] != keys->key[keys->seen]) {
            size_t stays = keys->back[keys->seen - 1];

            memcpy(out + used, keys->key, keys->seen - stays);
            used += keys->seen - stays;
            keys->seen = stays;
        }
        if (in[i] != keys->key[keys->seen]) {
            out[used++] = in[i];
        } else if (++keys->seen == keys->n) {
            keys->seen = 0;
            *found = true;
            return used;
        }
    }
    return used;
}

size_t cli_keys_flush(struct cli_keys *keys, uint8_t *out)
{
    size_t size = keys->seen;

    memcpy(out, keys->key, size);
    keys->seen = 0;
    return size;
}
