/* Usage of each member and all its descendants: summed from the leaves up. */
#include "tracker/tracker.h"

#include <errno.h>
#include <stdlib.h>

void prock_add_io(struct prock_io *sum, const struct prock_io *io)
{
    sum->read_bytes += io->read_bytes;
    sum->write_bytes += io->write_bytes;
    sum->cancelled_write_bytes += io->cancelled_write_bytes;
    sum->rchar += io->rchar;
    sum->wchar += io->wchar;
    sum->syscr += io->syscr;
    sum->syscw += io->syscw;
}

static bool is_in_tree(const struct prock_member *row, uint32_t tree)
{
    return row->tree == tree && !(row->flags & (PROCK_GONE | PROCK_UNREAD));
}

/* The parent's index + 1; 0 for the root, and if the parent is not in the tree. */
static uint32_t parent_in_tree(const struct prock_member_table *table, const struct prock_member *row)
{
    if (row->flags & PROCK_ROOT || row->parent == 0)
        return 0;
    return is_in_tree(&table->rows[row->parent - 1], row->tree) ? row->parent : 0;
}

int64_t prock_member_used_ns(const struct prock_member *row)
{
    if ((row->flags & PROCK_NEW) && !(row->flags & PROCK_STARTED))
        return -1;
    return (int64_t)(row->own_ns - row->previous_own_ns);
}

static void add(
    const struct prock_member_table *table, uint64_t tick_ns, uint32_t index, struct prock_subtree_sum *sums)
{
    const struct prock_member *row = &table->rows[index];
    struct prock_subtree_sum *sum = &sums[index];
    int64_t used = prock_member_used_ns(row);
    sum->used_ns += used > 0 ? (uint64_t)used : 0;
    sum->processes += 1;
    sum->threads += (uint64_t)row->stat.thread_count;
    sum->cpu_ns += row->own_ns + prock_multiply(row->stat.cutime, tick_ns) + prock_multiply(row->stat.cstime, tick_ns);
    sum->rss_bytes += row->rss_bytes;
    sum->vsize_bytes += row->vsize_bytes;
    if (row->flags & PROCK_HAS_IO) {
        prock_add_io(&sum->io, &row->io);
        sum->has_io = true;
    }
    prock_add_numbers(&sum->numbers, &row->numbers);
    uint32_t parent = parent_in_tree(table, row);
    if (parent) {
        struct prock_subtree_sum *up = &sums[parent - 1];
        up->processes += sum->processes;
        up->threads += sum->threads;
        up->cpu_ns += sum->cpu_ns;
        up->used_ns += sum->used_ns;
        bool shares = row->flags & PROCK_SHARES_SPACE; /* counted with the member that it shares with */
        up->rss_bytes += sum->rss_bytes - (shares ? row->rss_bytes : 0);
        up->vsize_bytes += sum->vsize_bytes - (shares ? row->vsize_bytes : 0);
        prock_add_io(&up->io, &sum->io);
        up->has_io = up->has_io || sum->has_io;
        prock_add_numbers(&up->numbers, &sum->numbers);
    }
}

int prock_subtree_sums(
    const struct prock_member_table *table, uint32_t tree, uint64_t tick_ns, uint32_t *order, size_t *n,
    struct prock_subtree_sum *sums)
{
    size_t count = 0;
    uint32_t *first = calloc(table->n + 1, sizeof *first), *sibling = calloc(table->n + 1, sizeof *sibling);
    if (!first || !sibling) {
        free(first);
        free(sibling);
        return -ENOMEM;
    }
    for (size_t i = table->n; i-- > 0;) {
        uint32_t parent = is_in_tree(&table->rows[i], tree) ? parent_in_tree(table, &table->rows[i]) : 0;
        if (parent) {
            sibling[i] = first[parent - 1];
            first[parent - 1] = (uint32_t)i + 1;
        }
    }
    for (int want_root = 1; want_root >= 0; want_root--)
        for (size_t i = 0; i < table->n; i++) {
            const struct prock_member *row = &table->rows[i];
            if (is_in_tree(row, tree) && !parent_in_tree(table, row) && ((row->flags & PROCK_ROOT) != 0) == want_root)
                order[count++] = (uint32_t)i;
        }
    for (size_t i = 0; i < count; i++)
        for (uint32_t child = first[order[i]]; child; child = sibling[child - 1])
            order[count++] = child - 1;
    for (size_t i = count; i-- > 0;)
        add(table, tick_ns, order[i], sums);
    free(first);
    free(sibling);
    *n = count;
    return 0;
}
