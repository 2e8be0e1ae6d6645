/* Trees that are followed. Between two passes every member is known with what was last read of it. A pass asks its CPU
 * clock; who has not run since has not forked, waited, read, written or changed its name either, so only of the others
 * files are read. src/prock/engine/pure/tracker.py says the same in Python, src/prock/engine/protocol.py what is
 * promised.
 */
#ifndef PROCK_TRACKER_H
#define PROCK_TRACKER_H

#include "procfs/procfs.h"

enum { PROCK_KEPT_STAT, PROCK_KEPT_CHILDREN, PROCK_KEPT_STATM, PROCK_KEPT_IO, PROCK_KEPT_FILES };
enum {
    PROCK_UNREAD = 1,     /* found, and its turn has not come */
    PROCK_NEW = 2,        /* first read in the latest pass */
    PROCK_BORN_SINCE = 4, /* and started since the pass before */
    PROCK_GONE = 8,       /* ended by the latest pass; dropped by the next */
    PROCK_ROOT = 16,
    PROCK_PARENT = 32,  /* has had children */
    PROCK_REPORT = 64,  /* something changed that a ledger has to know */
    PROCK_REREAD = 128, /* its row is wanted, changed or not */
    PROCK_HAS_IO = 256,
    PROCK_UNTOLD = 512, /* the latest pass failed: what it found is told by the next */
};

struct prock_kept {
    int32_t pid;
    uint32_t tree;
    uint32_t parent; /* its place + 1, or 0 */
    unsigned flags, refused;
    uint64_t own_ns, before_ns; /* by the CPU clock: now, and at the pass before */
    uint64_t rss_bytes, vsize_bytes;
    struct prock_stat stat;
    struct prock_io io, io_before; /* now, and at the pass before */
};

struct prock_table {
    struct prock_kept *rows;
    size_t n, cap;
};

/* When a file was read: at which instant, at which own time of its process, at which last pid of the machine. */
struct prock_stamp {
    uint64_t at_ns, own_ns;
    int64_t last_pid;
};

struct prock_kept_files {
    struct prock_stamp stamps[PROCK_KEPT_FILES];
    int fds[PROCK_KEPT_FILES];
    uint64_t numbers[PROCK_KEPT_FILES]; /* of the files that are kept open */
    uint32_t used[PROCK_KEPT_FILES];    /* number of the pass */
    unsigned read_before;               /* a bit for each file */
    bool expects_start;                 /* stat.starttime is what the caller expects */
};

struct prock_keep {
    struct prock_root root;
    int want;
    struct prock_table *table; /* the caller's, who may put a copy of it in its place between two passes */
    struct prock_kept_files *files;
    size_t files_cap;
    struct prock_pidmap index; /* of each pid in the table */
    size_t budget, open;       /* descriptors */
    size_t hand;               /* where to look for one to give back */
    int last_pid_fd;
    uint64_t last_pid_number; /* of its file */
    int64_t last_pid;         /* given away on this machine; -1: not known */
    uint64_t now_ns;
    uint32_t number; /* of the pass */
    uint32_t none_idle_in;
    int64_t tree; /* that the pass is about; -1: all */
    bool everything, lacks_children;
    bool verifies; /* the pass has been over all members, and goes over those again that may be others */
    size_t next;
    struct prock_pids found; /* scratch */
    uint64_t *looked_ticks;  /* of each tree: ticks since boot at its last pass */
    size_t trees;
};

void prock_keep_init(
    struct prock_keep *keep, const struct prock_root *root, int want, size_t budget, struct prock_table *table);
int prock_keep_add(struct prock_keep *keep, int32_t pid, uint32_t tree);
int prock_keep_adopt(struct prock_keep *keep, int32_t pid, uint64_t starttime, uint32_t tree);
int prock_keep_remove(struct prock_keep *keep, uint32_t tree);
void prock_keep_reread(struct prock_keep *keep, int32_t pid);
int prock_keep_start(struct prock_keep *keep, int64_t tree, bool everything);
/* As prock_walk_run. What a pass found that failed, here or at its caller's, is told by the next. */
int prock_keep_run(struct prock_keep *keep, uint64_t deadline_ns);
void prock_keep_failed(struct prock_keep *keep);
void prock_keep_free(struct prock_keep *keep); /* but not the table */
/* In a forked child, where a pass was under way in a thread that is not there: gives back descriptors, but no memory,
 * which that thread may have been changing. */
void prock_keep_abandon(struct prock_keep *keep);
int prock_table_copy(const struct prock_table *table, struct prock_table *copy);

/* subtree_sums.c: what members and all below them use. */
struct prock_subtree {
    uint64_t processes, threads, cpu_ns, used_ns, rss_bytes, vsize_bytes;
    struct prock_io io;
    bool has_io; /* of one at least */
};
/* Places of a tree's members, root first, then breadth first, and the sums of each by its place; both to be freed. The
 * caller may have put something into used_ns, and passes sums that are zero but for that: as many as the table has
 * rows. */
int prock_subtrees(
    const struct prock_table *table, uint32_t tree, uint64_t tick_ns, uint32_t *order, size_t *n,
    struct prock_subtree *sums);
/* CPU time of its own since the pass before; -1: not known, as it is older and was not seen then. */
int64_t prock_used_ns(const struct prock_kept *row);
void prock_add_io(struct prock_io *sum, const struct prock_io *io);

/* fd_cache.c: what is read again and again keeps its descriptor, within the budget. */
/* The start of a member's file. */
int prock_kept_read(
    struct prock_keep *keep, size_t place, int kind, const char *what, char *buf, size_t cap, size_t *len);
void prock_kept_give_back(struct prock_keep *keep, size_t place, int kind);
void prock_kept_give_back_all(struct prock_keep *keep, size_t place);
/* One was not what it should be, so any may be: give back those that are. */
void prock_kept_distrust(struct prock_keep *keep);
void prock_keep_set_budget(struct prock_keep *keep, size_t budget);
uint64_t prock_file_number(int fd); /* of the file that is open there */
void prock_close_if_same(int fd, uint64_t number);

/* refresh_member.c: ask the clock of one member, and read what that calls for. Members may be appended. */
int prock_kept_look(struct prock_keep *keep, size_t place);
/* The member whose clock has moved and whose row was not read for that: is it still the one that it was? */
int prock_kept_verify(struct prock_keep *keep, size_t place);

/* member_table.c: who is in the table, and where. */
struct prock_kept *prock_kept_at(const struct prock_keep *keep, size_t place);
bool prock_kept_knows(const struct prock_keep *keep, int32_t pid);
int prock_kept_append(struct prock_keep *keep, int32_t pid, uint32_t tree, uint32_t parent, unsigned flags);
/* Forget who ended; orphans whose new parent is not known yet are asked for it by the pass that follows. */
int prock_kept_drop_gone(struct prock_keep *keep);
void prock_kept_set_parent(struct prock_keep *keep, size_t place);

#endif
