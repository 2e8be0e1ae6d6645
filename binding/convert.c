/* What the methods of all objects begin and end with: their arguments, and errors as exceptions. */
#include <errno.h>
#include <unistd.h>

#include "binding.h"

int prock_py_pid(PyObject *argument, int32_t *pid)
{
    if (argument == Py_None) {
        *pid = 0;
        return 0;
    }
    if (!PyIndex_Check(argument)) {
        PyObject *type = PyType_GetName(Py_TYPE(argument));
        if (type)
            PyErr_Format(PyExc_TypeError, "a pid is an int or None, not %U", type);
        Py_XDECREF(type);
        return -1;
    }
    PyObject *number = PyNumber_Index(argument);
    if (!number)
        return -1;
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow || value <= 0 || value > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "%S can't be a pid: it must be from 1 to %d", number, INT32_MAX);
        Py_DECREF(number);
        return -1;
    }
    Py_DECREF(number);
    *pid = (int32_t)value;
    return 0;
}

PyObject *prock_py_list_item(PyObject *list, Py_ssize_t at)
{
#ifdef Py_GIL_DISABLED
    return PyList_GetItemRef(list, at);
#else
    PyObject *item = PyList_GetItem(list, at);
    Py_XINCREF(item);
    return item;
#endif
}

int prock_py_int(PyObject *argument, int *number)
{
    long value = argument ? PyLong_AsLong(argument) : -1;
    Py_XDECREF(argument);
    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value < INT32_MIN || value > INT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "more than 32 bits");
        return -1;
    }
    *number = (int)value;
    return 0;
}

static void set_exception(PyObject *type, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PyObject *values = Py_VaBuildValue(format, arguments);
    va_end(arguments);
    PyObject *exception = values ? PyObject_CallObject(type, values) : NULL;
    if (exception)
        PyErr_SetObject(type, exception);
    Py_XDECREF(exception);
    Py_XDECREF(values);
}

PyObject *prock_py_error(Proc *self, int error, int32_t pid, const char *what)
{
    int shown = pid ? pid : (int)getpid();
    switch (error) {
    case -ESRCH:
        Py_RETURN_NONE;
    case -EACCES:
        set_exception(self->access_denied, "(is)", shown, what);
        return NULL;
    case -EBADMSG:
        set_exception(self->malformed, "(is)", shown, what);
        return NULL;
    case -ENOTSUP: {
        PyObject *file = PyUnicode_FromFormat("%s/PID/%s", self->root.path, what);
        if (file)
            set_exception(self->not_supported, "(O)", file);
        Py_XDECREF(file);
        return NULL;
    }
    case -ENOMEM:
        return PyErr_NoMemory();
    default: {
        /* Python itself, asked to make the name, goes on without one where it has no memory for it. */
        PyObject *name = PyUnicode_DecodeFSDefault(self->root.path);
        errno = -error;
        if (name)
            PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, name);
        Py_XDECREF(name);
        return NULL;
    }
    }
}
