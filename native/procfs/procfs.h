/* What prock asks the Linux kernel. Plain C11: no Python, no globals, no locks.
 *
 * Functions return 0 or a negative errno; prock_errno() reduces what the kernel says to a few kinds:
 *   -ESRCH    there is no such process (any more)
 *   -EACCES   there is, but the kernel refuses (also: proc is mounted with hidepid and pretends there is not)
 *   -ENOTSUP  there is, but this kernel has no such file
 *   -EBADMSG  the file is not in the form that proc(5) describes
 * and everything else (EMFILE, ENOMEM ...) as it came.
 *
 * Files are opened by path; only a scan opens the directory first, for its own length, and saves 2 %. A descriptor that
 * is kept longer could be closed behind our back by a program that turns itself into a daemon.
 */
#ifndef PROCK_PROCFS_H
#define PROCK_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where proc is, and what its numbers mean. */
struct prock_root {
    char path[4000]; /* without a trailing slash */
    size_t path_len;
    int dir;            /* a descriptor of path for the length of a pass, or -1 */
    bool clocks_usable; /* proc's pids are those of our own system calls, and CPU clocks answer: use them */
    uint64_t tick_ns;
    uint64_t page_bytes;
};

/* A pid of 0 is the calling process everywhere. */

struct prock_cpu {
    uint64_t user_ns, system_ns;
};

#define PROCK_COMM_MAX 64 /* kernel threads carry the longest names; a user's process has 15 bytes */

struct prock_stat {
    int32_t pid, ppid, pgrp, session, tty_nr, thread_count;
    char state;
    char comm[PROCK_COMM_MAX];
    size_t comm_len;
    uint64_t minflt, cminflt, majflt, cmajflt;
    uint64_t utime, stime, cutime, cstime; /* ticks */
    uint64_t starttime;                    /* ticks since boot */
    uint64_t vsize;                        /* bytes */
    uint64_t rss;                          /* pages */
    struct prock_cpu cpu;                  /* filled by prock_read_stat: exact where the root is live */
};

struct prock_statm {
    uint64_t size, resident; /* pages */
};

struct prock_io {
    uint64_t read_bytes, write_bytes, cancelled_write_bytes, rchar, wchar, syscr, syscw;
};

/* A growing list of pids. Starts as {0}; prock_pids_free() gives its memory back. */
struct prock_pids {
    int32_t *v;
    size_t n, cap;
};

/* parse.c: (buffer, length) to struct; -EBADMSG for anything else. */
int prock_parse_stat(const char *buf, size_t len, struct prock_stat *out);
int prock_parse_statm(const char *buf, size_t len, struct prock_statm *out);
int prock_parse_io(const char *buf, size_t len, struct prock_io *out);
int prock_parse_pss(const char *buf, size_t len, uint64_t *bytes);
int prock_parse_children(const char *buf, size_t len, struct prock_pids *append_to);
bool prock_parse_pid(const char *digits, size_t len, int32_t *pid);
size_t prock_parse_comm(const char *buf, size_t len, char comm[PROCK_COMM_MAX]);
int prock_parse_last_pid(const char *buf, size_t len, int32_t *pid);
int prock_parse_thread_count(const char *buf, size_t len, uint64_t *threads);
int prock_parse_entries(const char *buf, size_t len, struct prock_pids *append_to, bool *ascending);

/* pid_map.c */
int prock_pids_add(struct prock_pids *pids, int32_t pid);
void prock_pids_free(struct prock_pids *pids);

/* A set of pids with a number for each. Starts as {0}. */
struct prock_pidmap {
    struct {
        int32_t pid; /* 0: free */
        uint32_t value;
    } *slots;
    size_t n, size;
};
/* 1 when it is new, 0 when it was there already (and keeps its value), -ENOMEM. */
int prock_pidmap_add(struct prock_pidmap *map, int32_t pid, uint32_t value);
/* The same, but a value that is there is replaced. */
int prock_pidmap_put(struct prock_pidmap *map, int32_t pid, uint32_t value);
bool prock_pidmap_get(const struct prock_pidmap *map, int32_t pid, uint32_t *value);
void prock_pidmap_free(struct prock_pidmap *map);

/* cpu_clock.c */
uint64_t prock_monotonic_ns(void);
int prock_cpu_total(int32_t pid, uint64_t *total_ns);
int prock_cpu_time(int32_t pid, struct prock_cpu *out);
struct prock_cpu prock_split_cpu(uint64_t total_ns, uint64_t user, uint64_t system);
uint64_t prock_multiply(uint64_t a, uint64_t b); /* saturates */

