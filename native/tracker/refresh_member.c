/* One member in a pass: which of its files are read, and what is reported. The same in Python: engine/pure/member.py.
 */
#define _GNU_SOURCE
#include "errors.h"
#include "tracker/tracker.h"

#include <string.h>

/* After this time the stat of a running process, and the memory of all, is read again in any case. */
#define STALE_NS 1000000000U
/* A read that returns more may not be the whole list: the kernel fills at most a page, less the longest pid. */
#define CHILDREN_COMPLETE_MAX (4096 - 12)

static bool pids_allocated_since(const struct prock_tracker *tracker, const struct prock_stamp *since)
{
    return tracker->last_pid < 0 || tracker->last_pid != since->last_pid;
}

/* Always true if only ticks are known, which are too coarse. */
static bool ran_since(const struct prock_tracker *tracker, size_t index, int since_read)
{
    return !tracker->root.clocks_usable ||
           tracker->files[index].stamps[since_read].own_ns != prock_member_at(tracker, index)->own_ns;
}

static void stamp(const struct prock_tracker *tracker, size_t index, int kind)
{
    struct prock_stamp *stamp = &tracker->files[index].stamps[kind];
    stamp->at_ns = tracker->now_ns;
    stamp->own_ns = prock_member_at(tracker, index)->own_ns;
    stamp->last_pid = tracker->last_pid;
}

static bool has_exited(const struct prock_member *row)
{
    return row->flags & PROCK_GONE || (!(row->flags & PROCK_UNREAD) && !prock_is_running(&row->stat));
}

/* stat may have changed in a way that is reported. */
static bool is_stale(const struct prock_tracker *tracker, size_t index, uint64_t own_ns)
{
    const struct prock_member *row = prock_member_at(tracker, index);
    const struct prock_stamp *read = &tracker->files[index].stamps[PROCK_FILE_STAT];
    if (!tracker->root.clocks_usable || own_ns < row->own_ns)
        return true;
    if (own_ns == read->own_ns)
        return false;
    return row->flags & (PROCK_PARENT | PROCK_ROOT) || pids_allocated_since(tracker, read) ||
           tracker->now_ns - read->at_ns > STALE_NS;
}

/* The pid was reused between two passes, or since the process was listed or adopted. */
static bool pid_was_reused(const struct prock_tracker *tracker, size_t index, const struct prock_stat *stat)
{
    const struct prock_member *row = prock_member_at(tracker, index);
    if (row->unreadable & PROCK_UNREADABLE_STAT && row->stat.starttime == 0)
        return false; /* its start time was never read before */
    if (!(row->flags & PROCK_UNREAD) || tracker->files[index].expects_start)
        return stat->starttime != row->stat.starttime;
    if (!row->parent)
        return false;
    const struct prock_member *parent = prock_member_at(tracker, row->parent - 1);
    if (stat->ppid == parent->pid || stat->ppid == 0 || has_exited(parent))
        return false;
    /* If the parent has exited since it was read, its children were reparented. */
    struct prock_stat now;
    int error = prock_read_stat(&tracker->root, parent->pid, &now);
    if (error)
        return error != -ESRCH;
    return now.starttime == parent->stat.starttime && prock_is_running(&now);
}

static bool is_reportable(
    const struct prock_stat *known, const struct prock_stat *now, bool was_running, bool is_running)
{
    return now->cutime + now->cstime != known->cutime + known->cstime || now->cminflt != known->cminflt ||
           now->ppid != known->ppid || now->session != known->session || was_running != is_running;
}

static void mark_stat_unreadable(struct prock_member *row)
{
    row->unreadable |= PROCK_UNREADABLE_STAT;
    if (!(row->flags & PROCK_UNREAD))
        return;
    memset(&row->stat, 0, sizeof row->stat);
    row->stat.pid = row->pid;
    row->stat.state = '?';
    row->stat.thread_count = 1;
}

/* A member that was new in a failed pass, and so never reported, counts as vanished. */
static void mark_gone(struct prock_member *row)
{
    row->flags |= PROCK_GONE | (row->flags & PROCK_NEW ? PROCK_UNREAD : 0);
}

