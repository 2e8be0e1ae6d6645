/* Reading /proc and the kernel's CPU clocks. Plain C11: no Python, no globals, no locks. See errors.h for return
 * values.
 *
 * A pid of 0 is the calling process everywhere.
 *
 * Files are opened by path. Only a scan opens the directory first (2 % faster), and closes it at its end: a descriptor
 * that stays open between calls may be closed and reused by a program that turns itself into a daemon. */
#ifndef PROCK_PROCFS_H
#define PROCK_PROCFS_H

#include "procfs/arithmetic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROCK_ROOT_CAP 4000
#define PROCK_PATH_CAP (PROCK_ROOT_CAP + 96)

/* Where /proc is mounted, and the units of its files. */
struct prock_root {
    char path[PROCK_ROOT_CAP]; /* without a trailing slash */
    size_t path_len;
    int dir;            /* descriptor of path during a scan, else -1 */
    bool clocks_usable; /* pids in this /proc are those of our own PID namespace, so CPU clocks can be read */
    uint64_t tick_ns;
    uint64_t page_bytes;
};

#define PROCK_COMM_MAX 64 /* longest name of a kernel thread; user processes have at most 15 bytes */

struct prock_stat {
    int32_t pid, ppid, pgrp, session, tty_nr, thread_count;
    char state;
    char comm[PROCK_COMM_MAX];
    size_t comm_len;
    uint64_t flags; /* PF_ constants of the kernel */
    uint64_t minflt, cminflt, majflt, cmajflt;
    uint64_t utime, stime, cutime, cstime; /* ticks */
    uint64_t starttime;                    /* ticks since boot */
    uint64_t vsize;                        /* bytes */
    uint64_t rss;                          /* pages */
    struct prock_cpu cpu;                  /* set by prock_read_stat; exact if CPU clocks are usable */
};

/* A zombie leader with other threads still runs. */
static inline bool prock_is_running(const struct prock_stat *stat)
{
    return (stat->state != 'Z' && stat->state != 'X' && stat->state != 'x') || stat->thread_count > 1;
}

/* Then stat, statm and smaps_rollup of the process have no memory, those of its threads do. */
static inline bool prock_leader_exited(const struct prock_stat *stat)
{
    return stat->state == 'Z' && stat->thread_count > 1;
}

struct prock_statm {
    uint64_t size, resident; /* pages */
};

struct prock_status {
    uint64_t peak_rss_bytes; /* of this address space, so since the latest execve(2) */
    uint64_t hugetlb_bytes;  /* in no RSS and no PSS */
};

struct prock_io {
    uint64_t read_bytes, write_bytes, cancelled_write_bytes, rchar, wchar, syscr, syscw;
};

/* A growing list of pids. Starts as {0}. */
struct prock_pids {
    int32_t *v;
    size_t n, cap;
};

/* parse.c: (buffer, length) to struct. Return 0, -EBADMSG, or -ENOMEM if they append. */
int prock_parse_stat(const char *buf, size_t len, struct prock_stat *out);
int prock_parse_statm(const char *buf, size_t len, struct prock_statm *out);
int prock_parse_io(const char *buf, size_t len, struct prock_io *out);
int prock_parse_pss(const char *buf, size_t len, uint64_t *bytes);
int prock_parse_status(const char *buf, size_t len, struct prock_status *out);
int prock_parse_children(const char *buf, size_t len, struct prock_pids *append_to);
bool prock_parse_pid(const char *digits, size_t len, int32_t *pid);
size_t prock_parse_comm(const char *buf, size_t len, char comm[PROCK_COMM_MAX]);
int prock_parse_last_pid(const char *buf, size_t len, int32_t *pid);
int prock_parse_thread_count(const char *buf, size_t len, uint64_t *threads);
int prock_parse_entries(const char *buf, size_t len, struct prock_pids *append_to, bool *ascending);

/* pid_map.c */
int prock_pids_add(struct prock_pids *pids, int32_t pid);
void prock_pids_free(struct prock_pids *pids);

/* Hash map from pid to a number. Starts as {0}. */
struct prock_pidmap {
    struct {
        int32_t pid; /* 0: free */
        uint32_t value;
    } *slots;
    size_t n, size;
};
/* Returns 1 if the pid is new, 0 if it was there (and keeps its value), or -ENOMEM. */
int prock_pidmap_add(struct prock_pidmap *map, int32_t pid, uint32_t value);
/* Adds or replaces. */
int prock_pidmap_put(struct prock_pidmap *map, int32_t pid, uint32_t value);
bool prock_pidmap_get(const struct prock_pidmap *map, int32_t pid, uint32_t *value);
void prock_pidmap_free(struct prock_pidmap *map);

