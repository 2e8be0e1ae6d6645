/* What the parts of the binding share: the object that questions are put to, and the rows that answer them. */
#ifndef PROCK_BINDING_H
#define PROCK_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "procfs/procfs.h"

typedef struct {
    PyObject_HEAD
    struct prock_root root;
    newfunc tuple_new;
    int fill_in_place;
    PyObject *cpu_time, *disk_io, *process_info, *process_stats, *scan, *member_sample; /* prock.model */
    PyObject *tree_sums, *member_change, *member_end, *tracker_sample;                  /* prock.engine.tuples */
    PyObject *task_event, *drained_events;                                              /* there, too */
    PyObject *access_denied, *not_supported, *malformed;                                /* prock.errors */
    PyObject *tracker_type, *snapshot_type, *records_type;                              /* ours */
    PyObject *no_names, *stat_name, *io_name, *children_name;
} Proc;

#define PROCK_PY_SLICE_NS 5000000U /* sys.getswitchinterval() */

/* Without the GIL, one thread at a time in what changes an object; with it, nothing. As with the GIL, another gets its
 * turn where this one lets go of the interpreter, so an object that is half changed then has to say so itself. */
#ifdef Py_GIL_DISABLED
#define PROCK_WITH_OBJECT_LOCK(object, result, call)                                                                   \
    do {                                                                                                               \
        Py_BEGIN_CRITICAL_SECTION(object);                                                                             \
        (result) = (call);                                                                                             \
        Py_END_CRITICAL_SECTION();                                                                                     \
    } while (0)
#else
#define PROCK_WITH_OBJECT_LOCK(object, result, call) ((result) = (call))
#endif

/* tracker.c */
int prock_py_add_tracker_types(PyObject *module);
PyObject *prock_py_new_tracker(Proc *proc, int want, Py_ssize_t descriptors);

/* convert.c */
int prock_py_pid(PyObject *argument, int32_t *pid); /* None is 0, the calling process; -1 with an exception set */
/* A new reference: by the time that it is looked at, another thread may have taken it out of the list. */
PyObject *prock_py_list_item(PyObject *list, Py_ssize_t at);
int prock_py_int(PyObject *argument, int *number); /* steals it, which may be NULL; -1 with an exception set */
/* None for a process that is gone, else NULL with an exception set. */
PyObject *prock_py_error(Proc *self, int error, int32_t pid, const char *what);

/* proc_methods.c: methods */
PyObject *Proc_cpu_time(Proc *self, PyObject *pid);
PyObject *Proc_info(Proc *self, PyObject *pid);
PyObject *Proc_memory(Proc *self, PyObject *pid);
PyObject *Proc_disk_io(Proc *self, PyObject *pid);
PyObject *Proc_comm(Proc *self, PyObject *pid);
PyObject *Proc_children(Proc *self, PyObject *pid);
PyObject *Proc_pids(Proc *self, PyObject *nothing);
PyObject *Proc_scan(Proc *self, PyObject *nothing);
PyObject *Proc_tree(Proc *self, PyObject *pid_and_want);
PyObject *Proc_track(Proc *self, PyObject *want_and_descriptors);
PyObject *Proc_pss(Proc *self, PyObject *pids_and_until_ns);

/* perf_methods.c: methods */
PyObject *Proc_children_by_thread(Proc *self, PyObject *pid);
PyObject *Proc_last_pid(Proc *self, PyObject *nothing);
PyObject *Proc_thread_state(Proc *self, PyObject *pid_and_tid);
PyObject *Proc_subreaper(Proc *self, PyObject *wanted);
PyObject *Proc_open_task_clock(Proc *self, PyObject *tid);
PyObject *Proc_read_task_clocks(Proc *self, PyObject *fds);

PyObject *prock_py_perf_error(Proc *self, int error, int32_t tid);

/* perf_ring.c */
int prock_py_add_records_type(PyObject *module);
PyObject *Proc_open_on_exec(Proc *self, PyObject *cpu);
PyObject *Proc_open_switches_on_exec(Proc *self, PyObject *cpu);
PyObject *Proc_map_records(Proc *self, PyObject *descriptors_switches_and_bytes);

/* tuples.c: new references, or NULL with an exception set. */
PyObject *prock_py_u64(uint64_t value);
PyObject *prock_py_text(const char *bytes, size_t len);
PyObject *prock_py_tuple_of(Py_ssize_t n, PyObject *const *items); /* takes the items, also where one is NULL */
PyObject *prock_py_cpu_row(Proc *self, const struct prock_cpu *cpu);
PyObject *prock_py_io_row(Proc *self, const struct prock_io *io);
PyObject *prock_py_info_row(Proc *self, const struct prock_stat *stat);
PyObject *prock_py_list_of_pids(const struct prock_pids *pids);
PyObject *prock_py_scan_result(Proc *self, uint64_t taken_ns, const struct prock_scan *scan);
PyObject *prock_py_tree_result(Proc *self, uint64_t taken_ns, const struct prock_tree_walk *walk);
/* A named tuple; takes the items. */
PyObject *prock_py_namedtuple(Proc *self, PyObject *type, Py_ssize_t n, PyObject *const *items);

/* The fields of a named tuple are a list FIELDS(F) of F(name, value). The values that fill it and the names, which
 * load_classes() compares with the class, come from this one list. */
#define PROCK_FIELD_NAME(name, value) #name,
#define PROCK_FIELD_VALUE(name, value) value,
#define PROCK_FIELD_NAMES(FIELDS) {FIELDS(PROCK_FIELD_NAME) NULL}
#define PROCK_NAMEDTUPLE(self, type, FIELDS)                                                                           \
    prock_py_namedtuple(                                                                                               \
        self, type, sizeof((PyObject *[]){FIELDS(PROCK_FIELD_VALUE)}) / sizeof(PyObject *),                            \
        (PyObject *[]){FIELDS(PROCK_FIELD_VALUE)})
extern const char *const prock_py_cpu_time_fields[],
    *const prock_py_disk_io_fields[], *const prock_py_process_info_fields[],
                                          *const prock_py_process_stats_fields[],
                                              *const prock_py_member_sample_fields[],
                                                  *const prock_py_tree_sums_fields[],
                                                      *const prock_py_member_change_fields[],
                                                          *const prock_py_member_end_fields[],
                                                              *const prock_py_tracker_sample_fields[],
                                                                  *const prock_py_task_event_fields[],
                                                                      *const prock_py_drained_events_fields[];
PyObject *prock_py_unreadable_names(Proc *self, unsigned unreadable);
int prock_py_may_fill_in_place(PyObject *type, newfunc tuple_new); /* -1 with an exception set */

#endif
