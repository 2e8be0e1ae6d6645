/* The floor: the system calls that a question needs, and nothing else. Nothing is parsed that the next call does not
 * need, nothing is kept, no object is built.
 *
 * Reads lines "QUESTION PID TIMES" and replies to each with the CPU time of so many calls in nanoseconds.
 * The program in crate/ speaks the same way. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST_MEMBERS = 65536 };

static int proc;
static char buffer[32768];
static int members[MOST_MEMBERS];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static char *put(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    return to;
}

static char *put_number(char *to, int number)
{
    char digits[12], *digit = digits + sizeof digits;
    *--digit = '\0';
    do
        *--digit = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return put(to, digit);
}

static long slurp(const char *path)
{
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1; /* ended meanwhile */
    long got = read(fd, buffer, 4096);
    close(fd);
    return got;
}

static long read_file(int pid, const char *name)
{
    char path[64];
    *put(put(put_number(path, pid), "/"), name) = '\0';
    return slurp(path);
}

static void ask_clock(int pid, int kind)
{
    struct timespec spent;
    clock_gettime((clockid_t)(~(unsigned)pid << 3 | (unsigned)kind), &spent);
}

static void ask_cpu(int pid)
{
    ask_clock(pid, 2);
    ask_clock(pid, 0);
    ask_clock(pid, 1);
}

static void ask_all(int pid)
{
    ask_cpu(pid);
    read_file(pid, "statm");
    read_file(pid, "io");
}

struct entry { /* as getdents64(2) lays it out */
    unsigned long long inode;
    long long offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static void scan(bool with_clocks)
{
    static char listing[32768];
    char path[64];
    long got;
    int directory = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while ((got = syscall(SYS_getdents64, directory, listing, sizeof listing)) > 0) {
        for (long at = 0; at < got;) {
            const struct entry *entry = (const void *)(listing + at);
            at += entry->length;
            if (entry->name[0] < '0' || entry->name[0] > '9')
                continue;
            *put(put(path, entry->name), "/stat") = '\0';
            slurp(path);
            if (with_clocks)
                ask_clock(atoi(entry->name), 2);
        }
    }
    close(directory);
}

/* What a scan with exact CPU times needs. */
static void ask_scan(int pid)
{
    (void)pid;
    scan(true);
}

/* What a scan with CPU times in ticks needs. */
static void ask_scan_in_ticks(int pid)
{
    (void)pid;
    scan(false);
}

static int append_children(int pid, int known)
{
    char path[64];
    *put(put_number(put(put_number(path, pid), "/task/"), pid), "/children") = '\0';
    long got = slurp(path);
    for (long at = 0; at < got && known < MOST_MEMBERS; at++) {
        int child = 0;
        for (; at < got && buffer[at] != ' '; at++)
            child = child * 10 + (buffer[at] - '0');
        members[known++] = child;
    }
    return known;
}

/* By the kernel's lists of children, parents before children: CPU time, and the file that memory is in. */
static void ask_tree(int root)
{
    int known = 1;
    members[0] = root;
    for (int at = 0; at < known; at++) {
        read_file(members[at], "stat");
        ask_clock(members[at], 2);
        known = append_children(members[at], known);
    }
}

/* Of a tree that does not change: the CPU clock of each member, with known members. */
static void ask_clocks(int root)
{
    static int known = 0;
    if (known == 0 || members[0] != root) {
        known = 1;
        members[0] = root;
        for (int at = 0; at < known; at++)
            known = append_children(members[at], known);
    }
    for (int at = 0; at < known; at++)
        ask_clock(members[at], 2);
}

static long long spent_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return spent.tv_sec * 1000000000LL + spent.tv_nsec;
}

int main(void)
{
    static const struct {
        const char *name;
        void (*ask)(int);
    } questions[] = {
        {"cpu", ask_cpu},   {"all", ask_all},       {"scan", ask_scan}, {"scan-in-ticks", ask_scan_in_ticks},
        {"tree", ask_tree}, {"clocks", ask_clocks},
    };
    char name[16];
    int pid;
    long times;
    if ((proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        die("/proc");
    while (scanf("%15s %d %ld", name, &pid, &times) == 3) {
        void (*ask)(int) = NULL;
        for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
            if (strcmp(name, questions[i].name) == 0)
                ask = questions[i].ask;
        if (ask == NULL)
            return 2;
        long long before = spent_ns();
        for (long i = 0; i < times; i++)
            ask(pid);
        printf("%lld\n", spent_ns() - before);
        fflush(stdout);
    }
    return 0;
}
