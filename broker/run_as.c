/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/run_as.h"

#include "broker/listen_item.h"
#include "broker/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Groups of all listeners. */
#define GROUPS_MAX ((size_t)2 * RT_SETTING_LISTENERS_MAX)

static bool applies(const struct rt_settings *settings)
{
    return settings->run_as[0] != '\0' && geteuid() == 0;
}

/* The only ones that are left to the process. */
static int keep_capabilities(uint32_t bits)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{.effective = bits, .permitted = bits}};

    return (int)syscall(SYS_capset, &header, data);
}

/* Made when it is missing, for the user then. What is there stays as it is. */
static int make_dir(const char *dir, mode_t mode, uid_t uid, gid_t gid, char *why, size_t why_size)
{
    if (mkdir(dir, mode) == 0) {
        return lchown(dir, uid, gid) == 0 ? 0 : rt_fail(RT_EIO, why, why_size, "%s: %s", dir, strerror(errno));
    }
    return errno == EEXIST ? 0 : rt_fail(RT_EIO, why, why_size, "%s cannot be made: %s", dir, strerror(errno));
}

/* What an agent of another user left there cannot be used, and is told before anything is opened. */
static int check_owner(int dir, const char *path, const char *name, const struct rt_settings *settings, uid_t uid,
                       char *why, size_t why_size)
{
    struct stat info;

    if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 : rt_fail(RT_EIO, why, why_size, "%s/%s: %s", path, name, strerror(errno));
    }
    return info.st_uid == uid
               ? 0
               : rt_fail(RT_ECONFIG, why, why_size,
                         "state_dir: %s/%s belongs to user %lu, and the agent is to run as %s: "
                         "chown -R %s %s",
                         path, name, (unsigned long)info.st_uid, settings->run_as, settings->run_as, path);
}

static int check_state(const struct rt_settings *settings, uid_t uid, char *why, size_t why_size)
{
    const char *path = settings->state_dir;
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int rc = 0;

    if (dir == NULL) {
        return rt_fail(RT_EIO, why, why_size, "%s: %s", path, strerror(errno));
    }
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, "..") != 0) {
            rc = check_owner(dirfd(dir), path, entry->d_name, settings, uid, why, why_size);
        }
    }
    (void)closedir(dir);
    return rc;
}

static void add_group(gid_t gid, gid_t *groups, size_t *n_groups)
{
    for (size_t i = 0; i < *n_groups; i++) {
        if (groups[i] == gid) {
            return;
        }
    }
    groups[(*n_groups)++] = gid;
}

/* Of unix sockets: their directories, and whom their files are given to. */
static int prepare_sockets(const struct rt_setting_list *list, uid_t uid, gid_t gid, gid_t *groups, size_t *n_groups,
                           char *why, size_t why_size)
{
    for (size_t i = 0; i < list->n; i++) {
        char dir[RT_SETTING_TEXT_MAX + 1];
        struct rt_listen_item item;
        char *slash;
        int rc;

        if (rt_listen_item_parse(&item, list->item[i], why, why_size) != 0) {
            return RT_ECONFIG;
        }
        if (item.has_group) {
            add_group(item.gid, groups, n_groups);
        }
        if (item.endpoint.kind != RT_ENDPOINT_UNIX) {
            continue;
        }
        (void)snprintf(dir, sizeof(dir), "%s", rt_endpoint_path(&item.endpoint));
        slash = strrchr(dir, '/');
        if (slash != NULL && slash != dir) {
            *slash = '\0';
            rc = make_dir(dir, 0755, uid, gid, why, why_size);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

static int become(const struct rt_settings *settings, uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups,
                  char *why, size_t why_size)
{
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || setgroups(n_groups, groups) != 0 || setresgid(gid, gid, gid) != 0 ||
        setresuid(uid, uid, uid) != 0 || keep_capabilities(1U << CAP_NET_BIND_SERVICE) != 0) {
        return rt_fail(RT_EIO, why, why_size, "run_as: cannot become %s: %s", settings->run_as, strerror(errno));
    }
    return setuid(0) != 0 ? 0 : rt_fail(RT_EIO, why, why_size, "run_as: root could be had back");
}

int rt_run_as(const struct rt_settings *settings, char *why, size_t why_size)
{
    gid_t groups[GROUPS_MAX];
    const struct passwd *user;
    size_t n_groups = 0;
    uid_t uid;
    gid_t gid;
    int rc;

    if (!applies(settings)) {
        return 0;
    }
    if (!rt_user_id(settings->run_as, &uid) || (user = getpwuid(uid)) == NULL || uid == 0) {
        return rt_fail(RT_ECONFIG, why, why_size, "run_as: \"%s\" is no user of this machine, or is root",
                       settings->run_as);
    }
    gid = user->pw_gid;
    rc = make_dir(settings->state_dir, 0700, uid, gid, why, why_size);
    rc = rc == 0 ? check_state(settings, uid, why, why_size) : rc;
    rc = rc == 0 ? prepare_sockets(&settings->guests, uid, gid, groups, &n_groups, why, why_size) : rc;
    rc = rc == 0 ? prepare_sockets(&settings->clients, uid, gid, groups, &n_groups, why, why_size) : rc;
    return rc == 0 ? become(settings, uid, gid, groups, n_groups, why, why_size) : rc;
}

int rt_run_as_done(char *why, size_t why_size)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{.permitted = 0}};

    if (geteuid() == 0 ||
        (syscall(SYS_capget, &header, data) == 0 && data[0].permitted == 0 && data[1].permitted == 0) ||
        keep_capabilities(0) == 0) {
        return 0;
    }
    return rt_fail(RT_EIO, why, why_size, "cannot give up the last capability: %s", strerror(errno));
}
