/* What is written down of trees that were launched. The GIL is kept: buffers are small, some 10 ns a record. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "binding.h"
#include "perf/perf.h"

typedef struct {
    PyObject_HEAD
    Proc *proc;
    struct prock_rings records;
    int *fds; /* the events; then those of switches */
    size_t n;
    int owner; /* a forked child has neither the mappings nor any business with them */
} PerfRings;

static PyObject *opened(Proc *self, PyObject *argument, int (*open_event)(int cpu))
{
    long cpu = PyLong_AsLong(argument);
    if (PyErr_Occurred())
        return NULL;
    if (cpu < -1 || cpu > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a CPU is a number, or -1 for any");
        return NULL;
    }
    int fd = open_event((int)cpu);
    if (fd >= 0)
        return PyLong_FromLong(fd);
    if (fd == -ENODEV) /* no such CPU */
        fd = -ENOTSUP;
    if (fd == -ENOSYS || fd == -ENOENT || fd == -EINVAL || fd == -E2BIG || fd == -EOPNOTSUPP)
        fd = -ENOTSUP;
    return prock_py_perf_error(self, fd == -EPERM ? -EACCES : fd, 0);
}

PyObject *Proc_open_on_exec(Proc *self, PyObject *argument)
{
    return opened(self, argument, prock_exec_event_open);
}

PyObject *Proc_open_switches_on_exec(Proc *self, PyObject *argument)
{
    return opened(self, argument, prock_exec_switch_event_open);
}

static bool usable(PerfRings *self)
{
    if (self->records.n && self->owner == getpid())
        return true;
    PyErr_SetString(PyExc_ValueError, "these records are closed, or belong to the process that this was forked from");
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
    for (size_t i = 0; events && i < list.n; i++) {
        PyObject *item = event(self->proc, &list.v[i]);
        if (!item)
            Py_CLEAR(events);
        else
            PyList_SetItem(events, (Py_ssize_t)i, item);
    }
    free(list.v);
    return PROCK_NAMEDTUPLE(self->proc, self->proc->drained_events, DRAINED_EVENTS);
}

static PyObject *Records_drain(PerfRings *self, PyObject *argument)
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
        return prock_py_perf_error(self->proc, error, 0);
    PyObject *const items[] = {prock_py_u64(total_ns), prock_py_u64(lost)};
    return prock_py_tuple_of(2, items);
}

static PyObject *Records_totals(PerfRings *self, PyObject *Py_UNUSED(nothing))
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
        return prock_py_perf_error(self->proc, error, 0);
    Py_RETURN_NONE;
}

static PyObject *Records_stop_switches(PerfRings *self, PyObject *Py_UNUSED(nothing))
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

static PyObject *Records_close(PerfRings *self, PyObject *Py_UNUSED(nothing))
{
    PyObject *result;
    PROCK_WITH_OBJECT_LOCK(self, result, unmap(self));
    return result;
}

static void Records_dealloc(PerfRings *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    Py_XDECREF(unmap(self));
    PyMem_Free(self->fds);
    Py_XDECREF((PyObject *)self->proc);
    release(self);
    Py_DECREF(type);
}

static int take_descriptors(PerfRings *self, PyObject *descriptors, PyObject *switches, size_t *cpus)
{
    Py_ssize_t n = PyList_Size(descriptors), more = PyList_Size(switches);
    if (more && more != n) {
        PyErr_SetString(PyExc_ValueError, "as many events of switches as others, or none");
        return -1;
    }
    self->n = (size_t)(n + more);
    *cpus = (size_t)n;
    self->fds = PyMem_Malloc((self->n + 1) * sizeof *self->fds);
    if (!self->fds) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n + more; i++)
        if (prock_py_int(
                i < n ? prock_py_list_item(descriptors, i) : prock_py_list_item(switches, i - n), &self->fds[i]) < 0)
            return -1;
    return 0;
}

PyObject *Proc_map_records(Proc *proc, PyObject *arguments)
{
    PyObject *descriptors, *switches;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(arguments, "O!O!n:map_records", &PyList_Type, &descriptors, &PyList_Type, &switches, &bytes))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot((PyTypeObject *)proc->records_type, Py_tp_alloc);
    PerfRings *self = (PerfRings *)alloc((PyTypeObject *)proc->records_type, 0);
    if (!self)
        return NULL;
    Py_INCREF((PyObject *)proc);
    self->proc = proc;
    self->owner = getpid();
    size_t cpus;
    if (take_descriptors(self, descriptors, switches, &cpus) < 0) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    const int *of_switches = self->n > cpus ? self->fds + cpus : NULL;
    int error = prock_rings_map(&self->records, self->fds, of_switches, cpus, bytes > 0 ? (size_t)bytes : 0);
    if (error) {
        Py_DECREF((PyObject *)self);
        return prock_py_perf_error(proc, error == -EPERM ? -EACCES : error == -EINVAL ? -ENOTSUP : error, 0);
    }
    return (PyObject *)self;
}

static PyMethodDef Records_methods[] = {
    {"drain", (PyCFunction)Records_drain, METH_O, NULL},
    {"totals", (PyCFunction)Records_totals, METH_NOARGS, NULL},
    {"stop_switches", (PyCFunction)Records_stop_switches, METH_NOARGS, NULL},
    {"close", (PyCFunction)Records_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Records_slots[] = {
    {Py_tp_doc, "Buffers that the kernel writes to."},
    {Py_tp_dealloc, Records_dealloc},
    {Py_tp_methods, Records_methods},
    {0, NULL},
};

static PyType_Spec Records_spec = {
    .name = "prock._core.Records",
    .basicsize = sizeof(PerfRings),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Records_slots,
};

int prock_py_add_records_type(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &Records_spec, NULL);
    int status = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return status;
}
