/* CPU clocks of processes (clock_getcpuclockid(3)): exact to the nanosecond, and 20 times cheaper than reading a file.
 */
#define _GNU_SOURCE
#include "errors.h"
#include "procfs/procfs.h"

#include <time.h>

/* Kinds of CPU clock: the lowest bits of a clock id. */
enum { BY_TICK = 0, USER_BY_TICK = 1, SCHEDULER = 2 };

#define CLOCK_PID_LIMIT (1 << 28) /* a larger pid does not fit into a clock id */

static uint64_t to_ns(struct timespec t)
{
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static int read_clock(int32_t pid, unsigned kind, uint64_t *ns)
{
    struct timespec t;
    if (pid >= CLOCK_PID_LIMIT)
        return -ESRCH;
    if (clock_gettime((clockid_t)((~(uint32_t)pid << 3) | kind), &t) != 0)
        return errno == EINVAL ? -ESRCH : prock_errno(errno);
    *ns = to_ns(t);
    return 0;
}

uint64_t prock_monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return to_ns(t);
}

int prock_cpu_total(int32_t pid, uint64_t *total_ns)
{
    return read_clock(pid, SCHEDULER, total_ns);
}

int prock_cpu_time(int32_t pid, struct prock_cpu *out)
{
    uint64_t total = 0, by_tick = 0, user = 0;
    int error = read_clock(pid, SCHEDULER, &total);
    if (error || (error = read_clock(pid, BY_TICK, &by_tick)) || (error = read_clock(pid, USER_BY_TICK, &user)))
        return error;
    *out = prock_split_cpu(total, user, by_tick > user ? by_tick - user : 0);
    return 0;
}
