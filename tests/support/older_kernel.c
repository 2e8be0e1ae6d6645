/* Loaded before the C library: a kernel before Linux 6.0, whose perf events can't tell how many records they lost. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <sys/syscall.h>

long syscall(long number, ...)
{
    static long (*next)(long, ...);
    long rest[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        rest[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_perf_event_open && ((const struct perf_event_attr *)rest[0])->read_format & 16) {
        errno = EINVAL;
        return -1;
    }
    if (!next)
        next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    return next(number, rest[0], rest[1], rest[2], rest[3], rest[4], rest[5]);
}
