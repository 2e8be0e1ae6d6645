/* CPU clocks of processes: the cheapest question there is about one, and the only one that is exact to the nanosecond.
 */
#define _GNU_SOURCE
#include "procfs/procfs.h"

#include <errno.h>
#include <time.h>

/* Kinds of CPU clock, as the kernel numbers them in the lowest bits of a clock id. */
enum { BY_TICK = 0, USER_BY_TICK = 1, SCHEDULER = 2 };

#define CLOCK_PID_LIMIT (1 << 28) /* a larger pid would name another clock */

static int read_clock(int32_t pid, unsigned kind, uint64_t *ns)
{
    struct timespec t;
    if (pid >= CLOCK_PID_LIMIT)
        return -ESRCH;
    if (clock_gettime((clockid_t)((~(uint32_t)pid << 3) | kind), &t) != 0)
        return errno == EINVAL ? -ESRCH : prock_errno(errno);
    *ns = (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
    return 0;
}

uint64_t prock_monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

uint64_t prock_multiply(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* Divide an exact total as the ticks of user and system time fell. The kernel's own rule for the edges: without any
 * tick in the kernel, all is user time. */
struct prock_cpu prock_split_cpu(uint64_t total_ns, uint64_t user, uint64_t system)
{
    if (system == 0)
        return (struct prock_cpu){total_ns, 0};
    __extension__ typedef unsigned __int128 u128;
    uint64_t user_ns = (uint64_t)((u128)total_ns * user / ((u128)user + system));
    return (struct prock_cpu){user_ns, total_ns - user_ns};
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
