/* Results of native/ as the tuples of prock.model. */
#include "binding.h"

/* Steals n references into the tuple; NULL if it or one of them is NULL. */
static PyObject *fill(PyObject *tuple, Py_ssize_t n, PyObject *const *items)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!tuple || !items[i]) {
            for (; i < n; i++)
                Py_XDECREF(items[i]);
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SetItem(tuple, i, items[i]);
    }
    return tuple;
}

PyObject *prock_py_tuple_of(Py_ssize_t n, PyObject *const *items)
{
    return fill(PyTuple_New(n), n, items);
}

/* 1 if a named tuple filled in place equals one made by tuple.__new__: not from Python 3.14 on, where tuples cache
 * their hash in a field that only their constructor initializes. */
int prock_py_may_fill_in_place(PyObject *type, newfunc tuple_new)
{
    PyObject *const items[] = {PyLong_FromLong(1), PyLong_FromLong(2)};
    PyObject *fields = prock_py_tuple_of(2, items);
    PyObject *arguments = fields ? PyTuple_Pack(1, fields) : NULL;
    PyObject *made = arguments ? tuple_new((PyTypeObject *)type, arguments, NULL) : NULL;
    PyObject *in_place = made ? PyType_GenericAlloc((PyTypeObject *)type, 2) : NULL;
    int same = -1;
    if (in_place) {
        PyTuple_SetItem(in_place, 0, PyLong_FromLong(1));
        PyTuple_SetItem(in_place, 1, PyLong_FromLong(2));
        same = PyObject_RichCompareBool(in_place, made, Py_EQ);
        if (same == 1)
            same = PyObject_Hash(in_place) == PyObject_Hash(made);
    }
    Py_XDECREF(in_place);
    Py_XDECREF(made);
    Py_XDECREF(arguments);
    Py_XDECREF(fields);
    return same;
}

/* Without the class's own __new__, which is Python code and takes nearly twice as long. Filling in place instead of
 * copying by tuple.__new__ saves 8 % of a call for CPU time and 2 % of a scan. The fields are numbers, strings and such
 * tuples, which form no cycles; untracking them from the collector saves 1 % of a scan. */
PyObject *prock_py_namedtuple(Proc *self, PyObject *type, Py_ssize_t n, PyObject *const *items)
{
    PyObject *result;
    if (self->fill_in_place) {
        result = fill(PyType_GenericAlloc((PyTypeObject *)type, n), n, items);
    } else {
        PyObject *fields = prock_py_tuple_of(n, items);
        PyObject *arguments = fields ? PyTuple_Pack(1, fields) : NULL;
        result = arguments ? self->tuple_new((PyTypeObject *)type, arguments, NULL) : NULL;
        Py_XDECREF(arguments);
        Py_XDECREF(fields);
    }
    if (result)
        PyObject_GC_UnTrack(result);
    return result;
}

PyObject *prock_py_u64(uint64_t value)
{
    return PyLong_FromUnsignedLongLong(value);
}

PyObject *prock_py_text(const char *bytes, size_t len)
{
    return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)len, "surrogateescape");
}

void prock_py_list_set(PyObject **list, size_t at, PyObject *item)
{
    if (item)
        PyList_SetItem(*list, (Py_ssize_t)at, item);
    else
        Py_CLEAR(*list);
}

void prock_py_list_append(PyObject **list, PyObject *item)
{
    if (!item || PyList_Append(*list, item) < 0)
        Py_CLEAR(*list);
    Py_XDECREF(item);
}

static PyObject *new_reference(PyObject *object)
{
    Py_INCREF(object);
    return object;
}

#define CPU_TIME(F)                                                                                                    \
    F(user_ns, prock_py_u64(cpu->user_ns))                                                                             \
    F(system_ns, prock_py_u64(cpu->system_ns))

const char *const prock_py_cpu_time_fields[] = PROCK_FIELD_NAMES(CPU_TIME);

