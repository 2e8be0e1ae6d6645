/* The type MemberTracker; prock.engine.protocol describes it.
 *
 * The table of members belongs to the latest snapshot. Without another reference to that snapshot a pass updates the
 * table in place, else a copy: a snapshot that is in use never changes. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "tracker_snapshot.h"

typedef struct {
    PyObject_HEAD
    struct prock_tracker tracker;
    Proc *proc;
    TrackerSnapshot *snapshot;
    bool busy; /* from the start of a pass until its result is made */
    bool closed;
    int owner; /* pid of the process that made it */
} MemberTracker;

#define MOST_TREES 1000000 /* sums are made for all tree numbers up to the largest */

static int check_tree(int tree)
{
    if (tree >= 0 && tree < MOST_TREES)
        return 0;
    PyErr_Format(PyExc_ValueError, "invalid tree %d: use a number from 0 to %d", tree, MOST_TREES - 1);
    return -1;
}

/* NULL with an exception set if it is busy or closed. */
static MemberTracker *usable(MemberTracker *self)
{
    if (self->busy)
        PyErr_SetString(PyExc_RuntimeError, "another thread is taking a sample: use one tracker per thread");
    else if (self->closed)
        PyErr_SetString(PyExc_ValueError, "tracker is closed: make a new one");
    else
        return self;
    return NULL;
}

/* On free-threaded Python the reference count has two parts that can't be read at once; before 3.14, which has a
 * function for it, any object may be shared. */
static bool is_shared(PyObject *snapshot)
{
#ifndef Py_GIL_DISABLED
    return Py_REFCNT(snapshot) != 1;
#elif PY_VERSION_HEX >= 0x030e0000
    return !PyUnstable_Object_IsUniquelyReferenced(snapshot);
#else
    (void)snapshot;
    return true;
#endif
}

/* Replaces a snapshot that others may hold by a copy. */
static int own_snapshot(MemberTracker *self)
{
    if (!is_shared((PyObject *)self->snapshot))
        return 0;
    TrackerSnapshot *copy = prock_py_new_snapshot(self->proc, self->tracker.want);
    if (!copy)
        return -1;
    if (prock_member_table_copy(&self->snapshot->table, &copy->table) != 0) {
        Py_DECREF((PyObject *)copy);
        PyErr_NoMemory();
        return -1;
    }
    Py_DECREF((PyObject *)self->snapshot);
    self->snapshot = copy;
    self->tracker.table = &copy->table;
    return 0;
}

/* Arguments are parsed before the state of the tracker is checked, as parsing may run arbitrary Python code. */

static int take_pid(PyObject *argument, int32_t *pid)
{
    if (prock_py_pid(argument, pid) < 0)
        return -1;
    if (*pid > 0)
        return 0;
    PyErr_SetString(PyExc_TypeError, "None is not a member: use a pid");
    return -1;
}

static PyObject *add(MemberTracker *self, int pid, unsigned tree)
{
    struct prock_stat stat;
    if (!usable(self) || own_snapshot(self) < 0)
        return NULL;
    int error = prock_read_stat(&self->tracker.root, pid, &stat);
    if (!error)
        error = prock_tracker_add(&self->tracker, pid, tree);
    return error ? prock_py_error(self->proc, error, pid, "stat") : prock_py_info_row(self->proc, &stat);
}

static PyObject *MemberTracker_add(MemberTracker *self, PyObject *arguments)
{
    PyObject *result, *process;
    int32_t pid;
    int tree;
    if (!PyArg_ParseTuple(arguments, "Oi:add", &process, &tree) || take_pid(process, &pid) < 0 || check_tree(tree) < 0)
        return NULL;
    PROCK_WITH_OBJECT_LOCK(self, result, add(self, pid, (unsigned)tree));
    return result;
}

