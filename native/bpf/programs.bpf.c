/* Programs that record each fork, exec and end of processes. A child of a member is a member from its first
 * instruction. */
#include "kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "events.h"

#define GROUP_EXIT 4 /* SIGNAL_GROUP_EXIT of linux/sched/signal.h */

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 22); /* the loader sets it */
} events SEC(".maps");

/* tgid to tree */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, __u32);
    __type(value, __u32);
} members SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct prock_bpf_counters);
} counters SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct prock_bpf_settings);
} settings SEC(".maps");

/* I/O of the ended threads, by tgid, of processes with several: that of `signal` has the children's, too. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, __u32);
    __type(value, struct prock_bpf_io);
} ended_threads SEC(".maps");

/* The stack of a program has 512 bytes. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct prock_bpf_exec);
} scratch SEC(".maps");

static __always_inline void count(bool full)
{
    __u32 zero = 0;
    struct prock_bpf_counters *counted = bpf_map_lookup_elem(&counters, &zero);
    if (counted)
        __sync_fetch_and_add(full ? &counted->full : &counted->lost, 1);
}

/* Whether the process is recorded, and in which tree. */
static __always_inline bool is_recorded(__u32 tgid, __u32 *tree)
{
    __u32 zero = 0;
    __u32 *found = bpf_map_lookup_elem(&members, &tgid);
    struct prock_bpf_settings *set = bpf_map_lookup_elem(&settings, &zero);
    *tree = found ? *found : 0;
    return set && tgid != set->reader && (found || set->everything);
}

static __always_inline void send(void *record, __u64 size)
{
    __u32 zero = 0;
    struct prock_bpf_settings *set = bpf_map_lookup_elem(&settings, &zero);
    /* A wakeup costs more than the record: the reader polls, and is woken only when the ring buffer fills. */
    bool wake = set && bpf_ringbuf_query(&events, 0 /* unread bytes */) > set->wake_bytes;
    if (bpf_ringbuf_output(&events, record, size, wake ? 0 : BPF_RB_NO_WAKEUP))
        count(false);
}

/* leader: the main thread; after its release, task itself. */
static __always_inline void fill(
    struct prock_bpf_event *event, __u32 kind, struct task_struct *task, struct task_struct *leader, __u32 tree)
{
    event->kind = kind;
    event->pid = task->tgid;
    event->ppid = 0;
    event->tree = tree;
    event->time_ns = bpf_ktime_get_boot_ns();
    event->start_ns = leader->start_boottime;
    bpf_probe_read_kernel(event->comm, sizeof event->comm, task->comm);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
    __u32 tree, tgid = child->tgid;
    if (child->pid != child->tgid || !is_recorded(parent->tgid, &tree))
        return 0;
    if (tree && bpf_map_update_elem(&members, &tgid, &tree, BPF_ANY))
        count(true);
    struct prock_bpf_event event;
    fill(&event, PROCK_BPF_FORK, child, child, tree);
    event.ppid = child->real_parent->tgid;
    send(&event, sizeof event);
    return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *program)
{
    __u32 tree, zero = 0;
    struct prock_bpf_exec *exec = bpf_map_lookup_elem(&scratch, &zero);
    if (!exec || !is_recorded(task->tgid, &tree))
        return 0;
    fill(&exec->event, PROCK_BPF_EXEC, task, task->group_leader, tree);
    exec->max_rss_pages = task->signal->maxrss;
    exec->uid = (__u32)bpf_get_current_uid_gid();
    unsigned long start = task->mm->arg_start, size = task->mm->arg_end - start; /* the environment follows */
    exec->args_bytes = size;
    if (size > sizeof exec->args)
        size = sizeof exec->args;
    if (bpf_probe_read_user(exec->args, size, (void *)start))
        size = 0;
    if (size <= sizeof exec->args) /* for the verifier */
        send(exec, __builtin_offsetof(struct prock_bpf_exec, args) + size);
    return 0;
}

