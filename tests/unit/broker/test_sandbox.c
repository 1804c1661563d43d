/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/sandbox.h"
#include "session/base/sanitizer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* What a process can still call behind the lock. Each call is made in a child of its own, with the list that the agent
 * has. */

#define NOT_LOCKED 250 /* exit status: it could not be locked in */
#define TRIES 15
#define KLOG_MAX (1 << 20)

static struct rt_settings settings;

static bool fit(void)
{
    if (rt_sanitizer() != NULL) {
        print_message("not tried: built with %s\n", rt_sanitizer());
        return false;
    }
    return true;
}

static void lock_in(void)
{
    char why[RT_SETTING_WHY_MAX];

    if (rt_sandbox_enter(&settings, why, sizeof(why)) != 0 || rt_sandbox_lock(&settings, why, sizeof(why)) != 0) {
        (void)fprintf(stderr, "%s\n", why);
        _exit(NOT_LOCKED);
    }
}

/* The status of a child that is locked in and calls `call`: its errno, 0 when it may. */
static int status_of(long (*call)(void))
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        lock_in();
        errno = 0;
        _exit(call() >= 0 ? 0 : errno);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void *page(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void *idle(void *data)
{
    return data;
}

static long may_thread(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, idle, NULL) != 0 || pthread_join(thread, NULL) != 0 ? -1 : 0;
}

static long may_file(void)
{
    char path[] = "/tmp/rt-sandbox-XXXXXX";
    int fd = mkstemp(path);

    return fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) != 0 || fchmod(fd, 0640) != 0 ||
                   lchown(path, (uid_t)-1, getgid()) != 0 || unlink(path) != 0
               ? -1
               : close(fd);
}

static long may_sockets(void)
{
    static const int families[] = {AF_UNIX, AF_INET};

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        int fd = socket(families[i], SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || close(fd) != 0) {
            return -1;
        }
    }
    return 0;
}

static long may_look_at_limits(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit);
}

