/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/sandbox.h"

#include "broker/run_as.h"
#include "session/base/sanitizer.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define IS(argument, value) ((struct scmp_arg_cmp){argument, SCMP_CMP_EQ, value, 0})
/* The argument has none of these bits, or all of them. */
#define WITHOUT(argument, bits) ((struct scmp_arg_cmp){argument, SCMP_CMP_MASKED_EQ, bits, 0})
#define WITH(argument, bits) ((struct scmp_arg_cmp){argument, SCMP_CMP_MASKED_EQ, bits, bits})

/* What libraries try first and do without. Refused before there is a loop, or libuv would have its rings: they do what
 * no filter sees. Not logged. Threads come from clone, whose flags a filter can read. */
static const int tried[] = {SCMP_SYS(io_uring_setup), SCMP_SYS(clone3)};

static const int allowed[] = {
    /* bytes */
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(pread64),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(pwrite64),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg), /* questions to a name server */
    /* the loop */
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe2),
    SCMP_SYS(inotify_init1),
    SCMP_SYS(inotify_add_watch),
    SCMP_SYS(inotify_rm_watch),
    /* descriptors and sockets, socket(2) aside */
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(fcntl),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(connect),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    /* files, as far as its user reaches */
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(stat),
    SCMP_SYS(fstat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(fstatat64),
    SCMP_SYS(statx),
    SCMP_SYS(statfs),
    SCMP_SYS(fstatfs),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getdents64),
    SCMP_SYS(lseek),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(link),
    SCMP_SYS(linkat),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(lchown),
    SCMP_SYS(fchownat),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(flock),
    SCMP_SYS(umask),
    SCMP_SYS(getcwd),
    /* memory; what makes it executable is below */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    /* threads and signals */
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(gettid),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getcpu),
    SCMP_SYS(membarrier),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    /* time, and what it is */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrlimit),
};

/* A call with an argument of this kind only. */
static const struct {
    int call;
    struct scmp_arg_cmp argument;
} conditional[] = {
    {SCMP_SYS(socket), IS(0, AF_UNIX)},
    {SCMP_SYS(socket), IS(0, AF_INET)},
    {SCMP_SYS(socket), IS(0, AF_INET6)},
    {SCMP_SYS(socket), IS(0, AF_VSOCK)},
    {SCMP_SYS(mmap), WITHOUT(2, PROT_EXEC)},
    {SCMP_SYS(mmap2), WITHOUT(2, PROT_EXEC)},
    {SCMP_SYS(mprotect), WITHOUT(2, PROT_EXEC)},
    {SCMP_SYS(clone), WITH(0, CLONE_VM | CLONE_THREAD)},
    {SCMP_SYS(ioctl), IS(1, FIONBIO)},
    {SCMP_SYS(ioctl), IS(1, FIONREAD)},
    {SCMP_SYS(ioctl), IS(1, FIOCLEX)},
    {SCMP_SYS(ioctl), IS(1, SIOCOUTQ)},
    {SCMP_SYS(ioctl), IS(1, TCGETS)},
    {SCMP_SYS(prctl), IS(0, PR_SET_NAME)},
    {SCMP_SYS(prlimit64), IS(2, 0)}, /* only looks */
};

static bool locks(const struct rt_settings *settings)
{
    return settings->sandbox != 0 && rt_sanitizer() == NULL;
}

/* Returns 0 or a negative errno. `logs`: what is refused stands in the kernel's log. */
static int load(scmp_filter_ctx filter, bool logs)
{
    int rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* these two: where kernel and library know them */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, logs);
    return rc == 0 ? seccomp_load(filter) : rc;
}

static int refuse_tried(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int rc = filter == NULL ? -ENOMEM : 0;

    for (size_t i = 0; rc == 0 && i < sizeof(tried) / sizeof(tried[0]); i++) {
        rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), tried[i], 0);
    }
    rc = rc == 0 ? load(filter, false) : rc;
    seccomp_release(filter);
    return rc;
}

static int allow(scmp_filter_ctx filter, bool private_store)
{
    static const int signals[] = {0, SIGTERM, SIGKILL};
    uint64_t self = (uint64_t)getpid();
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    }
    /* The newest of two filters that refuse decides whether that is logged: so what the first one refuses passes here.
     */
    for (size_t i = 0; rc == 0 && i < sizeof(tried) / sizeof(tried[0]); i++) {
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, tried[i], 0);
    }
    for (size_t i = 0; rc == 0 && i < sizeof(conditional) / sizeof(conditional[0]); i++) {
        rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, conditional[i].call, 1, &conditional[i].argument);
    }
    if (rc == 0) { /* abort(3) */
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, IS(0, self));
    }
    for (size_t i = 0; private_store && rc == 0 && i < sizeof(signals) / sizeof(signals[0]); i++) {
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, IS(1, (uint64_t)signals[i]));
    }
    if (private_store && rc == 0) { /* its starter, at the end */
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(wait4), 0);
    }
    return rc;
}

static int allow_only(bool private_store)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int rc = filter == NULL ? -ENOMEM : allow(filter, private_store);

    rc = rc == 0 ? load(filter, true) : rc;
    seccomp_release(filter);
    return rc;
}

static int no_seccomp(int rc, char *why, size_t why_size)
{
    return rt_fail(RT_EIO, why, why_size,
                   "its system calls cannot be limited: %s; where the kernel has no seccomp, start it with "
                   "--sandbox=off",
                   strerror(-rc));
}

int rt_sandbox_enter(const struct rt_settings *settings, char *why, size_t why_size)
{
    struct rlimit none = {0, 0};
    int rc = rt_run_as(settings, why, why_size);

    if (rc != 0 || !locks(settings)) {
        return rc;
    }
    /* Behind the change of users, which sets it anew. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return rt_fail(RT_EIO, why, why_size, "cannot give up cores and privileges: %s", strerror(errno));
    }
    rc = refuse_tried();
    return rc == 0 ? 0 : no_seccomp(rc, why, why_size);
}

bool rt_sandbox_hold(const struct rt_settings *settings, const void *secret, size_t size)
{
    return settings->sandbox == 0 || mlock(secret, size) == 0;
}

int rt_sandbox_lock(const struct rt_settings *settings, char *why, size_t why_size)
{
    int rc = rt_run_as_done(why, why_size);

    if (rc != 0 || !locks(settings)) {
        return rc;
    }
    rc = allow_only(settings->store.n == 0);
    return rc == 0 ? 0 : no_seccomp(rc, why, why_size);
}
