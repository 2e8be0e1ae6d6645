/* What a sample found: the table of members, which a keep goes on with while nobody else holds the frame. */
#ifndef PROCK_BINDING_TRACKER_SNAPSHOT_H
#define PROCK_BINDING_TRACKER_SNAPSHOT_H

#include "binding.h"
#include "tracker/tracker.h"

typedef struct {
    PyObject_HEAD
    struct prock_table table;
    Proc *proc;
    int want;
} Frame;

extern PyType_Spec prock_py_frame_spec;
Frame *prock_py_new_frame(Proc *proc, int want);
/* tracker_result.c: the frame itself, sums of all trees, and the changes and ends of one, or all (-1). */
PyObject *prock_py_answer(Frame *self, size_t trees, int64_t tree);
PyObject *prock_py_io_or_none(Proc *proc, bool known, const struct prock_io *io);

#endif
