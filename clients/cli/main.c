/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* Descriptors 0 to 2 must be taken, or sockets would get their numbers. */
static int hold_standard_fds(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0) {
        return RT_EIO;
    }
    close(fd);
    return RT_OK;
}

static int print(const char *text)
{
    return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? CLI_EXIT_FAILED : 0;
}

int main(int argc, char **argv)
{
    static struct cli_options options;
    char why[CLI_WHY_MAX] = "";
    int status;

    if (hold_standard_fds() != RT_OK) {
        return CLI_EXIT_FAILED;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (cli_options_read(&options, argc, argv, why) != RT_OK) {
        cli_say("%s", why);
        status = CLI_EXIT_FAILED;
    } else if (options.verb == CLI_HELP) {
        status = print(cli_usage(options.command));
    } else if (options.verb == CLI_VERSION) {
        status = print("retether " RETETHER_VERSION "\n");
    } else {
        status = cli_command_run(&options);
    }
    cli_options_close(&options);
    return status;
}
