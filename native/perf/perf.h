/* What the kernel writes down of a tree that is launched: who forks, executes and ends, and when who runs. */
#ifndef PROCK_PERF_H
#define PROCK_PERF_H

#include "procfs/procfs.h"

/* exec_events.c, which stands alone, for a program that launches another: events on the calling process, which begin
 * when it executes and which all that it starts inherits. A descriptor, closed on exec, or -errno as the kernel says
 * it. They need no privilege up to kernel.perf_event_paranoid 2. */
int prock_exec_event_open(int cpu);        /* task-clock, with records of tasks; cpu -1: any, and no records */
int prock_exec_switch_event_open(int cpu); /* counts nothing, but writes down who runs from when to when */

enum prock_record_kind {
    PROCK_RECORD_OTHER, /* of no interest */
    PROCK_RECORD_FORK,  /* a thread where pid == ppid */
    PROCK_RECORD_EXIT,  /* of one thread */
    PROCK_RECORD_RENAME,
    PROCK_RECORD_EXEC,
    PROCK_RECORD_IN, /* begins to run */
    PROCK_RECORD_OUT,
    PROCK_RECORD_LOST,
};

#define PROCK_RECORD_COMM_MAX 15

struct prock_record {
    enum prock_record_kind kind;
    int32_t pid, tid, ppid, ptid; /* the parents' where it is a fork or an exit, else 0 */
    uint64_t time_ns;             /* on the monotonic clock */
    char comm[PROCK_RECORD_COMM_MAX];
    size_t comm_len;
    uint64_t lost;   /* records that found no room */
    uint64_t cpu_ns; /* of an exit or exec, once drained: what the process ran since its last one */
};

/* The first record of a buffer and its length there; -EBADMSG for what can't be one. */
int prock_parse_record(const unsigned char *buf, size_t len, struct prock_record *out, size_t *size);

/* A buffer that the kernel writes and we read. */
struct prock_ring {
    unsigned char *base; /* a page of positions, then the data */
    size_t page, bytes;  /* the data's length, a power of two */
    uint64_t at, head;   /* what is read next; what was written when we looked */
    bool has_front;
    struct prock_record front;
    size_t front_size;
    uint64_t lost;
};

struct prock_rings {
    struct prock_ring *rings; /* one a CPU; then, where there are twice as many, those of the same CPUs' switches */
    size_t n, cpus;
    struct prock_running {
        int32_t pid; /* 0: unknown */
        uint64_t since_ns;
    } *running; /* one a CPU */
    struct prock_run_time {
        int32_t pid; /* 0: free */
        uint64_t ns;
    } *run_times; /* what processes ran since their last exit or exec, a hash */
    size_t run_times_n, run_times_size;
    uint64_t switches;
};

struct prock_record_list {
    struct prock_record *v;
    size_t n, cap;
};

/* Maps the buffers of these events, whose descriptors it does not keep. `out` starts as {0}, and is so after an error.
 * switches NULL: none. */
int prock_rings_map(struct prock_rings *out, const int *fds, const int *switches, size_t cpus, size_t bytes);
void prock_rings_unmap(struct prock_rings *records);
/* Appends, in the order of time, the forks, exits, renames and execs up to that instant, and gives their room back. */
int prock_rings_drain(struct prock_rings *records, uint64_t until_ns, struct prock_record_list *append_to);
uint64_t prock_rings_lost(const struct prock_rings *records);          /* so far, of tasks */
uint64_t prock_rings_switches_lost(const struct prock_rings *records); /* or perhaps lost */
/* The sum of the events, and how many records they say they lost: 0 before Linux 6.0, which doesn't tell. */
int prock_rings_totals(const int *fds, size_t n, uint64_t *total_ns, uint64_t *lost);
int prock_rings_stop(const int *fds, size_t n); /* events */

#endif
