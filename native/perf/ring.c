/* Ring buffers of perf events: parses their records, merges them in order of time, and sums the run time of processes.
 */
#define _GNU_SOURCE
#include "perf/perf.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    HEADER = 8,
    IDS = 16,      /* pid, tid and time, at the end of every record */
    SCRATCH = 128, /* longer than any record that is needed; every program maps something with a short name, too */
};

static uint32_t u32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t u64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void parse_name(const unsigned char *name, size_t len, struct prock_record *out)
{
    size_t most = len < sizeof out->comm ? len : sizeof out->comm;
    out->comm_len = strnlen((const char *)name, most);
    memcpy(out->comm, name, out->comm_len);
}

/* *body: minimum length. */
static enum prock_record_kind kind_of(uint32_t type, uint16_t misc, size_t *body)
{
    switch (type) {
    case PERF_RECORD_FORK:
    case PERF_RECORD_EXIT:
        *body = 24;
        return type == PERF_RECORD_FORK ? PROCK_RECORD_FORK : PROCK_RECORD_EXIT;
    case PERF_RECORD_COMM:
        *body = 8;
        return misc & PERF_RECORD_MISC_COMM_EXEC ? PROCK_RECORD_EXEC : PROCK_RECORD_RENAME;
    case PERF_RECORD_SWITCH:
        *body = 0;
        return misc & PERF_RECORD_MISC_SWITCH_OUT ? PROCK_RECORD_OUT : PROCK_RECORD_IN;
    case PERF_RECORD_LOST:
        *body = 16;
        return PROCK_RECORD_LOST;
    case PERF_RECORD_MMAP:
        *body = 8;
        return PROCK_RECORD_MAP;
    default:
        *body = 0;
        return PROCK_RECORD_OTHER;
    }
}

int prock_parse_record(const unsigned char *buf, size_t len, struct prock_record *out, size_t *size)
{
    uint16_t misc, record_size;
    size_t body;
    if (len < HEADER)
        return -EBADMSG;
    memcpy(&misc, buf + 4, sizeof misc);
    memcpy(&record_size, buf + 6, sizeof record_size);
    *size = record_size;
    *out = (struct prock_record){.kind = kind_of(u32(buf), misc, &body)};
    if (record_size < HEADER + body + IDS || record_size > len)
        return -EBADMSG;
    const unsigned char *ids = buf + record_size - IDS, *at = buf + HEADER;
    out->pid = (int32_t)u32(ids);
    out->tid = (int32_t)u32(ids + 4);
    out->time_ns = u64(ids + 8);
    if (out->kind == PROCK_RECORD_LOST)
        out->lost = u64(at + 8);
    if (out->kind != PROCK_RECORD_FORK && out->kind != PROCK_RECORD_EXIT && out->kind != PROCK_RECORD_EXEC &&
        out->kind != PROCK_RECORD_RENAME)
        return 0;
    out->pid = (int32_t)u32(at);
    if (out->kind == PROCK_RECORD_EXEC || out->kind == PROCK_RECORD_RENAME) {
        out->tid = (int32_t)u32(at + 4);
        parse_name(at + 8, record_size - HEADER - IDS - 8, out);
        return 0;
    }
    out->ppid = (int32_t)u32(at + 4);
    out->tid = (int32_t)u32(at + 8);
    out->ptid = (int32_t)u32(at + 12);
    return 0;
}

/* ---- one ring buffer ---- */

static void load_head(struct prock_ring *ring)
{
    const uint64_t *head = (const uint64_t *)(ring->base + offsetof(struct perf_event_mmap_page, data_head));
    ring->head = __atomic_load_n(head, __ATOMIC_ACQUIRE); /* pairs with the kernel's write barrier */
}

static void store_tail(struct prock_ring *ring)
{
    uint64_t *tail = (uint64_t *)(ring->base + offsetof(struct perf_event_mmap_page, data_tail));
    __atomic_store_n(tail, ring->tail, __ATOMIC_RELEASE); /* from here on the kernel may overwrite what was read */
}

static void copy_out(const struct prock_ring *ring, unsigned char *to, size_t len)
{
    size_t from = (size_t)(ring->tail & (ring->bytes - 1)), straight = ring->bytes - from;
    const unsigned char *data = ring->base + ring->page;
    if (straight > len)
        straight = len;
    memcpy(to, data + from, straight);
    memcpy(to + straight, data, len - straight);
}

/* Parses the next record into front; false if there is none. An invalid record counts as lost, together with all that
 * follow if its length is invalid. */
