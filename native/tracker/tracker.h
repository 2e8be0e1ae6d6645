/* Trees that are followed. Between two passes every member is known with what was last read of it. A pass asks its CPU
 * clock; who has not run since has not forked, waited, read, written or changed its name either, so only of the others
 * files are read. src/prock/engine/pure/tracker.py says the same in Python, src/prock/engine/protocol.py what is
 * promised.
 */
#ifndef PROCK_TRACKER_H
#define PROCK_TRACKER_H

#include "procfs/procfs.h"

enum { PROCK_FILE_STAT, PROCK_FILE_CHILDREN, PROCK_FILE_STATM, PROCK_FILE_IO, PROCK_FILE_COUNT };
enum {
    PROCK_UNREAD = 1,  /* found, and its turn has not come */
    PROCK_NEW = 2,     /* first read in the latest pass */
    PROCK_STARTED = 4, /* and started since the pass before */
    PROCK_GONE = 8,    /* ended by the latest pass; dropped by the next */
    PROCK_ROOT = 16,
    PROCK_PARENT = 32,  /* has had children */
    PROCK_CHANGED = 64, /* something changed that a ledger has to know */
    PROCK_REREAD = 128, /* its row is wanted, changed or not */
    PROCK_HAS_IO = 256,
    PROCK_PENDING = 512, /* the latest pass failed: what it found is told by the next */
};

struct prock_member {
    int32_t pid;
    uint32_t tree;
    uint32_t parent; /* its place + 1, or 0 */
    unsigned flags, unreadable;
    uint64_t own_ns, previous_own_ns; /* by the CPU clock: now, and at the pass before */
    uint64_t rss_bytes, vsize_bytes;
    struct prock_stat stat;
    struct prock_io io, previous_io; /* now, and at the pass before */
};

struct prock_member_table {
    struct prock_member *rows;
    size_t n, cap;
};

/* When a file was read: at which instant, at which own time of its process, at which last pid of the machine. */
struct prock_stamp {
    uint64_t at_ns, own_ns;
    int64_t last_pid;
};

struct prock_member_files {
    struct prock_stamp stamps[PROCK_FILE_COUNT];
    int fds[PROCK_FILE_COUNT];
    uint64_t file_ids[PROCK_FILE_COUNT]; /* of the files that are kept open */
    uint32_t used[PROCK_FILE_COUNT];     /* number of the pass */
    unsigned read_before;                /* a bit for each file */
    bool expects_start;                  /* stat.starttime is what the caller expects */
};

struct prock_tracker {
    struct prock_root root;
    int want;
    struct prock_member_table *table; /* the caller's, who may put a copy of it in its place between two passes */
    struct prock_member_files *files;
    size_t files_cap;
    struct prock_pidmap by_pid; /* of each pid in the table */
    size_t budget, open;        /* descriptors */
    size_t evict_cursor;        /* where to look for one to give back */
    int last_pid_fd;
    uint64_t last_pid_file_id; /* of its file */
    int64_t last_pid;          /* given away on this machine; -1: not known */
    uint64_t now_ns;
    uint32_t pass; /* of the pass */
    uint32_t none_idle_in_pass;
    int64_t tree; /* that the pass is about; -1: all */
    bool read_all, no_children_lists;
    bool verifying; /* the pass has been over all members, and goes over those again that may be others */
    size_t next;
    struct prock_pids found; /* scratch */
    uint64_t *sampled_ticks; /* of each tree: ticks since boot at its last pass */
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
/* As prock_tree_walk_run. What a pass found that failed, here or at its caller's, is told by the next. */
int prock_tracker_run(struct prock_tracker *tracker, uint64_t deadline_ns);
void prock_tracker_mark_pending(struct prock_tracker *tracker);
void prock_tracker_free(struct prock_tracker *tracker); /* but not the table */
/* In a forked child, where a pass was under way in a thread that is not there: gives back descriptors, but no memory,
 * which that thread may have been changing. */
void prock_tracker_abandon(struct prock_tracker *tracker);
int prock_member_table_copy(const struct prock_member_table *table, struct prock_member_table *copy);

/* subtree_sums.c: what members and all below them use. */
struct prock_subtree_sum {
    uint64_t processes, threads, cpu_ns, used_ns, rss_bytes, vsize_bytes;
    struct prock_io io;
    bool has_io; /* of one at least */
};
/* Places of a tree's members, root first, then breadth first, and the sums of each by its place; both to be freed. The
 * caller may have put something into used_ns, and passes sums that are zero but for that: as many as the table has
 * rows. */
int prock_subtree_sums(
    const struct prock_member_table *table, uint32_t tree, uint64_t tick_ns, uint32_t *order, size_t *n,
    struct prock_subtree_sum *sums);
/* CPU time of its own since the pass before; -1: not known, as it is older and was not seen then. */
int64_t prock_member_used_ns(const struct prock_member *row);
void prock_add_io(struct prock_io *sum, const struct prock_io *io);

/* fd_cache.c: what is read again and again keeps its descriptor, within the budget. */
/* The start of a member's file. */
int prock_fd_cache_read(
    struct prock_tracker *tracker, size_t index, int kind, const char *what, char *buf, size_t cap, size_t *len);
void prock_fd_cache_close(struct prock_tracker *tracker, size_t index, int kind);
void prock_fd_cache_close_member(struct prock_tracker *tracker, size_t index);
/* One was not what it should be, so any may be: give back those that are. */
void prock_fd_cache_invalidate(struct prock_tracker *tracker);
void prock_fd_cache_set_budget(struct prock_tracker *tracker, size_t budget);
uint64_t prock_file_id(int fd); /* of the file that is open there */
void prock_close_if_unchanged(int fd, uint64_t pass);

/* refresh_member.c: ask the clock of one member, and read what that calls for. Members may be appended. */
int prock_refresh_member(struct prock_tracker *tracker, size_t index);
/* The member whose clock has moved and whose row was not read for that: is it still the one that it was? */
int prock_verify_member(struct prock_tracker *tracker, size_t index);

/* member_table.c: who is in the table, and where. */
struct prock_member *prock_member_at(const struct prock_tracker *tracker, size_t index);
bool prock_member_table_contains(const struct prock_tracker *tracker, int32_t pid);
int prock_member_table_append(
    struct prock_tracker *tracker, int32_t pid, uint32_t tree, uint32_t parent, unsigned flags);
/* Forget who ended; orphans whose new parent is not known yet are asked for it by the pass that follows. */
int prock_member_table_drop_gone(struct prock_tracker *tracker);
void prock_member_table_set_parent(struct prock_tracker *tracker, size_t index);

#endif
