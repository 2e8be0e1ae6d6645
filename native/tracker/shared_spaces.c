/* Members that share the address space of another one. The same in Python: engine/pure/tracker.py.
 *
 * Sharing begins with the start of a process, and ends when it executes a program. So a member is compared when it is
 * new, with its parent, or with a similar member if its parent has ended or clone(2) had CLONE_PARENT; and in each pass
 * while it shares. A comparison (kcmp(2)) costs 1 us. */
#include "tracker/tracker.h"

#define MOST_PASSED_OVER 64
/* The kernel adds up its per-CPU counters for statm but not for stat: 340 KiB with two CPUs (Linux 6.18). */
#define RSS_NOISE_BYTES (512 << 10)

static bool is_read(const struct prock_member *row)
{
    return !(row->flags & (PROCK_GONE | PROCK_UNREAD)) && !(row->unreadable & PROCK_UNREADABLE_STAT);
}

static bool is_as_large(const struct prock_member *row, const struct prock_member *other)
{
    uint64_t rss = row->rss_bytes, other_rss = other->rss_bytes;
    return row->vsize_bytes == other->vsize_bytes &&
           (rss > other_rss ? rss - other_rss : other_rss - rss) <= RSS_NOISE_BYTES;
}

static bool shares(
    const struct prock_tracker *tracker, const struct prock_member *row, const struct prock_member *other, bool related)
{
    if (row == other || row->tree != other->tree || !is_read(other) || other->vsize_bytes == 0)
        return false;
    int same = prock_shares_space(&tracker->root, row->pid, other->pid);
    return same < 0 ? related && is_as_large(row, other) && prock_waits_for_vfork(&tracker->root, other->pid) : same;
}

/* The member with which this one shares, or NULL. */
static struct prock_member *find_sharer(const struct prock_tracker *tracker, size_t index)
{
    const struct prock_member *row = prock_member_at(tracker, index);
    uint32_t known;
    if (row->shares_with && prock_pidmap_get(&tracker->by_pid, row->shares_with, &known) &&
        shares(tracker, row, prock_member_at(tracker, known), true))
        return prock_member_at(tracker, known);
    if (row->parent && shares(tracker, row, prock_member_at(tracker, row->parent - 1), true))
        return prock_member_at(tracker, row->parent - 1);
    for (size_t i = index, passed = 0; i-- > 0 && passed < MOST_PASSED_OVER; passed++) {
        struct prock_member *other = prock_member_at(tracker, i);
        bool shared_before = row->shares_with && row->shares_with == other->shares_with;
        bool is_candidate = shared_before || (is_as_large(row, other) && prock_may_share_space(&other->stat));
        if (is_candidate && shares(tracker, row, other, shared_before))
            return other;
        if (is_candidate && !shared_before)
            return NULL;
    }
    return NULL;
}

/* Both have what was read last. */
static void share_memory(struct prock_tracker *tracker, struct prock_member *row, struct prock_member *other)
{
    const struct prock_member *rows = tracker->table->rows;
    uint64_t read_ns = tracker->files[row - rows].stamps[PROCK_FILE_STATM].at_ns;
    uint64_t other_read_ns = tracker->files[other - rows].stamps[PROCK_FILE_STATM].at_ns;
    const struct prock_member *latest = read_ns >= other_read_ns ? row : other;
    row->rss_bytes = other->rss_bytes = latest->rss_bytes;
    row->vsize_bytes = other->vsize_bytes = latest->vsize_bytes;
}

int prock_tracker_find_shared(struct prock_tracker *tracker, size_t index)
{
    struct prock_member *row = prock_member_at(tracker, index);
    if (row->flags & PROCK_OWN_SPACE || !is_read(row) || !row->vsize_bytes)
        return 0;
    row->flags &= ~(unsigned)PROCK_SHARES_SPACE;
    bool like_parent = row->shares_with || (row->parent && is_as_large(row, prock_member_at(tracker, row->parent - 1)));
    bool may_share = like_parent || prock_may_share_space(&row->stat);
    struct prock_member *other = may_share ? find_sharer(tracker, index) : NULL;
    if (other) {
        row->flags |= PROCK_SHARES_SPACE;
        row->shares_with = other->flags & PROCK_SHARES_SPACE ? other->shares_with : other->pid;
        share_memory(tracker, row, other);
        row->peak_rss_bytes = row->hugetlb_bytes = 0; /* the other's */
        return 0;
    }
    row->flags |= PROCK_OWN_SPACE;
    /* It may have executed a program, or ended, since its memory was read: then that is still its parent's. */
    return like_parent ? prock_reread_memory(tracker, index) : 0;
}
