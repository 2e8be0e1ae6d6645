#include "bpf/recorder.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "bpf_object.h" /* written by the build: the compiled programs */

static const char *const programs[PROCK_BPF_PROGRAMS] = {"on_free", "on_exit", "on_exec", "on_fork"};

static int configure(struct bpf_object *object, __u32 ring_bytes, __u32 max_members)
{
    struct bpf_map *ring = bpf_object__find_map_by_name(object, "events");
    struct bpf_map *members = bpf_object__find_map_by_name(object, "members");
    if (!ring || !members)
        return -EINVAL;
    int error = bpf_map__set_max_entries(ring, ring_bytes);
    return error ? error : bpf_map__set_max_entries(members, max_members);
}

static int set_up(struct prock_bpf *bpf, bool everything, __u32 ring_bytes, prock_bpf_receive receive, void *context)
{
    const __u32 zero = 0;
    const struct prock_bpf_settings settings = {
        .everything = everything,
        .reader = (__u32)getpid(),
        .wake_bytes = ring_bytes / 4,
    };
    bpf->members = bpf_object__find_map_fd_by_name(bpf->object, "members");
    bpf->counters = bpf_object__find_map_fd_by_name(bpf->object, "counters");
    int of_settings = bpf_object__find_map_fd_by_name(bpf->object, "settings");
    int of_events = bpf_object__find_map_fd_by_name(bpf->object, "events");
    if (bpf_map_update_elem(of_settings, &zero, &settings, BPF_ANY) < 0)
        return -errno;
    bpf->ring = ring_buffer__new(of_events, receive, context, NULL);
    if (!bpf->ring)
        return -errno;
    for (int i = 0; i < PROCK_BPF_PROGRAMS; i++) { /* those of the end first: each recorded process has one */
        struct bpf_program *program = bpf_object__find_program_by_name(bpf->object, programs[i]);
        bpf->links[i] = program ? bpf_program__attach(program) : NULL;
        if (!bpf->links[i])
            return program ? -errno : -EINVAL;
    }
    return 0;
}

int prock_bpf_open(
    struct prock_bpf *out, bool everything, __u32 ring_bytes, __u32 max_members, prock_bpf_receive receive,
    void *context)
{
    libbpf_set_print(NULL); /* it writes to standard error */
    out->object = bpf_object__open_mem(prock_bpf_object, sizeof prock_bpf_object, NULL);
    if (!out->object)
        return -errno;
    int error = configure(out->object, ring_bytes, max_members);
    if (!error)
        error = bpf_object__load(out->object);
    if (!error)
        error = set_up(out, everything, ring_bytes, receive, context);
    if (error)
        prock_bpf_close(out);
    return error;
}

void prock_bpf_close(struct prock_bpf *bpf)
{
    for (int i = 0; i < PROCK_BPF_PROGRAMS; i++)
        bpf_link__destroy(bpf->links[i]);
    ring_buffer__free(bpf->ring);
    bpf_object__close(bpf->object);
    memset(bpf, 0, sizeof *bpf);
}

int prock_bpf_add(const struct prock_bpf *bpf, __u32 pid, __u32 tree)
{
    return bpf_map_update_elem(bpf->members, &pid, &tree, BPF_ANY) < 0 ? -errno : 0;
}

int prock_bpf_remove(const struct prock_bpf *bpf, __u32 pid)
{
    return bpf_map_delete_elem(bpf->members, &pid) < 0 && errno != ENOENT ? -errno : 0;
}

int prock_bpf_wait(const struct prock_bpf *bpf, int timeout_ms)
{
    struct pollfd ready = {.fd = ring_buffer__epoll_fd(bpf->ring), .events = POLLIN};
    int n = poll(&ready, 1, timeout_ms);
    return n < 0 ? -errno : n;
}

int prock_bpf_read(const struct prock_bpf *bpf)
{
    int n = ring_buffer__consume(bpf->ring);
    return n < 0 ? n : 0;
}

int prock_bpf_count(const struct prock_bpf *bpf, struct prock_bpf_counters *out)
{
    const __u32 zero = 0;
    return bpf_map_lookup_elem(bpf->counters, &zero, out) < 0 ? -errno : 0;
}
