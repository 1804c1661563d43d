/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/init.h"

#include "session/base/program.h"
#include "session/base/units.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define INIT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define LINK_STEP_MS 20
/* How long the last lines have to leave a serial console, as a drain could wait for ever. After a failure people want
 * to read them. */
#define LINGER_MS 100
#define LINGER_FAILED_MS 1000
/* How long killed processes have to be gone. One that is stuck in the kernel may never be. */
#define REAP_STEP_MS 10
#define REAP_MAX_MS 2000

struct mount_point {
    const char *path, *type, *data;
    unsigned long flags;
};

/* A directory stands before those in it. */
static const struct mount_point mounts[] = {
    {"/dev", "devtmpfs", "mode=0755", MS_NOSUID},
    {"/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"/sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"/dev/pts", "devpts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC},
    {"/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV},
    {"/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV},
    {"/tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV},
};

#define N_MOUNTS (sizeof(mounts) / sizeof(mounts[0]))

static void sleep_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

static void tell(struct tether_log *log, const char *step, const char *what, int error, const char *advice)
{
    char reason[RETETHER_GUEST_REASON_MAX] = "";

    if (error != 0) {
        snprintf(reason, sizeof(reason), "%s; %s", strerror(error), advice);
    }
    tether_log_step(log, error != 0 ? RT_LOG_WARN : RT_LOG_DEBUG, step, what, reason);
}

/* Something is mounted on it: it is of another file system than the directory that it is in. */
static bool mounted(const char *path)
{
    char above[32];
    struct stat inside;
    struct stat outside;

    snprintf(above, sizeof(above), "%s/..", path);
    return stat(path, &inside) == 0 && stat(above, &outside) == 0 && inside.st_dev != outside.st_dev;
}

/* 0 or errno. */
static int mount_one(const struct mount_point *point)
{
    if (mounted(point->path)) {
        return 0;
    }
    if (mkdir(point->path, 0755) != 0 && errno != EEXIST) {
        return errno;
    }
    return mount(point->type, point->path, point->type, point->flags, point->data) == 0 ? 0 : errno;
}

/* A console must not stop the log, and there is no /proc yet to open it anew (session/base/log.h): where stderr is the
 * console, it becomes one of its own that does not wait. */
static void unblock_console(const char *path)
{
    struct stat console, given;
    int fd;

    if (stat(path, &console) != 0 || fstat(STDERR_FILENO, &given) != 0 || !S_ISCHR(given.st_mode) ||
        given.st_rdev != console.st_rdev) {
        return;
    }
    fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        (void)dup2(fd, STDERR_FILENO);
        close(fd);
    }
}

int tether_init_console(void)
{
    const char *const devices[] = {"/dev/console", "/dev/null"};

    (void)mount_one(&mounts[0]); /* it is tried again, and logged, once there is a log */
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        if (rt_program_hold_fds(devices[i]) == RT_OK) {
            unblock_console(devices[i]);
            return RT_OK;
        }
    }
    return RT_EIO;
}

/* 0 or errno. */
static int load_module(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = 0;

    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) {
        error = errno;
    }
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

static void load_modules(const struct tether_init *init, struct tether_log *log)
{
    for (size_t i = 0; i < init->n_modules; i++) {
        const char *path = init->modules[i];
        int error = load_module(path);

        if (error == ENOENT && access(path, F_OK) == 0) {
            tell(log, "module", path, error, "a symbol is missing: name the modules that it needs before it");
        } else if (error == ENOEXEC) {
            tell(log, "module", path, error, "it must be an uncompressed .ko of the running kernel");
        } else {
            tell(log, "module", path, error, "put the uncompressed .ko of the running kernel there");
        }
    }
}

bool tether_read_link(const char *text, void *out)
{
    struct tether_link *link = out;
    const char *address = strchr(text, '=');
    const char *slash = address != NULL ? strchr(address, '/') : NULL;
    char dotted[INET_ADDRSTRLEN];
    uint64_t prefix;
    size_t name;

    if (slash == NULL) {
        return false;
    }
    name = (size_t)(address++ - text);
    if (name == 0 || name >= sizeof(link->name) || strcspn(text, "/ \t") < name ||
        (size_t)(slash - address) >= sizeof(dotted) || !rt_read_number(rt_slice_text(slash + 1), 32, &prefix) ||
        prefix < 1) {
        return false;
    }
    memset(link, 0, sizeof(*link));
    memcpy(link->name, text, name);
    memcpy(dotted, address, (size_t)(slash - address));
    dotted[slash - address] = '\0';
    link->mask.s_addr = htonl(UINT32_MAX << (32 - prefix));
    return inet_pton(AF_INET, dotted, &link->address) == 1;
}

static int set_address(int fd, unsigned long request, struct ifreq *request_data, struct in_addr address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address};

    memcpy(&request_data->ifr_addr, &in, sizeof(in));
    return ioctl(fd, request, request_data) == 0 ? 0 : errno;
}

/* Waits for the interface, gives it its address if the link has one, and brings it up. 0 or errno. */
static int bring_up(int fd, const struct tether_link *link)
{
    struct ifreq data = {0};
    unsigned waited = 0;
    int error;

    memcpy(data.ifr_name, link->name, sizeof(data.ifr_name));
    while (ioctl(fd, SIOCGIFFLAGS, &data) != 0) {
        if (errno != ENODEV || waited >= TETHER_LINK_WAIT_MS) {
            return errno;
        }
        sleep_ms(LINK_STEP_MS);
        waited += LINK_STEP_MS;
    }
    if (link->mask.s_addr != 0) {
        if ((error = set_address(fd, SIOCSIFADDR, &data, link->address)) != 0 ||
            (error = set_address(fd, SIOCSIFNETMASK, &data, link->mask)) != 0 || ioctl(fd, SIOCGIFFLAGS, &data) != 0) {
            return error != 0 ? error : errno;
        }
    }
    data.ifr_flags = (short)(data.ifr_flags | IFF_UP);
    return ioctl(fd, SIOCSIFFLAGS, &data) == 0 ? 0 : errno;
}

static void bring_links_up(const struct tether_init *init, struct tether_log *log)
{
    static const struct tether_link loopback = {.name = "lo"}; /* the kernel gives it its address */
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) { /* a kernel without IPv4 may still have vSockets */
        tell(log, "link", loopback.name, errno, "a network needs a kernel with IPv4");
        return;
    }
    tell(log, "link", loopback.name, bring_up(fd, &loopback), "127.0.0.1 is not reachable");
    for (size_t i = 0; i < init->n_links; i++) {
        const struct tether_link *link = &init->links[i];

        tell(log, "link", link->name, bring_up(fd, link),
             "look at its name, at the modules of its driver, and whether the machine has it");
    }
    close(fd);
}