static bool advance(struct prock_ring *ring)
{
    while (!ring->has_front && ring->tail != ring->head) {
        unsigned char scratch[SCRATCH];
        uint64_t left = ring->head - ring->tail;
        size_t record_size = 0;
        if (left >= HEADER && left <= ring->bytes) {
            uint16_t len;
            copy_out(ring, scratch, HEADER);
            memcpy(&len, scratch + 6, sizeof len);
            record_size = len;
        }
        if (record_size < HEADER || record_size > left) {
            ring->lost++;
            ring->tail = ring->head;
        } else if (record_size > SCRATCH) {
            ring->tail += record_size;
        } else {
            copy_out(ring, scratch, record_size);
            ring->has_front = prock_parse_record(scratch, record_size, &ring->front, &ring->front_size) == 0;
            ring->lost += !ring->has_front;
            ring->tail += ring->has_front ? 0 : record_size;
        }
    }
    return ring->has_front;
}

/* ---- run time of processes ---- */

static size_t home_slot(const struct prock_rings *rings, int32_t pid)
{
    return (size_t)((uint32_t)pid * 2654435769U) & (rings->run_times_size - 1);
}

static struct prock_run_time *find_run_time(const struct prock_rings *rings, int32_t pid)
{
    size_t mask = rings->run_times_size - 1, at = home_slot(rings, pid);
    while (rings->run_times[at].pid && rings->run_times[at].pid != pid)
        at = (at + 1) & mask;
    return &rings->run_times[at];
}

static int grow(struct prock_rings *rings)
{
    struct prock_run_time *old = rings->run_times;
    size_t old_size = rings->run_times_size;
    struct prock_run_time *larger = calloc(old_size ? 2 * old_size : 64, sizeof *larger);
    if (!larger)
        return -ENOMEM;
    rings->run_times = larger;
    rings->run_times_size = old_size ? 2 * old_size : 64;
    for (size_t i = 0; i < old_size; i++)
        if (old[i].pid)
            *find_run_time(rings, old[i].pid) = old[i];
    free(old);
    return 0;
}

static int add_run_time(struct prock_rings *rings, struct prock_running *running, uint64_t until_ns)
{
    if (!running->pid || until_ns <= running->since_ns)
        return 0;
    if (2 * rings->run_times_n >= rings->run_times_size && grow(rings) < 0)
        return -ENOMEM;
    struct prock_run_time *slot = find_run_time(rings, running->pid);
    rings->run_times_n += !slot->pid;
    slot->pid = running->pid;
    slot->ns += until_ns - running->since_ns;
    return 0;
}

static uint64_t take_run_time(struct prock_rings *rings, int32_t pid)
{
    struct prock_run_time *slot = rings->run_times_size ? find_run_time(rings, pid) : NULL;
    if (!pid || !slot || !slot->pid)
        return 0;
    uint64_t ns = slot->ns;
    size_t mask = rings->run_times_size - 1, free_at = (size_t)(slot - rings->run_times);
    for (size_t at = (free_at + 1) & mask; rings->run_times[at].pid; at = (at + 1) & mask) {
        size_t home = home_slot(rings, rings->run_times[at].pid);
        if (((at - home) & mask) >= ((at - free_at) & mask)) { /* else a search from its home slot would miss it */
            rings->run_times[free_at] = rings->run_times[at];
            free_at = at;
        }
    }
    rings->run_times[free_at] = (struct prock_run_time){0};
    rings->run_times_n--;
    return ns;
}

/* Updates which process runs on one CPU, and adds the run time of the previous one. Per CPU, not per thread, as a
 * thread that calls exec gets the tid of its leader. */
static int track_cpu(struct prock_rings *rings, struct prock_running *running, struct prock_record *record)
{
    if (rings->n == rings->cpus)
        return 0;
    int error = 0;
    bool runs = record->kind == PROCK_RECORD_IN || record->kind == PROCK_RECORD_EXEC;
    if (record->kind != PROCK_RECORD_IN)
        error = add_run_time(rings, running, record->time_ns);
    *running = runs ? (struct prock_running){record->pid, record->time_ns} : (struct prock_running){0};
    if (!error && (record->kind == PROCK_RECORD_EXIT || record->kind == PROCK_RECORD_EXEC))
        record->cpu_ns = take_run_time(rings, record->pid);
    return error;
}

/* ---- processes with events that the kernel has ended ---- */

static int begin_exec(struct prock_rings *rings, int32_t pid)
{
    if (rings->executing_n == rings->executing_cap) {
        size_t cap = rings->executing_cap ? 2 * rings->executing_cap : 16;
        int32_t *larger = realloc(rings->executing, cap * sizeof *larger);
        if (!larger)
            return -ENOMEM;
        rings->executing = larger;
        rings->executing_cap = cap;
    }
    rings->executing[rings->executing_n++] = pid;
    return 0;
}

