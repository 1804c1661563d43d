/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/options.h"

#define COMMON                                                                                                         \
    "\n"                                                                                                               \
    "  --agent ENDPOINT    an agent to ask: unix:PATH, tcp:ADDRESS:PORT or vsock:CID:PORT; may be given several\n"     \
    "                      times (default: RETETHER_AGENTS, or unix:/run/retether/client.sock)\n"                      \
    "  --timeout DURATION  for an answer, and for the first attach (default 10s); until then it is asked again\n"      \
    "  -v, --verbose       say what the connections do\n"

#define STREAM_OPTIONS                                                                                                 \
    "  --detach-keys KEYS  typed in a row they detach: RETETHER_DETACH_KEYS, or ctrl-p,ctrl-q when stdin is a\n"       \
    "                      terminal; none turns them off\n"                                                            \
    "  --hold DURATION     how long the container may be held up when this end does not keep up, before bytes are\n"   \
    "                      given up and told as a gap (default 30s; 0: never held up)\n"                               \
    "  --allow-gap         output that was lost does not change a status of 0 (else it is 123)\n"                      \
    "  --lost-timeout DURATION\n"                                                                                      \
    "                      end with 124 once the container has been lost for so long (default: wait for ever)\n"

#define CONTAINER "CID is a container ID, or a beginning of one that fits no other.\n"

