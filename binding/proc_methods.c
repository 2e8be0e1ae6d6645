/* Methods that read /proc: parse arguments, release the GIL at most once, build tuples; no logic.
 *
 * The GIL is held for the first slice of a pass and released for the rest: a thread that releases it waits a whole
 * switch interval (5 ms) for another thread that computes. So a pass over 100 processes costs the same beside a busy
 * thread. */
#include <errno.h>
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
        PyErr_Format(PyExc_FileNotFoundError, "%s/self is not the calling process: pass a pid", self->root.path);
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

/* Of a flat list: tid, number of children, pids of the children. */
static PyObject *thread_children(const int32_t *pids)
{
    const struct prock_pids children = {.v = (int32_t *)pids + 2, .n = (size_t)pids[1]};
    PyObject *const items[] = {PyLong_FromLong(pids[0]), prock_py_list_of_pids(&children)};
    return prock_py_tuple_of(2, items);
}

PyObject *Proc_children_by_thread(Proc *self, PyObject *argument)
{
    int32_t pid;
    struct prock_pids found = {0};
    if (prock_py_pid(argument, &pid) < 0)
        return NULL;
    int error = pid ? prock_is_process(&self->root, pid) : prock_own_pid(&self->root, &pid);
    if (!error)
        error = prock_read_children_by_thread(&self->root, pid, &found);
    PyObject *result = error ? prock_py_error(self, error, pid, "task/TID/children") : PyList_New(0);
    for (size_t at = 0; !error && result && at < found.n; at += 2 + (size_t)found.v[at + 1])
        prock_py_list_append(&result, thread_children(found.v + at));
    prock_pids_free(&found);
    return result;
}

PyObject *Proc_thread_state(Proc *self, PyObject *arguments)
{
    PyObject *process, *thread;
    int32_t pid, tid;
    char state;
    if (!PyArg_ParseTuple(arguments, "OO:thread_state", &process, &thread) || prock_py_pid(process, &pid) < 0 ||
        prock_py_pid(thread, &tid) < 0)
        return NULL;
    int error = prock_thread_state(&self->root, pid, tid, &state);
    return error ? prock_py_error(self, error, pid, "task/TID/stat") : prock_py_text(&state, 1);
}

PyObject *Proc_last_pid(Proc *self, PyObject *Py_UNUSED(nothing))
{
    int32_t pid;
    int error = prock_last_pid(&self->root, &pid);
    if (error)
        return prock_py_feature_error(self, error == -EBADMSG ? -ENOTSUP : error, 0, "last allocated pid");
    return PyLong_FromLong(pid);
}

PyObject *Proc_subreaper(Proc *self, PyObject *argument)
{
    bool was;
    int wanted = argument == Py_None ? -1 : PyObject_IsTrue(argument);
    if (wanted < 0 && argument != Py_None)
        return NULL;
    int error = prock_subreaper(wanted, &was);
    return error ? prock_py_feature_error(self, error, 0, "PR_SET_CHILD_SUBREAPER") : PyBool_FromLong(was);
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

/* Returns how many were read before the deadline. Runs without the GIL: reading waits for the mmap lock of the process.
 */
static size_t read_pss(Proc *self, const struct prock_pids *pids, uint64_t until_ns, uint64_t *pss, int *errors)
{
    size_t n = 0;
    while (n < pids->n && (n == 0 || prock_monotonic_ns() < until_ns)) {
        errors[n] = prock_read_pss(&self->root, pids->v[n], &pss[n]);
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
    uint64_t *pss = calloc(pids.n + 1, sizeof *pss);
    int *errors = calloc(pids.n + 1, sizeof *errors);
    size_t n = 0;
    if (!error && pss && errors) {
        Py_BEGIN_ALLOW_THREADS n = read_pss(self, &pids, until_ns, pss, errors);
        Py_END_ALLOW_THREADS result = PyList_New((Py_ssize_t)n);
    } else {
        PyErr_NoMemory();
    }
    for (size_t i = 0; result && i < n; i++)
        prock_py_list_set(&result, i, errors[i] ? Py_BuildValue("") : prock_py_u64(pss[i]));
    free(pss);
    free(errors);
done:
    prock_pids_free(&pids);
    return result;
}
