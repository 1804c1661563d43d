/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"

#include <sys/stat.h>

/* The file guests.map, as it is at this moment: looked at each second, and read by a thread of libuv's pool when it has
 * changed, as a disk may hang. A file that is not right, or not there, changes nothing: what was read before stays. */

static void stamp(const char *path, struct rt_vm_map_stamp *out)
{
    struct stat info;

    *out = (struct rt_vm_map_stamp){.ino = 0};
    if (stat(path, &info) == 0) {
        out->dev = info.st_dev;
        out->ino = info.st_ino;
        out->size = info.st_size;
        out->mode = info.st_mode;
        out->modified_s = info.st_mtim.tv_sec;
        out->modified_ns = info.st_mtim.tv_nsec;
    }
}

static bool is_same(const struct rt_vm_map_stamp *a, const struct rt_vm_map_stamp *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mode == b->mode &&
           a->modified_s == b->modified_s && a->modified_ns == b->modified_ns;
}

/* The stamp comes first: what is written behind it is read the next time. */
static void read_cb(uv_work_t *work)
{
    struct rt_shell *shell = work->data;
    struct rt_shell_vm_map *map = &shell->vm_map;
    struct rt_vm_map_stamp now;

    stamp(shell->settings.guests_map, &now);
    map->changed = map->ordered || !is_same(&now, &map->seen);
    if (map->changed) {
        map->seen = now;
        map->error = rt_vm_map_load(&map->fresh, shell->settings.guests_map, map->why);
    }
}

static void done_cb(uv_work_t *work, int status)
{
    struct rt_shell *shell = work->data;
    struct rt_shell_vm_map *map = &shell->vm_map;
    bool again = map->phase == RT_MAP_AGAIN;

    (void)status; /* nothing is cancelled */
    map->phase = RT_MAP_IDLE;
    if (map->changed && map->error != 0) {
        rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_VM, "guests-map", "%s; what was read before stays in use", map->why);
    } else if (map->changed) {
        rt_vm_map_free(&map->used);
        map->used = map->fresh;
        rt_shell_note(shell, RT_LOG_INFO, RT_LOG_VM, "guests-map", "%s read: %zu virtual machines",
                      shell->settings.guests_map, map->used.n);
    }
    if (again) {
        rt_shell_look_at_vm_map(shell, true);
    }
    rt_shell_progress(shell);
}

int rt_shell_open_vm_map(struct rt_shell *shell)
{
    struct rt_shell_vm_map *map = &shell->vm_map;

    if (shell->settings.guests_map[0] == '\0') {
        return 0;
    }
    stamp(shell->settings.guests_map, &map->seen);
    map->error = rt_vm_map_load(&map->used, shell->settings.guests_map, map->why);
    if (map->error != 0) {
        rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_VM, "guests-map", "%s", map->why);
    }
    return map->error;
}

void rt_shell_look_at_vm_map(struct rt_shell *shell, bool ordered)
{
    struct rt_shell_vm_map *map = &shell->vm_map;

    if (shell->settings.guests_map[0] == '\0') {
        return;
    }
    if (map->phase != RT_MAP_IDLE) {
        map->phase = ordered ? RT_MAP_AGAIN : map->phase; /* it may have been written since it was opened */
        return;
    }
    map->ordered = ordered;
    map->work.data = shell;
    if (uv_queue_work(&shell->loop, &map->work, read_cb, done_cb) == 0) {
        map->phase = RT_MAP_READING;
    }
}