static const char *const usages[] = {
    [CLI_CREATE] = "Usage: retether create [OPTION...] CID\n"
                   "\n"
                   "Makes a session for a container and prints the join token with which its tether proves itself:\n"
                   "\n"
                   "  RETETHER_TOKEN=$(retether create web) tether --cid web -- COMMAND\n"
                   "\n"
                   "CID: a letter or digit, then up to 127 letters, digits, and _ . - . That of a container that has\n"
                   "ended may be used again; its exit status and output are replaced, and that is told on stderr.\n"
                   "\n"
                   "  --label TEXT        kept with the session and shown by ls\n"
                   "  --ring BYTES        that the tether is to keep of each output stream, such as 64K or 4M\n"
                   "  --json              {\"container\", \"token\"}\n" COMMON,
    [CLI_RUN] =
        "Usage: retether run [OPTION...] [--] COMMAND [ARGUMENT...]\n"
        "\n"
        "Runs a command in a tether on this machine and attaches to it from its first byte: create, tether and\n"
        "attach in one, to try things out. Signals are passed on; the exit status is the command's. After a\n"
        "detach the command goes on.\n"
        "\n"
        "  -i, --interactive   pass stdin on (without it the command's stdin is empty)\n"
        "  -t, --tty           give the command a terminal\n"
        "  --name CID          the container ID (default: a random name)\n"
        "  --cwd DIRECTORY     run it there\n"
        "  --label TEXT, --ring BYTES\n"
        "                      as for create\n"
        "  --tether PATH       the tether program (default: beside this one, or from PATH)\n"
        "  --guest-agent ENDPOINT\n"
        "                      where the tether finds its agent (default: RETETHER_GUEST_AGENT, or\n"
        "                      unix:/run/retether/guest.sock)\n" STREAM_OPTIONS COMMON
        "                      (here also the tether's log)\n",
    [CLI_ATTACH] =
        "Usage: retether attach [OPTION...] CID\n"
        "\n"
        "Connects stdin, stdout and stderr with a container's, wherever it runs, and stays connected when it moves. "
        "Begins\n"
        "with what comes from now on. " CONTAINER "\n"
        "  --no-stdin          only watch, as when stdin is closed or /dev/null\n"
        "  --since-offset N[,M]|oldest|now\n"
        "                      begin at byte N of stdout (and M of stderr, 0 if not given), at the oldest byte kept,\n"
        "                      or now\n"
        "  -n, --tail LINES    begin with the last lines\n"
        "  --tail-bytes BYTES  begin with the last bytes\n"
        "  --process N         another process than the main one, as show lists them\n"
        "  --sig-proxy         pass SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 on; without it they end the\n"
        "                      attach only\n" STREAM_OPTIONS COMMON "\n"
        "With a terminal at both ends ctrl-C and all other keys go to the container. An attach that is interrupted\n"
        "prints the command that goes on where it stopped, and how much input was not taken.\n"
        "\n"
        "Exit status: the container's, 128 + n when signal n ended it, 126 or 127 when its command could not be run; "
        "0\n"
        "after a detach; 123 when it would be 0, but output was lost; 124 after --lost-timeout; 125 when retether\n"
        "itself failed; 128 + n when signal n ended the attach.\n",
    [CLI_EXEC] =
        "Usage: retether exec [OPTION...] CID [--] COMMAND [ARGUMENT...]\n"
        "\n"
        "Runs another command in a container, exactly once however connections fail, and attaches to it.\n" CONTAINER
        "\n"
        "  -i, --interactive   pass stdin on\n"
        "  -t, --tty           give the command a terminal\n"
        "  --cwd DIRECTORY     run it there\n"
        "  --env NAME=VALUE    set in its environment; may be given several times\n"
        "  --sig-proxy         pass signals on\n" STREAM_OPTIONS COMMON "\n"
        "Exit status: as for attach; 126 also when the container runs no more processes.\n",
    [CLI_LOGS] =
        "Usage: retether logs [OPTION...] CID\n"
        "\n"
        "Prints a container's output from the oldest byte kept; after its end, the last 64 KiB of each stream.\n"
        "Both in the order in which they were written, as far as that is remembered; what is older comes first,\n"
        "stdout before stderr. Never holds the container up. " CONTAINER "\n"
        "  -f, --follow        go on with what comes, until the container ends\n"
        "  -n, --tail LINES    begin with the last lines\n"
        "  --tail-bytes BYTES  begin with the last bytes\n"
        "  --lost-timeout DURATION\n"
        "                      end with 124 once the container has been lost for so long (default: wait for "
        "ever)\n" COMMON,
    [CLI_WAIT] =
        "Usage: retether wait [OPTION...] CID\n"
        "\n"
        "Waits until a container has ended and prints its exit status. A container that is lost has none: that\n"
        "is said, with exit status 125. " CONTAINER "\n"
        "  --json              {\"container\", \"status\", \"code\", \"signal\"}\n" COMMON,
    [CLI_SIGNAL] =
        "Usage: retether signal [OPTION...] CID SIGNAL\n"
        "\n"
        "Sends a signal to a container's main process, exactly once. SIGNAL: TERM, SIGTERM or 15.\n" CONTAINER COMMON,
    [CLI_RESOLVE] =
        "Usage: retether resolve [OPTION...] CID\n"
        "\n"
        "Prints a container's whole ID, its state, the host that serves it, and that agent's addresses.\n" CONTAINER
        "\n"
        "  --json              {\"container\", \"state\", \"host\", \"life\", \"epoch\", \"addresses\"}\n" COMMON,
    [CLI_LS] = "Usage: retether ls [OPTION...] [PREFIX]\n"
               "\n"
               "Lists containers, or those whose ID begins with PREFIX.\n"
               "\n"
               "  --host NAME         only those that this host serves, or served last\n"
               "  --json              one object a line; docs/cli.md has the schema\n" COMMON,
    [CLI_SHOW] = "Usage: retether show [OPTION...] CID\n"
                 "\n"
                 "Shows a container: state, host, epoch, moves; of each process's streams what is kept; of each\n"
                 "attachment how far it is. " CONTAINER "\n"
                 "  --json              one object; docs/cli.md has the schema\n" COMMON,
    [CLI_MOVES] = "Usage: retether moves [OPTION...] CID\n"
                  "\n"
                  "Lists where a container was served, oldest first (the last 16). " CONTAINER "\n"
                  "  --json              one object a line\n" COMMON,
    [CLI_HOSTS] = "Usage: retether hosts [OPTION...]\n"
                  "\n"
                  "Lists the agents: whether they are alive (as the agent that is asked judges), when they\n"
                  "were last heard, and what they serve.\n"
                  "\n"
                  "  --json              one object a line\n" COMMON,
    [CLI_COMMANDS] =
        "Usage: retether COMMAND [OPTION...] [ARGUMENT...]\n"
        "\n"
        "Reaches containers whose streams survive moves between hosts.\n"
        "\n"
        "  create CID            make a session and print its join token\n"
        "  run -- COMMAND        create, run here, attach: to try it out\n"
        "  attach CID            connect this terminal with a container\n"
        "  exec CID -- COMMAND   run another command in it\n"
        "  logs CID              print its output\n"
        "  wait CID              wait for its end and print its status\n"
        "  signal CID SIGNAL     send it a signal\n"
        "  resolve CID           where it is\n"
        "  ls                    all containers\n"
        "  show CID              one container, in detail\n"
        "  moves CID             where it has been\n"
        "  hosts                 the agents\n"
        "\n"
        "CID is a container ID, or a beginning of one that fits no other. retether COMMAND --help says more.\n" COMMON,
};

const char *cli_usage(enum cli_command command)
{
    return usages[command];
}