static int read_stat(struct prock_tracker *tracker, size_t index, uint64_t own_ns)
{
    struct prock_member *row = prock_member_at(tracker, index);
    struct prock_stat stat;
    char buf[2048];
    size_t len;
    bool unread = row->flags & PROCK_UNREAD;
    int error = prock_fd_cache_read(tracker, index, PROCK_FILE_STAT, "stat", buf, sizeof buf, &len);
    if (!error)
        error = prock_parse_stat(buf, len, &stat);
    if ((error == -EBADMSG || (!error && stat.pid != row->pid)) && tracker->files[index].fds[PROCK_FILE_STAT] >= 0) {
        prock_fd_cache_invalidate(tracker);
        error = prock_read(&tracker->root, row->pid, "stat", buf, sizeof buf, &len);
        error = error ? error : prock_parse_stat(buf, len, &stat);
    }
    if (prock_is_unreadable(error)) {
        mark_stat_unreadable(row);
    } else if (error && error != -ESRCH) {
        return error;
    } else if (error || pid_was_reused(tracker, index, &stat)) {
        mark_gone(row);
        return 0;
    } else {
        stat.pid = row->pid;
        row->unreadable &= ~(unsigned)PROCK_UNREADABLE_STAT;
        bool was_running = prock_is_running(&row->stat);
        struct prock_stat known = row->stat;
        row->stat = stat;
        if (stat.thread_count != known.thread_count) /* a new thread may have children already */
            tracker->files[index].stamps[PROCK_FILE_CHILDREN] =
                (struct prock_stamp){.own_ns = UINT64_MAX, .last_pid = -2};
        if (!unread && (is_reportable(&known, &stat, was_running, prock_is_running(&row->stat)) ||
                        row->flags & PROCK_REREAD || tracker->read_all))
            row->flags |= PROCK_CHANGED;
        if (unread || known.ppid != stat.ppid)
            prock_member_table_set_parent(tracker, index);
    }
    if (!tracker->root.clocks_usable) {
        uint64_t ticks = prock_multiply(row->stat.utime + row->stat.stime, tracker->root.tick_ns);
        own_ns = ticks > own_ns ? ticks : own_ns;
    }
    row->own_ns = own_ns;
    row->stat.cpu = prock_split_cpu(own_ns, row->stat.utime, row->stat.stime);
    if (unread && row->tree < tracker->trees && tracker->sampled_ticks[row->tree] &&
        row->stat.starttime >= tracker->sampled_ticks[row->tree])
        row->flags |= PROCK_STARTED;
    stamp(tracker, index, PROCK_FILE_STAT);
    if (!prock_leader_exited(&row->stat)) {
        row->rss_bytes = prock_multiply(row->stat.rss, tracker->root.page_bytes);
        row->vsize_bytes = row->stat.vsize;
        stamp(tracker, index, PROCK_FILE_STATM);
    }
    return 0;
}

static int read_memory(struct prock_tracker *tracker, size_t index)
{
    struct prock_member *row = prock_member_at(tracker, index);
    const struct prock_stamp *read = &tracker->files[index].stamps[PROCK_FILE_STATM];
    if (!(tracker->want & PROCK_WANT_STAT) || row->unreadable & PROCK_UNREADABLE_STAT)
        return 0;
    bool by_other_thread = prock_leader_exited(&row->stat);
    if (read->own_ns == row->own_ns && tracker->now_ns - read->at_ns <= STALE_NS && !by_other_thread)
        return 0;
    struct prock_statm statm;
    char buf[512];
    size_t len;
    int error = by_other_thread ? prock_read_thread_statm(&tracker->root, row->pid, &statm)
                                : prock_fd_cache_read(tracker, index, PROCK_FILE_STATM, "statm", buf, sizeof buf, &len);
    if (!error && !by_other_thread)
        error = prock_parse_statm(buf, len, &statm);
    if (error)
        return prock_is_exhausted(error) ? error : 0;
    row->rss_bytes = prock_multiply(statm.resident, tracker->root.page_bytes);
    row->vsize_bytes = prock_multiply(statm.size, tracker->root.page_bytes);
    stamp(tracker, index, PROCK_FILE_STATM);
    return 0;
}