/* cpu_clock.c */
uint64_t prock_monotonic_ns(void);
int prock_cpu_total(int32_t pid, uint64_t *total_ns);
int prock_cpu_time(int32_t pid, struct prock_cpu *out);

/* read.c */
/* Why /proc/PID/FILE does not exist: -ESRCH, -EACCES or -ENOTSUP. */
int prock_classify_enoent(const struct prock_root *root, int32_t pid, const char *file);
/* stat(2) of a path below a directory, or of a descriptor if path is "". Returns 0, or -1 and errno. */
struct stat;
int prock_stat(int at, const char *path, struct stat *out);
/* Returns a descriptor or an error. */
int prock_open(const struct prock_root *root, int32_t pid, const char *file);
int prock_read(const struct prock_root *root, int32_t pid, const char *file, char *buf, size_t cap, size_t *len);
int prock_read_stat(const struct prock_root *root, int32_t pid, struct prock_stat *out);
/* Of a process after its main thread has ended. */
int prock_read_thread_statm(const struct prock_root *root, int32_t pid, struct prock_statm *out);
int prock_read_pss(const struct prock_root *root, int32_t pid, uint64_t *bytes);
int prock_read_status(const struct prock_root *root, const struct prock_stat *stat, struct prock_status *out);
/* By CPU clocks if usable, else by ticks. */
int prock_read_cpu(const struct prock_root *root, int32_t pid, struct prock_cpu *out);
int prock_read_statm(const struct prock_root *root, int32_t pid, struct prock_statm *out);
int prock_read_fd_count(const struct prock_root *root, int32_t pid, uint64_t *count);
int prock_read_io(const struct prock_root *root, int32_t pid, struct prock_io *out);
int prock_read_comm(const struct prock_root *root, int32_t pid, char comm[PROCK_COMM_MAX], size_t *len);
/* Returns 0 for a process, -ESRCH for the id of a mere thread. Always 0 if CPU clocks are not usable. */
int prock_is_process(const struct prock_root *root, int32_t pid);
/* State letter of ps(1) for one thread. */
int prock_thread_state(const struct prock_root *root, int32_t pid, int32_t tid, char *state);
int prock_own_pid(const struct prock_root *root, int32_t *pid);
/* Number of threads on the machine. */
int prock_thread_count(const struct prock_root *root, uint64_t *threads);
/* The pid or tid allocated most recently in the caller's PID namespace. */
int prock_last_pid(const struct prock_root *root, int32_t *pid);
int prock_open_last_pid(const struct prock_root *root); /* returns a descriptor for prock_read_last_pid */
int prock_read_last_pid(int fd, int32_t *pid);
int prock_open_root(const struct prock_root *root);   /* returns a descriptor for prock_list_open */
int prock_list_open(int dir, struct prock_pids *out); /* ascending */
int prock_list(const struct prock_root *root, struct prock_pids *out);
int prock_list_threads(const struct prock_root *root, int32_t pid, struct prock_pids *tids);

/* children.c: children started by any thread of the process, appended. thread_count 0: unknown.
 * -ENOTSUP if the kernel was built without CONFIG_PROC_CHILDREN. */
int prock_read_children(const struct prock_root *root, int32_t pid, int32_t thread_count, struct prock_pids *append_to);
/* Reads an open task/TID/children file from its current position. */
int prock_read_children_list(int fd, struct prock_pids *append_to);
/* Appends for each thread: its tid, the number of its children, and those. */
int prock_read_children_by_thread(const struct prock_root *root, int32_t pid, struct prock_pids *append_to);

/* address_space.c */
/* Whether a process with this stat can share its address space with the process that started it. */
bool prock_may_share_space(const struct prock_stat *stat);
/* 1 if both share one address space, 0 if not, or an error: access denied by a sandbox, no kcmp(2). */
int prock_shares_space(const struct prock_root *root, int32_t pid, int32_t other);
/* Without kcmp: whether the parent of a process of the same size waits until that executes a program. */
bool prock_waits_for_vfork(const struct prock_root *root, int32_t parent);

/* prctl.c: *was: the calling process is a child subreaper (inherits its descendants' orphans). wanted: 1, 0, or -1 to
 * leave it unchanged. -ENOTSUP before Linux 3.4. */
