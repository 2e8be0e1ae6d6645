/* What a sample found: the table of members, which a keep goes on with while nobody else holds the frame. */
#ifndef PROCK_BINDING_TRACKER_SNAPSHOT_H
#define PROCK_BINDING_TRACKER_SNAPSHOT_H

#include "binding.h"
#include "tracker/tracker.h"

typedef struct {
    PyObject_HEAD
    struct prock_member_table table;
    Proc *proc;
    int want;
} TrackerSnapshot;

extern PyType_Spec prock_py_snapshot_spec;
TrackerSnapshot *prock_py_new_snapshot(Proc *proc, int want);
/* tracker_result.c: the frame itself, sums of all trees, and the changes and ends of one, or all (-1). */
PyObject *prock_py_tracker_result(TrackerSnapshot *self, size_t trees, int64_t tree);
PyObject *prock_py_io_or_none(Proc *proc, bool known, const struct prock_io *io);

#endif
