/* What accounting by perf events asks. The GIL is kept: an event is opened in some microseconds and read in one. */
#include <errno.h>

#include "binding.h"
#include "perf/perf.h"

#define EVENT "perf events"
#define HOLD_GIL_FDS 1024 /* reading more of them, a microsecond each, may take a good part of a switch interval */

static PyObject *not_supported(Proc *self, const char *what)
{
    PyObject *exception = PyObject_CallFunction(self->not_supported, "s", what);
    if (exception)
        PyErr_SetObject(self->not_supported, exception);
    Py_XDECREF(exception);
    return NULL;
}

PyObject *prock_py_perf_error(Proc *self, int error, int32_t tid)
{
    if (error == -ESRCH || error == -EACCES)
        return prock_py_error(self, error, tid, EVENT);
    if (error == -ENOTSUP)
        return not_supported(self, EVENT);
    errno = -error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* The pids of a flat list: thread, number of children, children. */
static PyObject *family(const int32_t *pids)
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
    for (size_t at = 0; !error && result && at < found.n; at += 2 + (size_t)found.v[at + 1]) {
        PyObject *item = family(found.v + at);
        if (!item || PyList_Append(result, item) < 0)
            Py_CLEAR(result);
        Py_XDECREF(item);
    }
    prock_pids_free(&found);
    return result;
}

PyObject *Proc_last_pid(Proc *self, PyObject *Py_UNUSED(nothing))
{
    int32_t pid;
    int error = prock_last_pid(&self->root, &pid);
    if (error == -ENOTSUP || error == -EBADMSG)
        return not_supported(self, "the last pid that was given away");
    return error ? prock_py_perf_error(self, error, 0) : PyLong_FromLong(pid);
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

PyObject *Proc_open_task_clock(Proc *self, PyObject *argument)
{
    int32_t tid;
    if (prock_py_pid(argument, &tid) < 0)
        return NULL;
    int fd = prock_task_clock_open(tid);
    return fd < 0 ? prock_py_perf_error(self, fd, tid) : PyLong_FromLong(fd);
}

PyObject *Proc_read_task_clocks(Proc *self, PyObject *argument)
{
    uint64_t total_ns = 0;
    PyObject *list = PySequence_List(argument);
    Py_ssize_t n = list ? PyList_Size(list) : -1;
    int *fds = n >= 0 ? PyMem_Malloc((size_t)n * sizeof *fds) : NULL;
    if (!fds) {
        Py_XDECREF(list);
        return n >= 0 ? PyErr_NoMemory() : NULL;
    }
    bool taken = true;
    for (Py_ssize_t i = 0; i < n && taken; i++)
        taken = prock_py_int(prock_py_list_item(list, i), &fds[i]) == 0;
    Py_DECREF(list);
    int error = 0;
    if (taken) {
        if (n <= HOLD_GIL_FDS) {
            error = prock_perf_read(fds, (size_t)n, &total_ns, NULL);
        } else {
            Py_BEGIN_ALLOW_THREADS error = prock_perf_read(fds, (size_t)n, &total_ns, NULL);
            Py_END_ALLOW_THREADS
        }
    }
    PyMem_Free(fds);
    if (!taken)
        return NULL;
    return error ? prock_py_perf_error(self, error, 0) : prock_py_u64(total_ns);
}
