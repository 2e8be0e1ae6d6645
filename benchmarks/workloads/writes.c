/* writes all DIRECTORY MIB REPORT: write MIB in eighths, each by a process of its own, and remove the files again.
 *
 * Four are children of a shell, two are waited for, and two are orphans, which another process reaps. Each block is
 * synchronous, so that it gets to the disk. Each process appends to REPORT "WCHAR WRITE_BYTES", which is what the
 * kernel has charged it with by then. A pause after each block gives a monitor time to sample.
 *
 * writes one FILE MIB REPORT: one of these processes. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, PARTS = 8, PAUSE_NS = 15000000 };

static char block[MIB];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void tell(const char *report)
{
    char line[64];
    long long chars = 0, bytes = 0;
    FILE *io = fopen("/proc/self/io", "r");
    int fd = open(report, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (io == NULL || fd < 0)
        die(report);
    while (fgets(line, sizeof line, io) != NULL) {
        sscanf(line, "wchar: %lld", &chars);
        sscanf(line, "write_bytes: %lld", &bytes);
    }
    dprintf(fd, "%lld %lld\n", chars, bytes);
}

static void write_one(const char *path, long mib, const char *report)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_DSYNC | O_CLOEXEC, 0600);
    if (fd < 0)
        die(path);
    memset(block, 'x', sizeof block);
    for (; mib > 0; mib--) {
        if (write(fd, block, sizeof block) != sizeof block)
            die(path);
        nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
    }
    close(fd);
    unlink(path);
    tell(report);
}

static pid_t fork_or_die(void)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    return pid;
}

static void wait_for_all(void)
{
    while (wait(NULL) > 0)
        continue;
}

static void by_a_shell(char *program, char *directory, char *mib, char *report)
{
    char script[] = "for part in a b c d; do \"$0\" one \"$1/$part\" \"$2\" \"$3\" & done; wait";
    if (fork_or_die() == 0) {
        execl("/bin/sh", "sh", "-c", script, program, directory, mib, report, NULL);
        die("/bin/sh");
    }
    wait_for_all();
}

static void by_children(const char *directory, long mib, const char *report, int orphaned)
{
    char path[4096], byte;
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");
    for (int part = 0; part < PARTS / 4; part++) {
        if (fork_or_die() != 0)
            continue;
        close(ends[0]);
        if (orphaned && fork_or_die() != 0)
            _exit(0);
        snprintf(path, sizeof path, "%s/%c%d", directory, orphaned ? 'o' : 'w', part);
        write_one(path, mib, report);
        _exit(0);
    }
    close(ends[1]);
    wait_for_all();
    if (read(ends[0], &byte, 1) != 0) /* until the orphans have ended too */
        die("read");
    close(ends[0]);
}

int main(int argc, char **argv)
{
    if (argc != 5 || (strcmp(argv[1], "all") != 0 && strcmp(argv[1], "one") != 0)) {
        fputs("usage: writes all DIRECTORY MIB REPORT | writes one FILE MIB REPORT\n", stderr);
        return 2;
    }
    long mib = atol(argv[3]);
    if (strcmp(argv[1], "one") == 0) {
        write_one(argv[2], mib, argv[4]);
        return 0;
    }
    char part[24];
    snprintf(part, sizeof part, "%ld", mib / PARTS);
    by_a_shell(argv[0], argv[2], part, argv[4]);
    by_children(argv[2], mib / PARTS, argv[4], 0);
    by_children(argv[2], mib / PARTS, argv[4], 1);
    return 0;
}
