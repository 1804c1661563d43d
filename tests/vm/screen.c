/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/screen.h"

#include <stdbool.h>
#include <string.h>

#define PARAMETERS_MAX 4

static void clear(struct vm_screen *screen, unsigned row, unsigned from, unsigned until)
{
    if (row < VM_SCREEN_ROWS && from < until) {
        memset(&screen->cells[row][from], ' ', until - from);
    }
}

static void line_feed(struct vm_screen *screen)
{
    if (screen->row + 1 < VM_SCREEN_ROWS) {
        screen->row++;
        return;
    }
    memmove(screen->cells[0], screen->cells[1], sizeof(screen->cells) - sizeof(screen->cells[0]));
    clear(screen, VM_SCREEN_ROWS - 1, 0, VM_SCREEN_COLS);
}

static unsigned at_least_one(unsigned value)
{
    return value > 0 ? value : 1;
}

static void move_to(struct vm_screen *screen, unsigned row, unsigned col)
{
    screen->row = row < VM_SCREEN_ROWS ? row : VM_SCREEN_ROWS - 1;
    screen->col = col < VM_SCREEN_COLS ? col : VM_SCREEN_COLS - 1;
}

/* 0: from the cursor to the end, 1: up to the cursor, 2: all. */
static void erase(struct vm_screen *screen, unsigned how, bool whole_screen)
{
    unsigned from = how == 0 ? screen->col : 0, until = how == 1 ? screen->col + 1 : VM_SCREEN_COLS;

    clear(screen, screen->row, from, until < VM_SCREEN_COLS ? until : VM_SCREEN_COLS);
    for (unsigned row = 0; whole_screen && row < VM_SCREEN_ROWS; row++) {
        if ((row > screen->row && how != 1) || (row < screen->row && how != 0)) {
            clear(screen, row, 0, VM_SCREEN_COLS);
        }
    }
}

static void command(struct vm_screen *screen, char letter, const unsigned *parameters)
{
    unsigned n = at_least_one(parameters[0]);

    switch (letter) {
    case 'H':
    case 'f':
        move_to(screen, n - 1, at_least_one(parameters[1]) - 1);
        break;
    case 'A':
        move_to(screen, screen->row > n ? screen->row - n : 0, screen->col);
        break;
    case 'B':
        move_to(screen, screen->row + n, screen->col);
        break;
    case 'C':
        move_to(screen, screen->row, screen->col + n);
        break;
    case 'D':
        move_to(screen, screen->row, screen->col > n ? screen->col - n : 0);
        break;
    case 'J':
        erase(screen, parameters[0], true);
        break;
    case 'K':
        erase(screen, parameters[0], false);
        break;
    case 'm':
    case 'h':
    case 'l':
    case 'n':
    case 'r':
        break;
    default:
        screen->unknown++;
    }
}

/* Behind an ESC. Returns how many bytes belong to it. */
static size_t escape(struct vm_screen *screen, const char *bytes, size_t size)
{
    unsigned parameters[PARAMETERS_MAX] = {0}, n = 0;
    size_t at = 1;

    if (size == 0 || bytes[0] != '[') {
        screen->unknown++;
        return size > 0 ? 1 : 0;
    }
    for (; at < size && (bytes[at] < '@' || bytes[at] > '~'); at++) {
        if (bytes[at] >= '0' && bytes[at] <= '9') {
            parameters[n] = parameters[n] * 10 + (unsigned)(bytes[at] - '0');
        } else if (bytes[at] == ';' && n + 1 < PARAMETERS_MAX) {
            n++;
        }
    }
    if (at < size) {
        command(screen, bytes[at], parameters);
        at++;
    }
    return at;
}

static void print(struct vm_screen *screen, char c)
{
    if (screen->col == VM_SCREEN_COLS) {
        screen->col = 0;
        line_feed(screen);
    }
    screen->cells[screen->row][screen->col++] = c;
}

void vm_screen_show(struct vm_screen *screen, const char *bytes, size_t size)
{
    memset(screen, 0, sizeof(*screen));
    for (unsigned row = 0; row < VM_SCREEN_ROWS; row++) {
        clear(screen, row, 0, VM_SCREEN_COLS);
    }
    for (size_t i = 0; i < size; i++) {
        switch (bytes[i]) {
        case '\033':
            i += escape(screen, bytes + i + 1, size - i - 1);
            break;
        case '\r':
            screen->col = 0;
            break;
        case '\n':
            line_feed(screen);
            break;
        case '\b':
            screen->col -= screen->col > 0;
            break;
        case '\a':
            break;
        default:
            print(screen, bytes[i]);
        }
    }
}