PyObject *prock_py_cpu_row(Proc *self, const struct prock_cpu *cpu)
{
    return PROCK_NAMEDTUPLE(self, self->cpu_time, CPU_TIME);
}

#define DISK_IO(F)                                                                                                     \
    F(read_bytes, prock_py_u64(io->read_bytes))                                                                        \
    F(write_bytes, prock_py_u64(io->write_bytes))                                                                      \
    F(cancelled_write_bytes, prock_py_u64(io->cancelled_write_bytes))                                                  \
    F(read_chars, prock_py_u64(io->rchar))                                                                             \
    F(write_chars, prock_py_u64(io->wchar))                                                                            \
    F(read_count, prock_py_u64(io->syscr))                                                                             \
    F(write_count, prock_py_u64(io->syscw))

const char *const prock_py_disk_io_fields[] = PROCK_FIELD_NAMES(DISK_IO);

PyObject *prock_py_io_row(Proc *self, const struct prock_io *io)
{
    return PROCK_NAMEDTUPLE(self, self->disk_io, DISK_IO);
}

PyObject *prock_py_io_or_none(Proc *self, bool known, const struct prock_io *io)
{
    return known ? prock_py_io_row(self, io) : new_reference(Py_None);
}

#define PROCESS_INFO(F)                                                                                                \
    F(pid, PyLong_FromLong(stat->pid))                                                                                 \
    F(ppid, PyLong_FromLong(stat->ppid))                                                                               \
    F(pgrp, PyLong_FromLong(stat->pgrp))                                                                               \
    F(session, PyLong_FromLong(stat->session))                                                                         \
    F(tty_nr, PyLong_FromLong(stat->tty_nr))                                                                           \
    F(state, prock_py_text(&stat->state, 1))                                                                           \
    F(comm, prock_py_text(stat->comm, stat->comm_len))                                                                 \
    F(thread_count, PyLong_FromLong(stat->thread_count))                                                               \
    F(start_ticks, prock_py_u64(stat->starttime))                                                                      \
    F(user_ns, prock_py_u64(stat->cpu.user_ns))                                                                        \
    F(system_ns, prock_py_u64(stat->cpu.system_ns))                                                                    \
    F(children_user_ns, prock_py_u64(prock_multiply(stat->cutime, root->tick_ns)))                                     \
    F(children_system_ns, prock_py_u64(prock_multiply(stat->cstime, root->tick_ns)))                                   \
    F(rss_bytes, prock_py_u64(prock_multiply(stat->rss, root->page_bytes)))                                            \
    F(vsize_bytes, prock_py_u64(stat->vsize))                                                                          \
    F(minor_faults, prock_py_u64(stat->minflt))                                                                        \
    F(major_faults, prock_py_u64(stat->majflt))                                                                        \
    F(children_minor_faults, prock_py_u64(stat->cminflt))                                                              \
    F(children_major_faults, prock_py_u64(stat->cmajflt))

const char *const prock_py_process_info_fields[] = PROCK_FIELD_NAMES(PROCESS_INFO);

PyObject *prock_py_info_row(Proc *self, const struct prock_stat *stat)
{
    const struct prock_root *root = &self->root;
    return PROCK_NAMEDTUPLE(self, self->process_info, PROCESS_INFO);
}

PyObject *prock_py_unreadable_names(Proc *self, unsigned unreadable)
{
    PyObject *names[3 + PROCK_NUMBERS_SIZE];
    Py_ssize_t n = 0;
    if (!unreadable)
        return new_reference(self->no_names);
    if (unreadable & PROCK_UNREADABLE_STAT)
        names[n++] = new_reference(self->stat_name);
    if (unreadable & PROCK_UNREADABLE_IO)
        names[n++] = new_reference(self->io_name);
    if (unreadable & PROCK_UNREADABLE_CHILDREN)
        names[n++] = new_reference(self->children_name);
    for (int id = 0; id < PROCK_NUMBER_COUNT; id++)
        if (unreadable & PROCK_NUMBER_BIT(id))
            names[n++] = PyUnicode_FromString(prock_numbers[id].file);
    return prock_py_tuple_of(n, names);
}