/* A new peak, or huge pages, cost page faults. Faults are as old as stat: a second at most while the process runs. */
#define STATUS_EVERY_NS 10000000U /* times the number of members: 0.1 % of a core */
static int read_status(struct prock_tracker *tracker, size_t index)
{
    struct prock_member *row = prock_member_at(tracker, index);
    struct prock_member_files *files = &tracker->files[index];
    uint64_t faults = row->stat.minflt + row->stat.majflt;
    struct prock_status status;
    if (row->rss_bytes > row->peak_rss_bytes)
        row->peak_rss_bytes = row->rss_bytes;
    if (row->rss_bytes == 0 || !(tracker->want & PROCK_WANT_STAT) || row->unreadable & PROCK_UNREADABLE_STAT ||
        (files->faults == faults && row->hugetlb_bytes == 0) ||
        tracker->now_ns - files->status_ns < tracker->table->n * STATUS_EVERY_NS)
        return 0;
    int error = prock_read_status(&tracker->root, &row->stat, &status);
    if (error)
        return prock_is_exhausted(error) ? error : 0;
    files->faults = faults;
    files->status_ns = tracker->now_ns;
    row->hugetlb_bytes = status.hugetlb_bytes;
    if (status.peak_rss_bytes > row->peak_rss_bytes)
        row->peak_rss_bytes = status.peak_rss_bytes;
    return 0;
}

int prock_reread_memory(struct prock_tracker *tracker, size_t index)
{
    struct prock_member *row = prock_member_at(tracker, index);
    row->rss_bytes = row->vsize_bytes = 0; /* stays so if it has ended */
    row->hugetlb_bytes = row->peak_rss_bytes = 0;
    tracker->files[index].faults = tracker->files[index].status_ns = 0;
    tracker->files[index].stamps[PROCK_FILE_STATM].own_ns = UINT64_MAX;
    int error = read_memory(tracker, index);
    return error ? error : read_status(tracker, index);
}

static int read_io(struct prock_tracker *tracker, size_t index)
{
    struct prock_member *row = prock_member_at(tracker, index);
    if (!(tracker->want & PROCK_WANT_IO) || !ran_since(tracker, index, PROCK_FILE_IO))
        return 0;
    struct prock_io io;
    char buf[2048];
    size_t len;
    int error = prock_fd_cache_read(tracker, index, PROCK_FILE_IO, "io", buf, sizeof buf, &len);
    if (!error)
        error = prock_parse_io(buf, len, &io);
    if (prock_is_unreadable(error))
        row->unreadable |= PROCK_UNREADABLE_IO;
    if (error)
        return prock_is_exhausted(error) ? error : 0;
    row->unreadable &= ~(unsigned)PROCK_UNREADABLE_IO;
    if (row->flags & PROCK_PARENT && (!(row->flags & PROCK_HAS_IO) || memcmp(&io, &row->io, sizeof io) != 0))
        row->flags |= PROCK_CHANGED;
    row->io = io;
    row->flags |= PROCK_HAS_IO;
    stamp(tracker, index, PROCK_FILE_IO);
    return 0;
}

static int read_numbers(struct prock_tracker *tracker, size_t index)
{
    struct prock_member *row = prock_member_at(tracker, index);
    if ((unsigned)tracker->want < PROCK_NUMBER_BIT(0) || !ran_since(tracker, index, PROCK_FILE_NUMBERS))
        return 0;
    for (int id = 0; id < PROCK_NUMBER_COUNT; id++) {
        unsigned bit = PROCK_NUMBER_BIT(id);
        uint64_t value;
        if (!((unsigned)tracker->want & bit))
            continue;
        int error = prock_numbers[id].read(&tracker->root, row->pid, &value);
        if (prock_is_exhausted(error))
            return error;
        if (!error) {
            row->numbers.values[id] = value;
            row->numbers.known |= bit;
            row->unreadable &= ~bit;
        } else if (prock_is_unreadable(error)) {
            row->numbers.known &= ~bit;
            row->unreadable |= bit;
        }
    }
    stamp(tracker, index, PROCK_FILE_NUMBERS);
    return 0;
}

/* Children that the main thread started, and those reparented to the process. */
static int read_leader_children(struct prock_tracker *tracker, size_t index)
{
    char file[40] = "task/", buf[4096];
    size_t len;
    int32_t pid = prock_member_at(tracker, index)->pid;
    int *cached = &tracker->files[index].fds[PROCK_FILE_CHILDREN];
    if (*cached < 0)
        memcpy(prock_append_pid(file + 5, pid), "/children", 10);
    int error = prock_fd_cache_read(tracker, index, PROCK_FILE_CHILDREN, file, buf, sizeof buf, &len);
    if (error)
        return error;
    if (len > CHILDREN_COMPLETE_MAX)
        return prock_read_children(&tracker->root, pid, 1, &tracker->found);
    error = prock_parse_children(buf, len, &tracker->found);
    if (error && *cached >= 0) {
        prock_fd_cache_close(tracker, index, PROCK_FILE_CHILDREN);
        tracker->found.n = 0;
        error = prock_read_children(&tracker->root, pid, 1, &tracker->found);
    }
    return error;
}

