/* Arguments of methods, and errors as exceptions. */
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
    long value = PyLong_AsLong(argument);
    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value < INT32_MIN || value > INT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "number too large: use at most 32 bits");
        return -1;
    }
    *number = (int)value;
    return 0;
}

int *prock_py_ints(PyObject *list, size_t *n)
{
    size_t most = (size_t)PyList_Size(list);
    int *numbers = PyMem_Malloc((most + 1) * sizeof *numbers);
    if (!numbers) {
        PyErr_NoMemory();
        return NULL;
    }
    /* Converting an item may run code that changes the list. */
    for (*n = 0; *n < most && *n < (size_t)PyList_Size(list); ++*n) {
        PyObject *item = prock_py_list_item(list, (Py_ssize_t)*n);
        int status = item ? prock_py_int(item, &numbers[*n]) : -1;
        Py_XDECREF(item);
        if (status < 0) {
            PyMem_Free(numbers);
            return NULL;
        }
    }
    return numbers;
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

PyObject *prock_py_error(Proc *self, int error, int32_t pid, const char *file)
{
    int shown = pid ? pid : (int)getpid();
    switch (error) {
    case -ESRCH:
        Py_RETURN_NONE;
    case -EACCES:
        set_exception(self->access_denied, "(is)", shown, file);
        return NULL;
    case -EBADMSG:
        set_exception(self->malformed, "(is)", shown, file);
        return NULL;
    case -ENOTSUP: {
        PyObject *path = PyUnicode_FromFormat("%s/PID/%s", self->root.path, file);
        if (path)
            set_exception(self->not_supported, "(O)", path);
        Py_XDECREF(path);
        return NULL;
    }
    case -ENOMEM:
        return PyErr_NoMemory();
    default: {
        /* Made here, as PyErr_SetFromErrnoWithFilename would raise without a name if it had no memory for it. */
        PyObject *name = PyUnicode_DecodeFSDefault(self->root.path);
        errno = -error;
        if (name)
            PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, name);
        Py_XDECREF(name);
        return NULL;
    }
    }
}

PyObject *prock_py_feature_error(Proc *self, int error, int32_t pid, const char *feature)
{
    if (error == -ESRCH || error == -EACCES)
        return prock_py_error(self, error, pid, feature);
    if (error == -ENOTSUP) {
        set_exception(self->not_supported, "(s)", feature);
        return NULL;
    }
    errno = -error;
    return PyErr_SetFromErrno(PyExc_OSError);
}
