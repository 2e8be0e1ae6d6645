/* Questions to the kernel, one method each. Parses arguments, holds or lets go of the GIL, builds tuples; no logic.
 *
 * The GIL is kept for the first slice of a pass and let go of once, for the rest, where there is one: who lets go of it
 * waits a whole switch interval (5 ms) for another thread that computes, so a shorter pass disturbs others least by
 * not asking. The same rule makes a pass over 100 processes cost with a busy thread what it costs without.
 */
#include <stdlib.h>

#include "binding.h"

/* ---- one process ---- */

PyObject *Proc_cpu_time(Proc *self, PyObject *argument)
{
    int32_t pid;
    struct prock_cpu cpu;
    if (prock_py_pid(argument, &pid) < 0)
        return NULL;
    int error = prock_read_cpu(&self->root, pid, &cpu);
    return error ? prock_py_error(self, error, pid, "stat") : prock_py_cpu_row(self, &cpu);
}

PyObject *Proc_info(Proc *self, PyObject *argument)
{
    int32_t pid;
    struct prock_stat stat;
    if (prock_py_pid(argument, &pid) < 0)
        return NULL;
    int error = prock_read_stat(&self->root, pid, &stat);
    return error ? prock_py_error(self, error, pid, "stat") : prock_py_info_row(self, &stat);
}

PyObject *Proc_memory(Proc *self, PyObject *argument)
{
    int32_t pid;
    struct prock_statm statm;
    if (prock_py_pid(argument, &pid) < 0)
        return NULL;
    int error = prock_read_statm(&self->root, pid, &statm);
    if (error)
        return prock_py_error(self, error, pid, "statm");
    PyObject *const values[] = {
        prock_py_u64(prock_multiply(statm.resident, self->root.page_bytes)),
        prock_py_u64(prock_multiply(statm.size, self->root.page_bytes)),
    };
    return prock_py_tuple_of(2, values);
}

PyObject *Proc_disk_io(Proc *self, PyObject *argument)
{
    int32_t pid;
    struct prock_io io;
    if (prock_py_pid(argument, &pid) < 0)
        return NULL;
    int error = prock_read_io(&self->root, pid, &io);
    return error ? prock_py_error(self, error, pid, "io") : prock_py_io_row(self, &io);
}

PyObject *Proc_comm(Proc *self, PyObject *argument)
{
    int32_t pid;
    char comm[PROCK_COMM_MAX];
    size_t len;
    if (prock_py_pid(argument, &pid) < 0)
        return NULL;
    int error = prock_read_comm(&self->root, pid, comm, &len);
    return error ? prock_py_error(self, error, pid, "comm") : prock_py_text(comm, len);
}

static int pid_or_own(Proc *self, PyObject *argument, int32_t *pid)
{
    if (prock_py_pid(argument, pid) < 0)
        return -1;
    int error = *pid ? 0 : prock_own_pid(&self->root, pid);
    if (error) {
        PyErr_Format(PyExc_FileNotFoundError, "%s/self does not name the calling process", self->root.path);
        return -1;
    }
    return 0;
}

PyObject *Proc_children(Proc *self, PyObject *argument)
{
    int32_t pid;
    struct prock_pids found = {0};
    if (pid_or_own(self, argument, &pid) < 0)
        return NULL;
    int error = prock_is_process(&self->root, pid);
    if (!error)
        error = prock_read_children(&self->root, pid, 0, &found);
    PyObject *result = error ? prock_py_error(self, error, pid, "children") : prock_py_list_of_pids(&found);
    prock_pids_free(&found);
    return result;
}

/* ---- many processes ---- */

PyObject *Proc_pids(Proc *self, PyObject *Py_UNUSED(nothing))
{
    struct prock_pids pids = {0};
    int error = prock_list(&self->root, &pids);
    PyObject *result = error ? prock_py_error(self, error, 0, "") : prock_py_list_of_pids(&pids);
    prock_pids_free(&pids);
    return result;
}

