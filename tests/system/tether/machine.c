/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/tether/machine.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* The new root $R on a file system that goes with the namespaces; $W is the cluster's directory, $T the tether. A
 * sanitizer reads /proc before main(). */
static const char build_root[] = "set -e\n"
                                 "mount -t tmpfs root $R\n"
                                 "for d in /usr /bin /sbin /lib /lib32 /lib64; do\n"
                                 "  if [ -L $d ]; then cp -a $d $R$d\n"
                                 "  elif [ -d $d ]; then mkdir $R$d; mount --rbind $d $R$d; fi\n"
                                 "done\n"
                                 "mkdir -p $R/w $R/etc/retether\n"
                                 "mount --bind $W $R/w\n"
                                 "cp $T $R/init\n"
                                 "for f in tether.conf token; do\n"
                                 "  if [ -e $R.$f ]; then cp $R.$f $R/etc/retether/$f; fi\n"
                                 "done\n"
                                 "if [ $SANITIZED = 1 ]; then mkdir $R/proc; mount -t proc proc $R/proc; fi\n";

static const char build_dev[] = "mkdir $R/dev\n"
                                "mount -t tmpfs dev $R/dev\n"
                                "for d in null zero urandom random tty ptmx; do cp -a /dev/$d $R/dev/; done\n"
                                ": > $R.log; : > $R/dev/console\n"
                                "mount --bind $R.log $R/dev/console\n"
                                "exec 0<&- 1>&- 2>&-\n";

/* As a kernel does: no arguments but the words that it does not know. */
static const char boot[] = "exec chroot $R /usr/bin/env -i /init nokaslr\n";

/* Its exit status; killed when it takes too long. The namespaces end with it. */
static int run_in_namespaces(const char *script, const char *const *env, const char *log)
{
    const char *const argv[] = {"unshare", "--pid", "--fork", "--kill-child", "--mount", "--net",
                                "--uts",   "sh",    "-c",     script,         NULL};
    struct rt_process_spec spec;
    pid_t pid;
    int status;

    rt_process_spec_init(&spec, argv);
    for (size_t i = 0; env[i] != NULL && i < RT_PROCESS_ENV_MAX; i++) {
        spec.env[i] = env[i];
    }
    spec.log = log;
    pid = rt_process_start(&spec);
    assert_true(pid > 0);
    status = rt_process_wait(pid, 2 * HARNESS_LIMIT_MS);
    if (status == RT_PROCESS_LATE) {
        rt_process_kill(pid);
    }
    return status;
}

bool machine_possible(void)
{
    const char *const env[] = {NULL};

    if (geteuid() == 0 &&
        run_in_namespaces("mount -t devtmpfs dev /mnt && ip link add v0 type veth peer name v1", env, NULL) == 0) {
        return true;
    }
    print_message("skipped: needs root, namespaces, devtmpfs and veth interfaces\n");
    return false;
}

static void write_file(const char *directory, const char *name, const char *text)
{
    char path[200];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s.%s", directory, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void read_log(struct machine *machine)
{
    char path[200];
    ssize_t n = -1;
    int fd;

    (void)snprintf(path, sizeof(path), "%s.log", machine->dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, machine->log, sizeof(machine->log) - 1);
        close(fd);
    }
    machine->log[n > 0 ? n : 0] = '\0';
}

static void write_etc(const struct machine *machine)
{
    char text[4096];
    struct rt_process_run run;

    if (machine->config != NULL) {
        (void)snprintf(text, sizeof(text), "cid %s\nagent unix:/w/h0.guest\n%s", machine->cid, machine->config);
        write_file(machine->dir, "tether.conf", text);
    }
    if (!machine->no_token) {
        harness_cli(&run, NULL, 0, ARGS("create", machine->cid));
        assert_int_equal(run.status, 0);
        write_file(machine->dir, "token", run.out);
        rt_process_run_free(&run);
    }
}

void machine_run(struct machine *machine)
{
    char program[RT_PROCESS_PATH];
    char script[4096];
    char root[200];
    char work[200];
    char tether[RT_PROCESS_PATH + 8];
    char log[200];
    const char *const env[] = {root, work, tether, SANITIZED ? "SANITIZED=1" : "SANITIZED=0", NULL};
    int status;

    (void)snprintf(machine->dir, sizeof(machine->dir), "%s/%s", harness.dir, machine->cid);
    assert_int_equal(mkdir(machine->dir, 0700), 0);
    write_etc(machine);
    rt_process_program("tether", program);
    (void)snprintf(root, sizeof(root), "R=%s", machine->dir);
    (void)snprintf(work, sizeof(work), "W=%s", harness.dir);
    (void)snprintf(tether, sizeof(tether), "T=%s", program);
    (void)snprintf(log, sizeof(log), "%s.log", machine->dir);
    (void)snprintf(script, sizeof(script), "%s%s\n%s%s", build_root, machine->setup != NULL ? machine->setup : "",
                   machine->no_console ? build_dev : "", boot);
    status = run_in_namespaces(script, env, log);
    read_log(machine);
    if (status != 128 + SIGINT) { /* how the parent sees RB_POWER_OFF: reboot(2) */
        fail_msg("%s: status %d, no power-off; console:\n%s", machine->cid, status, machine->log);
    }
}
