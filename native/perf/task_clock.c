/* The software event task-clock of perf_event_open(2): CPU time of a thread and of all that it starts from then on,
 * running or exited, reaped or not. Needs no privilege up to kernel.perf_event_paranoid 2, the kernel's default. */
#define _GNU_SOURCE
#include "errors.h"
#include "perf/perf.h"

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int prock_task_clock_open(int32_t tid)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE,
        .size = PERF_ATTR_SIZE_VER0, /* accepted by every kernel */
        .config = PERF_COUNT_SW_TASK_CLOCK,
        .inherit = 1,
        .exclude_kernel = 1, /* needs less privilege; task-clock includes kernel time anyway */
    };
    long fd = syscall(SYS_perf_event_open, &attributes, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd >= 0)
        return (int)fd;
    if (errno == ENOSYS || errno == ENOENT || errno == EOPNOTSUPP)
        return -ENOTSUP;
    return prock_errno(errno);
}

int prock_perf_read(const int *fds, size_t n, uint64_t *total_ns, uint64_t *lost)
{
    uint64_t total = 0, lost_records = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t values[4] = {0};
        ssize_t got = read(fds[i], values, sizeof values);
        if (got < (ssize_t)sizeof *values)
            return got < 0 ? -errno : -EIO;
        total += values[0];
        lost_records += values[1];
    }
    *total_ns = total;
    if (lost)
        *lost = lost_records;
    return 0;
}

int prock_perf_stop(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ioctl(fds[i], PERF_EVENT_IOC_DISABLE, 0) < 0)
            return -errno;
    return 0;
}
