/* The module, and the type Proc. */
#include <string.h>

#include "binding.h"
#include "tracker_snapshot.h"

/* Whether the class has the fields that this module fills, in the same order. */
static int check_fields(PyObject *type, const char *name, const char *const *fields)
{
    PyObject *expected = PyList_New(0), *actual = PyObject_GetAttrString(type, "_fields");
    for (; expected && *fields; fields++)
        prock_py_list_append(&expected, PyUnicode_FromString(*fields));
    PyObject *tuple = expected ? PyList_AsTuple(expected) : NULL;
    int same = tuple && actual ? PyObject_RichCompareBool(tuple, actual, Py_EQ) : -1;
    if (same == 0)
        PyErr_Format(PyExc_ImportError, "prock._core was built for other fields of %s: install prock again", name);
    Py_XDECREF(tuple);
    Py_XDECREF(actual);
    Py_XDECREF(expected);
    return same == 1 ? 0 : -1;
}

static int load_classes(Proc *self, PyObject *model, PyObject *errors, PyObject *tuples, PyObject *core)
{
    const struct {
        PyObject **slot, *module;
        const char *name, *const *fields;
    } classes[] = {
        {&self->cpu_time, model, "CpuTime", prock_py_cpu_time_fields},
        {&self->disk_io, model, "DiskIo", prock_py_disk_io_fields},
        {&self->process_info, model, "ProcessInfo", prock_py_process_info_fields},
        {&self->process_stats, model, "ProcessStats", prock_py_process_stats_fields},
        {&self->scan, model, "Scan", NULL},
        {&self->member_sample, model, "MemberSample", prock_py_member_sample_fields},
        {&self->tree_sums, tuples, "TreeSums", prock_py_tree_sums_fields},
        {&self->member_change, tuples, "MemberChange", prock_py_member_change_fields},
        {&self->member_end, tuples, "MemberEnd", prock_py_member_end_fields},
        {&self->tracker_sample, tuples, "TrackerSample", prock_py_tracker_sample_fields},
        {&self->task_event, tuples, "TaskEvent", prock_py_task_event_fields},
        {&self->drained_events, tuples, "DrainedEvents", prock_py_drained_events_fields},
        {&self->access_denied, errors, "AccessDenied", NULL},
        {&self->not_supported, errors, "NotSupported", NULL},
        {&self->malformed, errors, "MalformedProcFile", NULL},
        {&self->tracker_type, core, "MemberTracker", NULL},
        {&self->snapshot_type, core, "TrackerSnapshot", NULL},
        {&self->records_type, core, "Records", NULL},
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        PyObject *class = PyObject_GetAttrString(classes[i].module, classes[i].name);
        *classes[i].slot = class;
        if (!class || (classes[i].fields && check_fields(class, classes[i].name, classes[i].fields) < 0))
            return -1;
    }
    self->no_names = PyTuple_New(0);
    self->stat_name = PyUnicode_InternFromString("stat");
    self->io_name = PyUnicode_InternFromString("io");
    self->children_name = PyUnicode_InternFromString("children");
    return self->no_names && self->stat_name && self->io_name && self->children_name ? 0 : -1;
}

