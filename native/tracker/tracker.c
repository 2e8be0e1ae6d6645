/* One pass over the members of tracked trees. */
#define _GNU_SOURCE
#include "tracker/tracker.h"
#include "errors.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Returns -1 if unknown. */
static int64_t read_last_pid(struct prock_tracker *tracker)
{
    int32_t pid;
    if (tracker->last_pid_fd < 0) {
        tracker->last_pid_fd = prock_open_last_pid(&tracker->root);
        if (tracker->last_pid_fd < 0)
            return -1;
        tracker->last_pid_file_id = prock_file_id(tracker->last_pid_fd);
    }
    return tracker->root.clocks_usable && prock_read_last_pid(tracker->last_pid_fd, &pid) == 0 ? pid : -1;
}

void prock_tracker_init(
    struct prock_tracker *tracker, const struct prock_root *root, int want, size_t budget,
    struct prock_member_table *table)
{
    *tracker = (struct prock_tracker){.root = *root, .want = want, .budget = budget, .table = table, .last_pid_fd = -1};
}

static int reserve_tree(struct prock_tracker *tracker, uint32_t tree)
{
    if (tree < tracker->trees)
        return 0;
    size_t trees = (size_t)tree + 1;
    uint64_t *ticks = realloc(tracker->sampled_ticks, trees * sizeof *ticks);
    if (!ticks)
        return -ENOMEM;
    memset(ticks + tracker->trees, 0, (trees - tracker->trees) * sizeof *ticks);
    tracker->sampled_ticks = ticks;
    tracker->trees = trees;
    return 0;
}

int prock_tracker_add(struct prock_tracker *tracker, int32_t pid, uint32_t tree)
{
    int error = prock_member_table_drop_gone(tracker);
    if (error || prock_member_table_contains(tracker, pid))
        return error;
    if ((error = reserve_tree(tracker, tree)))
        return error;
    tracker->sampled_ticks[tree] = 0;
    return prock_member_table_append(tracker, pid, tree, 0, PROCK_ROOT);
}

int prock_tracker_adopt(struct prock_tracker *tracker, int32_t pid, uint64_t starttime, uint32_t tree)
{
    if (prock_member_table_contains(tracker, pid))
        return 0;
    int error = reserve_tree(tracker, tree);
    if (!error)
        error = prock_member_table_append(tracker, pid, tree, 0, 0);
    if (!error) {
        prock_member_at(tracker, tracker->table->n - 1)->stat.starttime = starttime;
        tracker->files[tracker->table->n - 1].expects_start = true;
    }
    return error;
}

int prock_tracker_remove(struct prock_tracker *tracker, uint32_t tree)
{
    for (size_t i = 0; i < tracker->table->n; i++)
        if (prock_member_at(tracker, i)->tree == tree)
            prock_member_at(tracker, i)->flags = PROCK_GONE;
    return prock_member_table_drop_gone(tracker);
}

void prock_tracker_reread(struct prock_tracker *tracker, int32_t pid)
{
    uint32_t index;
    if (prock_pidmap_get(&tracker->by_pid, pid, &index))
        prock_member_at(tracker, index)->flags |= PROCK_REREAD;
}

static bool is_in_pass(const struct prock_tracker *tracker, const struct prock_member *row)
{
    return tracker->tree < 0 || tracker->tree == (int64_t)row->tree;
}

int prock_tracker_start(struct prock_tracker *tracker, int64_t tree, bool read_all)
{
    int error = prock_member_table_drop_gone(tracker);
    if (error)
        return error;
    /* If the descriptor was replaced, its content would never change again, and no fork would be noticed. */
    if (tracker->last_pid_fd >= 0 && prock_file_id(tracker->last_pid_fd) != tracker->last_pid_file_id) {
        tracker->last_pid_fd = -1;
        prock_fd_cache_invalidate(tracker);
    }
    tracker->last_pid = read_last_pid(tracker);
    tracker->now_ns = prock_monotonic_ns();
    tracker->pass++;
    tracker->tree = tree;
    tracker->read_all = read_all;
    tracker->verifying = false;
    tracker->next = 0;
    for (size_t i = 0; i < tracker->table->n; i++) {
        struct prock_member *row = prock_member_at(tracker, i);
        if (!is_in_pass(tracker, row))
            continue;
        if (row->flags & PROCK_PENDING) {
            row->flags &= ~(unsigned)PROCK_PENDING;
            continue;
        }
        row->flags &= ~(unsigned)(PROCK_NEW | PROCK_STARTED | PROCK_CHANGED);
        row->previous_own_ns = row->own_ns;
        row->previous_io = row->io;
        row->previous_peak_rss_bytes = row->peak_rss_bytes;
    }
    return 0;
}

static void finish(struct prock_tracker *tracker)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    uint64_t ticks = ((uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec) / tracker->root.tick_ns;
    for (size_t tree = 0; tree < tracker->trees; tree++)
        if (tracker->tree < 0 || tracker->tree == (int64_t)tree)
            tracker->sampled_ticks[tree] = ticks;
}

void prock_tracker_mark_pending(struct prock_tracker *tracker)
{
    for (size_t i = 0; i < tracker->table->n; i++)
        if (is_in_pass(tracker, prock_member_at(tracker, i)))
            prock_member_at(tracker, i)->flags |= PROCK_PENDING;
}

/* If pids were allocated during the pass, a member that ran since may be another process with the same pid. */
static bool needs_verification(struct prock_tracker *tracker)
{
    if (tracker->last_pid < 0 || tracker->verifying)
        return false;
    tracker->verifying = read_last_pid(tracker) != tracker->last_pid;
    tracker->next = 0;
    return tracker->verifying;
}

int prock_tracker_run(struct prock_tracker *tracker, uint64_t deadline_ns)
{
    do {
        while (tracker->next < tracker->table->n) {
            size_t index = tracker->next++;
            int error = 0;
            if (is_in_pass(tracker, prock_member_at(tracker, index)))
                error = tracker->verifying ? prock_verify_member(tracker, index) : prock_refresh_member(tracker, index);
            if (error) {
                prock_tracker_mark_pending(tracker);
                return error;
            }
            if (prock_deadline_passed(tracker->next, deadline_ns))
                return 1;
        }
    } while (needs_verification(tracker));
    for (size_t i = 0; i < tracker->table->n; i++) {
        int error = is_in_pass(tracker, prock_member_at(tracker, i)) ? prock_tracker_find_shared(tracker, i) : 0;
        if (error) {
            prock_tracker_mark_pending(tracker);
            return error;
        }
    }
    finish(tracker);
    return 0;
}

void prock_tracker_abandon(struct prock_tracker *tracker)
{
    prock_fd_cache_invalidate(tracker);
    prock_close_if_unchanged(tracker->last_pid_fd, tracker->last_pid_file_id);
    tracker->last_pid_fd = -1;
}

void prock_tracker_free(struct prock_tracker *tracker)
{
    prock_tracker_abandon(tracker);
    tracker->table->n = 0;
    prock_pidmap_free(&tracker->by_pid);
    prock_pids_free(&tracker->found);
    free(tracker->files);
    free(tracker->sampled_ticks);
    tracker->files = NULL;
    tracker->sampled_ticks = NULL;
    tracker->files_cap = tracker->trees = 0;
}
