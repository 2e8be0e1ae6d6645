/* The type Records: ring buffers of perf events. The GIL is held: a record takes about 10 ns. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "binding.h"
#include "perf/perf.h"

typedef struct {
    PyObject_HEAD
    Proc *proc;
    struct prock_rings records;
    int *fds; /* events of tasks, then of context switches */
    size_t n;
    int owner; /* pid; a forked child does not inherit the mappings */
} PerfRings;

static bool usable(PerfRings *self)
{
    if (self->records.n && self->owner == getpid())
        return true;
    PyErr_SetString(PyExc_ValueError, "records are closed, or of the parent process: map them again");
    return false;
}

#define TASK_EVENT(F)                                                                                                  \
    F(kind, PyLong_FromLong(record->kind))                                                                             \
    F(time_ns, prock_py_u64(record->time_ns))                                                                          \
    F(pid, PyLong_FromLong(record->pid))                                                                               \
    F(tid, PyLong_FromLong(record->tid))                                                                               \
    F(ppid, PyLong_FromLong(record->ppid))                                                                             \
    F(ptid, PyLong_FromLong(record->ptid))                                                                             \
    F(comm, named ? prock_py_text(record->comm, record->comm_len) : Py_BuildValue(""))                                 \
    F(cpu_ns, prock_py_u64(record->cpu_ns))

const char *const prock_py_task_event_fields[] = PROCK_FIELD_NAMES(TASK_EVENT);

static PyObject *event(Proc *proc, const struct prock_record *record)
{
    bool named = record->kind == PROCK_RECORD_EXEC || record->kind == PROCK_RECORD_RENAME;
    return PROCK_NAMEDTUPLE(proc, proc->task_event, TASK_EVENT);
}

#define DRAINED_EVENTS(F)                                                                                              \
    F(events, events)                                                                                                  \
    F(lost, prock_py_u64(prock_rings_lost(&self->records)))                                                            \
    F(switches, prock_py_u64(self->records.switches))                                                                  \
    F(switches_lost, prock_py_u64(prock_rings_switches_lost(&self->records)))

const char *const prock_py_drained_events_fields[] = PROCK_FIELD_NAMES(DRAINED_EVENTS);

static PyObject *drain(PerfRings *self, uint64_t until_ns)
{
    if (!usable(self))
        return NULL;
    struct prock_record_list list = {0};
    int error = prock_rings_drain(&self->records, until_ns, &list);
    PyObject *events = error ? PyErr_NoMemory() : PyList_New((Py_ssize_t)list.n);
    for (size_t i = 0; events && i < list.n; i++)
        prock_py_list_set(&events, i, event(self->proc, &list.v[i]));
    free(list.v);
    return PROCK_NAMEDTUPLE(self->proc, self->proc->drained_events, DRAINED_EVENTS);
}

static PyObject *PerfRings_drain(PerfRings *self, PyObject *argument)
{
    PyObject *result;
    uint64_t until_ns = PyLong_AsUnsignedLongLong(argument);
    if (PyErr_Occurred())
        return NULL;
    PROCK_WITH_OBJECT_LOCK(self, result, drain(self, until_ns));
    return result;
}

static PyObject *totals(PerfRings *self)
{
    uint64_t total_ns, lost;
    if (!usable(self))
        return NULL;
    int error = prock_perf_read(self->fds, self->records.cpus, &total_ns, &lost);
    if (error)
        return prock_py_feature_error(self->proc, error, 0, PROCK_PY_PERF);
    PyObject *const items[] = {prock_py_u64(total_ns), prock_py_u64(lost)};
    return prock_py_tuple_of(2, items);
}

static PyObject *PerfRings_totals(PerfRings *self, PyObject *Py_UNUSED(nothing))
{
    PyObject *result;
    PROCK_WITH_OBJECT_LOCK(self, result, totals(self));
    return result;
}

static PyObject *stop_switches(PerfRings *self)
{
    if (!usable(self))
        return NULL;
    int error = prock_perf_stop(self->fds + self->records.cpus, self->n - self->records.cpus);
    if (error)
        return prock_py_feature_error(self->proc, error, 0, PROCK_PY_PERF);
    Py_RETURN_NONE;
}

static PyObject *PerfRings_stop_switches(PerfRings *self, PyObject *Py_UNUSED(nothing))
{
    PyObject *result;
    PROCK_WITH_OBJECT_LOCK(self, result, stop_switches(self));
    return result;
}

static PyObject *unmap(PerfRings *self)
{
    if (self->records.n && self->owner == getpid())
        prock_rings_unmap(&self->records);
    Py_RETURN_NONE;
}

static PyObject *PerfRings_close(PerfRings *self, PyObject *Py_UNUSED(nothing))
{
    PyObject *result;
    PROCK_WITH_OBJECT_LOCK(self, result, unmap(self));
    return result;
}

static void PerfRings_dealloc(PerfRings *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    Py_XDECREF(unmap(self));
    PyMem_Free(self->fds);
    Py_XDECREF((PyObject *)self->proc);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* The descriptors of both lists in one array. */
static int copy_descriptors(PerfRings *self, PyObject *descriptors, PyObject *switches, size_t *cpus)
{
    *cpus = (size_t)PyList_Size(descriptors);
    PyObject *all = PySequence_Concat(descriptors, switches);
    self->fds = all ? prock_py_ints(all, &self->n) : NULL;
    Py_XDECREF(all);
    if (!self->fds)
        return -1;
    if (self->n == *cpus || self->n == 2 * *cpus)
        return 0;
    PyErr_SetString(PyExc_ValueError, "wrong number of switch events: use one per task event, or none");
    return -1;
}

PyObject *Proc_map_records(Proc *proc, PyObject *arguments)
{
    PyObject *descriptors, *switches;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(arguments, "O!O!n:map_records", &PyList_Type, &descriptors, &PyList_Type, &switches, &bytes))
        return NULL;
    PerfRings *self = (PerfRings *)PyType_GenericAlloc((PyTypeObject *)proc->records_type, 0);
    if (!self)
        return NULL;
    Py_INCREF((PyObject *)proc);
    self->proc = proc;
    self->owner = getpid();
    size_t cpus;
    if (copy_descriptors(self, descriptors, switches, &cpus) < 0) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    const int *of_switches = self->n > cpus ? self->fds + cpus : NULL;
    int error = prock_rings_map(&self->records, self->fds, of_switches, cpus, bytes > 0 ? (size_t)bytes : 0);
    if (error) {
        Py_DECREF((PyObject *)self);
        return prock_py_feature_error(
            proc,
            error == -EPERM    ? -EACCES
            : error == -EINVAL ? -ENOTSUP
                               : error,
            0, PROCK_PY_PERF);
    }
    return (PyObject *)self;
}

static PyMethodDef PerfRings_methods[] = {
    {"drain", (PyCFunction)PerfRings_drain, METH_O, NULL},
    {"totals", (PyCFunction)PerfRings_totals, METH_NOARGS, NULL},
    {"stop_switches", (PyCFunction)PerfRings_stop_switches, METH_NOARGS, NULL},
    {"close", (PyCFunction)PerfRings_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot PerfRings_slots[] = {
    {Py_tp_doc, "Ring buffers of perf events."},
    {Py_tp_dealloc, PerfRings_dealloc},
    {Py_tp_methods, PerfRings_methods},
    {0, NULL},
};

PyType_Spec prock_py_records_spec = {
    .name = "prock._core.Records",
    .basicsize = sizeof(PerfRings),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = PerfRings_slots,
};
