/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/pki/folder.h"

#include "session/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory is filled under a name of its own beside the place, and then takes the place by one rename. */

static const char *const names[] = {PKI_CERT, PKI_KEY, PKI_CA, PKI_CRL, PKI_CA_KEY};
#define N_NAMES (sizeof(names) / sizeof(names[0]))

static int fail_errno(const char *path, const char *what, char why[PKI_WHY_MAX])
{
    return rt_fail(RT_EIO, why, PKI_WHY_MAX, "%s: %s: %s", path, what, strerror(errno));
}

/* Removes a directory that holds nothing but files of these names; leaves any other. */
static void discard(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    for (size_t i = 0; i < N_NAMES && fd >= 0; i++) {
        (void)unlinkat(fd, names[i], 0);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    (void)rmdir(path);
}

/* Refuses what a renewal would lose. */
static int check_files(const char *path, char why[PKI_WHY_MAX])
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    int rc = folder != NULL ? RT_OK : fail_errno(path, "open", why);

    while (rc == RT_OK && (entry = readdir(folder)) != NULL) {
        bool known = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;

        for (size_t i = 0; i < N_NAMES && !known; i++) {
            known = strcmp(entry->d_name, names[i]) == 0;
        }
        if (!known) {
            rc = rt_fail(RT_EEXIST, why, PKI_WHY_MAX, "%s has other files too (%s): renew into a directory of its own",
                         path, entry->d_name);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return rc;
}

/* A file of the draft. as: the owner and mode it gets; NULL: those of a new one. */
static int put(int fd, const struct pki_file *file, const struct stat *as)
{
    int out = openat(fd, file->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool done = out >= 0 && rt_write_all(out, file->data, file->size) == 0 &&
                (as == NULL || fchown(out, as->st_uid, as->st_gid) == 0) &&
                fchmod(out, as != NULL && S_ISREG(as->st_mode) ? as->st_mode & 0777 : file->mode) == 0 &&
                fsync(out) == 0;

    if (out >= 0 && close(out) != 0) {
        return -1;
    }
    return done ? 0 : -1;
}

/* Fills the draft like the directory `old` that it is to replace; -1: there is none. Returns 0, or -1 with errno. */
static int fill(int draft, int old, const struct pki_file *files, size_t n)
{
    struct stat folder, file;

    if (old >= 0 && (fstat(old, &folder) != 0 || fchown(draft, folder.st_uid, folder.st_gid) != 0 ||
                     fchmod(draft, folder.st_mode & 07777) != 0)) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        const struct stat *as = old < 0 ? NULL : &folder;

        if (old >= 0 && fstatat(old, files[i].name, &file, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(file.st_mode)) {
            as = &file;
        }
        if (put(draft, &files[i], as) != 0) {
            return -1;
        }
    }
    return fsync(draft);
}

/* Gives the filled draft the place. */
static int take_place(const char *draft, const char *path, bool renew, char why[PKI_WHY_MAX])
{
    if (!renew && rename(draft, path) != 0) {
        if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR) {
            return rt_fail(RT_EEXIST, why, PKI_WHY_MAX, "%s is there already, and not empty: name another directory",
                           path);
        }
        return fail_errno(path, "cannot be made", why);
    }
    if (renew && renameat2(AT_FDCWD, draft, AT_FDCWD, path, RENAME_EXCHANGE) != 0) {
        return fail_errno(path, "cannot be exchanged at once here; issue into a new directory and move it", why);
    }
    return rt_sync_name(path) != RT_OK ? fail_errno(path, "sync", why) : RT_OK;
}

static int put_folder(const char *path, const struct pki_file *files, size_t n, bool renew, char why[PKI_WHY_MAX])
{
    char draft[PATH_MAX];
    int old, fd = -1, rc = RT_OK;

    if (snprintf(draft, sizeof(draft), "%s.XXXXXX", path) >= (int)sizeof(draft)) {
        return rt_fail(RT_EINVAL, why, PKI_WHY_MAX, "the path is too long");
    }
    if (mkdtemp(draft) == NULL) { /* mode 0700 */
        return fail_errno(path, "cannot be made", why);
    }
    old = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fd = open(draft, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fill(fd, old, files, n) != 0) {
        rc = fail_errno(path, "write", why);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (old >= 0) {
        (void)close(old);
    }
    rc = rc == RT_OK ? take_place(draft, path, renew, why) : rc;
    discard(draft); /* what was there before, or what did not come about */
    return rc;
}

int pki_folder_put(const char *path, const struct pki_file *files, size_t n, bool renew, char why[PKI_WHY_MAX])
{
    char real[PATH_MAX];
    sigset_t all, before;
    size_t size = strlen(path);
    int rc;

    if (realpath(path, real) == NULL) { /* there is nothing yet */
        while (size > 1 && path[size - 1] == '/') {
            size--;
        }
        (void)snprintf(real, sizeof(real), "%.*s", (int)size, path);
    }
    rc = renew ? check_files(real, why) : RT_OK;
    if (rc != RT_OK) {
        return rc;
    }
    (void)sigfillset(&all); /* an interrupt leaves no draft behind */
    (void)sigprocmask(SIG_BLOCK, &all, &before);
    rc = put_folder(real, files, n, renew, why);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return rc;
}
