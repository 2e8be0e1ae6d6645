/* Trees that are followed, for Python: prock.engine.protocol says what a Keep and its Frames answer.
 *
 * The table of members belongs to the latest frame. While nobody else holds that frame a pass works on it in place;
 * else on a copy, so that a frame never changes in somebody's hands.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "tracker_snapshot.h"

typedef struct {
    PyObject_HEAD
    struct prock_keep keep;
    Proc *proc;
    Frame *frame;
    bool busy; /* with a pass, from its begin until its answer is made */
    bool closed;
    int owner; /* the process that made it */
} Keep;

/* ---- the keep ---- */

#define MOST_TREES 1000000 /* sums are made for all numbers up to the largest */

static int check_tree(int tree)
{
    if (tree >= 0 && tree < MOST_TREES)
        return 0;
    PyErr_Format(PyExc_ValueError, "%d is no number of a tree", tree);
    return -1;
}

/* NULL with an exception set where it can't be used. */
static Keep *usable(Keep *self)
{
    if (self->busy)
        PyErr_SetString(PyExc_RuntimeError, "another thread is taking a sample");
    else if (self->closed)
        PyErr_SetString(PyExc_ValueError, "closed");
    else
        return self;
    return NULL;
}

/* Without the GIL the count of references is in two parts, which can't be read at once: before Python 3.14, which can
 * tell, somebody may always hold it. */
static bool is_held_by_others(PyObject *frame)
{
#ifndef Py_GIL_DISABLED
    return Py_REFCNT(frame) != 1;
#elif PY_VERSION_HEX >= 0x030e0000
    return !PyUnstable_Object_IsUniquelyReferenced(frame);
#else
    (void)frame;
    return true;
#endif
}

/* Leave the frame that somebody may hold as it is, and work on a copy. */
static int own_the_frame(Keep *self)
{
    if (!is_held_by_others((PyObject *)self->frame))
        return 0;
    Frame *copy = prock_py_new_frame(self->proc, self->keep.want);
    if (!copy)
        return -1;
    if (prock_table_copy(&self->frame->table, &copy->table) != 0) {
        Py_DECREF((PyObject *)copy);
        PyErr_NoMemory();
        return -1;
    }
    Py_DECREF((PyObject *)self->frame);
    self->frame = copy;
    self->keep.table = &copy->table;
    return 0;
}

/* Arguments are read before it is asked whether the keep can be used: that may run code of anybody's. */

static int take_pid(PyObject *argument, int32_t *pid)
{
    if (prock_py_pid(argument, pid) < 0)
        return -1;
    if (*pid > 0)
        return 0;
    PyErr_SetString(PyExc_TypeError, "members are named by their pids");
    return -1;
}

static PyObject *add(Keep *self, int pid, unsigned tree)
{
    struct prock_stat stat;
    if (!usable(self) || own_the_frame(self) < 0)
        return NULL;
    int error = prock_read_stat(&self->keep.root, pid, &stat);
    if (!error)
        error = prock_keep_add(&self->keep, pid, tree);
    return error ? prock_py_failed(self->proc, error, pid, "stat") : prock_py_info_row(self->proc, &stat);
}

static PyObject *Keep_add(Keep *self, PyObject *arguments)
{
    PyObject *result, *process;
    int32_t pid;
    int tree;
    if (!PyArg_ParseTuple(arguments, "Oi:add", &process, &tree) || take_pid(process, &pid) < 0 || check_tree(tree) < 0)
        return NULL;
    PROCK_PY_ALONE(self, result, add(self, pid, (unsigned)tree));
    return result;
}