/* Whether the process was still executing. */
static bool end_exec(struct prock_rings *rings, int32_t pid)
{
    bool found = false;
    for (size_t i = 0; i < rings->executing_n;)
        if (rings->executing[i] == pid) {
            rings->executing[i] = rings->executing[--rings->executing_n];
            found = true;
        } else {
            i++;
        }
    return found;
}

/* ---- all ring buffers ---- */

static int append(struct prock_record_list *list, const struct prock_record *record)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 64;
        struct prock_record *v = realloc(list->v, cap * sizeof *v);
        if (!v)
            return -ENOMEM;
        list->v = v;
        list->cap = cap;
    }
    list->v[list->n++] = *record;
    return 0;
}

static int handle_record(struct prock_rings *rings, size_t index, struct prock_record_list *append_to)
{
    struct prock_ring *ring = &rings->rings[index];
    struct prock_record *record = &ring->front;
    struct prock_running *running = &rings->running[index < rings->cpus ? index : index - rings->cpus];
    int error = 0;
    switch (record->kind) {
    case PROCK_RECORD_OTHER:
    case PROCK_RECORD_STOPPED:
        break;
    case PROCK_RECORD_MAP:
        end_exec(rings, record->pid);
        break;
    case PROCK_RECORD_LOST:
        ring->lost += record->lost;
        break;
    case PROCK_RECORD_IN:
    case PROCK_RECORD_OUT:
        rings->switches++;
        return track_cpu(rings, running, record);
    case PROCK_RECORD_FORK:
    case PROCK_RECORD_RENAME:
        error = append(append_to, record);
        break;
    case PROCK_RECORD_EXIT:
    case PROCK_RECORD_EXEC:
        error = track_cpu(rings, running, record);
        if (record->kind == PROCK_RECORD_EXEC)
            error = error ? error : begin_exec(rings, record->pid);
        else if (end_exec(rings, record->pid))
            record->kind = PROCK_RECORD_STOPPED;
        if (!error)
            error = append(append_to, record);
    }
    return error;
}

int prock_rings_drain(struct prock_rings *rings, uint64_t until_ns, struct prock_record_list *append_to)
{
    int error = 0;
    for (size_t i = 0; i < rings->n; i++) {
        struct prock_ring *ring = &rings->rings[i];
        load_head(ring);
        /* The kernel reports losses late or never, so a full buffer counts as one. */
        if (ring->head - ring->tail > ring->bytes - SCRATCH)
            ring->lost++;
    }
    for (;;) {
        size_t first = rings->n;
        for (size_t i = 0; i < rings->n; i++)
            if (advance(&rings->rings[i]) &&
                (first == rings->n || rings->rings[i].front.time_ns < rings->rings[first].front.time_ns))
                first = i;
        if (first == rings->n || rings->rings[first].front.time_ns > until_ns)
            break;
        error = handle_record(rings, first, append_to);
        if (error)
            break;
        rings->rings[first].has_front = false;
        rings->rings[first].tail += rings->rings[first].front_size;
    }
    for (size_t i = 0; i < rings->n; i++)
        store_tail(&rings->rings[i]);
    return error;
}

static uint64_t lost(const struct prock_rings *rings, size_t from, size_t to)
{
    uint64_t sum = 0;
    for (size_t i = from; i < to; i++)
        sum += rings->rings[i].lost;
    return sum;
}

uint64_t prock_rings_lost(const struct prock_rings *rings)
{
    return lost(rings, 0, rings->cpus);
}

uint64_t prock_rings_switches_lost(const struct prock_rings *rings)
{
    return lost(rings, rings->cpus, rings->n);
}

int prock_rings_map(struct prock_rings *out, const int *fds, const int *switches, size_t cpus, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = switches ? 2 * cpus : cpus;
    int error = 0;
    if (!cpus || bytes < page || bytes & (bytes - 1))
        return -EINVAL;
    out->rings = calloc(n, sizeof *out->rings);
    out->running = calloc(cpus, sizeof *out->running);
    out->cpus = cpus;
    if (!out->rings || !out->running)
        error = -ENOMEM;
    for (; !error && out->n < n; out->n++) {
        int fd = out->n < cpus ? fds[out->n] : switches[out->n - cpus];
        void *base = mmap(NULL, page + bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (base == MAP_FAILED) {
            error = -errno;
            break;
        }
        out->rings[out->n] = (struct prock_ring){.base = base, .page = page, .bytes = bytes};
    }
    if (error)
        prock_rings_unmap(out);
    return error;
}

void prock_rings_unmap(struct prock_rings *rings)
{
    for (size_t i = 0; i < rings->n; i++)
        munmap(rings->rings[i].base, rings->rings[i].page + rings->rings[i].bytes);
    free(rings->rings);
    free(rings->running);
    free(rings->run_times);
    free(rings->executing);
    *rings = (struct prock_rings){0};
}
