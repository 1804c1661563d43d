/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_VM_SCREEN_H
#define RETETHER_TESTS_VM_SCREEN_H

#include <stddef.h>

/* What a terminal of 24 lines and 80 columns shows after these bytes: as much of a VT100 as a full-screen program of
 * busybox uses (cursor movement, erasing, scrolling; colours and modes are taken and ignored). */

#define VM_SCREEN_ROWS 24
#define VM_SCREEN_COLS 80

struct vm_screen {
    char cells[VM_SCREEN_ROWS][VM_SCREEN_COLS + 1]; /* each line NUL-terminated */
    unsigned row, col;
    size_t unknown; /* sequences that it did not know */
};

void vm_screen_show(struct vm_screen *screen, const char *bytes, size_t size);

#endif