int prock_subreaper(int wanted, bool *was);

/* Passes over many processes run in slices: _run returns 1 if the deadline (monotonic clock) passed and work is left,
 * so that a caller can hold the GIL for the first slice and release it for the rest. */

#define PROCK_NO_DEADLINE UINT64_MAX
/* Processes read between two checks of the deadline: about 100 us. */
#define PROCK_STRIDE 16

static inline bool prock_deadline_passed(size_t done, uint64_t deadline_ns)
{
    return deadline_ns != PROCK_NO_DEADLINE && done % PROCK_STRIDE == 0 && prock_monotonic_ns() > deadline_ns;
}

/* scan.c: all processes of the machine. */
struct prock_scan {
    struct prock_root root; /* with an open directory once started */
    struct prock_pids pids; /* to be read; filled by the caller if `listed`, else on start */
    size_t next;            /* index in pids */
    bool listed, started;
    struct prock_stat *rows; /* may hold rows of the caller before the start */
    size_t n;
    size_t vanished, denied;
};
void prock_scan_start(struct prock_scan *scan, const struct prock_root *root);
int prock_scan_run(struct prock_scan *scan, uint64_t deadline_ns);
void prock_scan_free(struct prock_scan *scan);

/* tree_walk.c: one tree. */
enum { PROCK_WANT_CPU = 1, PROCK_WANT_STAT = 2, PROCK_WANT_IO = 4 };
enum { PROCK_UNREADABLE_STAT = 1, PROCK_UNREADABLE_IO = 2, PROCK_UNREADABLE_CHILDREN = 4 };

/* Metrics of one number per process, each with a reader and a want bit: X(F, name, file, read). The order is that of
 * NUMBERS in src/prock/model.py. `file` below /proc/PID names the metric where the user is denied it. */
#define PROCK_NUMBERS(X, F) X(F, fd_count, "fd", prock_read_fd_count)

#define PROCK_NUMBER_ID(F, name, file, read) PROCK_NUMBER_##name,
enum { PROCK_NUMBERS(PROCK_NUMBER_ID, ) PROCK_NUMBER_COUNT };
enum { PROCK_NUMBERS_SIZE = PROCK_NUMBER_COUNT > 0 ? PROCK_NUMBER_COUNT : 1 };
#define PROCK_NUMBER_BIT(id) (8U << (id)) /* in `want` and `unreadable` */

struct prock_numbers {
    uint64_t values[PROCK_NUMBERS_SIZE];
    unsigned known; /* PROCK_NUMBER_BIT of each known value */
};

struct prock_number {
    const char *file;
    int (*read)(const struct prock_root *root, int32_t pid, uint64_t *value);
};
extern const struct prock_number prock_numbers[];
void prock_add_numbers(struct prock_numbers *sum, const struct prock_numbers *numbers);

struct prock_tree_member {
    int32_t pid, parent; /* parent 0: this is the root */
    bool gone;           /* exited after it was listed and before it was read: not a member */
    bool has_cpu, has_stat, has_io;
    bool shares_space; /* its address space counts with another member */
    unsigned unreadable;
    struct prock_cpu cpu;
    struct prock_stat stat;
    struct prock_io io;
    struct prock_numbers numbers;
};

struct prock_tree_walk {
    const struct prock_root *root;
    int32_t root_pid;
    int want;
    enum { PROCK_WALKING, PROCK_SCANNING, PROCK_ASSEMBLING, PROCK_DONE } phase;
    bool scan_forced, scan_denied;
    size_t consider_scan_at;           /* number of queued members at which to check whether a scan is cheaper */
    struct prock_tree_member *members; /* breadth first; queued from `next` on */
    size_t n, cap, next;
    struct prock_pidmap known;
    struct prock_pids found; /* scratch */
    struct prock_scan scan;
    struct prock_pidmap row_of_pid;       /* index in scan.rows */
    uint32_t *first_child, *next_sibling; /* per row of the scan: row + 1, or 0 */
    size_t vanished;
};
/* root_pid must not be 0. */
void prock_tree_walk_start(struct prock_tree_walk *walk, const struct prock_root *root, int32_t root_pid, int want);
/* Also returns -ESRCH or -EACCES of the root. */
int prock_tree_walk_run(struct prock_tree_walk *walk, uint64_t deadline_ns);
void prock_tree_walk_free(struct prock_tree_walk *walk);

#endif