/* read.c */
int prock_errno(int error);
/* A file was not there: -ESRCH, -EACCES or -ENOTSUP? */
int prock_classify_enoent(const struct prock_root *root, int32_t pid, const char *what);
/* stat(2) of a path below a directory, or of a descriptor itself with "" for the path: 0, or -1 and errno. */
struct stat;
int prock_stat(int at, const char *path, struct stat *out);
/* A descriptor, or why there is none. */
int prock_open(const struct prock_root *root, int32_t pid, const char *what);
int prock_read(const struct prock_root *root, int32_t pid, const char *what, char *buf, size_t cap, size_t *len);
int prock_read_stat(const struct prock_root *root, int32_t pid, struct prock_stat *out);
/* Resident and virtual bytes, also of a process whose main thread has ended while others go on: any of them tells. */
int prock_read_memory(const struct prock_root *root, int32_t pid, bool leader_exited, struct prock_statm *out);
int prock_read_pss(const struct prock_root *root, int32_t pid, uint64_t *bytes);
/* By the CPU clocks where the root is live, else by ticks. */
int prock_read_cpu(const struct prock_root *root, int32_t pid, struct prock_cpu *out);
int prock_read_statm(const struct prock_root *root, int32_t pid, struct prock_statm *out);
int prock_read_io(const struct prock_root *root, int32_t pid, struct prock_io *out);
int prock_read_comm(const struct prock_root *root, int32_t pid, char comm[PROCK_COMM_MAX], size_t *len);
/* Is it a process, not merely a thread's id? Always 0 where the root is not live. */
int prock_is_process(const struct prock_root *root, int32_t pid);
/* The letter of ps for one thread of a process. */
int prock_thread_state(const struct prock_root *root, int32_t pid, int32_t tid, char *state);
int prock_own_pid(const struct prock_root *root, int32_t *pid);
int prock_thread_count(const struct prock_root *root, uint64_t *threads);
/* The number that was given away last to a process or thread, in the caller's PID namespace. */
int prock_last_pid(const struct prock_root *root, int32_t *pid);
int prock_open_last_pid(const struct prock_root *root); /* a descriptor of the file that tells */
int prock_read_last_pid(int fd, int32_t *pid);
int prock_open_root(const struct prock_root *root);   /* a descriptor */
int prock_list_open(int dir, struct prock_pids *out); /* ascending */
int prock_list(const struct prock_root *root, struct prock_pids *out);

/* children.c: appends the children that any thread of the process started. thread_count 0: not known.
 * -ENOTSUP where the kernel was built without CONFIG_PROC_CHILDREN. */
int prock_read_children(const struct prock_root *root, int32_t pid, int32_t thread_count, struct prock_pids *append_to);
/* The same of one thread, whose file is open, from where it stands. */
int prock_read_children_list(int fd, struct prock_pids *append_to);
int prock_list_threads(const struct prock_root *root, int32_t pid, struct prock_pids *tids);
/* The same by thread: appends for each the thread, how many children it started, and those. */
int prock_read_children_by_thread(const struct prock_root *root, int32_t pid, struct prock_pids *append_to);

/* prctl.c: whether the calling process inherits its descendants' orphans (was), and from now on (1, 0; -1: as it
 * is). -ENOTSUP before Linux 3.4. */
int prock_subreaper(int wanted, bool *was);

/* task_clock.c: the event task-clock, which what the thread starts inherits. */
int prock_task_clock_open(
    int32_t tid); /* a descriptor; -ENOTSUP where the kernel has no such event. tid 0: this thread */
int prock_perf_read(const int *fds, size_t n, uint64_t *total_ns); /* the sum */

/* Passes over many processes. They run in slices: _run returns 1 when the deadline (on the monotonic clock) passed and
 * there is more to do, so that a caller can hold a lock for the first slice and let go of it for the rest. */

#define PROCK_NO_DEADLINE UINT64_MAX

/* scan.c: every process of the machine. */
/* How many processes are read between two looks at the clock: some 100 microseconds. */
#define PROCK_STRIDE 16

struct prock_scan {
    struct prock_root root; /* with the directory open, once it has begun */
    struct prock_pids pids; /* to be read; listed at the beginning, unless `listed` says that they are there */
    size_t next;            /* in pids */
    bool listed, begun;
    struct prock_stat *rows; /* a caller may have put some there before the beginning */
    size_t n;
    size_t vanished, denied;
};
void prock_scan_start(struct prock_scan *scan, const struct prock_root *root);
int prock_scan_run(struct prock_scan *scan, uint64_t deadline_ns);
void prock_scan_free(struct prock_scan *scan);

/* tree_walk.c: one tree. */
enum { PROCK_WANT_CPU = 1, PROCK_WANT_STAT = 2, PROCK_WANT_IO = 4 };
enum { PROCK_UNREADABLE_STAT = 1, PROCK_UNREADABLE_IO = 2, PROCK_UNREADABLE_CHILDREN = 4 };

struct prock_tree_member {
    int32_t pid, parent; /* parent 0: the root's */
    bool gone;           /* found, but ended before its turn: not a member */
    bool has_cpu, has_stat, has_io;
    unsigned unreadable;
    struct prock_cpu cpu;
    struct prock_stat stat;
    struct prock_io io;
};

struct prock_tree_walk {
    const struct prock_root *root;
    int32_t root_pid;
    int want;
    enum { PROCK_WALKING, PROCK_SCANNING, PROCK_ASSEMBLING, PROCK_DONE } phase;
    bool scan_forced, scan_denied;
    size_t consider_scan;              /* members waiting, from which on it is asked whether a scan would be cheaper */
    struct prock_tree_member *members; /* breadth first; those from `next` on are waiting */
    size_t n, cap, next;
    struct prock_pidmap known;
    struct prock_pids found; /* scratch */
    struct prock_scan scan;
    struct prock_pidmap row_of_pid;       /* of each scanned pid in the scan's rows */
    uint32_t *first_child, *next_sibling; /* of each row: row + 1, or 0 */
    size_t vanished;
};
/* root_pid is not 0 here. */
void prock_tree_walk_start(struct prock_tree_walk *walk, const struct prock_root *root, int32_t root_pid, int want);
/* Also -ESRCH or -EACCES for the root. */
int prock_tree_walk_run(struct prock_tree_walk *walk, uint64_t deadline_ns);
void prock_tree_walk_free(struct prock_tree_walk *walk);

#endif
