/* The result of MemberTracker.sample(). */
#include <stdlib.h>

#include "tracker_snapshot.h"

struct sums {
    uint64_t members, threads, own_ns, rss_bytes, vsize_bytes, hugetlb_bytes, denied, appeared, vanished, sharing;
    struct prock_io leaves;
    struct prock_numbers numbers;
};

/* In the order of PROCK_NUMBERS; None if no member's is known. */
static PyObject *tuple_of_numbers(const struct prock_numbers *numbers)
{
    PyObject *items[PROCK_NUMBERS_SIZE];
    for (int id = 0; id < PROCK_NUMBER_COUNT; id++)
        items[id] = prock_py_number(numbers, id);
    return prock_py_tuple_of(PROCK_NUMBER_COUNT, items);
}

/* Pids of the members whose address space counts with another member. */
static PyObject *sharing_of(const TrackerSnapshot *self, size_t tree, uint64_t count)
{
    PyObject *pids = PyList_New(0);
    for (size_t i = 0; pids && count && i < self->table.n; i++) {
        const struct prock_member *row = &self->table.rows[i];
        if (row->tree == tree && row->flags & PROCK_SHARES_SPACE && !(row->flags & (PROCK_GONE | PROCK_UNREAD)))
            prock_py_list_append(&pids, PyLong_FromLong(row->pid));
    }
    return pids;
}

#define TREE_SUMS(F)                                                                                                   \
    F(process_count, prock_py_u64(sum->members))                                                                       \
    F(thread_count, prock_py_u64(sum->threads))                                                                        \
    F(cpu_ns, prock_py_u64(sum->own_ns))                                                                               \
    F(rss_bytes, prock_py_u64(sum->rss_bytes))                                                                         \
    F(vsize_bytes, prock_py_u64(sum->vsize_bytes))                                                                     \
    F(hugetlb_bytes, prock_py_u64(sum->hugetlb_bytes))                                                                 \
    F(leaf_io, prock_py_io_row(self->proc, &sum->leaves))                                                              \
    F(denied, prock_py_u64(sum->denied))                                                                               \
    F(appeared, prock_py_u64(sum->appeared))                                                                           \
    F(vanished, prock_py_u64(sum->vanished))                                                                           \
    F(sharing, sharing_of(self, tree, sum->sharing))                                                                   \
    F(numbers, tuple_of_numbers(&sum->numbers))

const char *const prock_py_tree_sums_fields[] = PROCK_FIELD_NAMES(TREE_SUMS);

static PyObject *sums_of(TrackerSnapshot *self, size_t trees)
{
    struct sums *sums = calloc(trees + 1, sizeof *sums);
    if (!sums)
        return PyErr_NoMemory();
    PyObject *list = PyList_New((Py_ssize_t)trees);
    for (size_t i = 0; list && i < self->table.n; i++) {
        const struct prock_member *row = &self->table.rows[i];
        struct sums *sum = &sums[row->tree];
        if (row->flags & (PROCK_GONE | PROCK_UNREAD)) {
            sum->vanished += (row->flags & PROCK_UNREAD) != 0;
            continue;
        }
        sum->members++;
        sum->threads += (uint64_t)row->stat.thread_count;
        sum->own_ns += row->own_ns;
        if (row->flags & PROCK_SHARES_SPACE) {
            sum->sharing++;
        } else {
            sum->rss_bytes += row->rss_bytes;
            sum->vsize_bytes += row->vsize_bytes;
            sum->hugetlb_bytes += row->hugetlb_bytes;
        }
        sum->denied += row->unreadable != 0;
        sum->appeared += (row->flags & PROCK_NEW) != 0;
        if (!(row->flags & PROCK_PARENT) && row->flags & PROCK_HAS_IO)
            prock_add_io(&sum->leaves, &row->io);
        prock_add_numbers(&sum->numbers, &row->numbers);
    }
    for (size_t tree = 0; list && tree < trees; tree++) {
        const struct sums *sum = &sums[tree];
        prock_py_list_set(&list, tree, PROCK_NAMEDTUPLE(self->proc, self->proc->tree_sums, TREE_SUMS));
    }
    free(sums);
    return list;
}

#define MEMBER_CHANGE(F)                                                                                               \
    F(tree, PyLong_FromUnsignedLong(row->tree))                                                                        \
    F(info, prock_py_info_row(self->proc, &row->stat))                                                                 \
    F(disk_io, prock_py_io_or_none(self->proc, row->flags &PROCK_HAS_IO, &row->io))                                    \
    F(is_parent, PyBool_FromLong((row->flags & PROCK_PARENT) != 0))                                                    \
    F(peak_rss_bytes, prock_py_u64(row->peak_rss_bytes))

const char *const prock_py_member_change_fields[] = PROCK_FIELD_NAMES(MEMBER_CHANGE);

static PyObject *change_of(TrackerSnapshot *self, const struct prock_member *row)
{
    return PROCK_NAMEDTUPLE(self->proc, self->proc->member_change, MEMBER_CHANGE);
}

#define MEMBER_END(F)                                                                                                  \
    F(tree, PyLong_FromUnsignedLong(row->tree))                                                                        \
    F(identity, Py_BuildValue("(iK)", row->pid, (unsigned long long)row->stat.starttime))                              \
    F(cpu_ns, prock_py_u64(row->own_ns))                                                                               \
    F(disk_io, prock_py_io_or_none(self->proc, row->flags &PROCK_HAS_IO, &row->io))                                    \
    F(peak_rss_bytes, prock_py_u64(row->peak_rss_bytes))                                                               \
    F(comm, prock_py_text(row->stat.comm, row->stat.comm_len))

const char *const prock_py_member_end_fields[] = PROCK_FIELD_NAMES(MEMBER_END);

static PyObject *end_of(TrackerSnapshot *self, const struct prock_member *row)
{
    return PROCK_NAMEDTUPLE(self->proc, self->proc->member_end, MEMBER_END);
}

/* A list of the sampled members with one flag and without another. */
static PyObject *events(
    TrackerSnapshot *self, int64_t tree, unsigned with, unsigned without,
    PyObject *(*make)(TrackerSnapshot *, const struct prock_member *))
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < self->table.n; i++) {
        const struct prock_member *row = &self->table.rows[i];
        bool sampled = tree < 0 || tree == (int64_t)row->tree;
        if (sampled && row->flags & with && !(row->flags & without))
            prock_py_list_append(&list, make(self, row));
    }
    return list;
}

#define TRACKER_SAMPLE(F)                                                                                              \
    F(snapshot, (PyObject *)self)                                                                                      \
    F(sums, sums_of(self, trees))                                                                                      \
    F(changed, events(self, tree, PROCK_CHANGED, PROCK_GONE | PROCK_UNREAD, change_of))                                \
    F(ended, events(self, tree, PROCK_GONE, PROCK_UNREAD, end_of))

const char *const prock_py_tracker_sample_fields[] = PROCK_FIELD_NAMES(TRACKER_SAMPLE);

PyObject *prock_py_tracker_result(TrackerSnapshot *self, size_t trees, int64_t tree)
{
    Py_INCREF((PyObject *)self);
    return PROCK_NAMEDTUPLE(self->proc, self->proc->tracker_sample, TRACKER_SAMPLE);
}
