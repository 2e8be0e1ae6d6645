/* perf events: CPU time of a tree, and records of its forks, execs, exits and context switches. Return values as in
 * errors.h, but -errno unchanged where noted. */
#ifndef PROCK_PERF_H
#define PROCK_PERF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* task_clock.c: the event task-clock of a thread and all that it starts. */
int prock_task_clock_open(int32_t tid); /* returns a descriptor; -ENOTSUP without such an event. tid 0: this thread */
/* Sum of the events, and of the records that they lost (NULL: not wanted; 0 before Linux 6.0). Returns -errno. */
int prock_perf_read(const int *fds, size_t n, uint64_t *total_ns, uint64_t *lost);

/* exec_events.c: events on a thread that start when it calls exec and are inherited by all that it starts. Return a
 * close-on-exec descriptor or -errno. They need no privilege up to kernel.perf_event_paranoid 2. */
int prock_exec_event_open(int32_t tid, int cpu);        /* task-clock with records; cpu -1: any CPU, no records */
int prock_exec_switch_event_open(int32_t tid, int cpu); /* counts nothing, records context switches */

enum prock_record_kind {
    PROCK_RECORD_OTHER, /* ignored */
    PROCK_RECORD_FORK,  /* of a thread if pid == ppid */
    PROCK_RECORD_EXIT,  /* of one thread */
    PROCK_RECORD_RENAME,
    PROCK_RECORD_EXEC,
    PROCK_RECORD_IN, /* switched in */
    PROCK_RECORD_OUT,
    PROCK_RECORD_LOST,
    PROCK_RECORD_STOPPED, /* not an exit: the kernel has ended the events of a process at its exec */
    PROCK_RECORD_MAP,     /* of executable memory */
};

#define PROCK_RECORD_COMM_MAX 15

struct prock_record {
    enum prock_record_kind kind;
    int32_t pid, tid, ppid, ptid; /* ppid, ptid: of a fork or exit, else 0 */
    uint64_t time_ns;             /* monotonic clock */
    char comm[PROCK_RECORD_COMM_MAX];
    size_t comm_len;
    uint64_t lost;   /* records lost for lack of space */
    uint64_t cpu_ns; /* of a drained exit or exec: run time of the process since its last exit or exec */
};

/* ring.c */
/* Parses the first record of a buffer; *size is its length there. Returns -EBADMSG if it is invalid. */
int prock_parse_record(const unsigned char *buf, size_t len, struct prock_record *out, size_t *size);

/* A ring buffer written by the kernel. */
struct prock_ring {
    unsigned char *base; /* struct perf_event_mmap_page, then the data */
    size_t page, bytes;  /* bytes: length of the data, a power of two */
    uint64_t tail, head; /* our read position; the kernel's write position when last loaded */
    bool has_front;
    struct prock_record front;
    size_t front_size;
    uint64_t lost;
};

struct prock_rings {
    struct prock_ring *rings; /* one per CPU; then, if n is twice cpus, the same CPUs' context switches */
    size_t n, cpus;
    struct prock_running {
        int32_t pid; /* 0: unknown */
        uint64_t since_ns;
    } *running; /* one per CPU */
    struct prock_run_time {
        int32_t pid; /* 0: free */
        uint64_t ns;
    } *run_times; /* hash table: run time of processes since their last exit or exec */
    size_t run_times_n, run_times_size;
    uint64_t switches;
    int32_t *executing; /* pids of processes that have mapped no program since their exec */
    size_t executing_n, executing_cap;
};

struct prock_record_list {
    struct prock_record *v;
    size_t n, cap;
};

/* Maps the ring buffers of events. The descriptors stay the caller's. out must be {0}, and is so after an error.
 * switches NULL: none. Returns -errno. */
int prock_rings_map(struct prock_rings *out, const int *fds, const int *switches, size_t cpus, size_t bytes);
void prock_rings_unmap(struct prock_rings *rings);
/* Appends the forks, exits, renames and execs up to a time in order of time, and releases their space. */
int prock_rings_drain(struct prock_rings *rings, uint64_t until_ns, struct prock_record_list *append_to);
uint64_t prock_rings_lost(const struct prock_rings *rings);          /* records of tasks lost so far */
uint64_t prock_rings_switches_lost(const struct prock_rings *rings); /* lost so far, or possibly lost */
int prock_perf_stop(const int *fds, size_t n);

#endif
