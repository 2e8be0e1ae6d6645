/* Shared by the files of the binding: the type Proc, conversion of arguments and errors, construction of tuples. */
#ifndef PROCK_BINDING_H
#define PROCK_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h> /* in Python.h since 3.12 */

#include "procfs/procfs.h"

typedef struct {
    PyObject_HEAD
    struct prock_root root;
    newfunc tuple_new;
    int fill_in_place;
    union {
        struct {
            PyObject *cpu_time, *disk_io, *process_info, *process_stats, *scan, *member_sample; /* of prock.model */
            PyObject *tree_sums, *member_change, *member_end, *tracker_sample;                  /* of engine.tuples */
            PyObject *task_event, *drained_events;                                              /* of engine.tuples */
            PyObject *access_denied, *not_supported, *malformed;                                /* of prock.errors */
            PyObject *tracker_type, *snapshot_type, *records_type;                              /* of this module */
            PyObject *no_names, *stat_name, *io_name, *children_name;
        };
        PyObject *objects[22]; /* all of them, for the garbage collector */
    };
} Proc;

_Static_assert(
    offsetof(Proc, children_name) + sizeof(PyObject *) == offsetof(Proc, objects) + sizeof(((Proc *)0)->objects),
    "objects has another length than the fields");

#define PROCK_PY_SLICE_NS 5000000U /* default of sys.getswitchinterval() */

/* Serializes calls that change an object on free-threaded Python; a plain call with the GIL. In both cases other
 * threads run while the call has released the interpreter, so an object that is in an intermediate state then needs a
 * flag. */
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
extern PyType_Spec prock_py_tracker_spec;
PyObject *Proc_track(Proc *proc, PyObject *want_and_descriptors);

/* convert.c */
int prock_py_pid(PyObject *argument, int32_t *pid); /* None: 0, the calling process; -1 with an exception set */
/* A new reference, as another thread may remove the item from the list. */
PyObject *prock_py_list_item(PyObject *list, Py_ssize_t at);
int prock_py_int(PyObject *argument, int *number); /* -1 with an exception set */
/* The numbers of a list, to be freed with PyMem_Free; NULL with an exception set. */
int *prock_py_ints(PyObject *list, size_t *n);
/* Returns None for a process that is gone, else NULL with an exception set. */
PyObject *prock_py_error(Proc *self, int error, int32_t pid, const char *file);
/* The same for a feature of the kernel that is not a file. */
PyObject *prock_py_feature_error(Proc *self, int error, int32_t pid, const char *feature);

/* proc_methods.c */
PyObject *Proc_cpu_time(Proc *self, PyObject *pid);
PyObject *Proc_info(Proc *self, PyObject *pid);
PyObject *Proc_memory(Proc *self, PyObject *pid);
PyObject *Proc_disk_io(Proc *self, PyObject *pid);
PyObject *Proc_comm(Proc *self, PyObject *pid);
PyObject *Proc_children(Proc *self, PyObject *pid);
PyObject *Proc_pids(Proc *self, PyObject *nothing);
PyObject *Proc_scan(Proc *self, PyObject *nothing);
PyObject *Proc_tree(Proc *self, PyObject *pid_and_want);
PyObject *Proc_pss(Proc *self, PyObject *pids_and_until_ns);

PyObject *Proc_children_by_thread(Proc *self, PyObject *pid);
PyObject *Proc_last_pid(Proc *self, PyObject *nothing);
PyObject *Proc_thread_state(Proc *self, PyObject *pid_and_tid);
PyObject *Proc_subreaper(Proc *self, PyObject *wanted);

/* perf_methods.c */
#define PROCK_PY_PERF "perf events"
PyObject *Proc_open_task_clock(Proc *self, PyObject *tid);
PyObject *Proc_read_task_clocks(Proc *self, PyObject *fds);

/* perf_ring.c */
extern PyType_Spec prock_py_records_spec;
PyObject *Proc_map_records(Proc *self, PyObject *descriptors_switches_and_bytes);

/* tuples.c: new references, or NULL with an exception set. */
PyObject *prock_py_u64(uint64_t value);
PyObject *prock_py_text(const char *bytes, size_t len);
PyObject *prock_py_tuple_of(Py_ssize_t n, PyObject *const *items); /* steals the items; NULL if one is NULL */
/* Steal the item; clear the list if it is NULL. */
void prock_py_list_set(PyObject **list, size_t at, PyObject *item);
void prock_py_list_append(PyObject **list, PyObject *item);
PyObject *prock_py_cpu_row(Proc *self, const struct prock_cpu *cpu);
PyObject *prock_py_io_row(Proc *self, const struct prock_io *io);
PyObject *prock_py_info_row(Proc *self, const struct prock_stat *stat);
/* None if not known. */
PyObject *prock_py_io_or_none(Proc *self, bool known, const struct prock_io *io);
PyObject *prock_py_list_of_pids(const struct prock_pids *pids);
PyObject *prock_py_scan_result(Proc *self, uint64_t taken_ns, const struct prock_scan *scan);
PyObject *prock_py_tree_result(Proc *self, uint64_t taken_ns, const struct prock_tree_walk *walk);
/* A named tuple; steals the items. */
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
extern const char *const prock_py_cpu_time_fields[];
extern const char *const prock_py_disk_io_fields[];
extern const char *const prock_py_process_info_fields[];
extern const char *const prock_py_process_stats_fields[];
extern const char *const prock_py_member_sample_fields[];
extern const char *const prock_py_tree_sums_fields[];
extern const char *const prock_py_member_change_fields[];
extern const char *const prock_py_member_end_fields[];
extern const char *const prock_py_tracker_sample_fields[];
extern const char *const prock_py_task_event_fields[];
extern const char *const prock_py_drained_events_fields[];
PyObject *prock_py_number(const struct prock_numbers *numbers, int id); /* None if unknown */
PyObject *prock_py_unreadable_names(Proc *self, unsigned unreadable);
int prock_py_may_fill_in_place(PyObject *type, newfunc tuple_new); /* -1 with an exception set */

#endif
