/* Trees that are large, deep, dead or never at rest; in C, so that thousands of processes cost little.
 *
 * crowd wide N | deep N | stage REAPS | zombies N | bomb | churn NAME MICROSECONDS | storm LINES ROUNDS
 * Joins the control groups that CROWD_GROUPS names (separated by colons), says "ready", and does the rest when a line
 * comes in. It ends when its standard input does, and what it started with the namespace that it is in.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void burn(long long ns)
{
    for (long long until = cpu_ns() + ns; cpu_ns() < until;)
        ;
}

static void say(const char *word, long long number)
{
    printf("%s %lld\n", word, number);
    fflush(stdout);
}

static int hears(void)
{
    char line[64];
    ssize_t got = read(0, line, sizeof line);
    return got > 0 ? line[0] : 0;
}

static void join_groups(void)
{
    char *groups = getenv("CROWD_GROUPS"), *rest = groups ? strdup(groups) : NULL, *name;
    while (rest && *rest && (name = strsep(&rest, ":"))) {
        char path[4096];
        snprintf(path, sizeof path, "%s/cgroup.procs", name);
        FILE *file = fopen(path, "w");
        if (!file || fputs("0", file) < 0 || fclose(file) != 0) {
            perror(path);
            exit(3);
        }
    }
}

static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

static void wide(int n)
{
    for (int i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0)
            sleep_for_ever();
        if (pid < 0)
            exit(4);
    }
    say("ready", n);
    while (hears())
        burn(1000000);
}

static void deep(int n)
{
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        exit(4);
    for (int depth = 0; depth < n; depth++) {
        pid_t pid = fork();
        if (pid < 0)
            exit(4);
        if (pid > 0 && depth > 0)
            sleep_for_ever();
        if (pid > 0) {
            if (read(ready[0], &byte, 1) != 1)
                exit(4);
            say("ready", n);
            while (hears())
                ;
            return;
        }
    }
    if (write(ready[1], "x", 1) != 1)
        exit(4);
    sleep_for_ever();
}

/* A root with two children, the first of which has one; all have used some time, and rest. Children that end are waited
 * for at once, or never. */
static void stage(int reaps)
{
    int ready[2];
    char byte;
    if (reaps)
        signal(SIGCHLD, SIG_IGN);
    if (pipe(ready) != 0)
        exit(4);
    burn(300000);
    for (int i = 0; i < 2; i++)
        if (fork() == 0) {
            if (i == 0 && fork() != 0) {
                burn(300000);
                sleep_for_ever();
            }
            burn(300000);
            if (write(ready[1], "x", 1) != 1)
                exit(4);
            sleep_for_ever();
        }
    for (int i = 0; i < 2; i++)
        if (read(ready[0], &byte, 1) != 1)
            exit(4);
    say("ready", 3);
    hears();
}

/* A line has them waited for; the answer is what they used, by their rusage. */
static void zombies(int n)
{
    pid_t *pids = calloc((size_t)n, sizeof *pids);
    for (int i = 0; i < n; i++) {
        if ((pids[i] = fork()) == 0) {
            burn(100000);
            _exit(0);
        }
        if (pids[i] < 0)
            exit(4);
    }
    siginfo_t info;
    for (int i = 0; i < n; i++)
        waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOWAIT);
    say("ready", n);
    if (!hears())
        return;
    long long used = 0;
    for (int i = 0; i < n; i++) {
        struct rusage usage;
        int status;
        if (wait4(pids[i], &status, 0, &usage) == pids[i])
            used += (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000LL +
                    (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL;
    }
    free(pids);
    say("reaped", used);
    hears();
}

/* Forks wherever it can; where the limit stops it some end, so that others can. The first one stays. A word doesn't
 * end it. */
static void bomb(void)
{
    signal(SIGTERM, SIG_IGN);
    pid_t first = getpid();
    say("ready", 0);
    srandom((unsigned)first);
    for (;;) {
        pid_t pid = fork();
        if (pid == 0)
            srandom((unsigned)getpid());
        burn(pid < 0 ? 1000000 : 100000);
        if (getpid() == first)
            while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        else if (pid < 0 && random() % 4 == 0)
            _exit(0);
    }
}

/* Children that come and go for ever, of that name, each with so many microseconds of work. */
static void churn(const char *name, long us)
{
    say("ready", 0);
    for (int n = 0;; n++) {
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_NAME, name);
            burn(us * 1000);
            _exit(0);
        }
        if (n >= 4)
            wait(NULL);
    }
}

/* One that adopts, with grandchildren whose parents end at once; it ends before some of them do. */
static void subreaper(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            for (int j = 0; j < 2; j++)
                if (fork() == 0) {
                    burn(1000000LL + random() % 2000000);
                    _exit(0);
                }
            burn(200000);
            _exit(0);
        }
    }
    for (int reaped = random() % 12; reaped > 0 && waitpid(-1, NULL, 0) > 0; reaped--)
        ;
    _exit(0);
}

static void storm(int lines, int rounds)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    say("ready", 0);
    if (!hears())
        return;
    for (int line = 0; line < lines; line++) {
        if (fork() != 0)
            continue;
        srandom((unsigned)getpid());
        for (int round = 0; round < rounds; round++) {
            pid_t pid = fork();
            if (pid == 0) {
                srandom((unsigned)getpid());
                subreaper();
            }
            if (round % 3)
                waitpid(pid, NULL, 0);
        }
        _exit(0);
    }
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    say("done",
        (own.ru_utime.tv_sec + own.ru_stime.tv_sec + children.ru_utime.tv_sec + children.ru_stime.tv_sec) *
                1000000000LL +
            (own.ru_utime.tv_usec + own.ru_stime.tv_usec + children.ru_utime.tv_usec + children.ru_stime.tv_usec) *
                1000LL);
    hears();
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int n = argc > 2 ? atoi(argv[2]) : 0;
    join_groups();
    if (strcmp(what, "wide") == 0)
        wide(n);
    else if (strcmp(what, "deep") == 0)
        deep(n);
    else if (strcmp(what, "zombies") == 0)
        zombies(n);
    else if (strcmp(what, "stage") == 0)
        stage(n);
    else if (strcmp(what, "bomb") == 0)
        bomb();
    else if (strcmp(what, "churn") == 0 && argc > 3)
        churn(argv[2], atol(argv[3]));
    else if (strcmp(what, "storm") == 0 && argc > 3)
        storm(n, atoi(argv[3]));
    else
        return 2;
    return 0;
}