PyObject *Proc_scan(Proc *self, PyObject *Py_UNUSED(nothing))
{
    struct prock_scan scan;
    uint64_t taken_ns = prock_monotonic_ns();
    prock_scan_start(&scan, &self->root);
    int status = prock_scan_run(&scan, taken_ns + PROCK_PY_SLICE_NS);
    if (status == 1) {
        Py_BEGIN_ALLOW_THREADS status = prock_scan_run(&scan, PROCK_NO_DEADLINE);
        Py_END_ALLOW_THREADS
    }
    PyObject *result = status ? prock_py_error(self, status, 0, "stat") : prock_py_scan_result(self, taken_ns, &scan);
    prock_scan_free(&scan);
    return result;
}

PyObject *Proc_tree(Proc *self, PyObject *arguments)
{
    PyObject *root;
    int32_t pid;
    int want;
    struct prock_tree_walk walk;
    if (!PyArg_ParseTuple(arguments, "Oi:tree", &root, &want) || pid_or_own(self, root, &pid) < 0)
        return NULL;
    uint64_t taken_ns = prock_monotonic_ns();
    prock_tree_walk_start(&walk, &self->root, pid, want);
    int status = prock_tree_walk_run(&walk, taken_ns + PROCK_PY_SLICE_NS);
    if (status == 1) {
        Py_BEGIN_ALLOW_THREADS status = prock_tree_walk_run(&walk, PROCK_NO_DEADLINE);
        Py_END_ALLOW_THREADS
    }
    PyObject *result = status ? prock_py_error(self, status, pid, "stat") : prock_py_tree_result(self, taken_ns, &walk);
    prock_tree_walk_free(&walk);
    return result;
}

PyObject *Proc_track(Proc *self, PyObject *arguments)
{
    int want;
    Py_ssize_t descriptors;
    return PyArg_ParseTuple(arguments, "in:track", &want, &descriptors) ? prock_py_new_tracker(self, want, descriptors)
                                                                        : NULL;
}

/* As many as were read until the deadline. The kernel holds a lock of the target meanwhile, so others go on. */
static size_t read_pss(Proc *self, const struct prock_pids *pids, uint64_t until_ns, uint64_t *shares, int *errors)
{
    size_t n = 0;
    while (n < pids->n && (n == 0 || prock_monotonic_ns() < until_ns)) {
        errors[n] = prock_read_pss(&self->root, pids->v[n], &shares[n]);
        n++;
    }
    return n;
}

PyObject *Proc_pss(Proc *self, PyObject *arguments)
{
    PyObject *list, *result = NULL;
    unsigned long long until_ns;
    struct prock_pids pids = {0};
    if (!PyArg_ParseTuple(arguments, "O!K:pss", &PyList_Type, &list, &until_ns))
        return NULL;
    int error = 0;
    for (Py_ssize_t i = 0; i < PyList_Size(list) && !error; i++) {
        int32_t pid;
        PyObject *item = prock_py_list_item(list, i);
        int status = item ? pid_or_own(self, item, &pid) : -1;
        Py_XDECREF(item);
        if (status < 0)
            goto done;
        error = prock_pids_add(&pids, pid);
    }
    uint64_t *shares = calloc(pids.n + 1, sizeof *shares);
    int *errors = calloc(pids.n + 1, sizeof *errors);
    size_t n = 0;
    if (!error && shares && errors) {
        Py_BEGIN_ALLOW_THREADS n = read_pss(self, &pids, until_ns, shares, errors);
        Py_END_ALLOW_THREADS result = PyList_New((Py_ssize_t)n);
    } else {
        PyErr_NoMemory();
    }
    for (size_t i = 0; result && i < n; i++) {
        PyObject *share = errors[i] ? Py_BuildValue("") : prock_py_u64(shares[i]);
        if (!share)
            Py_CLEAR(result);
        else
            PyList_SetItem(result, (Py_ssize_t)i, share);
    }
    free(shares);
    free(errors);
done:
    prock_pids_free(&pids);
    return result;
}
