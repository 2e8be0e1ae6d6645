/* Loads the programs, and reads what they record. Closing the descriptors, also by SIGKILL, removes all of it. */
#ifndef PROCK_BPF_RECORDER_H
#define PROCK_BPF_RECORDER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "bpf/events.h"

enum { PROCK_BPF_PROGRAMS = 4 };

struct prock_bpf {
    struct bpf_object *object; /* NULL: closed */
    struct bpf_link *links[PROCK_BPF_PROGRAMS];
    struct ring_buffer *ring;
    int members, counters;
};

/* Returns 0 to go on, else what prock_bpf_read() is to return. */
typedef int (*prock_bpf_receive)(void *context, void *record, size_t bytes);

/* out must be {0}, and is so after an error. ring_bytes: a power of two. Returns -errno: -EPERM without the
 * capabilities. */
int prock_bpf_open(
    struct prock_bpf *out, bool everything, __u32 ring_bytes, __u32 max_members, prock_bpf_receive receive,
    void *context);
void prock_bpf_close(struct prock_bpf *bpf);
int prock_bpf_add(const struct prock_bpf *bpf, __u32 pid, __u32 tree); /* -E2BIG: the map is full */
int prock_bpf_remove(const struct prock_bpf *bpf, __u32 pid);
int prock_bpf_wait(const struct prock_bpf *bpf, int timeout_ms); /* 1: the ring buffer fills; 0: timeout */
int prock_bpf_read(const struct prock_bpf *bpf);                 /* passes on every record */
int prock_bpf_count(const struct prock_bpf *bpf, struct prock_bpf_counters *out);

#endif