void tether_init_boot(const struct tether_init *init, struct tether_log *log)
{
    for (size_t i = 0; i < N_MOUNTS; i++) {
        tell(log, "mount", mounts[i].path, mount_one(&mounts[i]),
             "make the directory, and look whether the kernel has its file system");
    }
    (void)setenv("PATH", INIT_PATH, 0);
    (void)setenv("HOME", "/", 0);
    if (init->hostname != NULL) {
        tell(log, "hostname", init->hostname, sethostname(init->hostname, strlen(init->hostname)) == 0 ? 0 : errno,
             "it keeps the old one");
    }
    load_modules(init, log);
    bring_links_up(init, log);
}

/* Until there is no child any more. */
static void reap(void)
{
    unsigned waited = 0;
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0 && waited < REAP_MAX_MS) {
        if (pid == 0) {
            sleep_ms(REAP_STEP_MS);
            waited += REAP_STEP_MS;
        }
    }
}

_Noreturn void tether_init_power_off(struct tether_log *log, bool failed)
{
    /* kill(-1) and reboot() mean the whole machine, and are this process's to call only as its init. */
    assert(getpid() == 1);
    tether_log_step(log, RT_LOG_INFO, "power-off", "", "");
    (void)kill(-1, SIGKILL);
    reap();
    sync();
    sleep_ms(failed ? LINGER_FAILED_MS : LINGER_MS);
    (void)reboot(RB_POWER_OFF);
    tell(log, "power-off", "", errno, "process 1 needs CAP_SYS_BOOT; it stays until the machine is stopped");
    for (;;) {
        (void)pause();
    }
}