static long fork_(void)
{
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static long clone3_(void)
{
    return syscall(SYS_clone3, NULL, 0);
}

static long ring(void)
{
    return syscall(SYS_io_uring_setup, 1, NULL);
}

static long execute(void)
{
    static char *const argv[] = {(char *)(uintptr_t) "true", NULL};

    return execv("/bin/true", argv);
}

static long netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static long packets(void)
{
    return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static long map_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static long make_code(void)
{
    return mprotect(page(), 4096, PROT_READ | PROT_EXEC);
}

static long kill_parent(void)
{
    return kill(getppid(), 0);
}

static long kill_thread(void)
{
    return syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static long trace(void)
{
    return syscall(SYS_ptrace, 16 /* PTRACE_ATTACH */, getppid(), 0, 0);
}

static long peek(void)
{
    return syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}

static long namespaces(void)
{
    return unshare(CLONE_NEWNS);
}

static long mount_(void)
{
    return syscall(SYS_mount, "none", "/", NULL, 0, NULL);
}

static long change_root(void)
{
    return chroot("/");
}

static long change_user(void)
{
    return setuid(getuid());
}

static long raise_core(void)
{
    struct rlimit limit = {0, 0};

    return setrlimit(RLIMIT_CORE, &limit);
}

static long dumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long type_into_terminal(void)
{
    return ioctl(0, TIOCSTI, "x");
}

static long hidden_file(void)
{
    return syscall(SYS_memfd_create, "x", 0);
}

static long bpf(void)
{
    return syscall(SYS_bpf, 0, NULL, 0);
}

static long keyring(void)
{
    return syscall(SYS_keyctl, 0, 0);
}

static long reap(void)
{
    return waitpid(-1, NULL, WNOHANG) < 0 && errno == ENOSYS ? -1 : 0;
}

static void test_allowed(void **state)
{
    static long (*const calls[])(void) = {may_thread, may_file, may_sockets, may_look_at_limits};

    (void)state;
    for (size_t i = 0; fit() && i < sizeof(calls) / sizeof(calls[0]); i++) {
        assert_int_equal(status_of(calls[i]), 0);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *name;
        long (*call)(void);
    } calls[] = {
        {"fork", fork_},
        {"clone3", clone3_},
        {"io_uring", ring},
        {"execve", execute},
        {"netlink", netlink},
        {"packets", packets},
        {"mmap exec", map_code},
        {"mprotect exec", make_code},
        {"kill", kill_parent},
        {"tgkill", kill_thread},
        {"ptrace", trace},
        {"process_vm", peek},
        {"unshare", namespaces},
        {"mount", mount_},
        {"chroot", change_root},
        {"setuid", change_user},
        {"prlimit", raise_core},
        {"dumpable", dumpable},
        {"TIOCSTI", type_into_terminal},
        {"memfd", hidden_file},
        {"bpf", bpf},
        {"keyctl", keyring},
        {"wait", reap},
    };

    (void)state;
    for (size_t i = 0; fit() && i < sizeof(calls) / sizeof(calls[0]); i++) {
        int status = status_of(calls[i].call);

        if (!WIFEXITED(status) || WEXITSTATUS(status) != ENOSYS) {
            fail_msg("%s: status %#x, wanted ENOSYS", calls[i].name, (unsigned)status);
        }
    }
}

/* With a private store it may end that server, and no more than that. */
static void test_private_store(void **state)
{
    static long (*const refused[])(void) = {fork_, execute, kill_thread};
    size_t n = settings.store.n;

    (void)state;
    if (!fit()) {
        return;
    }
    settings.store.n = 0;
    assert_int_equal(status_of(kill_parent), 0);
    assert_int_equal(status_of(reap), 0);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(WEXITSTATUS(status_of(refused[i])), ENOSYS);
    }
    settings.store.n = n;
}

static long end_by_abort(void)
{
    abort();
}

/* An assertion that fails still ends it, and leaves no core. */
static void test_abort(void **state)
{
    int status;

    (void)state;
    if (fit()) {
        status = status_of(end_by_abort);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
        assert_false(WCOREDUMP(status));
    }
}

static const char *kernel_log(void)
{
    static char text[KLOG_MAX];
    int n = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static long named_bpf(void)
{
    char name[16];

    (void)snprintf(name, sizeof(name), "rt-%ld", (long)getppid());
    (void)prctl(PR_SET_NAME, name);
    return bpf();
}

/* The kernel says which call it was, if it has not said much in the last five seconds. */
static void test_logged(void **state)
{
    char name[32], number[32];
    const char *line = NULL;

    (void)state;
    if (!fit()) {
        return;
    }
    if (strstr(kernel_log(), "audit: type=") == NULL) {
        print_message("not looked at: the kernel's log cannot be read, or has no audit records\n");
        return;
    }
    (void)snprintf(name, sizeof(name), "comm=\"rt-%ld\"", (long)getpid());
    (void)snprintf(number, sizeof(number), "syscall=%d ", SYS_bpf);
    for (int i = 0; line == NULL && i < TRIES; i++) {
        assert_int_equal(WEXITSTATUS(status_of(named_bpf)), ENOSYS);
        line = strstr(kernel_log(), name);
        if (line == NULL) {
            (void)nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
        }
    }
    assert_non_null(line);
    line = strstr(line, number);
    assert_non_null(line);
}

static long status_line(void)
{
    char text[4096] = "";
    FILE *file = fopen("/proc/self/status", "re");
    size_t n = file == NULL ? 0 : fread(text, 1, sizeof(text) - 1, file);

    text[n] = '\0';
    errno = EINVAL;
    return strstr(text, "NoNewPrivs:\t1\n") != NULL && strstr(text, "Seccomp:\t2\n") != NULL ? 0 : -1;
}

static void test_status(void **state)
{
    (void)state;
    if (fit()) {
        assert_int_equal(status_of(status_line), 0);
    }
}

static long is_free(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 && prctl(PR_GET_DUMPABLE) == 1 && bpf() < 0 && errno != ENOSYS &&
                   clone3_() < 0 && errno != ENOSYS
               ? 0
               : -1;
}

static void test_off(void **state)
{
    (void)state;
    settings.sandbox = 0;
    assert_int_equal(status_of(is_free), 0);
    settings.sandbox = 1;
}

static int setup(void **state)
{
    (void)state;
    settings.sandbox = 1;
    settings.store.n = 1;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logged),        cmocka_unit_test(test_allowed), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_private_store), cmocka_unit_test(test_abort),   cmocka_unit_test(test_status),
        cmocka_unit_test(test_off),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
