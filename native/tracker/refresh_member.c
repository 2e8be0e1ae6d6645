/* One member in a pass: what is asked of it, and what has to be told. engine/pure/member.py says the same in Python. */
#define _GNU_SOURCE
#include "tracker/tracker.h"

#include <errno.h>
#include <string.h>

/* After that a running process's row, and everybody's memory, is read again though nothing asks for it. */
#define STALE_NS 1000000000U
/* A read of a list of children returns less than a page less the longest pid, or there is more. */
#define CHILDREN_WHOLE (4096 - 12)

static bool pids_were_given_away(const struct prock_keep *keep, const struct prock_stamp *since)
{
    return keep->last_pid < 0 || keep->last_pid != since->last_pid;
}

/* Ticks are too coarse to tell: where only they are known everybody may have. */
static bool has_run(const struct prock_keep *keep, size_t place, int since_read)
{
    return !keep->root.live || keep->files[place].stamps[since_read].own_ns != prock_kept_at(keep, place)->own_ns;
}

static void stamp(const struct prock_keep *keep, size_t place, int kind)
{
    struct prock_stamp *stamp = &keep->files[place].stamps[kind];
    stamp->at_ns = keep->now_ns;
    stamp->own_ns = prock_kept_at(keep, place)->own_ns;
    stamp->last_pid = keep->last_pid;
}

static bool can_run(const struct prock_stat *stat)
{
    return (stat->state != 'Z' && stat->state != 'X' && stat->state != 'x') || stat->num_threads > 1;
}

static bool is_alive(const struct prock_kept *row)
{
    return can_run(&row->stat);
}

static bool has_ended(const struct prock_kept *row)
{
    return row->flags & PROCK_GONE || (!(row->flags & PROCK_UNREAD) && !is_alive(row));
}

/* Its main thread has ended, others go on: then stat knows nothing of its memory. */
static bool lacks_leader(const struct prock_kept *row)
{
    return row->stat.state == 'Z' && row->stat.num_threads > 1;
}

/* Whether its row may have changed in a way that matters. */
static bool is_stale(const struct prock_keep *keep, size_t place, uint64_t own_ns)
{
    const struct prock_kept *row = prock_kept_at(keep, place);
    const struct prock_stamp *read = &keep->files[place].stamps[PROCK_KEPT_STAT];
    if (!keep->root.live || own_ns < row->own_ns)
        return true;
    if (own_ns == read->own_ns)
        return false;
    return row->flags & PROCK_PARENT || pids_were_given_away(keep, read) || keep->now_ns - read->at_ns > STALE_NS;
}

/* Whether the pid was given away again: between two passes, or since somebody named it. */
static bool is_another(const struct prock_keep *keep, size_t place, const struct prock_stat *stat)
{
    const struct prock_kept *row = prock_kept_at(keep, place);
    if (row->refused & PROCK_REFUSED_STAT && row->stat.starttime == 0)
        return false; /* it tells for the first time when it began */
    if (!(row->flags & PROCK_UNREAD) || keep->files[place].expects_start)
        return stat->starttime != row->stat.starttime;
    if (!row->parent)
        return false;
    const struct prock_kept *parent = prock_kept_at(keep, row->parent - 1);
    if (stat->ppid == parent->pid || stat->ppid == 0 || has_ended(parent))
        return false;
    /* A parent that has ended since its own turn, though nobody has waited for it yet, has handed its children on. */
    struct prock_stat now;
    int error = prock_read_stat(&keep->root, parent->pid, &now);
    if (error)
        return error != -ESRCH;
    return now.starttime == parent->stat.starttime && can_run(&now);
}

static bool tells_something(const struct prock_stat *known, const struct prock_stat *now, bool was_alive, bool lives)
{
    return now->cutime + now->cstime != known->cutime + known->cstime || now->cminflt != known->cminflt ||
           now->ppid != known->ppid || now->session != known->session || was_alive != lives;
}

static void refused_stat(struct prock_kept *row)
{
    row->refused |= PROCK_REFUSED_STAT;
    if (!(row->flags & PROCK_UNREAD))
        return;
    memset(&row->stat, 0, sizeof row->stat);
    row->stat.pid = row->pid;
    row->stat.state = '?';
    row->stat.num_threads = 1;
}

/* One that was new to a pass that failed, and has never been told of, only vanished. */
static void has_gone(struct prock_kept *row)
{
    row->flags |= PROCK_GONE | (row->flags & PROCK_NEW ? PROCK_UNREAD : 0);
}