static PyObject *adopt(Keep *self, int pid, unsigned long long ticks, unsigned tree)
{
    if (!usable(self) || own_the_frame(self) < 0)
        return NULL;
    if (prock_keep_adopt(&self->keep, pid, ticks, tree) != 0)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *Keep_adopt(Keep *self, PyObject *arguments)
{
    PyObject *result, *process;
    int32_t pid;
    int tree;
    unsigned long long ticks;
    if (!PyArg_ParseTuple(arguments, "OKi:adopt", &process, &ticks, &tree) || take_pid(process, &pid) < 0 ||
        check_tree(tree) < 0)
        return NULL;
    PROCK_PY_ALONE(self, result, adopt(self, pid, ticks, (unsigned)tree));
    return result;
}

static PyObject *forget(Keep *self, unsigned tree)
{
    if (!usable(self) || own_the_frame(self) < 0)
        return NULL;
    if (prock_keep_remove(&self->keep, tree) != 0)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *Keep_remove(Keep *self, PyObject *argument)
{
    PyObject *result;
    int tree;
    Py_INCREF(argument);
    if (prock_py_int(argument, &tree) < 0 || check_tree(tree) < 0)
        return NULL;
    PROCK_PY_ALONE(self, result, forget(self, (unsigned)tree));
    return result;
}

static PyObject *pids_of(Keep *self, unsigned tree)
{
    struct prock_pids pids = {0};
    if (!usable(self))
        return NULL;
    int error = 0;
    for (size_t i = 0; i < self->frame->table.n && !error; i++) {
        const struct prock_kept *row = &self->frame->table.rows[i];
        if (row->tree == tree && !(row->flags & PROCK_GONE))
            error = prock_pids_add(&pids, row->pid);
    }
    PyObject *list = error ? PyErr_NoMemory() : prock_py_list_of_pids(&pids);
    prock_pids_free(&pids);
    return list;
}

static PyObject *Keep_pids(Keep *self, PyObject *argument)
{
    PyObject *result;
    int tree;
    Py_INCREF(argument);
    if (prock_py_int(argument, &tree) < 0 || check_tree(tree) < 0)
        return NULL;
    PROCK_PY_ALONE(self, result, pids_of(self, (unsigned)tree));
    return result;
}

static PyObject *sample(Keep *self, const struct prock_pids *reread, long long tree, bool everything)
{
    if (!usable(self) || own_the_frame(self) < 0)
        return NULL;
    self->busy = true;
    for (size_t i = 0; i < reread->n; i++)
        prock_keep_reread(&self->keep, reread->v[i]);
    int status = prock_keep_start(&self->keep, tree, everything);
    if (!status)
        status = prock_keep_run(&self->keep, prock_monotonic_ns() + PROCK_PY_SLICE_NS);
    if (status == 1) {
        Py_BEGIN_ALLOW_THREADS status = prock_keep_run(&self->keep, PROCK_NO_DEADLINE);
        Py_END_ALLOW_THREADS
    }
    PyObject *answer = status ? NULL : prock_py_answer(self->frame, self->keep.trees, self->keep.tree);
    if (!status && !answer)
        prock_keep_failed(&self->keep);
    self->busy = false;
    return status ? prock_py_failed(self->proc, status, 0, "stat") : answer;
}

static PyObject *Keep_sample(Keep *self, PyObject *arguments)
{
    PyObject *list, *result = NULL;
    long long tree;
    int everything, error = 0;
    struct prock_pids reread = {0};
    if (!PyArg_ParseTuple(arguments, "O!Lp:sample", &PyList_Type, &list, &tree, &everything))
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_Size(list) && !error; i++) {
        int pid;
        if (prock_py_int(prock_py_item(list, i), &pid) < 0)
            goto done;
        error = prock_pids_add(&reread, pid);
    }
    if (error)
        PyErr_NoMemory();
    else
        PROCK_PY_ALONE(self, result, sample(self, &reread, tree, everything));
done:
    prock_pids_free(&reread);
    return result;
}

static PyObject *shut(Keep *self)
{
    if (self->busy && self->owner == getpid())
        return (PyObject *)usable(self);
    if (self->busy && !self->closed) {
        /* After a fork: another thread of the parent is taking a sample, and there is no such thread here. */
        self->closed = true;
        Py_INCREF((PyObject *)self->frame); /* for ever */
        prock_keep_abandon(&self->keep);
    } else if (!self->closed && own_the_frame(self) == 0) {
        self->closed = true;
        prock_keep_free(&self->keep);
    }
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *Keep_close(Keep *self, PyObject *Py_UNUSED(nothing))
{
    PyObject *result;
    PROCK_PY_ALONE(self, result, shut(self));
    return result;
}

static void Keep_dealloc(Keep *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    if (self->frame) {
        if (!self->closed) {
            struct prock_table members = self->frame->table; /* somebody may hold the frame: its members stay */
            self->keep.table = &members;
            prock_keep_free(&self->keep);
        }
        Py_DECREF((PyObject *)self->frame);
    }
    Py_XDECREF((PyObject *)self->proc);
    release(self);
    Py_DECREF(type);
}

static PyObject *get_lacks_children(Keep *self, void *Py_UNUSED(closure))
{
    PyObject *result;
    PROCK_PY_ALONE(self, result, PyBool_FromLong(self->keep.lacks_children));
    return result;
}

static PyObject *get_descriptors(Keep *self, void *Py_UNUSED(closure))
{
    PyObject *result;
    PROCK_PY_ALONE(self, result, PyLong_FromSize_t(self->keep.open));
    return result;
}

static PyObject *limit(Keep *self, size_t descriptors)
{
    if (!usable(self))
        return NULL;
    prock_keep_set_budget(&self->keep, descriptors);
    Py_RETURN_NONE;
}

static PyObject *Keep_limit(Keep *self, PyObject *argument)
{
    PyObject *result;
    size_t descriptors = PyLong_AsSize_t(argument);
    if (PyErr_Occurred())
        return NULL;
    PROCK_PY_ALONE(self, result, limit(self, descriptors));
    return result;
}

static PyMethodDef Keep_methods[] = {
    {"limit", (PyCFunction)Keep_limit, METH_O, NULL},       {"add", (PyCFunction)Keep_add, METH_VARARGS, NULL},
    {"adopt", (PyCFunction)Keep_adopt, METH_VARARGS, NULL}, {"remove", (PyCFunction)Keep_remove, METH_O, NULL},
    {"pids", (PyCFunction)Keep_pids, METH_O, NULL},         {"sample", (PyCFunction)Keep_sample, METH_VARARGS, NULL},
    {"close", (PyCFunction)Keep_close, METH_NOARGS, NULL},  {NULL, NULL, 0, NULL},
};

static PyGetSetDef Keep_getset[] = {
    {"no_children_lists", (getter)get_lacks_children, NULL, NULL, NULL},
    {"descriptors", (getter)get_descriptors, NULL, "How many it holds open.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot Keep_slots[] = {
    {Py_tp_doc, "Members of trees that are followed."},
    {Py_tp_dealloc, Keep_dealloc},
    {Py_tp_methods, Keep_methods},
    {Py_tp_getset, Keep_getset},
    {0, NULL},
};

static PyType_Spec Keep_spec = {
    .name = "prock._core.MemberTracker",
    .basicsize = sizeof(Keep),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Keep_slots,
};

int prock_py_add_keep_types(PyObject *module)
{
    PyType_Spec *const specs[] = {&Keep_spec, &prock_py_frame_spec};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, specs[i], NULL);
        int status = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
        Py_XDECREF(type);
        if (status < 0)
            return -1;
    }
    return 0;
}

PyObject *prock_py_keep(Proc *proc, int want, Py_ssize_t descriptors)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot((PyTypeObject *)proc->keep_type, Py_tp_alloc);
    Keep *self = (Keep *)alloc((PyTypeObject *)proc->keep_type, 0);
    if (!self)
        return NULL;
    Py_INCREF((PyObject *)proc);
    self->proc = proc;
    self->owner = getpid();
    if (!(self->frame = prock_py_new_frame(proc, want))) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    prock_keep_init(&self->keep, &proc->root, want, descriptors > 0 ? (size_t)descriptors : 0, &self->frame->table);
    return (PyObject *)self;
}
