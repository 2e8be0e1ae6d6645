/* Trees that are followed, for Python: prock.engine.protocol says what a Keep and its Frames answer.
 *
 * The table of members belongs to the latest frame. While nobody else holds that frame a pass works on it in place;
 * else on a copy, so that a frame never changes in somebody's hands.
 */
#include <errno.h>
#include <stdlib.h>

#include "frame.h"

typedef struct {
    PyObject_HEAD
    struct prock_keep keep;
    Proc *proc;
    Frame *frame;
    bool busy, closed;
} Keep;

/* ---- what a pass found ---- */

struct sums {
    uint64_t members, threads, own_ns, rss_bytes, vsize_bytes, denied, appeared, vanished;
    struct prock_io leaves;
};

static PyObject *sums_of(Keep *self)
{
    size_t trees = self->keep.trees;
    struct sums *sums = calloc(trees + 1, sizeof *sums);
    PyObject *list = sums ? PyList_New((Py_ssize_t)trees) : PyErr_NoMemory();
    for (size_t i = 0; list && i < self->frame->table.n; i++) {
        const struct prock_kept *row = &self->frame->table.rows[i];
        struct sums *sum = &sums[row->tree];
        if (row->flags & (PROCK_GONE | PROCK_UNREAD)) {
            sum->vanished += (row->flags & PROCK_UNREAD) != 0;
            continue;
        }
        sum->members++;
        sum->threads += (uint64_t)row->stat.num_threads;
        sum->own_ns += row->own_ns;
        sum->rss_bytes += row->rss_bytes;
        sum->vsize_bytes += row->vsize_bytes;
        sum->denied += row->refused != 0;
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

static PyObject *change_of(Keep *self, const struct prock_kept *row)
{
    PyObject *const items[] = {
        PyLong_FromUnsignedLong(row->tree),
        prock_py_info_row(self->proc, &row->stat),
        prock_py_io_or_none(self->proc, row->flags & PROCK_HAS_IO, &row->io),
        PyBool_FromLong((row->flags & PROCK_PARENT) != 0),
    };
    return prock_py_tuple_of(4, items);
}

static PyObject *end_of(Keep *self, const struct prock_kept *row)
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
    Keep *self, unsigned with, unsigned without, PyObject *(*make)(Keep *, const struct prock_kept *))
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < self->frame->table.n; i++) {
        const struct prock_kept *row = &self->frame->table.rows[i];
        bool looked_at = self->keep.tree < 0 || self->keep.tree == (int64_t)row->tree;
        if (!looked_at || !(row->flags & with) || row->flags & without)
            continue;
        PyObject *event = make(self, row);
        if (!event || PyList_Append(list, event) < 0)
            Py_CLEAR(list);
        Py_XDECREF(event);
    }
    return list;
}

/* ---- the keep ---- */

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

/* Leave the frame that somebody may hold as it is, and work on a copy. */
static int own_the_frame(Keep *self)
{
    if (Py_REFCNT((PyObject *)self->frame) == 1)
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

static PyObject *Keep_add(Keep *self, PyObject *arguments)
{
    int pid;
    unsigned tree;
    struct prock_stat stat;
    if (!usable(self) || !PyArg_ParseTuple(arguments, "iI:add", &pid, &tree) || own_the_frame(self) < 0)
        return NULL;
    int error = prock_read_stat(&self->keep.root, pid, &stat);
    if (!error)
        error = prock_keep_add(&self->keep, pid, tree);
    return error ? prock_py_failed(self->proc, error, pid, "stat") : prock_py_info_row(self->proc, &stat);
}

static PyObject *Keep_adopt(Keep *self, PyObject *arguments)
{
    int pid;
    unsigned tree;
    unsigned long long ticks;
    if (!usable(self) || !PyArg_ParseTuple(arguments, "iKI:adopt", &pid, &ticks, &tree) || own_the_frame(self) < 0)
        return NULL;
    if (prock_keep_adopt(&self->keep, pid, ticks, tree) != 0)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *Keep_remove(Keep *self, PyObject *argument)
{
    unsigned long tree = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred() || !usable(self) || own_the_frame(self) < 0)
        return NULL;
    if (prock_keep_remove(&self->keep, (uint32_t)tree) != 0)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *Keep_pids(Keep *self, PyObject *argument)
{
    unsigned long tree = PyLong_AsUnsignedLong(argument);
    struct prock_pids pids = {0};
    if (PyErr_Occurred() || !usable(self))
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

static PyObject *Keep_sample(Keep *self, PyObject *arguments)
{
    PyObject *reread;
    long long tree;
    int everything;
    if (!usable(self) || !PyArg_ParseTuple(arguments, "O!Lp:sample", &PyList_Type, &reread, &tree, &everything) ||
        own_the_frame(self) < 0)
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_Size(reread); i++) {
        long pid = PyLong_AsLong(PyList_GetItem(reread, i));
        if (pid == -1 && PyErr_Occurred())
            return NULL;
        prock_keep_reread(&self->keep, (int32_t)pid);
    }
    int status = prock_keep_start(&self->keep, tree, everything);
    if (!status)
        status = prock_keep_run(&self->keep, prock_monotonic_ns() + PROCK_PY_SLICE_NS);
    if (status == 1) {
        self->busy = true;
        Py_BEGIN_ALLOW_THREADS status = prock_keep_run(&self->keep, PROCK_NO_DEADLINE);
        Py_END_ALLOW_THREADS self->busy = false;
    }
    if (status)
        return prock_py_failed(self->proc, status, 0, "stat");
    Py_INCREF((PyObject *)self->frame);
    PyObject *const items[] = {
        (PyObject *)self->frame,
        sums_of(self),
        events(self, PROCK_REPORT, PROCK_GONE | PROCK_UNREAD, change_of),
        events(self, PROCK_GONE, PROCK_UNREAD, end_of),
    };
    PyObject *answer = prock_py_tuple_of(4, items);
    if (!answer)
        prock_keep_failed(&self->keep);
    return answer;
}

static PyObject *Keep_close(Keep *self, PyObject *Py_UNUSED(nothing))
{
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
    return PyBool_FromLong(self->keep.lacks_children);
}

static PyObject *get_descriptors(Keep *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(self->keep.open);
}

static PyObject *Keep_limit(Keep *self, PyObject *argument)
{
    size_t descriptors = PyLong_AsSize_t(argument);
    if (PyErr_Occurred() || !usable(self))
        return NULL;
    prock_keep_set_budget(&self->keep, descriptors);
    Py_RETURN_NONE;
}

static PyMethodDef Keep_methods[] = {
    {"limit", (PyCFunction)Keep_limit, METH_O, NULL},       {"add", (PyCFunction)Keep_add, METH_VARARGS, NULL},
    {"adopt", (PyCFunction)Keep_adopt, METH_VARARGS, NULL}, {"remove", (PyCFunction)Keep_remove, METH_O, NULL},
    {"pids", (PyCFunction)Keep_pids, METH_O, NULL},         {"sample", (PyCFunction)Keep_sample, METH_VARARGS, NULL},
    {"close", (PyCFunction)Keep_close, METH_NOARGS, NULL},  {NULL, NULL, 0, NULL},
};

static PyGetSetDef Keep_getset[] = {
    {"lacks_children", (getter)get_lacks_children, NULL, NULL, NULL},
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
    .name = "prock._core.Keep",
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
    if (!(self->frame = prock_py_new_frame(proc, want))) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    prock_keep_init(&self->keep, &proc->root, want, descriptors > 0 ? (size_t)descriptors : 0, &self->frame->table);
    return (PyObject *)self;
}