static int read_stat(struct prock_keep *keep, size_t place, uint64_t own_ns)
{
    struct prock_kept *row = prock_kept_at(keep, place);
    struct prock_stat stat;
    char buf[2048];
    size_t len;
    bool unread = row->flags & PROCK_UNREAD;
    int error = prock_kept_read(keep, place, PROCK_KEPT_STAT, "stat", buf, sizeof buf, &len);
    if (!error)
        error = prock_parse_stat(buf, len, &stat);
    if ((error == -EBADMSG || (!error && stat.pid != row->pid)) && keep->files[place].fds[PROCK_KEPT_STAT] >= 0) {
        prock_kept_distrust(keep);
        error = prock_read(&keep->root, row->pid, "stat", buf, sizeof buf, &len);
        error = error ? error : prock_parse_stat(buf, len, &stat);
    }
    if (error == -EACCES || error == -ENOTSUP || error == -EBADMSG) {
        refused_stat(row);
    } else if (error && error != -ESRCH) {
        return error;
    } else if (error || is_another(keep, place, &stat)) {
        has_gone(row);
        return 0;
    } else {
        stat.pid = row->pid;
        row->refused &= ~(unsigned)PROCK_REFUSED_STAT;
        bool was_alive = is_alive(row);
        struct prock_stat known = row->stat;
        row->stat = stat;
        if (stat.num_threads != known.num_threads) /* a new one may have forked already, where nobody has looked */
            keep->files[place].stamps[PROCK_KEPT_CHILDREN] = (struct prock_stamp){.own_ns = UINT64_MAX, .last_pid = -2};
        if (!unread &&
            (tells_something(&known, &stat, was_alive, is_alive(row)) || row->flags & PROCK_REREAD || keep->everything))
            row->flags |= PROCK_REPORT;
        if (unread || known.ppid != stat.ppid)
            prock_kept_set_parent(keep, place);
    }
    if (!keep->root.live) {
        uint64_t ticks = prock_multiply(row->stat.utime + row->stat.stime, keep->root.tick_ns);
        own_ns = ticks > own_ns ? ticks : own_ns;
    }
    row->own_ns = own_ns;
    row->stat.cpu = prock_split(own_ns, row->stat.utime, row->stat.stime);
    if (unread && row->tree < keep->trees && keep->looked_ticks[row->tree] &&
        row->stat.starttime >= keep->looked_ticks[row->tree])
        row->flags |= PROCK_BORN_SINCE;
    stamp(keep, place, PROCK_KEPT_STAT);
    if (!lacks_leader(row)) {
        row->rss_bytes = prock_multiply(row->stat.rss, keep->root.page_bytes);
        row->vsize_bytes = row->stat.vsize;
        stamp(keep, place, PROCK_KEPT_STATM);
    }
    return 0;
}

static int read_memory(struct prock_keep *keep, size_t place)
{
    struct prock_kept *row = prock_kept_at(keep, place);
    const struct prock_stamp *read = &keep->files[place].stamps[PROCK_KEPT_STATM];
    if (!(keep->want & PROCK_WANT_STAT) || row->refused & PROCK_REFUSED_STAT)
        return 0;
    bool by_other_thread = lacks_leader(row);
    if (read->own_ns == row->own_ns && keep->now_ns - read->at_ns <= STALE_NS && !by_other_thread)
        return 0;
    struct prock_statm statm;
    char buf[512];
    size_t len;
    int error = by_other_thread ? prock_read_memory(&keep->root, row->pid, true, &statm)
                                : prock_kept_read(keep, place, PROCK_KEPT_STATM, "statm", buf, sizeof buf, &len);
    if (!error && !by_other_thread)
        error = prock_parse_statm(buf, len, &statm);
    if (error)
        return error == -EMFILE || error == -ENFILE || error == -ENOMEM ? error : 0;
    row->rss_bytes = prock_multiply(statm.resident, keep->root.page_bytes);
    row->vsize_bytes = prock_multiply(statm.size, keep->root.page_bytes);
    stamp(keep, place, PROCK_KEPT_STATM);
    return 0;
}

static int read_io(struct prock_keep *keep, size_t place)
{
    struct prock_kept *row = prock_kept_at(keep, place);
    if (!(keep->want & PROCK_WANT_IO) || !has_run(keep, place, PROCK_KEPT_IO))
        return 0;
    struct prock_io io;
    char buf[2048];
    size_t len;
    int error = prock_kept_read(keep, place, PROCK_KEPT_IO, "io", buf, sizeof buf, &len);
    if (!error)
        error = prock_parse_io(buf, len, &io);
    if (error == -EACCES || error == -ENOTSUP || error == -EBADMSG)
        row->refused |= PROCK_REFUSED_IO;
    if (error)
        return error == -EMFILE || error == -ENFILE || error == -ENOMEM ? error : 0;
    row->refused &= ~(unsigned)PROCK_REFUSED_IO;
    if (row->flags & PROCK_PARENT && (!(row->flags & PROCK_HAS_IO) || memcmp(&io, &row->io, sizeof io) != 0))
        row->flags |= PROCK_REPORT;
    row->io = io;
    row->flags |= PROCK_HAS_IO;
    stamp(keep, place, PROCK_KEPT_IO);
    return 0;
}

