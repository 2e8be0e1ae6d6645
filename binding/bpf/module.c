/* The module _bpf: the type Recorder. The core does not need it. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bpf/recorder.h"

typedef struct {
    PyObject_HEAD
    struct prock_bpf bpf;
    PyObject *events; /* a list, during read(); owned by that call */
    int owner;        /* pid; a forked child would take the records of its parent */
} Recorder;

static PyObject *raise_errno(int error)
{
    errno = -error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static bool is_open(Recorder *self)
{
    if (self->bpf.object && self->owner == getpid())
        return true;
    PyErr_SetString(PyExc_ValueError, "the recorder is closed, or of the parent process: make another one");
    return false;
}

static PyObject *details(const struct prock_bpf_event *event, size_t bytes)
{
    if (event->kind == PROCK_BPF_EXEC && bytes >= offsetof(struct prock_bpf_exec, args)) {
        const struct prock_bpf_exec *exec = (const struct prock_bpf_exec *)event;
        size_t available = bytes - offsetof(struct prock_bpf_exec, args); /* padded to 8 bytes */
        size_t kept = exec->args_bytes < available ? exec->args_bytes : available;
        return Py_BuildValue("(IKIy#)", exec->uid, exec->max_rss_pages, exec->args_bytes, exec->args, (Py_ssize_t)kept);
    }
    if (event->kind >= PROCK_BPF_EXIT && bytes >= sizeof(struct prock_bpf_end)) {
        const struct prock_bpf_end *end = (const struct prock_bpf_end *)event;
        const struct prock_bpf_io *sums = &end->io;
        PyObject *io = end->has_io ? Py_BuildValue(
                                         "(KKKKKKK)", sums->read_bytes, sums->write_bytes, sums->cancelled_write_bytes,
                                         sums->read_chars, sums->write_chars, sums->read_calls, sums->write_calls)
                                   : Py_BuildValue("");
        return io ? Py_BuildValue(
                        "(KKKKKKKNKIi)", end->cpu_ns, end->user_ns, end->system_ns, end->max_rss_pages, end->rss_pages,
                        end->minor_faults, end->major_faults, io, end->cgroup, end->uid, end->status)
                  : NULL;
    }
    return Py_BuildValue("");
}

static int receive(void *context, void *record, size_t bytes)
{
    Recorder *self = context;
    const struct prock_bpf_event *event = record;
    if (bytes < sizeof *event)
        return 0;
    PyObject *more = details(event, bytes);
    PyObject *item = more
                         ? Py_BuildValue(
                               "(IiiIKKy#N)", event->kind, event->pid, event->ppid, event->tree, event->time_ns,
                               event->start_ns, event->comm, (Py_ssize_t)strnlen(event->comm, sizeof event->comm), more)
                         : NULL;
    int status = item ? PyList_Append(self->events, item) : -1;
    Py_XDECREF(item);
    return status < 0 ? -ENOMEM : 0;
}

static PyObject *Recorder_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    int everything;
    unsigned int ring_bytes, max_members;
    if (!PyArg_ParseTuple(arguments, "pII:Recorder", &everything, &ring_bytes, &max_members))
        return NULL;
    Recorder *self = (Recorder *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    self->owner = getpid();
    int error;
    Py_BEGIN_ALLOW_THREADS /* 40 ms */
        error = prock_bpf_open(&self->bpf, everything, ring_bytes, max_members, receive, self);
    Py_END_ALLOW_THREADS if (!error) return (PyObject *)self;
    Py_DECREF((PyObject *)self);
    return raise_errno(error);
}

static void Recorder_dealloc(Recorder *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    prock_bpf_close(&self->bpf);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *none_or_error(int error)
{
    if (error)
        return raise_errno(error);
    Py_RETURN_NONE;
}

static PyObject *Recorder_add(Recorder *self, PyObject *arguments)
{
    unsigned int pid, tree;
    if (!PyArg_ParseTuple(arguments, "II:add", &pid, &tree) || !is_open(self))
        return NULL;
    return none_or_error(prock_bpf_add(&self->bpf, pid, tree));
}

static PyObject *Recorder_remove(Recorder *self, PyObject *arguments)
{
    unsigned int pid;
    if (!PyArg_ParseTuple(arguments, "I:remove", &pid) || !is_open(self))
        return NULL;
    return none_or_error(prock_bpf_remove(&self->bpf, pid));
}

static PyObject *Recorder_wait(Recorder *self, PyObject *arguments)
{
    int timeout_ms, ready;
    if (!PyArg_ParseTuple(arguments, "i:wait", &timeout_ms) || !is_open(self))
        return NULL;
    Py_BEGIN_ALLOW_THREADS ready = prock_bpf_wait(&self->bpf, timeout_ms);
    Py_END_ALLOW_THREADS if (ready < 0 && ready != -EINTR) return raise_errno(ready);
    return PyBool_FromLong(ready > 0);
}

static PyObject *Recorder_read(Recorder *self, PyObject *Py_UNUSED(nothing))
{
    if (!is_open(self))
        return NULL;
    PyObject *events = PyList_New(0);
    if (!events)
        return NULL;
    self->events = events;
    int error = prock_bpf_read(&self->bpf);
    self->events = NULL;
    if (!error)
        return events;
    Py_DECREF(events);
    return PyErr_Occurred() ? NULL : raise_errno(error);
}

static PyObject *Recorder_counters(Recorder *self, PyObject *Py_UNUSED(nothing))
{
    struct prock_bpf_counters counters;
    if (!is_open(self))
        return NULL;
    int error = prock_bpf_count(&self->bpf, &counters);
    return error ? raise_errno(error) : Py_BuildValue("(KK)", counters.lost, counters.full);
}

static PyObject *Recorder_close(Recorder *self, PyObject *Py_UNUSED(nothing))
{
    prock_bpf_close(&self->bpf);
    Py_RETURN_NONE;
}

static PyMethodDef Recorder_methods[] = {
    {"add", (PyCFunction)Recorder_add, METH_VARARGS, NULL},
    {"remove", (PyCFunction)Recorder_remove, METH_VARARGS, NULL},
    {"wait", (PyCFunction)Recorder_wait, METH_VARARGS, NULL},
    {"read", (PyCFunction)Recorder_read, METH_NOARGS, NULL},
    {"counters", (PyCFunction)Recorder_counters, METH_NOARGS, NULL},
    {"close", (PyCFunction)Recorder_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Recorder_slots[] = {
    {Py_tp_doc, "eBPF programs that record each fork, exec and end of processes. For one thread."},
    {Py_tp_new, Recorder_new},
    {Py_tp_dealloc, Recorder_dealloc},
    {Py_tp_methods, Recorder_methods},
    {0, NULL},
};

static PyType_Spec Recorder_spec = {
    .name = "prock._bpf.Recorder",
    .basicsize = sizeof(Recorder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Recorder_slots,
};

static int fill_module(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &Recorder_spec, NULL);
    int status = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return status;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill_module},
    {0, NULL},
};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_bpf", .m_slots = slots};

PyMODINIT_FUNC PyInit__bpf(void)
{
    return PyModuleDef_Init(&definition);
}
