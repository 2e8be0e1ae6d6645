/* churn COUNT: COUNT processes in one tree that sleep, and change on command.
 *
 * This one is the root. Its children have up to FANOUT children each, which are the leaves. Prints "ready" once all
 * sleep, and then replies to each line of standard input with "done":
 *
 *     replace N   N leaves are ended, waited for, and new ones put in their places, one per parent at the same time
 *     spawn N     N children more are started by parents of leaves, end at once, and are waited for
 *     wake N      each member but this one runs for a moment, N times
 *
 * When standard input closes all end. */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FANOUT = 8, MOST_PARENTS = 8192 };

static pid_t parents[MOST_PARENTS];
static long parent_count, next_parent;
static int ready_pipe[2];

static void die(const char *what)
{
    perror(what);
    exit(1); /* all others follow by their death signals */
}

static void report(void)
{
    if (write(ready_pipe[1], ".", 1) != 1)
        _exit(1);
}

static void await_reports(long count)
{
    char dots[512];
    while (count > 0) {
        ssize_t got = read(ready_pipe[0], dots, count < (long)sizeof dots ? (size_t)count : sizeof dots);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            die("churn: a process ended that shouldn't have");
        count -= got;
    }
}

static pid_t fork_bound(void)
{
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent))
        _exit(1);
    return pid;
}

static pid_t start_leaf(const sigset_t *but_waking)
{
    pid_t pid = fork_bound();
    if (pid != 0)
        return pid;
    for (;;) {
        report();
        sigsuspend(but_waking); /* SIGURG alone ends it, and is blocked meanwhile, as the other orders are for ever */
    }
}

static void wake_up(int unused)
{
    (void)unused;
}

/* Waits for orders: SIGUSR1 to replace its oldest leaf, SIGUSR2 to start a child that ends at once, SIGURG to wake. */
static void parent_of(long leaves, sigset_t orders, const sigset_t *but_waking)
{
    pid_t pids[FANOUT];
    long oldest = 0;
    int order;
    for (long i = 0; i < leaves; i++)
        pids[i] = start_leaf(but_waking);
    report();
    while (sigwait(&orders, &order) == 0) {
        if (order == SIGUSR1) {
            kill(pids[oldest], SIGKILL);
            waitpid(pids[oldest], NULL, 0);
            pids[oldest] = start_leaf(but_waking);
            oldest = (oldest + 1) % leaves;
            continue; /* the new leaf reports */
        }
        if (order == SIGUSR2) {
            pid_t pid = fork_bound();
            if (pid == 0)
                _exit(0);
            waitpid(pid, NULL, 0);
        }
        report();
    }
    _exit(1);
}

static void plant(long count)
{
    sigset_t orders, but_waking;
    sigemptyset(&orders);
    sigaddset(&orders, SIGUSR1);
    sigaddset(&orders, SIGUSR2);
    but_waking = orders;
    sigaddset(&orders, SIGURG);
    signal(SIGURG, wake_up);
    sigprocmask(SIG_BLOCK, &orders, NULL);
    for (long left = count - 1; left > 0;) {
        long leaves = left > FANOUT ? FANOUT : left - 1;
        if (parent_count == MOST_PARENTS)
            die("churn: too many");
        pid_t pid = fork_bound();
        if (pid == 0)
            parent_of(leaves, orders, &but_waking);
        left -= 1 + leaves;
        if (leaves > 0)
            parents[parent_count++] = pid;
    }
    await_reports(count - 1);
}

/* An order is a signal, and a second one to the same process would be lost while the first waits: so each gets one,
 * and all reply before the next. */
static void give_orders(int order, long count)
{
    while (count > 0) {
        long now = count < parent_count ? count : parent_count;
        for (long i = 0; i < now; i++)
            kill(parents[next_parent++ % parent_count], order);
        await_reports(now);
        count -= now;
    }
}

static void wake_all(long others, long times)
{
    while (times-- > 0) {
        kill(0, SIGURG); /* stays pending here, where it is blocked */
        await_reports(others);
    }
}

int main(int argc, char **argv)
{
    char order[8];
    long members, count;
    if (argc != 2 || (members = atol(argv[1])) < 3) {
        fputs("usage: churn COUNT, which is at least 3\n", stderr);
        return 2;
    }
    if (pipe(ready_pipe) != 0)
        die("pipe");
    setpgid(0, 0); /* fails where it leads a session, and so a group, already */
    plant(members);
    puts("ready");
    fflush(stdout);
    while (scanf("%7s %ld", order, &count) == 2) {
        if (strcmp(order, "wake") == 0)
            wake_all(members - 1, count);
        else
            give_orders(strcmp(order, "replace") == 0 ? SIGUSR1 : SIGUSR2, count);
        puts("done");
        fflush(stdout);
    }
    signal(SIGTERM, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* not every container has an init that would reap the leaves */
    kill(0, SIGTERM);
    while (wait(NULL) > 0 || errno == EINTR)
        continue;
    return 0;
}
