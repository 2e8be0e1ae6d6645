/* Arithmetic that can't overflow, and pids as text. */
#ifndef PROCK_ARITHMETIC_H
#define PROCK_ARITHMETIC_H

#include <stdint.h>

struct prock_cpu {
    uint64_t user_ns, system_ns;
};

/* Saturates. */
static inline uint64_t prock_multiply(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* Divides an exact total in the ratio of the user and system ticks. Without system ticks all is user time, as in the
 * kernel's cputime_adjust(). */
static inline struct prock_cpu prock_split_cpu(uint64_t total_ns, uint64_t user, uint64_t system)
{
    if (system == 0)
        return (struct prock_cpu){total_ns, 0};
    __extension__ typedef unsigned __int128 u128;
    uint64_t user_ns = (uint64_t)((u128)total_ns * user / ((u128)user + system));
    return (struct prock_cpu){user_ns, total_ns - user_ns};
}

/* Writes a positive pid and returns the end of its digits: snprintf costs as much as a system call. */
static inline char *prock_append_pid(char *at, int32_t pid)
{
    char digits[10];
    int n = 0;
    for (uint32_t rest = (uint32_t)pid; rest; rest /= 10)
        digits[n++] = (char)('0' + rest % 10);
    while (n)
        *at++ = digits[--n];
    return at;
}

#endif
