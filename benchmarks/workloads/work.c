/* work ACCOUNT GATE KIND COUNT US: use CPU time in one of the ways that are hard to follow.
 *
 * Joins the control group whose cgroup.procs is ACCOUNT, and works once the FIFO GATE is opened for writing: so
 * a monitor can attach before. "-" stands for none. US is CPU time: a machine that is busy
 * elsewhere changes how long all this takes, but not what it uses.
 *
 * It ends by itself, also without its parent. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_S = 180, THREADS = 32, LATE_SHARE = 4, FANOUT = 25 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static long long read_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void burn(long us)
{
    long long end = read_ns(CLOCK_THREAD_CPUTIME_ID) + us * 1000LL;
    while (read_ns(CLOCK_THREAD_CPUTIME_ID) < end)
        for (volatile int i = 0; i < 500; i++)
            continue;
}

static void pause_for(long us)
{
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

static pid_t fork_or_die(void)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    return pid;
}

/* A child that goes with this process. */
static pid_t fork_bound(void)
{
    pid_t parent = getpid(), pid = fork_or_die();
    if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent))
        _exit(1);
    return pid;
}

static void wait_for_all(void)
{
    while (wait(NULL) > 0)
        continue;
}

/* This process and COUNT children compute for US each, half of the time. */
static void steady(long count, long us)
{
    pid_t child = -1;
    while (count-- > 0 && (child = fork_bound()) != 0)
        continue;
    for (; us > 0; us -= 1000) {
        burn(1000);
        pause_for(1000);
    }
    if (child == 0)
        _exit(0);
    wait_for_all();
}

/* COUNT children, one after the other, each waited for. Where SIGCHLD is ignored, waiting lasts as long, and gets
 * nothing. */
static void storm(long count, long us)
{
    for (; count > 0; count--) {
        if (fork_or_die() == 0) {
            burn(us);
            _exit(0);
        }
        wait_for_all();
    }
}

static void auto_reap(long count, long us)
{
    signal(SIGCHLD, SIG_IGN);
    storm(count, us);
}

/* A grandchild in a session of its own, whose parent has ended. It has ended too when this returns, unless it is late:
 * then it waits until this process has. */
static void orphan(long us, const int *late)
{
    int ends[2];
    char byte;
    if (pipe(ends) != 0)
        die("pipe");
    pid_t between = fork_or_die();
    if (between == 0) {
        setsid();
        if (fork_or_die() == 0) {
            close(ends[0]);
            if (late != NULL) {
                close(late[1]);
                if (read(late[0], &byte, 1) != 0)
                    _exit(1);
            }
            burn(us);
        }
        _exit(0);
    }
    waitpid(between, NULL, 0);
    close(ends[1]);
    if (late == NULL && read(ends[0], &byte, 1) != 0)
        die("read");
    close(ends[0]);
}

/* COUNT orphans one after the other; a quarter of them does its work at the end, together, when the root is gone. */
static void orphans(long count, long us)
{
    int late[2];
    if (pipe(late) != 0)
        die("pipe");
    for (long i = 0; i < count / LATE_SHARE; i++)
        orphan(us, late);
    for (long i = count / LATE_SHARE; i < count; i++)
        orphan(us, NULL);
}

/* Each process starts the next, computes, and waits for it. */
static void chain(long count, long us)
{
    pid_t child = count > 1 ? fork_bound() : -1;
    if (child == 0)
        chain(count - 1, us);
    else
        burn(us);
    wait_for_all();
}

/* COUNT programs, each of which computes for US and puts the next in its place. */
static void exec_chain(long count, long us)
{
    char left[24], each[24];
    burn(us);
    if (count < 2)
        return;
    snprintf(left, sizeof left, "%ld", count - 1);
    snprintf(each, sizeof each, "%ld", us);
    execl("/proc/self/exe", "work", "-", "-", "exec-chain", left, each, NULL);
    die("exec");
}

