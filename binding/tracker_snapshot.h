/* The table of members after a sample. The tracker continues with it if nothing else refers to the snapshot. */
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
/* tracker_result.c: the snapshot, sums of all trees, and changed and exited members of one tree, or all (-1). */
PyObject *prock_py_tracker_result(TrackerSnapshot *self, size_t trees, int64_t tree);

#endif
