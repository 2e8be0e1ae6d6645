/* Records of perf events: parsed, put in order of time, and what each process ran summed up. */
#define _GNU_SOURCE
#include "perf/perf.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HEADER = 8, IDS = 16 /* pid, tid, time: at the end of every record */, SCRATCH = 128 };

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

/* Which record, and how long its body is at least. */
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

/* ---- one buffer ---- */

static void load_head(struct prock_ring *ring)
{
    const uint64_t *head = (const uint64_t *)(ring->base + offsetof(struct perf_event_mmap_page, data_head));
    ring->head = __atomic_load_n(head, __ATOMIC_ACQUIRE); /* pairs with the kernel's write barrier before it */
}

static void store_tail(struct prock_ring *ring)
{
    uint64_t *tail = (uint64_t *)(ring->base + offsetof(struct perf_event_mmap_page, data_tail));
    __atomic_store_n(tail, ring->at, __ATOMIC_RELEASE); /* only when all was read may the kernel write over it */
}

static void copy_out(const struct prock_ring *ring, unsigned char *to, size_t len)
{
    size_t from = (size_t)(ring->at & (ring->bytes - 1)), straight = ring->bytes - from;
    const unsigned char *data = ring->base + ring->page;
    if (straight > len)
        straight = len;
    memcpy(to, data + from, straight);
    memcpy(to + straight, data, len - straight);
}

/* Have the next record at hand, if there is one. What can't be one is counted as lost, with all behind it where its
 * length makes no sense. */
static bool advance(struct prock_ring *ring)
{
    while (!ring->has_front && ring->at != ring->head) {
        unsigned char scratch[SCRATCH];
        uint64_t left = ring->head - ring->at;
        size_t record_size = 0;
        if (left >= HEADER && left <= ring->bytes) {
            uint16_t len;
            copy_out(ring, scratch, HEADER);
            memcpy(&len, scratch + 6, sizeof len);
            record_size = len;
        }
        if (record_size < HEADER || record_size > left) {
            ring->lost++;
            ring->at = ring->head;
        } else if (record_size > SCRATCH) { /* longer than any that we asked for */
            ring->at += record_size;
        } else {
            copy_out(ring, scratch, record_size);
            ring->has_front = prock_parse_record(scratch, record_size, &ring->front, &ring->front_size) == 0;
            ring->lost += !ring->has_front;
            ring->at += ring->has_front ? 0 : record_size;
        }
    }
    return ring->has_front;
}

/* ---- what processes ran ---- */

static struct prock_run_time *find_run_time(const struct prock_rings *records, int32_t pid)
{
    size_t mask = records->run_times_size - 1, at = (size_t)((uint32_t)pid * 2654435769U) & mask;
    while (records->run_times[at].pid && records->run_times[at].pid != pid)
        at = (at + 1) & mask;
    return &records->run_times[at];
}

static int grow(struct prock_rings *records)
{
    struct prock_run_time *old = records->run_times;
    size_t old_size = records->run_times_size;
    struct prock_run_time *larger = calloc(old_size ? 2 * old_size : 64, sizeof *larger);
    if (!larger)
        return -ENOMEM;
    records->run_times = larger;
    records->run_times_size = old_size ? 2 * old_size : 64;
    for (size_t i = 0; i < old_size; i++)
        if (old[i].pid)
            *find_run_time(records, old[i].pid) = old[i];
    free(old);
    return 0;
}

static int add_run_time(struct prock_rings *records, struct prock_running *running, uint64_t until_ns)
{
    if (!running->pid || until_ns <= running->since_ns)
        return 0;
    if (2 * records->run_times_n >= records->run_times_size && grow(records) < 0)
        return -ENOMEM;
    struct prock_run_time *slot = find_run_time(records, running->pid);
    records->run_times_n += !slot->pid;
    slot->pid = running->pid;
    slot->ns += until_ns - running->since_ns;
    return 0;
}

static uint64_t take_run_time(struct prock_rings *records, int32_t pid)
{
    struct prock_run_time *slot = records->run_times_size ? find_run_time(records, pid) : NULL;
    if (!pid || !slot || !slot->pid)
        return 0;
    uint64_t ns = slot->ns;
    size_t mask = records->run_times_size - 1, free_at = (size_t)(slot - records->run_times);
    for (size_t at = (free_at + 1) & mask; records->run_times[at].pid; at = (at + 1) & mask) {
        size_t home = (size_t)((uint32_t)records->run_times[at].pid * 2654435769U) & mask;
        if (((at - home) & mask) >= ((at - free_at) & mask)) { /* else it would no longer be found */
            records->run_times[free_at] = records->run_times[at];
            free_at = at;
        }
    }
    records->run_times[free_at] = (struct prock_run_time){0};
    records->run_times_n--;
    return ns;
}

