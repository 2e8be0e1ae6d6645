/* What a pass over followed trees found, for Python. */
#include <stdlib.h>

#include "tracker_snapshot.h"

struct sums {
    uint64_t members, threads, own_ns, rss_bytes, vsize_bytes, denied, appeared, vanished;
    struct prock_io leaves;
};

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
        sum->rss_bytes += row->rss_bytes;
        sum->vsize_bytes += row->vsize_bytes;
        sum->denied += row->unreadable != 0;
        sum->appeared += (row->flags & PROCK_NEW) != 0;
        if (!(row->flags & PROCK_PARENT) && row->flags & PROCK_HAS_IO)
            prock_add_io(&sum->leaves, &row->io);
    }
    for (size_t tree = 0; list && tree < trees; tree++) {
        const struct sums *sum = &sums[tree];
        PyObject *const items[] = {
            prock_py_u64(sum->members),   prock_py_u64(sum->threads),     prock_py_u64(sum->own_ns),
            prock_py_u64(sum->rss_bytes), prock_py_u64(sum->vsize_bytes), prock_py_io_row(self->proc, &sum->leaves),
            prock_py_u64(sum->denied),    prock_py_u64(sum->appeared),    prock_py_u64(sum->vanished),
        };
        PyObject *row = prock_py_tuple_of(9, items);
        if (!row)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)tree, row);
    }
    free(sums);
    return list;
}

static PyObject *change_of(TrackerSnapshot *self, const struct prock_member *row)
{
    PyObject *const items[] = {
        PyLong_FromUnsignedLong(row->tree),
        prock_py_info_row(self->proc, &row->stat),
        prock_py_io_or_none(self->proc, row->flags & PROCK_HAS_IO, &row->io),
        PyBool_FromLong((row->flags & PROCK_PARENT) != 0),
    };
    return prock_py_tuple_of(4, items);
}

static PyObject *end_of(TrackerSnapshot *self, const struct prock_member *row)
{
    PyObject *const items[] = {
        PyLong_FromUnsignedLong(row->tree),
        Py_BuildValue("(iK)", row->pid, (unsigned long long)row->stat.starttime),
        prock_py_u64(row->own_ns),
        prock_py_io_or_none(self->proc, row->flags & PROCK_HAS_IO, &row->io),
    };
    return prock_py_tuple_of(4, items);
}

/* Rows of the trees that the pass was about, with one flag and without another, as a list. */
static PyObject *events(
    TrackerSnapshot *self, int64_t tree, unsigned with, unsigned without,
    PyObject *(*make)(TrackerSnapshot *, const struct prock_member *))
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < self->table.n; i++) {
        const struct prock_member *row = &self->table.rows[i];
        bool looked_at = tree < 0 || tree == (int64_t)row->tree;
        if (!looked_at || !(row->flags & with) || row->flags & without)
            continue;
        PyObject *event = make(self, row);
        if (!event || PyList_Append(list, event) < 0)
            Py_CLEAR(list);
        Py_XDECREF(event);
    }
    return list;
}

PyObject *prock_py_tracker_result(TrackerSnapshot *self, size_t trees, int64_t tree)
{
    Py_INCREF((PyObject *)self);
    PyObject *const items[] = {
        (PyObject *)self,
        sums_of(self, trees),
        events(self, tree, PROCK_CHANGED, PROCK_GONE | PROCK_UNREAD, change_of),
        events(self, tree, PROCK_GONE, PROCK_UNREAD, end_of),
    };
    return prock_py_tuple_of(4, items);
}
