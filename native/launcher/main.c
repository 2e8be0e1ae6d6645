/* prock-launcher CONTROL GROUP CPUS KEEP SIGNALS FLAGS UMASK DIRECTORY COUNT FILE... COMMAND ARGUMENT...: become
 * COMMAND, counted from its first instruction on.
 *
 * A program of its own because of its size: a process keeps the largest resident set that it ever had when it executes
 * another program, and so does whoever is forked off a Python of 200 MB. This one has some 100 kB.
 *
 * It makes the process that becomes the command as a sibling of its own, a child of who called it, and ends. The new
 * process is born in the cgroup whose directory is the descriptor GROUP: to move it there later takes up to 8 ms, for
 * the kernel waits until no fork is under way anywhere. It opens its own perf events, hands them over through the
 * socket CONTROL, waits for a byte (its buffers have to be mapped first), and tries the COUNT names of the program in
 * turn.
 *
 *   CPUS   "-": no perf events; "any": one; or a list of numbers: one for each of these CPUs
 *   KEEP   "-": all descriptors stay open that are inherited; or a list of those above 2 that do
 *   SIGNALS  a list of those that are blocked meanwhile only: who is stopped here keeps others waiting
 *   FLAGS  letters: "x" a file that is no program is a script of sh, as for execvp(3); "s" a new session, "g" a new
 * process group, "w" events that tell who runs when, after the others UMASK  octal, or "-" -1 for GROUP, and "" for
 * DIRECTORY: leave it as it is
 *
 * Messages, text: "b PID GROUP_ERRNO PERF_ERRNO CPU_NS OUTSIDE_NS", the CPU time that it has used itself so far, and
 * that part of it that it used before it was in the group, with the events' descriptors; then none, or one of "d ERRNO"
 * (the directory), "s ERRNO" (session or process group), "x ERRNO" (no FILE could be executed). */
#define _GNU_SOURCE
#include "launcher/arguments.h"
#include "perf/perf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST_EVENTS = 253 /* SCM_MAX_FD */ };

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4U
#endif
#ifndef SYS_clone3 /* headers before Linux 5.3 */
#define SYS_clone3 435
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

/* struct clone_args of Linux 5.7, which older headers lack. */
struct clone_into {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

/* A sibling, in the group where the kernel can do that. 0 in the new process, which is this one where none can be made.
 */
static long clone_sibling(int group, bool *joined)
{
    struct clone_into options = {.flags = CLONE_PARENT | CLONE_INTO_CGROUP, .cgroup = (uint64_t)group};
    long pid = group < 0 ? -1 : syscall(SYS_clone3, &options, sizeof options);
    *joined = pid >= 0;
    if (pid < 0)
#ifdef __s390x__
        pid = syscall(SYS_clone, NULL, CLONE_PARENT | SIGCHLD, NULL, NULL, 0);
#else
        pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0);
#endif
    return pid > 0 ? pid : 0;
}

