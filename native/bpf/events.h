/* The records of the ring buffer. The programs and the reader share them. */
#ifndef PROCK_BPF_EVENTS_H
#define PROCK_BPF_EVENTS_H

enum { PROCK_BPF_FORK = 1, PROCK_BPF_EXEC, PROCK_BPF_EXIT, PROCK_BPF_FREE };
enum { PROCK_BPF_ARGS_BYTES = 4096 };

/* Times are of CLOCK_BOOTTIME. */
struct prock_bpf_event {
    __u32 kind;
    __s32 pid;
    __s32 ppid; /* of fork and exit; 0 in others */
    __u32 tree; /* 0: none, all processes are recorded */
    __u64 time_ns, start_ns;
    char comm[16];
};

struct prock_bpf_exec {
    struct prock_bpf_event event;
    __u64 max_rss_pages; /* of what the process was before this exec */
    __u32 args_bytes;    /* of all arguments, which may be more than follow */
    __u32 uid;
    char args[PROCK_BPF_ARGS_BYTES];
};

struct prock_bpf_io {
    __u64 read_bytes, write_bytes, cancelled_write_bytes, read_chars, write_chars, read_calls, write_calls;
};

/* What all threads of a process have used. Exit: as its last thread begins to end; free: as its parent has reaped it.
 */
struct prock_bpf_end {
    struct prock_bpf_event event;
    __u64 cpu_ns;             /* free only: at exit it lags by up to a tick of the scheduler */
    __u64 user_ns, system_ns; /* by tick */
    __u64 max_rss_pages;      /* since the fork */
    __u64 rss_pages;          /* the peak since the last exec; 0: unknown. Exit only */
    __u64 minor_faults, major_faults;
    struct prock_bpf_io io; /* exit only */
    __u64 cgroup;           /* exit only */
    __u32 uid;              /* exit only */
    __s32 status;           /* as of wait(2) */
    __u32 has_io, unused;
};

struct prock_bpf_counters {
    __u64 lost; /* records that found no space in the ring buffer */
    __u64 full; /* processes that found no space in a map */
};

struct prock_bpf_settings {
    __u32 everything; /* record all processes, not only members */
    __u32 reader;     /* this process is not recorded */
    __u64 wake_bytes; /* wake the reader when so much is unread */
};

#endif
