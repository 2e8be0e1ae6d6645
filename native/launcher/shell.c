/* prock-sh [ARGUMENT ...]: /bin/sh with these arguments, or the shell that PROCK_SHELL names. Where PROCK_LOG names a
 * file, one JSON line about the command is appended to it in one write, and the figures are those of the shell and of
 * everything below it that has ended.
 *
 * For SHELL= of make, script-shell of npm and defaults.run.shell of GitHub. The command sees no difference: it has the
 * same arguments, descriptors, process group and signal mask; prock-sh passes on the signals that processes send to it,
 * and ends as the shell did. Whatever fails here, the command runs.
 *
 * CPU time and the largest process are those of wait4 for the shell and for orphans, which prock-sh adopts. They
 * include what each of these processes has waited for. I/O is read from zombies before they are reaped, as their proc
 * file still has it. */
#define _GNU_SOURCE
#include "launcher/redact.h"
#include "procfs/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { COMMAND_CAP = 4096, LINE_CAP = 8 * COMMAND_CAP, LOG_CAP = 4096 };

static const char OUTER[] = "PROCK_SH_OUTER"; /* "ID LOG" of the enclosing command */
static const int FORWARDED[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

struct usage {
    long long user_ns, system_ns, largest_kib, major_faults;
    unsigned long long read_bytes, write_bytes;
    bool io_known, left_running;
    int status; /* of the shell */
};

static long long nanoseconds(struct timespec at)
{
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static long long clock_ns(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return nanoseconds(now);
}

static void add_io(pid_t pid, struct usage *usage)
{
    char path[32], text[512];
    struct prock_io io;
    snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    if (n <= 0 || prock_parse_io(text, (size_t)n, &io) < 0) {
        usage->io_known = false;
        return;
    }
    usage->read_bytes += io.read_bytes;
    usage->write_bytes += io.write_bytes;
}

/* Reaps all that has ended. Returns whether the shell has. */
static bool reap(pid_t shell, struct usage *usage)
{
    bool ended = false;
    for (;;) {
        siginfo_t found = {0};
        if (waitid(P_ALL, 0, &found, WEXITED | WNOHANG | WNOWAIT) < 0)
            return ended; /* ECHILD */
        pid_t pid = found.si_pid;
        if (pid == 0) {
            usage->left_running = true;
            return ended;
        }
        add_io(pid, usage);
        int status;
        struct rusage used;
        if (wait4(pid, &status, 0, &used) != pid)
            return ended;
        usage->user_ns += used.ru_utime.tv_sec * 1000000000LL + used.ru_utime.tv_usec * 1000LL;
        usage->system_ns += used.ru_stime.tv_sec * 1000000000LL + used.ru_stime.tv_usec * 1000LL;
        usage->major_faults += used.ru_majflt;
        if (used.ru_maxrss > usage->largest_kib)
            usage->largest_kib = used.ru_maxrss;
        if (pid == shell) {
            usage->status = status;
            ended = true;
        }
    }
}

/* The set is blocked. A signal from the terminal has reached the shell as well, which is in the same process group. */
static void follow(pid_t shell, const sigset_t *set, struct usage *usage)
{
    bool ended = false;
    while (!ended) {
        siginfo_t received;
        int number = sigwaitinfo(set, &received);
        if (number == SIGCHLD) {
            usage->left_running = false;
            ended = reap(shell, usage);
        } else if (
            number > 0 && (received.si_code == SI_USER || received.si_code == SI_QUEUE || received.si_code == SI_TKILL))
            kill(shell, number); /* not reaped yet, so the pid cannot have been reused */
    }
}

static void run_shell(const char *file, char **argv, const sigset_t *mask, const struct sigaction *on_child)
{
    sigaction(SIGCHLD, on_child, NULL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    execv(file, argv);
    dprintf(STDERR_FILENO, "prock-sh: cannot execute %s: %s\n", file, strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

/* The command: the text of -c, or all words. */
static size_t command_text(int argc, char **argv, char *out, size_t cap)
{
    char raw[COMMAND_CAP];
    size_t len = 0;
    int first = argc > 2 && strcmp(argv[1], "-c") == 0 ? 2 : 1;
    for (int i = first; i < argc && len < sizeof raw; i++) {
        if (i > first)
            raw[len++] = ' ';
        size_t word = strlen(argv[i]);
        if (word > sizeof raw - len)
            word = sizeof raw - len;
        memcpy(raw + len, argv[i], word);
        len += word;
    }
    return prock_redact(raw, len, out, cap);
}

/* A regular file of this user: others may have put a link, a pipe or a file of theirs into its directory. */
static int open_log(const char *log)
{
    struct stat found;
    int fd = open(log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd < 0 || (fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_uid == geteuid()))
        return fd;
    close(fd);
    errno = EPERM;
    return -1;
}

static void append_line(
    const char *log, const char *id, const char *outer, const char *command, size_t command_len, double start_time,
    long long wall_ns, const struct usage *usage)
{
    static char line[LINE_CAP];
    char quoted[6 * COMMAND_CAP + 8], above[80] = "null", io[96] = "\"read_bytes\":null,\"write_bytes\":null";
    quoted[prock_json_text(command, command_len, quoted, sizeof quoted - 1)] = 0;
    if (*outer)
        snprintf(above, sizeof above, "\"%s\"", outer);
    if (usage->io_known)
        snprintf(io, sizeof io, "\"read_bytes\":%llu,\"write_bytes\":%llu", usage->read_bytes, usage->write_bytes);
    bool killed = WIFSIGNALED(usage->status);
    int len = snprintf(
        line, sizeof line,
        "{\"schema\":\"prock.sh/1\",\"id\":\"%s\",\"outer\":%s,\"command\":\"%s\",\"exit_code\":%d,\"start_time\":%.6f,"
        "\"wall_ns\":%lld,\"cpu_ns\":%lld,\"user_ns\":%lld,\"system_ns\":%lld,\"largest_process_bytes\":%lld,%s,"
        "\"major_faults\":%lld,\"left_running\":%s}\n",
        id, above, quoted, killed ? 128 + WTERMSIG(usage->status) : WEXITSTATUS(usage->status), start_time, wall_ns,
        usage->user_ns + usage->system_ns, usage->user_ns, usage->system_ns, usage->largest_kib * 1024, io,
        usage->major_faults, usage->left_running ? "true" : "false");
    int fd = open_log(log);
    if (fd < 0 || write(fd, line, (size_t)len) != len)
        dprintf(STDERR_FILENO, "prock-sh: cannot write to PROCK_LOG: %s\n", strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* Ends as the shell did. */
static int end_like(int status)
{
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    struct rlimit none = {0};
    sigset_t one;
    setrlimit(RLIMIT_CORE, &none); /* the shell has left one */
    signal(WTERMSIG(status), SIG_DFL);
    sigemptyset(&one);
    sigaddset(&one, WTERMSIG(status));
    raise(WTERMSIG(status));
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    return 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    const char *log = getenv("PROCK_LOG"), *file = getenv("PROCK_SHELL"), *given = getenv(OUTER);
    char id[40], outer[40] = "", command[COMMAND_CAP], entry[LOG_CAP + 64];
    const char *base = file && *file == '/' ? strrchr(file, '/') + 1 : "";
    if (!*base || strcmp(base, "prock-sh") == 0) /* which would execute itself */
        file = "/bin/sh";
    if (argc > 0)
        argv[0] = (char *)(strrchr(file, '/') + 1);
    sigset_t mask, set;
    struct sigaction on_child, by_default = {.sa_handler = SIG_DFL};
    sigprocmask(SIG_SETMASK, NULL, &mask);
    sigaction(SIGCHLD, NULL, &on_child);
    if (argc < 1 || !log || !*log || strlen(log) >= LOG_CAP)
        run_shell(file, argv, &mask, &on_child);

    long long began_ns = clock_ns(CLOCK_MONOTONIC);
    double start_time = (double)clock_ns(CLOCK_REALTIME) / 1e9;
    snprintf(id, sizeof id, "%d-%lld", (int)getpid(), began_ns);
    const char *space = given ? strchr(given, ' ') : NULL;
    if (space && strcmp(space + 1, log) == 0 && (size_t)(space - given) < sizeof outer &&
        strspn(given, "0123456789-") == (size_t)(space - given))
        memcpy(outer, given, (size_t)(space - given));
    snprintf(entry, sizeof entry, "%s %s", id, log);
    setenv(OUTER, entry, 1);
    size_t command_len = command_text(argc, argv, command, sizeof command);

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (size_t i = 0; i < sizeof FORWARDED / sizeof *FORWARDED; i++)
        sigaddset(&set, FORWARDED[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigaction(SIGCHLD, &by_default, NULL); /* where it is ignored, the kernel reaps */
    prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL);
    pid_t shell = fork();
    if (shell < 0)
        unsetenv(OUTER);
    if (shell <= 0)
        run_shell(file, argv, &mask, &on_child); /* also where no process can be made */
    struct usage usage = {.io_known = true};
    follow(shell, &set, &usage);
    append_line(log, id, outer, command, command_len, start_time, clock_ns(CLOCK_MONOTONIC) - began_ns, &usage);
    return end_like(usage.status);
}
