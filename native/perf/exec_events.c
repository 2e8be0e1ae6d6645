/* Events of a process that is about to call exec. Uses nothing else of native/, as the launcher must stay small.
 *
 * Another process opens them: prctl(PR_TASK_PERF_EVENTS_DISABLE) disables all events that the caller has opened, and
 * those that were inherited from them. A command that had opened its own could hide its tree: 0.000 s of 0.30 s.
 *
 * Records of executable mappings show an exec at which the kernel ends a process's events: setuid, setgid, with file
 * capabilities, or not readable. It writes an exit record then, before the program is mapped; a real exit comes after.
 *
 * One event per CPU, as the kernel maps no buffer of an inherited event that is not bound to a CPU. Forks, exits and
 * names are written by the CPU's own event, so no two CPUs write to one buffer. Without inherit_stat: with it each
 * exiting task writes its counts to the buffers of all CPUs from the CPU on which it exits, and nothing in them is
 * atomic between CPUs. Of the forks of 6000 processes on two CPUs a quarter to a third were lost without a record of
 * the loss, and once a buffer held an invalid record (Linux 6.18); without it none of 9000. */
#define _GNU_SOURCE
#include "perf/perf.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FORMAT_LOST (1U << 4) /* PERF_FORMAT_LOST of Linux 6.0 */

static int open_event(struct perf_event_attr *attributes, int32_t tid, int cpu)
{
    long fd = syscall(SYS_perf_event_open, attributes, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

static struct perf_event_attr enabled_on_exec(uint64_t config)
{
    return (struct perf_event_attr){
        .type = PERF_TYPE_SOFTWARE,
        .size = PERF_ATTR_SIZE_VER3,
        .config = config,
        .disabled = 1,
        .enable_on_exec = 1,
        .inherit = 1,
        .exclude_kernel = 1, /* needs less privilege; task-clock includes kernel time anyway */
    };
}

static void add_ids_to_records(struct perf_event_attr *attributes)
{
    attributes->sample_id_all = 1;
    attributes->sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME;
    attributes->use_clockid = 1; /* one clock for all CPUs, so that records can be sorted */
    attributes->clockid = CLOCK_MONOTONIC;
}

int prock_exec_event_open(int32_t tid, int cpu)
{
    struct perf_event_attr attributes = enabled_on_exec(PERF_COUNT_SW_TASK_CLOCK);
    if (cpu < 0)
        return open_event(&attributes, tid, -1);
    attributes.task = attributes.comm = attributes.comm_exec = attributes.mmap = 1;
    add_ids_to_records(&attributes);
    attributes.read_format = FORMAT_LOST;
    int fd = open_event(&attributes, tid, cpu);
    if (fd == -EINVAL) {
        attributes.read_format = 0;
        fd = open_event(&attributes, tid, cpu);
    }
    return fd;
}

int prock_exec_switch_event_open(int32_t tid, int cpu)
{
    struct perf_event_attr attributes = enabled_on_exec(PERF_COUNT_SW_DUMMY);
    attributes.context_switch = 1;
    add_ids_to_records(&attributes);
    return open_event(&attributes, tid, cpu);
}
