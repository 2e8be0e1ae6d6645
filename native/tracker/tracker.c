/* Trees that are followed: one pass over their members. engine/pure/tracker.py says the same in Python. */
#define _GNU_SOURCE
#include "tracker/tracker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* -1 where it is not known. */
static int64_t read_last_pid(struct prock_keep *keep)
{
    int32_t pid;
    if (keep->last_pid_fd < 0) {
        keep->last_pid_fd = prock_open_last_pid(&keep->root);
        if (keep->last_pid_fd < 0)
            return -1;
        keep->last_pid_number = prock_file_number(keep->last_pid_fd);
    }
    return keep->root.live && prock_read_last_pid(keep->last_pid_fd, &pid) == 0 ? pid : -1;
}

void prock_keep_init(
    struct prock_keep *keep, const struct prock_root *root, int want, size_t budget, struct prock_table *table)
{
    *keep = (struct prock_keep){.root = *root, .want = want, .budget = budget, .table = table, .last_pid_fd = -1};
}

static int have_tree(struct prock_keep *keep, uint32_t tree)
{
    if (tree < keep->trees)
        return 0;
    size_t trees = (size_t)tree + 1;
    uint64_t *ticks = realloc(keep->looked_ticks, trees * sizeof *ticks);
    if (!ticks)
        return -ENOMEM;
    memset(ticks + keep->trees, 0, (trees - keep->trees) * sizeof *ticks);
    keep->looked_ticks = ticks;
    keep->trees = trees;
    return 0;
}

int prock_keep_add(struct prock_keep *keep, int32_t pid, uint32_t tree)
{
    int error = prock_kept_drop_gone(keep);
    if (error || prock_kept_knows(keep, pid))
        return error;
    if ((error = have_tree(keep, tree)))
        return error;
    keep->looked_ticks[tree] = 0;
    return prock_kept_append(keep, pid, tree, 0, PROCK_ROOT);
}

int prock_keep_adopt(struct prock_keep *keep, int32_t pid, uint64_t starttime, uint32_t tree)
{
    if (prock_kept_knows(keep, pid))
        return 0;
    int error = have_tree(keep, tree);
    if (!error)
        error = prock_kept_append(keep, pid, tree, 0, 0);
    if (!error) {
        prock_kept_at(keep, keep->table->n - 1)->stat.starttime = starttime;
        keep->files[keep->table->n - 1].expects_start = true;
    }
    return error;
}

int prock_keep_remove(struct prock_keep *keep, uint32_t tree)
{
    for (size_t i = 0; i < keep->table->n; i++)
        if (prock_kept_at(keep, i)->tree == tree)
            prock_kept_at(keep, i)->flags = PROCK_GONE;
    return prock_kept_drop_gone(keep);
}

void prock_keep_reread(struct prock_keep *keep, int32_t pid)
{
    uint32_t place;
    if (prock_pidmap_get(&keep->index, pid, &place))
        prock_kept_at(keep, place)->flags |= PROCK_REREAD;
}

static bool is_wanted(const struct prock_keep *keep, const struct prock_kept *row)
{
    return keep->tree < 0 || keep->tree == (int64_t)row->tree;
}

int prock_keep_start(struct prock_keep *keep, int64_t tree, bool everything)
{
    int error = prock_kept_drop_gone(keep);
    if (error)
        return error;
    /* Were that number another file's by now, it would tell for ever that nothing was forked; and so may be any. */
    if (keep->last_pid_fd >= 0 && prock_file_number(keep->last_pid_fd) != keep->last_pid_number) {
        keep->last_pid_fd = -1;
        prock_kept_distrust(keep);
    }
    keep->last_pid = read_last_pid(keep);
    keep->now_ns = prock_monotonic_ns();
    keep->number++;
    keep->tree = tree;
    keep->everything = everything;
    keep->verifies = false;
    keep->next = 0;
    for (size_t i = 0; i < keep->table->n; i++) {
        struct prock_kept *row = prock_kept_at(keep, i);
        if (!is_wanted(keep, row))
            continue;
        if (row->flags & PROCK_UNTOLD) {
            row->flags &= ~(unsigned)PROCK_UNTOLD;
            continue;
        }
        row->flags &= ~(unsigned)(PROCK_NEW | PROCK_BORN_SINCE | PROCK_REPORT);
        row->before_ns = row->own_ns;
        row->io_before = row->io;
    }
    return 0;
}

static void finish(struct prock_keep *keep)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    uint64_t ticks = ((uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec) / keep->root.tick_ns;
    for (size_t tree = 0; tree < keep->trees; tree++)
        if (keep->tree < 0 || keep->tree == (int64_t)tree)
            keep->looked_ticks[tree] = ticks;
}

void prock_keep_failed(struct prock_keep *keep)
{
    for (size_t i = 0; i < keep->table->n; i++)
        if (is_wanted(keep, prock_kept_at(keep, i)))
            prock_kept_at(keep, i)->flags |= PROCK_UNTOLD;
}

/* Whether the machine gave pids away while the pass was under way: then who has run since may be somebody else, whose
 * clock answered, and it is to be made sure of. */
static bool is_in_doubt(struct prock_keep *keep)
{
    if (keep->last_pid < 0 || keep->verifies)
        return false;
    keep->verifies = read_last_pid(keep) != keep->last_pid;
    keep->next = 0;
    return keep->verifies;
}

int prock_keep_run(struct prock_keep *keep, uint64_t deadline_ns)
{
    do {
        while (keep->next < keep->table->n) {
            size_t place = keep->next++;
            int error = 0;
            if (is_wanted(keep, prock_kept_at(keep, place)))
                error = keep->verifies ? prock_kept_verify(keep, place) : prock_kept_look(keep, place);
            if (error) {
                prock_keep_failed(keep);
                return error;
            }
            bool look = deadline_ns != PROCK_NO_DEADLINE && keep->next % PROCK_STRIDE == 0;
            if (look && prock_monotonic_ns() > deadline_ns)
                return 1;
        }
    } while (is_in_doubt(keep));
    finish(keep);
    return 0;
}

void prock_keep_abandon(struct prock_keep *keep)
{
    prock_kept_distrust(keep);
    prock_close_if_same(keep->last_pid_fd, keep->last_pid_number);
    keep->last_pid_fd = -1;
}

void prock_keep_free(struct prock_keep *keep)
{
    prock_keep_abandon(keep);
    keep->table->n = 0;
    prock_pidmap_free(&keep->index);
    prock_pids_free(&keep->found);
    free(keep->files);
    free(keep->looked_ticks);
    keep->files = NULL;
    keep->looked_ticks = NULL;
    keep->files_cap = keep->trees = 0;
}
