/* The software event task-clock of perf_event_open: CPU of a thread and of all that it starts from then on, dead or
 * alive, waited for or not. Needs no privilege up to kernel.perf_event_paranoid 2, the kernel's default. */
#define _GNU_SOURCE
#include "procfs/procfs.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

int prock_task_clock_open(int32_t tid)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE,
        .size = PERF_ATTR_SIZE_VER0, /* every kernel takes it */
        .config = PERF_COUNT_SW_TASK_CLOCK,
        .inherit = 1,
        .exclude_kernel = 1, /* else it takes more privilege; task-clock counts time in the kernel even so */
    };
    long fd = syscall(SYS_perf_event_open, &attributes, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd >= 0)
        return (int)fd;
    if (errno == ENOSYS || errno == ENOENT || errno == EOPNOTSUPP)
        return -ENOTSUP;
    return prock_errno(errno);
}

int prock_perf_read(const int *fds, size_t n, uint64_t *total_ns)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t value;
        ssize_t got = read(fds[i], &value, sizeof value);
        if (got != (ssize_t)sizeof value)
            return got < 0 ? -errno : -EIO;
        total += value;
    }
    *total_ns = total;
    return 0;
}