static PyObject *adopt(MemberTracker *self, int pid, unsigned long long ticks, unsigned tree)
{
    if (!usable(self) || own_snapshot(self) < 0)
        return NULL;
    if (prock_tracker_adopt(&self->tracker, pid, ticks, tree) != 0)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *MemberTracker_adopt(MemberTracker *self, PyObject *arguments)
{
    PyObject *result, *process;
    int32_t pid;
    int tree;
    unsigned long long ticks;
    if (!PyArg_ParseTuple(arguments, "OKi:adopt", &process, &ticks, &tree) || take_pid(process, &pid) < 0 ||
        check_tree(tree) < 0)
        return NULL;
    PROCK_WITH_OBJECT_LOCK(self, result, adopt(self, pid, ticks, (unsigned)tree));
    return result;
}

static PyObject *remove_tree(MemberTracker *self, unsigned tree)
{
    if (!usable(self) || own_snapshot(self) < 0)
        return NULL;
    if (prock_tracker_remove(&self->tracker, tree) != 0)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *MemberTracker_remove(MemberTracker *self, PyObject *argument)
{
    PyObject *result;
    int tree;
    if (prock_py_int(argument, &tree) < 0 || check_tree(tree) < 0)
        return NULL;
    PROCK_WITH_OBJECT_LOCK(self, result, remove_tree(self, (unsigned)tree));
    return result;
}

static PyObject *pids_of(MemberTracker *self, unsigned tree)
{
    struct prock_pids pids = {0};
    if (!usable(self))
        return NULL;
    int error = 0;
    for (size_t i = 0; i < self->snapshot->table.n && !error; i++) {
        const struct prock_member *row = &self->snapshot->table.rows[i];
        if (row->tree == tree && !(row->flags & PROCK_GONE))
            error = prock_pids_add(&pids, row->pid);
    }
    PyObject *list = error ? PyErr_NoMemory() : prock_py_list_of_pids(&pids);
    prock_pids_free(&pids);
    return list;
}

static PyObject *MemberTracker_pids(MemberTracker *self, PyObject *argument)
{
    PyObject *result;
    int tree;
    if (prock_py_int(argument, &tree) < 0 || check_tree(tree) < 0)
        return NULL;
    PROCK_WITH_OBJECT_LOCK(self, result, pids_of(self, (unsigned)tree));
    return result;
}

static PyObject *sample(MemberTracker *self, const int *reread, size_t n, long long tree, bool read_all)
{
    if (!usable(self) || own_snapshot(self) < 0)
        return NULL;
    self->busy = true;
    for (size_t i = 0; i < n; i++)
        prock_tracker_reread(&self->tracker, reread[i]);
    int status = prock_tracker_start(&self->tracker, tree, read_all);
    if (!status)
        status = prock_tracker_run(&self->tracker, prock_monotonic_ns() + PROCK_PY_SLICE_NS);
    if (status == 1) {
        Py_BEGIN_ALLOW_THREADS status = prock_tracker_run(&self->tracker, PROCK_NO_DEADLINE);
        Py_END_ALLOW_THREADS
    }
    PyObject *result = status ? NULL : prock_py_tracker_result(self->snapshot, self->tracker.trees, self->tracker.tree);
    if (!status && !result)
        prock_tracker_mark_pending(&self->tracker);
    self->busy = false;
    return status ? prock_py_error(self->proc, status, 0, "stat") : result;
}

static PyObject *MemberTracker_sample(MemberTracker *self, PyObject *arguments)
{
    PyObject *list, *result;
    long long tree;
    int read_all;
    size_t n;
    if (!PyArg_ParseTuple(arguments, "O!Lp:sample", &PyList_Type, &list, &tree, &read_all))
        return NULL;
    int *reread = prock_py_ints(list, &n);
    if (!reread)
        return NULL;
    PROCK_WITH_OBJECT_LOCK(self, result, sample(self, reread, n, tree, read_all));
    PyMem_Free(reread);
    return result;
}

static PyObject *close_tracker(MemberTracker *self)
{
    if (self->busy && self->owner == getpid())
        return (PyObject *)usable(self);
    if (self->busy && !self->closed) {
        /* After a fork while another thread of the parent was taking a sample. */
        self->closed = true;
        Py_INCREF((PyObject *)self->snapshot); /* never released: that thread may have been changing it */
        prock_tracker_abandon(&self->tracker);
    } else if (!self->closed && own_snapshot(self) == 0) {
        self->closed = true;
        prock_tracker_free(&self->tracker);
    }
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *MemberTracker_close(MemberTracker *self, PyObject *Py_UNUSED(nothing))
{
    PyObject *result;
    PROCK_WITH_OBJECT_LOCK(self, result, close_tracker(self));
    return result;
}

static void MemberTracker_dealloc(MemberTracker *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    if (self->snapshot) {
        if (!self->closed) {
            struct prock_member_table members =
                self->snapshot->table; /* others may hold the snapshot: its members stay */
            self->tracker.table = &members;
            prock_tracker_free(&self->tracker);
        }
        Py_DECREF((PyObject *)self->snapshot);
    }
    Py_XDECREF((PyObject *)self->proc);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *limit(MemberTracker *self, size_t descriptors)
{
    if (!usable(self))
        return NULL;
    prock_fd_cache_set_budget(&self->tracker, descriptors);
    Py_RETURN_NONE;
}

static PyObject *MemberTracker_limit(MemberTracker *self, PyObject *argument)
{
    PyObject *result;
    size_t descriptors = PyLong_AsSize_t(argument);
    if (PyErr_Occurred())
        return NULL;
    PROCK_WITH_OBJECT_LOCK(self, result, limit(self, descriptors));
    return result;
}

static PyMethodDef MemberTracker_methods[] = {
    {"limit", (PyCFunction)MemberTracker_limit, METH_O, NULL},
    {"add", (PyCFunction)MemberTracker_add, METH_VARARGS, NULL},
    {"adopt", (PyCFunction)MemberTracker_adopt, METH_VARARGS, NULL},
    {"remove", (PyCFunction)MemberTracker_remove, METH_O, NULL},
    {"pids", (PyCFunction)MemberTracker_pids, METH_O, NULL},
    {"sample", (PyCFunction)MemberTracker_sample, METH_VARARGS, NULL},
    {"close", (PyCFunction)MemberTracker_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef MemberTracker_members[] = {
    {"no_children_lists", T_BOOL, offsetof(MemberTracker, tracker.no_children_lists), READONLY, NULL},
    {"descriptors", T_PYSSIZET, offsetof(MemberTracker, tracker.open), READONLY, "Number of open descriptors."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot MemberTracker_slots[] = {
    {Py_tp_doc, "Members of tracked trees."},
    {Py_tp_dealloc, MemberTracker_dealloc},
    {Py_tp_methods, MemberTracker_methods},
    {Py_tp_members, MemberTracker_members},
    {0, NULL},
};

PyType_Spec prock_py_tracker_spec = {
    .name = "prock._core.MemberTracker",
    .basicsize = sizeof(MemberTracker),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = MemberTracker_slots,
};

PyObject *Proc_track(Proc *proc, PyObject *arguments)
{
    int want;
    Py_ssize_t descriptors;
    if (!PyArg_ParseTuple(arguments, "in:track", &want, &descriptors))
        return NULL;
    MemberTracker *self = (MemberTracker *)PyType_GenericAlloc((PyTypeObject *)proc->tracker_type, 0);
    if (!self)
        return NULL;
    Py_INCREF((PyObject *)proc);
    self->proc = proc;
    self->owner = getpid();
    if (!(self->snapshot = prock_py_new_snapshot(proc, want))) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    prock_tracker_init(
        &self->tracker, &proc->root, want, descriptors > 0 ? (size_t)descriptors : 0, &self->snapshot->table);
    return (PyObject *)self;
}