/* Before Linux 5.7, and where a sandbox refuses clone3. */
static int join_cgroup(int group)
{
    int procs = openat(group, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    int error = procs < 0 || write(procs, "0", 1) < 0 ? errno : 0;
    if (procs >= 0)
        close(procs);
    return error;
}

/* One for each CPU of a list, or where that is empty one for any; none if one fails. */
static size_t open_all(const char *cpus, int open_one(int), int *events, size_t room, int *error)
{
    size_t n = 0;
    int cpu = -1;
    while (n < room && (next_number(&cpus, &cpu) || n == 0)) {
        int fd = open_one(cpu);
        if (fd < 0) {
            *error = -fd;
            while (n > 0)
                close(events[--n]);
            return 0;
        }
        events[n++] = fd;
    }
    return n;
}

static size_t open_events(const struct arguments *options, int *events, int *error)
{
    *error = 0;
    if (!options->events)
        return 0;
    size_t n = open_all(options->cpus, prock_exec_event_open, events, MOST_EVENTS, error);
    int ignored;
    if (n > 0 && options->switches && 2 * n <= MOST_EVENTS)
        n += open_all(options->cpus, prock_exec_switch_event_open, events + n, n, &ignored);
    return n;
}

static int send_message(int control, const char *text, const int *events, size_t n)
{
    union {
        char bytes[CMSG_SPACE(MOST_EVENTS * sizeof(int))];
        struct cmsghdr aligned;
    } extra = {0};
    struct iovec part = {.iov_base = (char *)text, .iov_len = strlen(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (n > 0) {
        message.msg_control = extra.bytes;
        message.msg_controllen = (socklen_t)CMSG_SPACE(n * sizeof(int)); /* musl has it so */
        struct cmsghdr *header = &extra.aligned;
        *header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = (socklen_t)CMSG_LEN(n * sizeof(int))};
        memcpy(CMSG_DATA(header), events, n * sizeof(int));
    }
    return sendmsg(control, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void fail(int control, char code, int error)
{
    char text[32];
    snprintf(text, sizeof text, "%c %d", code, error);
    send_message(control, text, NULL, 0);
    _exit(127);
}

/* Names are tried as execvp(3) does: the first error that is not "there is no such file" is the one that is told. */
static int execute(char **files, int count, char **command, bool with_scripts)
{
    int record_size = ENOENT;
    for (int i = 0; i < count; i++) {
        execve(files[i], command, environ);
        if (errno == ENOEXEC && with_scripts) {
            /* Before the command stands the last of the files: there is room for one word more. */
            char *script = files[i], shell[] = "/bin/sh";
            command[-1] = shell;
            command[0] = script;
            execve("/bin/sh", command - 1, environ);
            return errno;
        }
        if (record_size == ENOENT || record_size == ENOTDIR)
            record_size = errno;
    }
    return record_size;
}

/* Marks all above 2 as not to be inherited, but for a list. */
static void keep_only_fds(const char *list)
{
    if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0) { /* before Linux 5.11 */
        long most = sysconf(_SC_OPEN_MAX);
        for (int fd = 3; fd < (most > 0 && most < 1 << 20 ? most : 1 << 20); fd++)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    for (int fd; next_number(&list, &fd);)
        fcntl(fd, F_SETFD, 0);
}

/* posix_spawn of the C library leaves those ignored that it keeps for itself, and lets nobody else set them. */
static void reset_libc_signals(void)
{
    static const char as_by_default[256]; /* larger than any kernel's struct sigaction */
    for (int number = 32; number <= 34; number++)
        if (number < SIGRTMIN)
            syscall(SYS_rt_sigaction, number, as_by_default, NULL, (SIGRTMAX + 7) / 8);
}

static long long cpu_used_ns(void)
{
    struct timespec used = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * 1000000000LL + used.tv_nsec;
}

/* One that came meanwhile is forgotten: who stops now is not heard of by who waits for the exec. */
static void unblock_signals(const char *list)
{
    sigset_t set;
    sigemptyset(&set);
    for (int number; next_number(&list, &number);) {
        sigaddset(&set, number);
        if (signal(number, SIG_IGN) != SIG_IGN)
            signal(number, SIG_DFL);
    }
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void run_child(const struct arguments *options, bool joined)
{
    static int events[MOST_EVENTS];
    char text[128], byte;
    int group_error = 0, perf_error, control = options->control;
    long long outside_ns = 0;
    if (options->group >= 0 && !joined) {
        group_error = join_cgroup(options->group);
        outside_ns = cpu_used_ns();
    }
    size_t n = open_events(options, events, &perf_error);
    snprintf(
        text, sizeof text, "b %d %d %d %lld %lld", (int)getpid(), group_error, perf_error, cpu_used_ns(), outside_ns);
    if (send_message(control, text, events, n) < 0 || recv(control, &byte, 1, 0) != 1)
        _exit(127); /* nobody is left who wants to know */

    reset_libc_signals();
    if (options->keep)
        keep_only_fds(options->keep);
    if (options->new_session && setsid() < 0)
        fail(control, 's', errno);
    if (options->new_group && setpgid(0, 0) < 0)
        fail(control, 's', errno);
    if (options->umask >= 0)
        umask((mode_t)options->umask);
    if (options->directory[0] && chdir(options->directory) < 0)
        fail(control, 'd', errno);
    unblock_signals(options->signals);
    fail(control, 'x', execute(options->files, options->count, options->files + options->count, options->scripts));
}

int main(int argc, char **argv)
{
    struct arguments options;
    if (!parse_arguments(argc, argv, &options)) {
        static const char why[] = "prock-launcher: a part of prock, not to be called by hand\n";
        ssize_t ignored = write(STDERR_FILENO, why, sizeof why - 1);
        (void)ignored;
        return 125;
    }
    fcntl(options.control, F_SETFD, FD_CLOEXEC);
    if (options.group >= 0)
        fcntl(options.group, F_SETFD, FD_CLOEXEC);
    bool joined;
    if (clone_sibling(options.group, &joined) == 0)
        run_child(&options, joined);
    return 0;
}
