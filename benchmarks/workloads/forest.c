/* forest COUNT FANOUT: COUNT sleeping processes in one tree, this one its root, each with up to FANOUT children.
 *
 * Prints "ready" once all of them sleep, and ends them all when its standard input closes: so they end with the process
 * that started them. */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static long count, fanout;
static int ready_pipe[2];

static void die(const char *what)
{
    perror(what);
    exit(1); /* the children follow by their death signal */
}

static void grow(long index);

static void sleeper(long index, pid_t parent)
{
    signal(SIGTERM, SIG_DFL); /* the root ignores it */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1);
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    grow(index);
    if (write(ready_pipe[1], ".", 1) != 1)
        _exit(1);
    close(ready_pipe[0]);
    close(ready_pipe[1]);
    for (;;)
        pause();
}

/* Processes are numbered as in a heap: the children of I are I * FANOUT + 1 and so on. */
static void grow(long index)
{
    pid_t parent = getpid();
    for (long child = index * fanout + 1; child <= (index + 1) * fanout && child < count; child++) {
        pid_t pid = fork();
        if (pid < 0)
            die("fork");
        if (pid == 0)
            sleeper(child, parent);
    }
}

static void wait_until_ready(void)
{
    char dots[512];
    close(ready_pipe[1]);
    for (long missing = count - 1; missing > 0;) {
        ssize_t got = read(ready_pipe[0], dots, sizeof dots);
        if (got <= 0) {
            fputs("forest: not every process could be started\n", stderr);
            exit(1);
        }
        missing -= got;
    }
}

static void fell(void)
{
    kill(0, SIGTERM);
    while (wait(NULL) > 0 || errno == EINTR)
        continue;
}

int main(int argc, char **argv)
{
    char byte;
    if (argc != 3 || (count = atol(argv[1])) < 1 || (fanout = atol(argv[2])) < 1) {
        fputs("usage: forest COUNT FANOUT\n", stderr);
        return 2;
    }
    setpgid(0, 0);            /* fails where it leads a session, and so a group, already */
    signal(SIGTERM, SIG_IGN); /* for fell(), which signals the whole group */
    /* Reaps grandchildren too: not every container has an init that would. */
    if (getpgrp() != getpid() || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 || pipe(ready_pipe) != 0)
        die("forest");
    atexit(fell);
    grow(0);
    wait_until_ready();
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0 || errno == EINTR)
        continue;
    return 0;
}
