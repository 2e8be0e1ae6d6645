/* Tracked trees. Between two passes each member's latest values are kept. A pass reads each member's CPU clock: a
 * process that has not run since has not forked, waited, read, written or changed its name either, so files are read
 * only of the others. The same in Python: src/prock/engine/pure/tracker.py; the interface:
 * src/prock/engine/protocol.py. */
#ifndef PROCK_TRACKER_H
#define PROCK_TRACKER_H

#include "procfs/procfs.h"

enum { PROCK_FILE_STAT, PROCK_FILE_CHILDREN, PROCK_FILE_STATM, PROCK_FILE_IO, PROCK_FILE_NUMBERS, PROCK_FILE_COUNT };
enum {
    PROCK_UNREAD = 1,  /* listed but not read yet */
    PROCK_NEW = 2,     /* first read in the latest pass */
    PROCK_STARTED = 4, /* and started since the previous pass */
    PROCK_GONE = 8,    /* exited before or in the latest pass; dropped by the next */
    PROCK_ROOT = 16,
    PROCK_PARENT = 32,  /* has had children */
    PROCK_CHANGED = 64, /* in a way that the ledgers need */
    PROCK_REREAD = 128, /* read stat in the next pass even if the process has not run */
    PROCK_HAS_IO = 256,
    PROCK_SHARES_SPACE = 1024, /* its address space counts with another member, shares_with */
    PROCK_OWN_SPACE = 2048,    /* and shares none any more */
    PROCK_PENDING = 512,       /* the latest pass failed: the next one reports its findings */
};

struct prock_member {
    int32_t pid;
    uint32_t tree;
    uint32_t parent;     /* index + 1, or 0 */
    int32_t shares_with; /* pid; 0 if it never shared its address space */
    unsigned flags, unreadable;
    uint64_t own_ns, previous_own_ns; /* CPU time now and at the previous pass */
    uint64_t rss_bytes, vsize_bytes;
    uint64_t hugetlb_bytes;
    uint64_t peak_rss_bytes, previous_peak_rss_bytes; /* now and at the previous pass */
    struct prock_stat stat;
    struct prock_io io, previous_io; /* now and at the previous pass */
    struct prock_numbers numbers;
};

struct prock_member_table {
    struct prock_member *rows;
    size_t n, cap;
};

/* State when a file was read: time, CPU time of its process, last pid allocated on the machine. */
struct prock_stamp {
    uint64_t at_ns, own_ns;
    int64_t last_pid;
};

struct prock_member_files {
    struct prock_stamp stamps[PROCK_FILE_COUNT];
    int fds[PROCK_FILE_COUNT];
    uint64_t file_ids[PROCK_FILE_COUNT]; /* of the open files */
    uint32_t used[PROCK_FILE_COUNT];     /* pass of the latest use */
    unsigned read_before;                /* a bit per file */
    uint64_t status_ns, faults;          /* when status was read, and page faults of the process then */
    bool expects_start;                  /* stat.starttime was passed by the caller of adopt */
};

struct prock_tracker {
    struct prock_root root;
    int want;
    struct prock_member_table *table; /* the caller's; may be replaced by a copy between two passes */
    struct prock_member_files *files;
    size_t files_cap;
    struct prock_pidmap by_pid; /* index of each pid in the table */
    size_t budget, open;        /* descriptors */
    size_t evict_cursor;        /* index of the member that close_idle checked last */
    int last_pid_fd;
    uint64_t last_pid_file_id;
    int64_t last_pid; /* allocated on this machine; -1: unknown */
    uint64_t now_ns;
    uint32_t pass; /* number of the current or latest pass */
    uint32_t none_idle_in_pass;
    int64_t tree; /* tree of the pass; -1: all */
    bool read_all, no_children_lists;
    bool verifying; /* second round of a pass: checks for reused pids */
    size_t next;
    struct prock_pids found; /* scratch */
    uint64_t *sampled_ticks; /* per tree: ticks since boot at its latest pass */
    size_t trees;
};

void prock_tracker_init(
    struct prock_tracker *tracker, const struct prock_root *root, int want, size_t budget,
    struct prock_member_table *table);
