/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/text.h"

#include <stdio.h>
#include <string.h>

/* Ranges of code points that are not shown: Unicode's controls, separators of lines and paragraphs, format characters
 * that turn the direction (UAX 9), interlinear annotations and tags. */
static const struct {
    uint32_t first, last;
} hidden[] = {
    {0x00, 0x1f},     {0x7f, 0x9f},     {0x61c, 0x61c},   {0x200e, 0x200f},   {0x2028, 0x202e},
    {0x2066, 0x2069}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
};

size_t rt_text_char(const uint8_t *data, size_t size, uint32_t *point)
{
    uint8_t lead = data[0];
    /* RFC 3629 section 4: the second byte's range excludes overlong forms, surrogates and what is above U+10FFFF. */
    size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    uint32_t value = lead & (0x3fU >> more);

    *point = lead;
    if (lead < 0x80) {
        return 1;
    }
    *point = RT_TEXT_BAD;
    if (lead < 0xc2 || lead > 0xf4 || more >= size || data[1] < low || data[1] > high) {
        return 1;
    }
    for (size_t i = 1; i <= more; i++) {
        if ((data[i] & 0xc0) != 0x80) {
            return 1;
        }
        value = value << 6 | (data[i] & 0x3f);
    }
    *point = value;
    return more + 1;
}

bool rt_text_plain(uint32_t point)
{
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (point >= hidden[i].first && point <= hidden[i].last) {
            return false;
        }
    }
    return point != RT_TEXT_BAD;
}

size_t rt_text_copy(struct rt_slice text, char *out, size_t size)
{
    size_t n = 0;

    for (size_t at = 0; at < text.size;) {
        uint32_t point;
        const uint8_t *from = text.data + at;
        size_t bytes = rt_text_char(from, text.size - at, &point), kept = bytes;

        at += bytes;
        if (!rt_text_plain(point)) {
            from = (const uint8_t *)"?";
            kept = 1;
        }
        if (kept >= size - n) {
            break;
        }
        memcpy(out + n, from, kept);
        n += kept;
    }
    out[n] = '\0';
    return n;
}

/* The character at data as it stands in a JSON string. Returns its bytes in data, those in out in *n. */
static size_t quote_char(const uint8_t *data, size_t size, char out[RT_TEXT_JSON_MAX + 1], size_t *n)
{
    uint32_t point;
    size_t bytes = rt_text_char(data, size, &point);
    int written;

    if (rt_text_plain(point) && point != '"' && point != '\\') {
        memcpy(out, data, bytes);
        out[bytes] = '\0';
        *n = bytes;
        return bytes;
    }
    if (point == RT_TEXT_BAD) {
        point = 0xfffd;
    }
    if (point == '"' || point == '\\') {
        written = snprintf(out, RT_TEXT_JSON_MAX + 1, "\\%c", (char)point);
    } else if (point > 0xffff) { /* as JSON has it: a pair of surrogates */
        point -= 0x10000;
        written = snprintf(out, RT_TEXT_JSON_MAX + 1, "\\u%04x\\u%04x", 0xd800U | (unsigned)(point >> 10),
                           0xdc00U | (unsigned)(point & 0x3ff));
    } else {
        written = snprintf(out, RT_TEXT_JSON_MAX + 1, "\\u%04x", (unsigned)point);
    }
    *n = (size_t)written;
    return bytes;
}

size_t rt_text_quote(const char *text, char *out, size_t size)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t left = strlen(text), n = 0;

    out[n++] = '"';
    while (left > 0) {
        char json[RT_TEXT_JSON_MAX + 1];
        size_t more, used = quote_char(at, left, json, &more);

        if (more > size - 1 - n) {
            break;
        }
        memcpy(out + n, json, more);
        n += more;
        at += used;
        left -= used;
    }
    out[n++] = '"';
    return n;
}

void rt_hex(const uint8_t *data, size_t size, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        *out++ = digits[data[i] >> 4];
        *out++ = digits[data[i] & 15];
    }
    *out = '\0';
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool rt_unhex(struct rt_slice text, uint8_t *out, size_t size)
{
    if (text.size != 2 * size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text.data[2 * i]), low = hex_digit(text.data[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
