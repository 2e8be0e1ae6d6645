// clang-format off
/* prock-launcher CONTROL CGROUP CPUS KEEP SIGNALS FLAGS UMASK DIRECTORY COUNT FILE... COMMAND ARGUMENT...
 *
 * Becomes COMMAND, counted from its first instruction on.
 *
 * A separate program because of its size: on exec a process keeps the largest resident set that it ever had, and so does
 * a child forked by a Python of 200 MB. The launcher has about 100 kB.
 *
 * The launcher clones a sibling, a child of its own parent, which becomes the command. It is created in the cgroup of the
 * directory descriptor CGROUP: moving a process later takes up to 8 ms, as the kernel waits until no fork is in progress
 * anywhere. The launcher opens perf events on the sibling, so that the command cannot disable them, sends them through
 * the socket CONTROL and exits. The sibling waits for that and for a byte from CONTROL (the caller maps the ring buffers
 * first), and tries the COUNT names of the program in turn.
 *
 *   CONTROL    descriptor of a socket
 *   CGROUP     descriptor of a directory, or "-1": stay in the caller's cgroup
 *   CPUS       "-": no perf events; "any": one for any CPU; a list of numbers: one for each of these CPUs
 *   KEEP       "-": inherited descriptors stay open; a list: of those above 2 only these stay open
 *   SIGNALS    list of signals that are blocked until exec only: a launcher that is stopped would block its caller
 *   FLAGS      letters: "x" a file of unknown format is a script of sh, as for execvp(3); "s" new session;
 *              "g" new process group; "w" also events of context switches, sent after the others; "e" the
 *              environment's entries have a number in front of them, "7=ENTRY"
 *   UMASK      octal, or "-": unchanged
 *   DIRECTORY  working directory, or "": unchanged
 *
 * Messages are text:
 *
 *   "b PID CGROUP_ERRNO PERF_ERRNO CPU_NS OUTSIDE_NS", with the descriptors of the events. CPU_NS is the CPU time that the
 *              process has used so far, OUTSIDE_NS the part of it before it was in the cgroup.
 *   "d ERRNO"  changing the directory failed
 *   "s ERRNO"  making the session or process group failed
 *   "x ERRNO"  no FILE could be executed
 *
 * Nothing follows the first message if exec succeeds. */
// clang-format on
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

/* struct clone_args of Linux 5.7, missing in older headers. */
struct clone_into {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

/* Returns 0 in the new process, -1 if clone failed. *joined: the new process is in the cgroup. */
static long clone_sibling(int cgroup, bool *joined)
{
    struct clone_into options = {.flags = CLONE_PARENT | CLONE_INTO_CGROUP, .cgroup = (uint64_t)cgroup};
    long pid = cgroup < 0 ? -1 : syscall(SYS_clone3, &options, sizeof options);
    *joined = pid >= 0;
    if (pid < 0)
#ifdef __s390x__
        pid = syscall(SYS_clone, NULL, CLONE_PARENT | SIGCHLD, NULL, NULL, 0);
#else
        pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0);
#endif
    return pid;
}

/* For kernels before Linux 5.7, and sandboxes without clone3. */
static int join_cgroup(int cgroup, pid_t pid)
{
    char text[16];
    int procs = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC), len = snprintf(text, sizeof text, "%d", (int)pid);
    int error = procs < 0 || write(procs, text, (size_t)len) < 0 ? errno : 0;
    if (procs >= 0)
        close(procs);
    return error;
}