PyObject *prock_py_number(const struct prock_numbers *numbers, int id)
{
    return numbers->known & PROCK_NUMBER_BIT(id) ? prock_py_u64(numbers->values[id]) : new_reference(Py_None);
}

#define MEMBER_NUMBER(F, name, file, read) F(name, prock_py_number(&member->numbers, PROCK_NUMBER_##name))
#define PROCESS_STATS(F)                                                                                               \
    F(taken_ns, new_reference(taken_ns))                                                                               \
    F(pid, PyLong_FromLong(member->pid))                                                                               \
    F(ppid, ppid)                                                                                                      \
    F(cpu_time, member->has_cpu ? prock_py_cpu_row(self, &member->cpu) : new_reference(Py_None))                       \
    F(info, member->has_stat ? prock_py_info_row(self, &member->stat) : new_reference(Py_None))                        \
    F(disk_io, member->has_io ? prock_py_io_row(self, &member->io) : new_reference(Py_None))                           \
    F(refused, prock_py_unreadable_names(self, member->unreadable))                                                    \
    PROCK_NUMBERS(MEMBER_NUMBER, F)

const char *const prock_py_process_stats_fields[] = PROCK_FIELD_NAMES(PROCESS_STATS);

static PyObject *stats_row(Proc *self, PyObject *taken_ns, const struct prock_tree_member *member)
{
    PyObject *ppid = member->has_stat ? PyLong_FromLong(member->stat.ppid)
                     : member->parent ? PyLong_FromLong(member->parent)
                                      : new_reference(Py_None);
    return PROCK_NAMEDTUPLE(self, self->process_stats, PROCESS_STATS);
}

PyObject *prock_py_list_of_pids(const struct prock_pids *pids)
{
    PyObject *list = PyList_New((Py_ssize_t)pids->n);
    for (size_t i = 0; list && i < pids->n; i++)
        prock_py_list_set(&list, i, PyLong_FromLong(pids->v[i]));
    return list;
}

PyObject *prock_py_scan_result(Proc *self, uint64_t taken_ns, const struct prock_scan *scan)
{
    PyObject *result = NULL, *rows = PyList_New((Py_ssize_t)scan->n);
    for (size_t i = 0; rows && i < scan->n; i++)
        prock_py_list_set(&rows, i, prock_py_info_row(self, &scan->rows[i]));
    PyObject *arguments = rows ? PyTuple_Pack(1, rows) : NULL;
    PyObject *coverage = Py_BuildValue(
        "{sKsnsn}", "taken_ns", (unsigned long long)taken_ns, "vanished", (Py_ssize_t)scan->vanished, "denied",
        (Py_ssize_t)scan->denied);
    if (arguments && coverage)
        result = PyObject_Call(self->scan, arguments, coverage);
    Py_XDECREF(coverage);
    Py_XDECREF(arguments);
    Py_XDECREF(rows);
    return result;
}

PyObject *prock_py_tree_result(Proc *self, uint64_t taken_ns, const struct prock_tree_walk *walk)
{
    PyObject *taken = prock_py_u64(taken_ns), *members = PyList_New(0), *sharing = PyList_New(0);
    for (size_t i = 0; taken && members && i < walk->n; i++) {
        if (!walk->members[i].gone)
            prock_py_list_append(&members, stats_row(self, taken, &walk->members[i]));
        if (!walk->members[i].gone && walk->members[i].shares_space && sharing)
            prock_py_list_append(&sharing, PyLong_FromLong(walk->members[i].pid));
    }
    if (taken && members && sharing) {
        Py_DECREF(taken);
        return Py_BuildValue("(NnN)", members, (Py_ssize_t)walk->vanished, sharing);
    }
    Py_XDECREF(taken);
    Py_XDECREF(members);
    Py_XDECREF(sharing);
    return NULL;
}
