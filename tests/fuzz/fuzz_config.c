/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/settings.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The agent's configuration file: it is read, or refused with a text that names it, and what it sets keeps every bound
 * of the table of settings. */

static void check_text(const char *text)
{
    FUZZ_CHECK(memchr(text, '\0', RT_SETTING_TEXT_MAX + 1) != NULL);
}

static void check_settings(const struct rt_settings *settings)
{
    for (size_t i = 0; i < rt_settings_count; i++) {
        const struct rt_setting *setting = &rt_settings_table[i];
        const void *at = (const char *)settings + setting->offset;
        if (setting->type == RT_SETTING_TEXT) {
            check_text(at);
        } else if (setting->type == RT_SETTING_LIST) {
            const struct rt_setting_list *list = at;
            FUZZ_CHECK(list->n <= RT_SETTING_ITEMS_MAX);
            for (size_t k = 0; k < list->n; k++) {
                check_text(list->item[k]);
            }
        } else if (setting->type != RT_SETTING_CHOICE) {
            uint64_t value = *(const uint64_t *)at;
            FUZZ_CHECK(value == 0 || (value >= setting->min && value <= setting->max));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    static char path[64];
    static struct rt_settings settings;
    static const bool fixed[64];
    char why[RT_SETTING_WHY_MAX];
    int rc;
    FUZZ_CHECK(rt_settings_count <= sizeof(fixed));
    if (file < 0) {
        file = memfd_create("fuzz_config", MFD_CLOEXEC);
        FUZZ_CHECK(file >= 0);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    }
    FUZZ_CHECK(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    memset(&settings, 0, sizeof(settings));
    rc = rt_settings_file(&settings, path, fixed, why);
    FUZZ_CHECK(rc == 0 || rc == RT_ECONFIG);
    FUZZ_CHECK(memchr(why, '\0', sizeof(why)) != NULL);
    FUZZ_CHECK(rc == 0 || strncmp(why, path, strlen(path)) == 0);
    check_settings(&settings);
    return 0;
}
