/* The kernel types that the programs use, with the fields that they read: libbpf finds the offsets in the kernel's BTF.
 */
#ifndef PROCK_BPF_KERNEL_TYPES_H
#define PROCK_BPF_KERNEL_TYPES_H

typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32, __wsum;
typedef _Bool bool;
#define true 1
#define false 0

/* Of linux/bpf.h, which needs headers of an architecture. */
enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERCPU_ARRAY = 6, BPF_MAP_TYPE_RINGBUF = 27 };
enum { BPF_ANY = 0, BPF_RB_NO_WAKEUP = 1 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
    int counter;
} atomic_t;

struct percpu_counter {
    __s64 count;
};

struct mm_struct {
    unsigned long arg_start, arg_end, hiwater_rss;
    struct percpu_counter rss_stat[4]; /* since 6.2: file, anonymous, swap, shared memory */
};

struct task_io_accounting {
    __u64 rchar, wchar, syscr, syscw, read_bytes, write_bytes, cancelled_write_bytes;
};

struct signal_struct {
    atomic_t live;
    unsigned int flags;
    int group_exit_code;
    __u64 utime, stime;
    unsigned long long sum_sched_runtime;
    unsigned long min_flt, maj_flt, maxrss;
};

struct task_struct {
    int pid, tgid, exit_code;
    __u64 start_boottime;
    char comm[16];
    struct task_struct *real_parent, *group_leader;
    struct mm_struct *mm;
    struct signal_struct *signal;
    struct task_io_accounting ioac;
};

struct linux_binprm;

#pragma clang attribute pop

#endif
