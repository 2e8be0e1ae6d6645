/* charged ACCOUNT REPORT COMMAND ARG...: run a command in the control group whose cgroup.procs is ACCOUNT.
 *
 * Writes "PID NS" into the FIFO REPORT: its pid, which becomes the command's, and the CPU time that starting this
 * program took before it joined, of which the group knows nothing. "-" stands for none.
 *
 * What the process had used before that belongs to its parent's group, and the two can't be separated. So this
 * program starts a second time, and that the first start took as long as the second is a good guess. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { AGAIN = '+' };

static long long used_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * 1000000000LL + used.tv_nsec;
}

static int join(const char *account)
{
    int fd = open(account, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, "0", 1) == 1 && close(fd) == 0;
}

/* Runs also without a reader. */
static void report(const char *to, long long before_ns)
{
    int fd = open(to, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    dprintf(fd, "%d %lld\n", getpid(), before_ns);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: charged ACCOUNT REPORT COMMAND ARG...\n", stderr);
        return 2;
    }
    char now[24];
    if (argv[0][0] != AGAIN) {
        snprintf(now, sizeof now, "%c%lld", AGAIN, used_ns());
        argv[0] = now;
        execv("/proc/self/exe", argv);
        perror("/proc/self/exe");
        return 126;
    }
    long long before_ns = 2 * (used_ns() - atoll(argv[0] + 1));
    if (strcmp(argv[1], "-") != 0 && !join(argv[1])) {
        perror(argv[1]);
        return 125;
    }
    if (strcmp(argv[2], "-") != 0)
        report(argv[2], before_ns);
    execvp(argv[3], argv + 3);
    perror(argv[3]);
    return 127;
}
