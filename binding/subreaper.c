#include <errno.h>

#include "binding.h"

PyObject *Proc_subreaper(Proc *self, PyObject *argument)
{
    bool was;
    int wanted = argument == Py_None ? -1 : PyObject_IsTrue(argument);
    if (wanted < 0 && argument != Py_None)
        return NULL;
    int error = prock_subreaper(wanted, &was);
    if (!error)
        return PyBool_FromLong(was);
    if (error == -ENOTSUP) {
        PyObject *exception = PyObject_CallFunction(self->not_supported, "s", "PR_SET_CHILD_SUBREAPER");
        if (exception)
            PyErr_SetObject(self->not_supported, exception);
        Py_XDECREF(exception);
        return NULL;
    }
    errno = -error;
    return PyErr_SetFromErrno(PyExc_OSError);
}
