/* Methods for perf events. The GIL is held: opening an event takes some microseconds, reading one. */
#include <errno.h>

#include "binding.h"
#include "perf/perf.h"

#define HOLD_GIL_FDS 1024 /* reading more of them, 1 us each, may take a good part of a switch interval */

PyObject *Proc_open_task_clock(Proc *self, PyObject *argument)
{
    int32_t tid;
    if (prock_py_pid(argument, &tid) < 0)
        return NULL;
    int fd = prock_task_clock_open(tid);
    return fd < 0 ? prock_py_feature_error(self, fd, tid, PROCK_PY_PERF) : PyLong_FromLong(fd);
}

PyObject *Proc_read_task_clocks(Proc *self, PyObject *argument)
{
    uint64_t total_ns = 0;
    size_t n;
    int error;
    PyObject *list = PySequence_List(argument);
    int *fds = list ? prock_py_ints(list, &n) : NULL;
    Py_XDECREF(list);
    if (!fds)
        return NULL;
    if (n <= HOLD_GIL_FDS) {
        error = prock_perf_read(fds, n, &total_ns, NULL);
    } else {
        Py_BEGIN_ALLOW_THREADS error = prock_perf_read(fds, n, &total_ns, NULL);
        Py_END_ALLOW_THREADS
    }
    PyMem_Free(fds);
    return error ? prock_py_feature_error(self, error, 0, PROCK_PY_PERF) : prock_py_u64(total_ns);
}
