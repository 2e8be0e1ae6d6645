/* The members that are known, and the places where they stand. */
#include "tracker/tracker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct prock_kept *prock_kept_at(const struct prock_keep *keep, size_t place)
{
    return &keep->table->rows[place];
}

int prock_table_copy(const struct prock_table *table, struct prock_table *copy)
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

/* Not by realloc: at any instant another thread may fork, and in the child prock_keep_abandon reads both. */
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

static int grow(struct prock_keep *keep)
{
    struct prock_table *table = keep->table;
    if (table->n == table->cap) {
        struct prock_kept *rows = table->rows, *copy = larger(rows, table->n, &table->cap, sizeof *rows);
        if (!copy)
            return -ENOMEM;
        table->rows = copy;
        free(rows);
    }
    if (table->n == keep->files_cap) {
        struct prock_kept_files *files = keep->files, *copy = larger(files, table->n, &keep->files_cap, sizeof *files);
        if (!copy)
            return -ENOMEM;
        keep->files = copy;
        free(files);
    }
    return 0;
}

bool prock_kept_knows(const struct prock_keep *keep, int32_t pid)
{
    uint32_t place;
    return prock_pidmap_get(&keep->index, pid, &place) && !(prock_kept_at(keep, place)->flags & PROCK_GONE);
}

static void now_a_parent(struct prock_keep *keep, uint32_t parent)
{
    struct prock_kept *row = parent ? prock_kept_at(keep, parent - 1) : NULL;
    if (row && !(row->flags & PROCK_PARENT))
        row->flags |= PROCK_PARENT | PROCK_REPORT;
}

int prock_kept_append(struct prock_keep *keep, int32_t pid, uint32_t tree, uint32_t parent, unsigned flags)
{
    int error = grow(keep);
    if (!error)
        error = prock_pidmap_put(&keep->index, pid, (uint32_t)keep->table->n);
    if (error)
        return error;
    size_t place = keep->table->n++;
    struct prock_kept *row = prock_kept_at(keep, place);
    memset(row, 0, sizeof *row);
    row->pid = row->stat.pid = pid;
    row->tree = tree;
    row->parent = parent;
    row->flags = PROCK_UNREAD | flags;
    struct prock_kept_files *files = &keep->files[place];
    memset(files, 0, sizeof *files);
    for (int kind = 0; kind < PROCK_KEPT_FILES; kind++) {
        files->fds[kind] = -1;
        files->stamps[kind].own_ns = UINT64_MAX;
    }
    now_a_parent(keep, parent);
    return 0;
}

static bool is_told_gone(const struct prock_kept *row)
{
    return (row->flags & (PROCK_GONE | PROCK_UNTOLD)) == PROCK_GONE;
}

int prock_kept_drop_gone(struct prock_keep *keep)
{
    struct prock_table *table = keep->table;
    size_t kept = 0;
    for (size_t i = 0; i < table->n; i++)
        kept += !is_told_gone(&table->rows[i]);
    if (kept == table->n)
        return 0;
    uint32_t *moved = calloc(table->n, sizeof *moved);
    if (!moved)
        return -ENOMEM;
    prock_pidmap_free(&keep->index);
    kept = 0;
    int error = 0;
    for (size_t i = 0; i < table->n; i++) {
        if (is_told_gone(&table->rows[i])) {
            prock_kept_give_back_all(keep, i);
            continue;
        }
        table->rows[kept] = table->rows[i];
        keep->files[kept] = keep->files[i];
        if (!error)
            error = prock_pidmap_put(&keep->index, table->rows[kept].pid, (uint32_t)kept);
        moved[i] = (uint32_t)++kept;
    }
    table->n = kept;
    for (size_t i = 0; i < kept; i++) {
        struct prock_kept *row = &table->rows[i];
        uint32_t parent = row->parent ? moved[row->parent - 1] : 0;
        if (row->parent && !parent)
            row->flags |= PROCK_REREAD;
        row->parent = parent;
    }
    free(moved);
    return error;
}

void prock_kept_set_parent(struct prock_keep *keep, size_t place)
{
    struct prock_kept *row = prock_kept_at(keep, place);
    uint32_t parent;
    row->parent = 0;
    if (!prock_pidmap_get(&keep->index, row->stat.ppid, &parent) || parent == place ||
        prock_kept_at(keep, parent)->flags & PROCK_GONE)
        return;
    row->parent = parent + 1;
    now_a_parent(keep, row->parent);
}