/* One event per CPU of the list, or one for any CPU if it is empty; none if one fails. */
static size_t open_all(const char *cpus, pid_t pid, int open_one(int32_t, int), int *events, size_t cap, int *error)
{
    size_t n = 0;
    int cpu = -1;
    while (n < cap && (next_number(&cpus, &cpu) || n == 0)) {
        int fd = open_one(pid, cpu);
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

static size_t open_events(const struct arguments *options, pid_t pid, int *events, int *error)
{
    *error = 0;
    if (!options->events)
        return 0;
    size_t n = open_all(options->cpus, pid, prock_exec_event_open, events, MOST_EVENTS, error);
    int ignored;
    if (n > 0 && options->switches && 2 * n <= MOST_EVENTS)
        n += open_all(options->cpus, pid, prock_exec_switch_event_open, events + n, n, &ignored);
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
        message.msg_controllen = (socklen_t)CMSG_SPACE(n * sizeof(int)); /* musl's type */
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

/* Tries the names like execvp(3). Returns the first errno other than ENOENT and ENOTDIR, if any. */
static int execute(char **files, int count, char **command, bool with_scripts)
{
    int error = ENOENT;
    for (int i = 0; i < count; i++) {
        execve(files[i], command, environ);
        if (errno == ENOEXEC && with_scripts) {
            /* The last of the files precedes the command: its slot in argv is free for one more word. */
            char *script = files[i], shell[] = "/bin/sh";
            command[-1] = shell;
            command[0] = script;
            execve("/bin/sh", command - 1, environ);
            return errno;
        }
        if (error == ENOENT || error == ENOTDIR)
            error = errno;
    }
    return error;
}

/* Marks all descriptors above 2 as close-on-exec, except those of the list. */
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

/* posix_spawn(3) leaves the C library's internal signals ignored, and signal(2) of the C library rejects them. */
static void reset_libc_signals(void)
{
    static const char default_action[256]; /* larger than any kernel's struct sigaction */
    for (int number = 32; number <= 34; number++)
        if (number < SIGRTMIN)
            syscall(SYS_rt_sigaction, number, default_action, NULL, (SIGRTMAX + 7) / 8);
}

/* Numbers make a name and a value of every entry: of those without "=", without a name, or with another's name, too. */
static void remove_numbers(char **entries)
{
    for (; *entries; entries++) {
        char *number_end = strchr(*entries, '=');
        if (number_end)
            *entries = number_end + 1;
    }
}

static long long cpu_used_ns(pid_t pid)
{
    struct timespec used = {0};
    clockid_t clock;
    if (clock_getcpuclockid(pid, &clock) == 0)
        clock_gettime(clock, &used);
    return used.tv_sec * 1000000000LL + used.tv_nsec;
}

/* Pending signals are discarded: a stop would be missed by the caller, which waits for the exec. */
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

/* Returns -errno. Without is_other, pid is this process, and no events are opened: the command could disable them. */
static int report_child(const struct arguments *options, pid_t pid, bool joined, bool is_other)
{
    static int events[MOST_EVENTS];
    char text[128];
    int cgroup_error = 0, perf_error = options->events ? EAGAIN : 0;
    long long outside_ns = 0;
    if (options->cgroup >= 0 && !joined) {
        cgroup_error = join_cgroup(options->cgroup, pid);
        outside_ns = cpu_used_ns(pid);
    }
    size_t n = is_other ? open_events(options, pid, events, &perf_error) : 0;
    snprintf(
        text, sizeof text, "b %d %d %d %lld %lld", (int)pid, cgroup_error, perf_error, cpu_used_ns(pid), outside_ns);
    return send_message(options->control, text, events, n);
}

static void run_child(const struct arguments *options)
{
    char byte;
    int control = options->control;
    if (recv(control, &byte, 1, 0) != 1)
        _exit(127); /* the caller is gone */

    reset_libc_signals();
    if (options->keep)
        keep_only_fds(options->keep);
    if (options->new_session && setsid() < 0)
        fail(control, 's', errno);
    if (options->new_process_group && setpgid(0, 0) < 0)
        fail(control, 's', errno);
    if (options->umask >= 0)
        umask((mode_t)options->umask);
    if (options->directory[0] && chdir(options->directory) < 0)
        fail(control, 'd', errno);
    if (options->numbered_environment)
        remove_numbers(environ);
    unblock_signals(options->signals);
    fail(control, 'x', execute(options->files, options->count, options->files + options->count, options->scripts));
}

int main(int argc, char **argv)
{
    struct arguments options;
    if (!parse_arguments(argc, argv, &options)) {
        static const char why[] = "prock-launcher: internal program: use prock run\n";
        ssize_t ignored = write(STDERR_FILENO, why, sizeof why - 1);
        (void)ignored;
        return 125;
    }
    fcntl(options.control, F_SETFD, FD_CLOEXEC);
    if (options.cgroup >= 0)
        fcntl(options.cgroup, F_SETFD, FD_CLOEXEC);
    bool joined;
    int gate[2];
    char byte = 0;
    long pid = pipe2(gate, O_CLOEXEC) < 0 ? -1 : clone_sibling(options.cgroup, &joined);
    if (pid > 0) /* the sibling sees the end of the pipe if the report fails */
        return report_child(&options, (pid_t)pid, joined, true) == 0 && write(gate[1], &byte, 1) == 1 ? 0 : 125;
    if (pid == 0) {
        close(gate[1]);
        if (read(gate[0], &byte, 1) != 1)
            return 127;
        close(gate[0]);
    } else if (report_child(&options, getpid(), false, false) < 0) { /* no process can be made: become the command */
        return 127;
    }
    run_child(&options);
    return 127;
}
