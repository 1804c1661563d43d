/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/vms.h"

#include "session/base/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directory is written by who starts virtual machines, and by nobody else but the agent; DIR/NAME may belong to its
 * monitor, who may be hostile. So nothing that is in DIR/NAME is trusted: the socket is made and given its mode in DIR,
 * and only then moved to its place; there it is never opened, followed or changed. Whoever may enter DIR/NAME is the
 * machine: a directory that others may enter is left alone. */

static const char *dir_of(const struct rt_vms *vms)
{
    return rt_endpoint_path(&vms->item.endpoint);
}

/* ---- one machine ---- */

static void closed_cb(struct rt_listener *listener)
{
    if (listener->n_open == 0) {
        free(listener); /* else rt_shell_release() does, behind the last connection */
    }
}

static const struct rt_listener_ops vm_ops = {.on_accept = rt_shell_accept_cb, .on_close = closed_cb};

static void vm_close(struct rt_vms *vms, struct rt_vm *vm)
{
    HASH_DEL(vms->by_name, vm);
    vms->shell->n_vms--;
    rt_listener_close(&vm->at.listener); /* closed_cb comes later */
}

/* NULL, or why there can be no more of them. Half of the descriptors are for connections. */
static const char *vms_full(const struct rt_vms *vms)
{
    const struct rt_shell *shell = vms->shell;

    if (HASH_COUNT(vms->by_name) >= RT_VMS_MAX) {
        return "there are too many virtual machines";
    }
    return shell->conns_max > 0 && shell->n_vms >= shell->conns_max / 2
               ? "too few descriptors (LimitNOFILE=, ulimit -Hn) for so many virtual machines"
               : NULL;
}

/* Returns 0 or a code with `why`. */
static int vm_open(struct rt_vms *vms, const char *name, char *why, size_t why_size)
{
    struct rt_listener_config config = {.mode = vms->item.mode,
                                        .has_group = vms->item.has_group,
                                        .gid = vms->item.gid,
                                        .max_open = RT_VM_CONNECTIONS_MAX,
                                        .stage = vms->stage};
    const char *full = vms_full(vms);
    char text[RT_ENDPOINT_TEXT_MAX + RT_VM_MAX];
    struct rt_vm *vm = NULL;
    int rc;

    if (full != NULL) {
        return rt_fail(RT_ELIMIT, why, why_size, "%s", full);
    }
    (void)snprintf(text, sizeof(text), "unix:%s/%s/vsock_%lu", dir_of(vms), name, (unsigned long)vms->item.port);
    rc = rt_endpoint_parse(&config.endpoint, text, why, why_size);
    if (rc != 0) {
        return rc;
    }
    vm = calloc(1, sizeof(*vm));
    if (vm == NULL) {
        return rt_fail(RT_ENOMEM, why, why_size, "%s", rt_strerror(RT_ENOMEM));
    }
    memcpy(vm->name, name, strlen(name) + 1);
    vm->at.listener.data = vms->shell;
    vm->at.service = vms->service;
    vm->at.port = vms->port;
    vm->at.vm = vm->name;
    rc = rt_listener_open(&vm->at.listener, &vms->shell->loop, &config, &vm_ops, why, why_size);
    if (rc == 0) {
        HASH_ADD_STR(vms->by_name, name, vm);
        rc = vm->hh.tbl == NULL ? rt_fail(RT_ENOMEM, why, why_size, "%s", rt_strerror(RT_ENOMEM)) : 0;
        if (rc != 0) {
            rt_listener_close(&vm->at.listener);
            return rc;
        }
        vm->round = vms->round;
        vms->shell->n_vms++;
        rt_shell_note(vms->shell, RT_LOG_INFO, RT_LOG_VM, "vm", "%s: its guests may come in at %s", name, text);
    } else {
        free(vm);
    }
    return rc;
}