/* Children that the main thread started, and those that were handed to the process. */
static int read_leaders_children(struct prock_keep *keep, size_t place)
{
    char what[40] = "task/", buf[4096];
    size_t len = 0, digits = 5;
    int *kept = &keep->files[place].fds[PROCK_KEPT_CHILDREN];
    if (*kept < 0) {
        char reversed[10];
        for (uint32_t rest = (uint32_t)prock_kept_at(keep, place)->pid; rest; rest /= 10)
            reversed[len++] = (char)('0' + rest % 10);
        while (len)
            what[digits++] = reversed[--len];
        memcpy(what + digits, "/children", 10);
    }
    int error = prock_kept_read(keep, place, PROCK_KEPT_CHILDREN, what, buf, sizeof buf, &len);
    if (error)
        return error;
    if (len > CHILDREN_WHOLE)
        return prock_read_children(&keep->root, prock_kept_at(keep, place)->pid, 1, &keep->found);
    error = prock_parse_children(buf, len, &keep->found);
    if (error && *kept >= 0) {
        prock_kept_give_back(keep, place, PROCK_KEPT_CHILDREN);
        keep->found.n = 0;
        error = prock_read_children(&keep->root, prock_kept_at(keep, place)->pid, 1, &keep->found);
    }
    return error;
}

/* Who has run may have forked, and who has children may have been handed others' (prctl(2), subreaper). */
static int read_children(struct prock_keep *keep, size_t place)
{
    struct prock_kept *row = prock_kept_at(keep, place);
    const struct prock_stamp *read = &keep->files[place].stamps[PROCK_KEPT_CHILDREN];
    bool ran = has_run(keep, place, PROCK_KEPT_CHILDREN);
    if (!(row->flags & PROCK_UNREAD) && !(pids_were_given_away(keep, read) && (ran || row->flags & PROCK_PARENT)))
        return 0;
    keep->found.n = 0;
    int32_t threads = ran ? row->stat.num_threads : 1;
    int error = threads == 1 ? read_leaders_children(keep, place)
                             : prock_read_children(&keep->root, row->pid, threads, &keep->found);
    if (error == -ENOTSUP) {
        keep->lacks_children = true;
        return 0;
    }
    if (error == -EACCES || error == -EBADMSG)
        row->refused |= PROCK_REFUSED_CHILDREN;
    if (error)
        return error == -ESRCH || error == -EACCES || error == -EBADMSG ? 0 : error;
    row->refused &= ~(unsigned)PROCK_REFUSED_CHILDREN;
    stamp(keep, place, PROCK_KEPT_CHILDREN);
    uint32_t tree = row->tree;
    for (size_t i = 0; i < keep->found.n && !error; i++)
        if (!prock_kept_knows(keep, keep->found.v[i]))
            error = prock_kept_append(keep, keep->found.v[i], tree, (uint32_t)place + 1, 0);
    return error;
}

int prock_kept_look(struct prock_keep *keep, size_t place)
{
    struct prock_kept *row = prock_kept_at(keep, place);
    uint64_t own_ns = row->own_ns;
    int error = 0;
    if (row->flags & PROCK_GONE)
        return 0; /* found so by a pass that failed */
    if (keep->root.live && (error = prock_cpu_total(row->pid, &own_ns))) {
        if (error != -ESRCH)
            return error;
        has_gone(row);
        return 0;
    }
    bool orphaned = row->parent && has_ended(prock_kept_at(keep, row->parent - 1));
    if (row->flags & (PROCK_UNREAD | PROCK_REREAD) || keep->everything || orphaned || is_stale(keep, place, own_ns)) {
        error = read_stat(keep, place, own_ns);
        if (error || row->flags & PROCK_GONE)
            return error;
    } else {
        row->own_ns = own_ns;
    }
    if ((error = read_memory(keep, place)) || (error = read_io(keep, place)) || (error = read_children(keep, place)))
        return error;
    row = prock_kept_at(keep, place); /* the table moves when it grows */
    if (row->flags & PROCK_UNREAD)
        row->flags |= PROCK_NEW | PROCK_REPORT;
    row->flags &= ~(unsigned)(PROCK_UNREAD | PROCK_REREAD);
    return 0;
}

/* Nothing but its start is taken from the row: it is younger than what was read of its children, whom it may have
 * waited for meanwhile. */
int prock_kept_verify(struct prock_keep *keep, size_t place)
{
    struct prock_kept *row = prock_kept_at(keep, place);
    struct prock_stat stat;
    char buf[2048];
    size_t len;
    if (row->flags & PROCK_GONE || keep->files[place].stamps[PROCK_KEPT_STAT].own_ns == row->own_ns)
        return 0;
    int error = prock_read(&keep->root, row->pid, "stat", buf, sizeof buf, &len);
    if (error)
        return error == -EMFILE || error == -ENFILE || error == -ENOMEM ? error : 0;
    if (prock_parse_stat(buf, len, &stat) == 0 && stat.starttime != row->stat.starttime && row->stat.starttime != 0) {
        row->own_ns = row->before_ns;
        row->io = row->io_before;
        has_gone(row);
    }
    return 0;
}
