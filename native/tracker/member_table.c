/* The table of members, and the index of pids in it. */
#include "tracker/tracker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int prock_member_table_copy(const struct prock_member_table *table, struct prock_member_table *copy)
{
    size_t cap = table->n + table->n / 8 + 16;
    copy->rows = malloc(cap * sizeof *copy->rows);
    if (!copy->rows)
        return -ENOMEM;
    if (table->n)
        memcpy(copy->rows, table->rows, table->n * sizeof *copy->rows);
    copy->n = table->n;
    copy->cap = cap;
    return 0;
}

/* Without realloc: another thread may fork at any instant, and prock_tracker_abandon in the child reads both arrays. */
static void *larger(const void *items, size_t n, size_t *cap, size_t size)
{
    size_t wanted = *cap ? *cap * 2 : 32;
    void *copy = malloc(wanted * size);
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, items, n * size);
    *cap = wanted;
    return copy;
}

static int grow(struct prock_tracker *tracker)
{
    struct prock_member_table *table = tracker->table;
    if (table->n == table->cap) {
        struct prock_member *rows = table->rows, *copy = larger(rows, table->n, &table->cap, sizeof *rows);
        if (!copy)
            return -ENOMEM;
        table->rows = copy;
        free(rows);
    }
    if (table->n == tracker->files_cap) {
        struct prock_member_files *files = tracker->files,
                                  *copy = larger(files, table->n, &tracker->files_cap, sizeof *files);
        if (!copy)
            return -ENOMEM;
        tracker->files = copy;
        free(files);
    }
    return 0;
}

bool prock_member_table_contains(const struct prock_tracker *tracker, int32_t pid)
{
    uint32_t index;
    return prock_pidmap_get(&tracker->by_pid, pid, &index) && !(prock_member_at(tracker, index)->flags & PROCK_GONE);
}

static void mark_parent(struct prock_tracker *tracker, uint32_t parent)
{
    struct prock_member *row = parent ? prock_member_at(tracker, parent - 1) : NULL;
    if (row && !(row->flags & PROCK_PARENT))
        row->flags |= PROCK_PARENT | PROCK_CHANGED;
}

int prock_member_table_append(
    struct prock_tracker *tracker, int32_t pid, uint32_t tree, uint32_t parent, unsigned flags)
{
    int error = grow(tracker);
    if (!error)
        error = prock_pidmap_put(&tracker->by_pid, pid, (uint32_t)tracker->table->n);
    if (error)
        return error;
    size_t index = tracker->table->n++;
    struct prock_member *row = prock_member_at(tracker, index);
    memset(row, 0, sizeof *row);
    row->pid = row->stat.pid = pid;
    row->tree = tree;
    row->parent = parent;
    row->flags = PROCK_UNREAD | flags;
    struct prock_member_files *files = &tracker->files[index];
    memset(files, 0, sizeof *files);
    for (int kind = 0; kind < PROCK_FILE_COUNT; kind++) {
        files->fds[kind] = -1;
        files->stamps[kind].own_ns = UINT64_MAX;
    }
    mark_parent(tracker, parent);
    return 0;
}

static bool is_droppable(const struct prock_member *row)
{
    return (row->flags & (PROCK_GONE | PROCK_PENDING)) == PROCK_GONE;
}

int prock_member_table_drop_gone(struct prock_tracker *tracker)
{
    struct prock_member_table *table = tracker->table;
    size_t remaining = 0;
    for (size_t i = 0; i < table->n; i++)
        remaining += !is_droppable(&table->rows[i]);
    if (remaining == table->n)
        return 0;
    uint32_t *moved = calloc(table->n, sizeof *moved);
    if (!moved)
        return -ENOMEM;
    prock_pidmap_free(&tracker->by_pid);
    remaining = 0;
    int error = 0;
    for (size_t i = 0; i < table->n; i++) {
        if (is_droppable(&table->rows[i])) {
            prock_fd_cache_close_member(tracker, i);
            continue;
        }
        table->rows[remaining] = table->rows[i];
        tracker->files[remaining] = tracker->files[i];
        if (!error)
            error = prock_pidmap_put(&tracker->by_pid, table->rows[remaining].pid, (uint32_t)remaining);
        moved[i] = (uint32_t)++remaining;
    }
    table->n = remaining;
    for (size_t i = 0; i < remaining; i++) {
        struct prock_member *row = &table->rows[i];
        uint32_t parent = row->parent ? moved[row->parent - 1] : 0;
        if (row->parent && !parent)
            row->flags |= PROCK_REREAD;
        row->parent = parent;
    }
    free(moved);
    return error;
}

void prock_member_table_set_parent(struct prock_tracker *tracker, size_t index)
{
    struct prock_member *row = prock_member_at(tracker, index);
    uint32_t parent;
    row->parent = 0;
    if (!prock_pidmap_get(&tracker->by_pid, row->stat.ppid, &parent) || parent == index ||
        prock_member_at(tracker, parent)->flags & PROCK_GONE)
        return;
    row->parent = parent + 1;
    mark_parent(tracker, row->parent);
}
