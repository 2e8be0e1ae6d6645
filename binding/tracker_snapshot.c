/* The type TrackerSnapshot: members as of one sample; their rows are made on demand. */
#include <stdlib.h>

#include "tracker_snapshot.h"

TrackerSnapshot *prock_py_new_snapshot(Proc *proc, int want)
{
    TrackerSnapshot *self = (TrackerSnapshot *)PyType_GenericAlloc((PyTypeObject *)proc->snapshot_type, 0);
    if (!self)
        return NULL;
    Py_INCREF((PyObject *)proc);
    self->proc = proc;
    self->want = want;
    return self;
}

static void TrackerSnapshot_dealloc(TrackerSnapshot *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    free(self->table.rows);
    Py_XDECREF((PyObject *)self->proc);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *percent(int64_t ns, long long interval_ns)
{
    if (ns < 0 || interval_ns <= 0)
        Py_RETURN_NONE;
    return PyFloat_FromDouble(100.0 * (double)ns / (double)interval_ns);
}

static PyObject *number_or_none(bool known, uint64_t value)
{
    if (!known)
        Py_RETURN_NONE;
    return prock_py_u64(value);
}

/* The dictionary's value, or None. */
static PyObject *pss_of(PyObject *pss, PyObject *pid)
{
    PyObject *value = NULL;
#ifdef Py_GIL_DISABLED
    if (pid && PyDict_GetItemRef(pss, pid, &value) < 0)
        return NULL;
#else
    if (pid && PyDict_Size(pss))
        value = PyDict_GetItemWithError(pss, pid);
    if (!value && PyErr_Occurred())
        return NULL;
    Py_XINCREF(value);
#endif
    if (!value)
        Py_RETURN_NONE;
    return value;
}

#define SAMPLE_NUMBERS(F, name, file, read)                                                                            \
    F(name, prock_py_number(&row->numbers, PROCK_NUMBER_##name))                                                       \
    F(subtree_##name, prock_py_number(&sum->numbers, PROCK_NUMBER_##name))
#define MEMBER_SAMPLE(F)                                                                                               \
    F(pid, pid)                                                                                                        \
    F(ppid, PyLong_FromLong(row->stat.ppid))                                                                           \
    F(comm, prock_py_text(row->stat.comm, row->stat.comm_len))                                                         \
    F(state, prock_py_text(&row->stat.state, 1))                                                                       \
    F(thread_count, PyLong_FromLong(row->stat.thread_count))                                                           \
    F(start_ticks, prock_py_u64(row->stat.starttime))                                                                  \
    F(cpu_ns, prock_py_u64(row->own_ns))                                                                               \
    F(cpu_percent, percent(prock_member_used_ns(row), interval_ns))                                                    \
    F(rss_bytes, number_or_none(own_memory, row->rss_bytes))                                                           \
    F(vsize_bytes, number_or_none(own_memory, row->vsize_bytes))                                                       \
    F(disk_io, prock_py_io_or_none(proc, row->flags &PROCK_HAS_IO, &row->io))                                          \
    F(pss_bytes, own_pss)                                                                                              \
    F(subtree_process_count, prock_py_u64(sum->processes))                                                             \
    F(subtree_thread_count, prock_py_u64(sum->threads))                                                                \
    F(subtree_cpu_ns, prock_py_u64(sum->cpu_ns))                                                                       \
    F(subtree_cpu_percent, percent((int64_t)sum->used_ns, interval_ns))                                                \
    F(subtree_rss_bytes, number_or_none(memory, sum->rss_bytes))                                                       \
    F(subtree_vsize_bytes, number_or_none(memory, sum->vsize_bytes))                                                   \
    F(subtree_disk_io, prock_py_io_or_none(proc, sum->has_io, &sum->io))                                               \
    F(refused, prock_py_unreadable_names(proc, row->unreadable))                                                       \
    PROCK_NUMBERS(SAMPLE_NUMBERS, F)                                                                                   \
    F(peak_rss_bytes, number_or_none(own_memory && !(row->flags & PROCK_SHARES_SPACE), row->peak_rss_bytes))           \
    F(hugetlb_bytes, number_or_none(own_memory, row->hugetlb_bytes))

const char *const prock_py_member_sample_fields[] = PROCK_FIELD_NAMES(MEMBER_SAMPLE);

static PyObject *sample_row(
    TrackerSnapshot *self, const struct prock_member *row, const struct prock_subtree_sum *sum, long long interval_ns,
    PyObject *pss)
{
    Proc *proc = self->proc;
    bool memory = self->want & PROCK_WANT_STAT;
    bool own_memory = memory && !(row->unreadable & PROCK_UNREADABLE_STAT);
    PyObject *pid = PyLong_FromLong(row->pid), *own_pss = pss_of(pss, pid);
    return PROCK_NAMEDTUPLE(proc, proc->member_sample, MEMBER_SAMPLE);
}

/* Adds the CPU time of unseen children to the parents that reaped them. */
static int add_unseen(const struct prock_member_table *table, PyObject *unseen, struct prock_subtree_sum *sums)
{
    for (Py_ssize_t i = 0; i < PyList_Size(unseen); i++) {
        int pid;
        unsigned long long ns;
        PyObject *item = prock_py_list_item(unseen, i);
        bool valid = item && PyTuple_Check(item) && PyArg_ParseTuple(item, "iK", &pid, &ns);
        Py_XDECREF(item);
        if (!valid) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "invalid unseen CPU time: use a tuple of pid and nanoseconds");
            return -1;
        }
        for (size_t index = 0; index < table->n; index++)
            if (table->rows[index].pid == pid)
                sums[index].used_ns += ns;
    }
    return 0;
}

static PyObject *TrackerSnapshot_rows(TrackerSnapshot *self, PyObject *arguments)
{
    unsigned tree;
    long long interval_ns;
    PyObject *unseen, *pss, *rows = NULL;
    size_t n = 0;
    if (!PyArg_ParseTuple(arguments, "ILO!O!:rows", &tree, &interval_ns, &PyList_Type, &unseen, &PyDict_Type, &pss))
        return NULL;
    uint32_t *order = malloc((self->table.n + 1) * sizeof *order);
    struct prock_subtree_sum *sums = calloc(self->table.n + 1, sizeof *sums);
    if (!order || !sums) {
        PyErr_NoMemory();
    } else if (add_unseen(&self->table, unseen, sums) == 0) {
        if (prock_subtree_sums(&self->table, tree, self->proc->root.tick_ns, order, &n, sums) != 0)
            PyErr_NoMemory();
        else
            rows = PyList_New((Py_ssize_t)n);
    }
    for (size_t i = 0; rows && i < n; i++)
        prock_py_list_set(&rows, i, sample_row(self, &self->table.rows[order[i]], &sums[order[i]], interval_ns, pss));
    free(order);
    free(sums);
    return rows;
}

static PyMethodDef TrackerSnapshot_methods[] = {
    {"rows", (PyCFunction)TrackerSnapshot_rows, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot TrackerSnapshot_slots[] = {
    {Py_tp_doc, "Members as of one sample."},
    {Py_tp_dealloc, TrackerSnapshot_dealloc},
    {Py_tp_methods, TrackerSnapshot_methods},
    {0, NULL},
};

PyType_Spec prock_py_snapshot_spec = {
    .name = "prock._core.TrackerSnapshot",
    .basicsize = sizeof(TrackerSnapshot),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = TrackerSnapshot_slots,
};