/* Of one CPU: who runs there now, and for how long the one before did. By CPU, as a thread may change its tid: one
 * that executes gets its leader's. */
static int track_cpu(struct prock_rings *records, struct prock_running *running, struct prock_record *record)
{
    if (records->n == records->cpus)
        return 0;
    int error = 0;
    bool goes_on = record->kind == PROCK_RECORD_IN || record->kind == PROCK_RECORD_EXEC;
    if (record->kind != PROCK_RECORD_IN)
        error = add_run_time(records, running, record->time_ns);
    *running = goes_on ? (struct prock_running){record->pid, record->time_ns} : (struct prock_running){0};
    if (!error && (record->kind == PROCK_RECORD_EXIT || record->kind == PROCK_RECORD_EXEC))
        record->cpu_ns = take_run_time(records, record->pid);
    return error;
}

/* ---- all buffers ---- */

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

static int handle_record(struct prock_rings *records, size_t index, struct prock_record_list *append_to)
{
    struct prock_ring *ring = &records->rings[index];
    struct prock_record *record = &ring->front;
    struct prock_running *running = &records->running[index < records->cpus ? index : index - records->cpus];
    bool is_switch = false;
    int error = 0;
    switch (record->kind) {
    case PROCK_RECORD_OTHER:
        break;
    case PROCK_RECORD_LOST:
        ring->lost += record->lost;
        break;
    case PROCK_RECORD_IN:
    case PROCK_RECORD_OUT:
        is_switch = true;
        records->switches++;
        break;
    case PROCK_RECORD_FORK:
    case PROCK_RECORD_RENAME:
        error = append(append_to, record);
        break;
    case PROCK_RECORD_EXIT:
    case PROCK_RECORD_EXEC:
        error = track_cpu(records, running, record);
        if (!error)
            error = append(append_to, record);
    }
    return is_switch ? track_cpu(records, running, record) : error;
}

int prock_rings_drain(struct prock_rings *records, uint64_t until_ns, struct prock_record_list *append_to)
{
    int error = 0;
    for (size_t i = 0; i < records->n; i++) {
        struct prock_ring *ring = &records->rings[i];
        load_head(ring);
        /* Switches are so many that they may not all fit; that some did not is told late or never, so suspect it. */
        if (i >= records->cpus && ring->head - ring->at > ring->bytes - SCRATCH)
            ring->lost++;
    }
    for (;;) {
        size_t first = records->n;
        for (size_t i = 0; i < records->n; i++)
            if (advance(&records->rings[i]) &&
                (first == records->n || records->rings[i].front.time_ns < records->rings[first].front.time_ns))
                first = i;
        if (first == records->n || records->rings[first].front.time_ns > until_ns)
            break;
        error = handle_record(records, first, append_to);
        if (error)
            break;
        records->rings[first].has_front = false;
        records->rings[first].at += records->rings[first].front_size;
    }
    for (size_t i = 0; i < records->n; i++)
        store_tail(&records->rings[i]);
    return error;
}

static uint64_t lost(const struct prock_rings *records, size_t from, size_t to)
{
    uint64_t sum = 0;
    for (size_t i = from; i < to; i++)
        sum += records->rings[i].lost;
    return sum;
}

uint64_t prock_rings_lost(const struct prock_rings *records)
{
    return lost(records, 0, records->cpus);
}

uint64_t prock_rings_switches_lost(const struct prock_rings *records)
{
    return lost(records, records->cpus, records->n);
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

void prock_rings_unmap(struct prock_rings *records)
{
    for (size_t i = 0; i < records->n; i++)
        munmap(records->rings[i].base, records->rings[i].page + records->rings[i].bytes);
    free(records->rings);
    free(records->running);
    free(records->run_times);
    *records = (struct prock_rings){0};
}

int prock_rings_totals(const int *fds, size_t n, uint64_t *total_ns, uint64_t *lost_records)
{
    *total_ns = *lost_records = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t values[4] = {0};
        ssize_t got = read(fds[i], values, sizeof values);
        if (got < (ssize_t)sizeof *values)
            return got < 0 ? -errno : -EIO;
        *total_ns += values[0];
        *lost_records += got > (ssize_t)sizeof *values ? values[1] : 0;
    }
    return 0;
}

int prock_rings_stop(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ioctl(fds[i], PERF_EVENT_IOC_DISABLE, 0) < 0)
            return -errno;
    return 0;
}