static PyObject *Proc_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    const char *path;
    Py_ssize_t len;
    unsigned long long tick_ns, page_bytes;
    PyObject *model, *errors, *tuples;
    /* Keywords are those of a subclass. */
    if (!PyArg_ParseTuple(arguments, "s#KKOOO:Proc", &path, &len, &tick_ns, &page_bytes, &model, &errors, &tuples))
        return NULL;
    Proc *self = (Proc *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    if ((size_t)len >= sizeof self->root.path || strlen(path) != (size_t)len) {
        PyErr_SetString(PyExc_ValueError, "invalid path of /proc: use less than 4000 bytes, without NUL");
        Py_DECREF(self);
        return NULL;
    }
    memcpy(self->root.path, path, (size_t)len + 1);
    self->root.path_len = (size_t)len;
    self->root.dir = -1;
    self->root.tick_ns = tick_ns;
    self->root.page_bytes = page_bytes;
    self->tuple_new = (newfunc)PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    PyObject *core = PyImport_ImportModule("prock._core");
    int status = core ? load_classes(self, model, errors, tuples, core) : -1;
    Py_XDECREF(core);
    if (status < 0 || (self->fill_in_place = prock_py_may_fill_in_place(self->cpu_time, self->tuple_new)) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

enum { OBJECTS = sizeof(((Proc *)0)->objects) / sizeof(PyObject *) };

static int Proc_traverse(Proc *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE((PyObject *)self));
    for (int i = 0; i < OBJECTS; i++)
        Py_VISIT(self->objects[i]);
    return 0;
}

static int Proc_clear(Proc *self)
{
    for (int i = 0; i < OBJECTS; i++)
        Py_CLEAR(self->objects[i]);
    return 0;
}

static void Proc_dealloc(Proc *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    PyObject_GC_UnTrack(self);
    Proc_clear(self);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef Proc_methods[] = {
    {"cpu_time", (PyCFunction)Proc_cpu_time, METH_O, NULL},
    {"info", (PyCFunction)Proc_info, METH_O, NULL},
    {"memory", (PyCFunction)Proc_memory, METH_O, NULL},
    {"disk_io", (PyCFunction)Proc_disk_io, METH_O, NULL},
    {"comm", (PyCFunction)Proc_comm, METH_O, NULL},
    {"children", (PyCFunction)Proc_children, METH_O, NULL},
    {"pids", (PyCFunction)Proc_pids, METH_NOARGS, NULL},
    {"scan", (PyCFunction)Proc_scan, METH_NOARGS, NULL},
    {"tree", (PyCFunction)Proc_tree, METH_VARARGS, NULL},
    {"children_by_thread", (PyCFunction)Proc_children_by_thread, METH_O, NULL},
    {"last_pid", (PyCFunction)Proc_last_pid, METH_NOARGS, NULL},
    {"thread_state", (PyCFunction)Proc_thread_state, METH_VARARGS, NULL},
    {"subreaper", (PyCFunction)Proc_subreaper, METH_O, NULL},
    {"open_task_clock", (PyCFunction)Proc_open_task_clock, METH_O, NULL},
    {"read_task_clocks", (PyCFunction)Proc_read_task_clocks, METH_O, NULL},
    {"map_records", (PyCFunction)Proc_map_records, METH_VARARGS, NULL},
    {"track", (PyCFunction)Proc_track, METH_VARARGS, NULL},
    {"pss", (PyCFunction)Proc_pss, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef Proc_members[] = {
    {"clocks_usable", T_BOOL, offsetof(Proc, root.clocks_usable), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot Proc_slots[] = {
    {Py_tp_doc, "Reads the proc file system at a path; prock.engine.protocol describes the methods."},
    {Py_tp_new, Proc_new},
    {Py_tp_dealloc, Proc_dealloc},
    {Py_tp_traverse, Proc_traverse},
    {Py_tp_clear, Proc_clear},
    {Py_tp_methods, Proc_methods},
    {Py_tp_members, Proc_members},
    {0, NULL},
};

static PyType_Spec Proc_spec = {
    .name = "prock._core.Proc",
    .basicsize = sizeof(Proc),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = Proc_slots,
};

/* ---- the module ---- */

static int fill_module(PyObject *module)
{
    PyType_Spec *const specs[] = {&Proc_spec, &prock_py_tracker_spec, &prock_py_snapshot_spec, &prock_py_records_spec};
    int status = 0;
    for (size_t i = 0; i < sizeof specs / sizeof *specs && status == 0; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, specs[i], NULL);
        status = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
        Py_XDECREF(type);
    }
    return status;
}

/* The module has no state of its own and no static types, and objects serialize their changes (a Proc changes only
 * after a fork): it supports subinterpreters and free-threaded Python. The limited API of 3.11 lacks the two slots for
 * that, but later Pythons accept them in the same module. */
#ifndef Py_mod_multiple_interpreters
#define Py_mod_multiple_interpreters 3
#define Py_MOD_PER_INTERPRETER_GIL_SUPPORTED ((void *)2)
#endif
#ifndef Py_mod_gil
#define Py_mod_gil 4
#define Py_MOD_GIL_NOT_USED ((void *)1)
#endif

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill_module},
    {0, NULL},
};
static PyModuleDef_Slot slots_of_3_12[] = {
    {Py_mod_exec, fill_module},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};
static PyModuleDef_Slot slots_of_3_13[] = {
    {Py_mod_exec, fill_module},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};
static struct PyModuleDef modules[] = {
    {PyModuleDef_HEAD_INIT, .m_name = "_core", .m_slots = slots},
    {PyModuleDef_HEAD_INIT, .m_name = "_core", .m_slots = slots_of_3_12},
    {PyModuleDef_HEAD_INIT, .m_name = "_core", .m_slots = slots_of_3_13},
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&modules[Py_Version < 0x030c0000 ? 0 : Py_Version < 0x030d0000 ? 1 : 2]);
}