/* Whether it is a machine's directory. False with `why`; "" when it is not there at all. */
static bool is_vm(const struct rt_vms *vms, const char *name, char *why, size_t why_size)
{
    char path[RT_ENDPOINT_TEXT_MAX + NAME_MAX + 2];
    struct stat info;
    const char *wrong;

    (void)snprintf(path, sizeof(path), "%s/%s", dir_of(vms), name);
    why[0] = '\0';
    if (lstat(path, &info) != 0) {
        (void)snprintf(why, why_size, "%s", errno == ENOENT ? "" : strerror(errno));
        return false;
    }
    wrong = !rt_vm_valid(rt_slice_text(name)) ? "this is no name of a virtual machine"
            : !S_ISDIR(info.st_mode)          ? "this is no directory (symbolic links are not followed)"
            : (info.st_mode & S_IRWXO) != 0   ? "others may enter: its mode must end in 0"
                                              : NULL;
    if (wrong != NULL) {
        (void)snprintf(why, why_size, "%s", wrong);
    }
    return wrong == NULL;
}

/* Makes true what the directory says of one name. False with `why`, which is "" when there is no such name. */
static bool look(struct rt_vms *vms, const char *name, char *why, size_t why_size)
{
    struct rt_vm *vm;
    bool good = is_vm(vms, name, why, why_size);
    int rc = 0;

    HASH_FIND_STR(vms->by_name, name, vm);
    if (good) {
        rc = vm == NULL ? vm_open(vms, name, why, why_size) : rt_listener_renew(&vm->at.listener, why, why_size);
        good = rc >= 0;
    }
    if (vm != NULL && good) {
        vm->round = vms->round;
        rt_shell_tell_shortage(vms->shell, &vm->at);
        if (rc > 0) {
            rt_shell_note(vms->shell, RT_LOG_WARN, RT_LOG_VM, "vm", "%s: its socket was gone; made anew", name);
        }
    } else if (vm != NULL) {
        rt_shell_note(vms->shell, RT_LOG_INFO, RT_LOG_VM, "vm", "%s: nobody comes in any more: %s", name,
                      why[0] == '\0' ? "its directory is gone" : why);
        vm_close(vms, vm);
    }
    return good;
}

/* ---- all of them ---- */

static void event_cb(uv_fs_event_t *watch, const char *name, int events, int status)
{
    struct rt_vms *vms = watch->data;
    char why[RT_TEXT_MAX];

    (void)events;
    if (status == 0 && name != NULL && name[0] != '.' && vms->shell->phase <= RT_SHELL_RUNNING) {
        (void)look(vms, name, why, sizeof(why)); /* what is wrong may be right in a moment: the next walk tells */
    }
}

/* Made when it is missing, open to monitors whatever the umask is. */
static bool has_dir(const struct rt_vms *vms, struct stat *info)
{
    if (lstat(dir_of(vms), info) == 0) {
        return true;
    }
    return errno == ENOENT && mkdir(dir_of(vms), 0755) == 0 && chmod(dir_of(vms), 0755) == 0 &&
           lstat(dir_of(vms), info) == 0;
}

/* What is wrong with the directory itself, or NULL. */
static const char *dir_fault(struct rt_vms *vms, struct stat *info)
{
    if (!has_dir(vms, info)) {
        return strerror(errno);
    }
    return !S_ISDIR(info->st_mode)                          ? "it is no directory (symbolic links are not followed)"
           : info->st_uid != 0 && info->st_uid != geteuid() ? "it must belong to root or to the agent's user"
           : (info->st_mode & S_IWOTH) != 0                 ? "others may write to it"
                                                            : NULL;
}

/* Watches the directory that is there now. Without a watch the walks alone find what has changed. */
static void watch(struct rt_vms *vms, ino_t ino)
{
    int rc;

    if (vms->ino == ino) {
        return;
    }
    (void)uv_fs_event_stop(&vms->watch);
    rc = uv_fs_event_start(&vms->watch, event_cb, dir_of(vms), 0);
    if (rc != 0) {
        rt_shell_note(vms->shell, RT_LOG_WARN, RT_LOG_VM, "vm",
                      "%s cannot be watched (%s): new virtual machines are found some seconds later", dir_of(vms),
                      uv_strerror(rc));
    }
    vms->ino = ino;
}