int prock_tracker_add(struct prock_tracker *tracker, int32_t pid, uint32_t tree);
int prock_tracker_adopt(struct prock_tracker *tracker, int32_t pid, uint64_t starttime, uint32_t tree);
int prock_tracker_remove(struct prock_tracker *tracker, uint32_t tree);
void prock_tracker_reread(struct prock_tracker *tracker, int32_t pid);
int prock_tracker_start(struct prock_tracker *tracker, int64_t tree, bool read_all);
/* Like prock_tree_walk_run. If it fails, or the caller does (mark_pending), the next pass reports what this one found.
 */
int prock_tracker_run(struct prock_tracker *tracker, uint64_t deadline_ns);
void prock_tracker_mark_pending(struct prock_tracker *tracker);
void prock_tracker_free(struct prock_tracker *tracker); /* except the table */
/* For a child forked while another thread ran a pass: closes descriptors, but frees no memory, which that thread may
 * have been changing. */
void prock_tracker_abandon(struct prock_tracker *tracker);
int prock_member_table_copy(const struct prock_member_table *table, struct prock_member_table *copy);

/* subtree_sums.c: usage of each member and all its descendants. */
struct prock_subtree_sum {
    uint64_t processes, threads, cpu_ns, used_ns, rss_bytes, vsize_bytes;
    struct prock_io io;
    bool has_io; /* of at least one process */
    struct prock_numbers numbers;
};
/* Writes the indexes of a tree's members to order (root first, then breadth first), and adds to the sums at these
 * indexes. Both arrays are the caller's, as long as the table; sums are zero but for used_ns, which may be preset. */
int prock_subtree_sums(
    const struct prock_member_table *table, uint32_t tree, uint64_t tick_ns, uint32_t *order, size_t *n,
    struct prock_subtree_sum *sums);
/* Own CPU time since the previous pass; -1: unknown, as the process is older than its first pass. */
int64_t prock_member_used_ns(const struct prock_member *row);
void prock_add_io(struct prock_io *sum, const struct prock_io *io);

/* fd_cache.c: files that are read repeatedly stay open, within the budget. */
/* Reads the start of a member's file. */
int prock_fd_cache_read(
    struct prock_tracker *tracker, size_t index, int kind, const char *file, char *buf, size_t cap, size_t *len);
void prock_fd_cache_close(struct prock_tracker *tracker, size_t index, int kind);
void prock_fd_cache_close_member(struct prock_tracker *tracker, size_t index);
/* A cached descriptor was replaced by the program, so any may be: close only our own. */
void prock_fd_cache_invalidate(struct prock_tracker *tracker);
void prock_fd_cache_set_budget(struct prock_tracker *tracker, size_t budget);
uint64_t prock_file_id(int fd); /* device and inode of an open file; 0 if fd is not open */
void prock_close_if_unchanged(int fd, uint64_t file_id);

/* refresh_member.c: reads the clock of one member, and the files that may have changed. May append members. */
int prock_refresh_member(struct prock_tracker *tracker, size_t index);
/* Marks the member as gone if it ran since its stat was read, and its pid was reused. */
int prock_verify_member(struct prock_tracker *tracker, size_t index);

/* The process has its own address space only from now on: forgets what is its parent's. */
int prock_reread_memory(struct prock_tracker *tracker, size_t index);

/* shared_spaces.c: sets whether the member shares its address space. After all members of a pass were read. */
int prock_tracker_find_shared(struct prock_tracker *tracker, size_t index);

static inline struct prock_member *prock_member_at(const struct prock_tracker *tracker, size_t index)
{
    return &tracker->table->rows[index];
}

/* member_table.c */
bool prock_member_table_contains(const struct prock_tracker *tracker, int32_t pid);
int prock_member_table_append(
    struct prock_tracker *tracker, int32_t pid, uint32_t tree, uint32_t parent, unsigned flags);
/* Drops exited members; the next pass reads the new parents of their children. */
int prock_member_table_drop_gone(struct prock_tracker *tracker);
void prock_member_table_set_parent(struct prock_tracker *tracker, size_t index);

#endif