/* A process that ran may have forked, and a subreaper (prctl(2)) with children may have inherited orphans. */
static int read_children(struct prock_tracker *tracker, size_t index)
{
    struct prock_member *row = prock_member_at(tracker, index);
    const struct prock_stamp *read = &tracker->files[index].stamps[PROCK_FILE_CHILDREN];
    bool ran = ran_since(tracker, index, PROCK_FILE_CHILDREN);
    if (!(row->flags & PROCK_UNREAD) && !(pids_allocated_since(tracker, read) && (ran || row->flags & PROCK_PARENT)))
        return 0;
    tracker->found.n = 0;
    int32_t threads = ran ? row->stat.thread_count : 1;
    int error = threads == 1 ? read_leader_children(tracker, index)
                             : prock_read_children(&tracker->root, row->pid, threads, &tracker->found);
    if (error == -ENOTSUP) {
        tracker->no_children_lists = true;
        return 0;
    }
    if (error == -ESRCH)
        return 0;
    if (prock_is_unreadable(error)) {
        row->unreadable |= PROCK_UNREADABLE_CHILDREN;
        return 0;
    }
    if (error)
        return error;
    row->unreadable &= ~(unsigned)PROCK_UNREADABLE_CHILDREN;
    stamp(tracker, index, PROCK_FILE_CHILDREN);
    uint32_t tree = row->tree;
    for (size_t i = 0; i < tracker->found.n && !error; i++)
        if (!prock_member_table_contains(tracker, tracker->found.v[i]))
            error = prock_member_table_append(tracker, tracker->found.v[i], tree, (uint32_t)index + 1, 0);
    return error;
}

int prock_refresh_member(struct prock_tracker *tracker, size_t index)
{
    struct prock_member *row = prock_member_at(tracker, index);
    uint64_t own_ns = row->own_ns;
    int error = 0;
    if (row->flags & PROCK_GONE)
        return 0; /* by a failed pass */
    if (tracker->root.clocks_usable && (error = prock_cpu_total(row->pid, &own_ns))) {
        if (error != -ESRCH)
            return error;
        mark_gone(row);
        return 0;
    }
    bool orphaned = row->parent && has_exited(prock_member_at(tracker, row->parent - 1));
    if (row->flags & (PROCK_UNREAD | PROCK_REREAD) || tracker->read_all || orphaned ||
        is_stale(tracker, index, own_ns)) {
        error = read_stat(tracker, index, own_ns);
        if (error || row->flags & PROCK_GONE)
            return error;
    } else {
        row->own_ns = own_ns;
    }
    if ((error = read_memory(tracker, index)) || (error = read_status(tracker, index)) ||
        (error = read_io(tracker, index)) || (error = read_numbers(tracker, index)) ||
        (error = read_children(tracker, index)))
        return error;
    row = prock_member_at(tracker, index); /* append may have moved the table */
    if (row->flags & PROCK_UNREAD)
        row->flags |= PROCK_NEW | PROCK_CHANGED;
    row->flags &= ~(unsigned)(PROCK_UNREAD | PROCK_REREAD);
    return 0;
}

/* Only the start time is used: the rest of stat is younger than what was read of the children, which may have been
 * reaped in between. */
int prock_verify_member(struct prock_tracker *tracker, size_t index)
{
    struct prock_member *row = prock_member_at(tracker, index);
    struct prock_stat stat;
    char buf[2048];
    size_t len;
    if (row->flags & PROCK_GONE || tracker->files[index].stamps[PROCK_FILE_STAT].own_ns == row->own_ns)
        return 0;
    int error = prock_read(&tracker->root, row->pid, "stat", buf, sizeof buf, &len);
    if (error)
        return prock_is_exhausted(error) ? error : 0;
    if (prock_parse_stat(buf, len, &stat) == 0 && stat.starttime != row->stat.starttime && row->stat.starttime != 0) {
        row->own_ns = row->previous_own_ns;
        row->io = row->previous_io;
        row->peak_rss_bytes = row->previous_peak_rss_bytes;
        mark_gone(row);
    }
    return 0;
}