static __always_inline void fill_end(struct prock_bpf_end *end, struct task_struct *task, struct task_struct *leader)
{
    struct signal_struct *signal = task->signal;
    end->cpu_ns = signal->sum_sched_runtime;
    end->user_ns = signal->utime;
    end->system_ns = signal->stime;
    end->max_rss_pages = signal->maxrss;
    end->minor_faults = signal->min_flt;
    end->major_faults = signal->maj_flt;
    end->status = signal->flags & GROUP_EXIT ? signal->group_exit_code : leader->exit_code;
}

static __always_inline void add_io(struct prock_bpf_io *io, struct task_struct *task)
{
    io->read_bytes += task->ioac.read_bytes;
    io->write_bytes += task->ioac.write_bytes;
    io->cancelled_write_bytes += task->ioac.cancelled_write_bytes;
    io->read_chars += task->ioac.rchar;
    io->write_chars += task->ioac.wchar;
    io->read_calls += task->ioac.syscr;
    io->write_calls += task->ioac.syscw;
}

static __always_inline bool has_io(struct task_struct *task)
{
    return bpf_core_field_exists(task->ioac.rchar) && bpf_core_field_exists(task->ioac.read_bytes);
}

/* The I/O of the ended threads of a process that has or had several; NULL if it never had. */
static __always_inline struct prock_bpf_io *io_of_threads(__u32 tgid, bool is_last)
{
    struct prock_bpf_io *io = bpf_map_lookup_elem(&ended_threads, &tgid);
    if (io || is_last)
        return io;
    const struct prock_bpf_io none = {};
    if (bpf_map_update_elem(&ended_threads, &tgid, &none, BPF_ANY))
        count(true);
    return bpf_map_lookup_elem(&ended_threads, &tgid);
}

/* For each thread; the last one is the end of the process. Since 6.16 its memory is still there. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
    __u32 tree, tgid = task->tgid;
    if (!is_recorded(tgid, &tree))
        return 0;
    bool is_last = task->signal->live.counter == 0;
    struct prock_bpf_io *of_threads = io_of_threads(tgid, is_last);
    struct prock_bpf_end end = {};
    if (has_io(task)) {
        end.has_io = 1;
        if (of_threads) { /* two threads may be the last one: each sends the sum, and the later record is complete */
            add_io(of_threads, task);
            end.io = *of_threads;
        } else {
            add_io(&end.io, task);
        }
    }
    if (!is_last)
        return 0;
    fill(&end.event, PROCK_BPF_EXIT, task, task->group_leader, tree);
    fill_end(&end, task, task->group_leader);
    end.event.ppid = task->group_leader->real_parent->tgid;
    end.uid = (__u32)bpf_get_current_uid_gid();
    end.cgroup = bpf_get_current_cgroup_id();
    struct mm_struct *mm = task->mm;
    if (mm && bpf_core_field_exists(mm->rss_stat[0].count)) {
        __s64 now = mm->rss_stat[0].count + mm->rss_stat[1].count + mm->rss_stat[3].count;
        end.rss_pages = now > (__s64)mm->hiwater_rss ? (__u64)now : mm->hiwater_rss;
    }
    send(&end, sizeof end);
    return 0;
}

/* The main thread is released last: the sums of the process are complete, the work of ending it included. */
SEC("tp_btf/sched_process_free")
int BPF_PROG(on_free, struct task_struct *task)
{
    __u32 tree, tgid = task->tgid;
    if (task->pid != task->tgid || !is_recorded(tgid, &tree))
        return 0;
    struct prock_bpf_end end = {};
    fill(&end.event, PROCK_BPF_FREE, task, task, tree);
    fill_end(&end, task, task);
    send(&end, sizeof end);
    bpf_map_delete_elem(&ended_threads, &tgid);
    if (tree)
        bpf_map_delete_elem(&members, &tgid);
    return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