static void sleep_until_closed(int fd)
{
    char byte;
    if (read(fd, &byte, 1) != 0)
        _exit(1);
    _exit(0);
}

/* COUNT processes that sleep, 25 to a parent that sleeps too, while this one computes for US, a tenth of the time. */
static void grove(long count, long us)
{
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");
    for (; count > 0; count -= FANOUT) {
        if (fork_or_die() != 0)
            continue;
        close(ends[1]);
        for (long leaf = 0; leaf < FANOUT && leaf < count; leaf++)
            if (fork_or_die() == 0)
                sleep_until_closed(ends[0]);
        wait_for_all();
        _exit(0);
    }
    for (; us > 0; us -= 1000) {
        burn(1000);
        pause_for(9000);
    }
    close(ends[1]);
    wait_for_all();
}

static long rounds, round_us;

static void *short_lived(void *unused)
{
    burn(round_us);
    return unused;
}

static void *long_lived(void *unused)
{
    for (long i = 0; i < rounds; i++) {
        pthread_t thread;
        burn(round_us);
        if (pthread_create(&thread, NULL, short_lived, NULL) != 0)
            die("pthread_create");
        pthread_join(thread, NULL);
    }
    return unused;
}

/* 32 threads, each of which computes and starts short-lived threads in turn, COUNT times. */
static void threads(long count, long us)
{
    pthread_t pool[THREADS];
    rounds = count;
    round_us = us;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&pool[i], NULL, long_lived, NULL) != 0)
            die("pthread_create");
    for (int i = 0; i < THREADS; i++)
        pthread_join(pool[i], NULL);
}

/* COUNT processes, this one among them, of which the children compute for US ten times a second, until the pipe on
 * standard input closes. They share a process group of their own. */
static void stir(long count, long us)
{
    char byte;
    setpgid(0, 0); /* fails where it leads a session, and so a group, already */
    for (; count > 1; count--)
        if (fork_bound() == 0)
            for (;;) {
                burn(us);
                pause_for(100000);
            }
    alarm(0);
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    wait_for_all();
}

static long long used_ns(void)
{
    struct rusage children;
    getrusage(RUSAGE_CHILDREN, &children);
    return read_ns(CLOCK_PROCESS_CPUTIME_ID) + (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1000000000LL +
           (children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1000LL;
}

/* For each line "COUNT US" a storm, and a reply with its elapsed and CPU time in nanoseconds. */
static void serve(long count, long us)
{
    alarm(0);
    while (scanf("%ld %ld", &count, &us) == 2) {
        long long begin = read_ns(CLOCK_MONOTONIC), used = used_ns();
        storm(count, us);
        printf("%lld %lld\n", read_ns(CLOCK_MONOTONIC) - begin, used_ns() - used);
        fflush(stdout);
    }
}

static void join(const char *account)
{
    int fd = open(account, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        die(account);
    close(fd);
}

static void pass(const char *gate)
{
    int fd = open(gate, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die(gate);
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*work)(long, long);
    } kinds[] = {
        {"steady", steady},         {"storm", storm}, {"auto-reap", auto_reap}, {"orphans", orphans}, {"chain", chain},
        {"exec-chain", exec_chain}, {"grove", grove}, {"threads", threads},     {"stir", stir},       {"serve", serve},
    };
    if (argc != 6) {
        fputs("usage: work ACCOUNT GATE KIND COUNT US\n", stderr);
        return 2;
    }
    alarm(LONGEST_S);
    if (strcmp(argv[1], "-") != 0)
        join(argv[1]);
    if (strcmp(argv[2], "-") != 0)
        pass(argv[2]);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(argv[3], kinds[i].name) == 0) {
            kinds[i].work(atol(argv[4]), atol(argv[5]));
            return 0;
        }
    fprintf(stderr, "work: no kind %s\n", argv[3]);
    return 2;
}