/* False: the directory cannot be used; nobody is listened for then. */
static bool begin(struct rt_vms *vms)
{
    struct stat info;
    const char *fault = dir_fault(vms, &info);

    if (fault == NULL) {
        watch(vms, info.st_ino); /* first: what comes behind the walk is an event */
        vms->walk = opendir(dir_of(vms));
        fault = vms->walk == NULL ? strerror(errno) : NULL;
    }
    if (fault == NULL) {
        vms->round++;
        vms->left = (struct rt_vms_left){.n = 0};
        vms->fault[0] = '\0';
        return true;
    }
    if (strcmp(fault, vms->fault) != 0) {
        rt_shell_note(vms->shell, RT_LOG_ERROR, RT_LOG_VM, "vm", "%s: %s: no guest comes in there", dir_of(vms), fault);
        (void)snprintf(vms->fault, sizeof(vms->fault), "%s", fault);
    }
    while (vms->by_name != NULL) {
        vm_close(vms, vms->by_name);
    }
    return false;
}

/* The walk is over: what it has not seen is gone. */
static void end(struct rt_vms *vms)
{
    struct rt_vm *vm, *next;
    char why[RT_TEXT_MAX];

    (void)closedir(vms->walk);
    vms->walk = NULL;
    HASH_ITER(hh, vms->by_name, vm, next)
    {
        if (vm->round != vms->round) {
            (void)look(vms, vm->name, why, sizeof(why));
        }
    }
    if (vms->left.n != vms->told.n) {
        vms->told = vms->left;
        rt_shell_note(vms->shell, vms->left.n > 0 ? RT_LOG_WARN : RT_LOG_INFO, RT_LOG_VM, "vm",
                      "%s: no guest comes in at %u of its entries%s%s", dir_of(vms), vms->left.n,
                      vms->left.n > 0 ? ", for example " : "", vms->left.example);
    }
}

/* Looks at some names. False: the walk is over. */
static bool walk(struct rt_vms *vms, unsigned most)
{
    for (unsigned i = 0; i < most; i++) {
        const struct dirent *entry = readdir(vms->walk);
        char why[RT_TEXT_MAX / 2];

        if (entry == NULL) {
            end(vms);
            return false;
        }
        if (entry->d_name[0] == '.' || look(vms, entry->d_name, why, sizeof(why)) || why[0] == '\0') {
            continue;
        }
        vms->left.n++;
        (void)snprintf(vms->left.example, sizeof(vms->left.example), "\"%.60s\": %s", entry->d_name, why);
    }
    return true;
}

void rt_vms_beat(struct rt_vms *vms)
{
    if (vms->walk != NULL || begin(vms)) {
        (void)walk(vms, RT_VMS_WALK_MAX);
    }
}

int rt_vms_open(struct rt_vms *vms, struct rt_shell *shell, const struct rt_listen_item *item,
                const struct rt_service *service, size_t port)
{
    int rc;

    memset(vms, 0, sizeof(*vms));
    vms->shell = shell;
    vms->service = service;
    vms->port = port;
    vms->item = *item;
    (void)snprintf(vms->stage, sizeof(vms->stage), "%s/.vsock_%lu", dir_of(vms), (unsigned long)item->port);
    rc = uv_fs_event_init(&shell->loop, &vms->watch);
    if (rc != 0) {
        rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_VM, "vm", "%s: %s", dir_of(vms), uv_strerror(rc));
        return RT_EIO;
    }
    vms->watched = true;
    vms->watch.data = vms;
    if (!begin(vms)) {
        return RT_EIO;
    }
    while (walk(vms, RT_VMS_WALK_MAX)) {
    }
    return 0;
}

void rt_vms_close(struct rt_vms *vms)
{
    while (vms->by_name != NULL) {
        vm_close(vms, vms->by_name);
    }
    if (vms->walk != NULL) {
        (void)closedir(vms->walk);
        vms->walk = NULL;
    }
    if (vms->watched) {
        vms->watched = false;
        uv_close((uv_handle_t *)&vms->watch, NULL);
    }
}
