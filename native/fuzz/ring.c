/* Buffers of perf events whose other side may write anything, and tell any position. */
#include "fuzz.h"
#include "perf/perf.h"

enum { PAGE = 4096, HEAD = 1024, TAIL = 1032, MOST_RINGS = 4 };

static uint64_t position(const struct prock_ring *ring, size_t at)
{
    uint64_t value;
    memcpy(&value, ring->base + at, sizeof value);
    return value;
}

static void make(struct prock_rings *records, size_t cpus, bool switches, size_t bytes)
{
    records->cpus = cpus;
    records->n = switches ? 2 * cpus : cpus;
    records->rings = calloc(records->n, sizeof *records->rings);
    records->running = calloc(cpus, sizeof *records->running);
    HOLDS(records->rings && records->running);
    for (size_t i = 0; i < records->n; i++) {
        unsigned char *base = calloc(1, PAGE + bytes);
        HOLDS(base);
        records->rings[i] = (struct prock_ring){.base = base, .page = PAGE, .bytes = bytes};
    }
}

static void unmake(struct prock_rings *records)
{
    for (size_t i = 0; i < records->n; i++)
        free(records->rings[i].base);
    free(records->rings);
    free(records->running);
    free(records->run_times);
}

/* The other side writes some bytes, and says how far it is now: mostly the truth. */
static void write_some(struct prock_ring *ring, const uint8_t **data, size_t *size)
{
    uint64_t head = position(ring, HEAD), how = take_bytes(data, size, 1);
    size_t len = (size_t)take_bytes(data, size, 2) % (ring->bytes + 1);
    len = len < *size ? len : *size;
    for (size_t i = 0; i < len; i++)
        ring->base[PAGE + ((head + i) & (ring->bytes - 1))] = (*data)[i];
    *data += len;
    *size -= len;
    head = how % 8 < 6 ? head + len : how % 8 == 6 ? head - how : take_bytes(data, size, 8);
    memcpy(ring->base + HEAD, &head, sizeof head);
}

static void drain(struct prock_rings *records, uint64_t until_ns)
{
    struct prock_record_list list = {0};
    size_t most = 0;
    for (size_t i = 0; i < records->n; i++)
        most += records->rings[i].bytes / 24 + 1;
    HOLDS(prock_rings_drain(records, until_ns, &list) == 0);
    HOLDS(list.n <= most && list.n <= list.cap);
    for (size_t i = 0; i < list.n; i++) {
        enum prock_record_kind kind = list.v[i].kind;
        HOLDS(kind >= PROCK_RECORD_FORK && kind <= PROCK_RECORD_EXEC);
        HOLDS(list.v[i].time_ns <= until_ns && list.v[i].comm_len <= PROCK_RECORD_COMM_MAX);
        HOLDS(kind == PROCK_RECORD_EXIT || kind == PROCK_RECORD_EXEC || list.v[i].cpu_ns == 0);
    }
    free(list.v);
    for (size_t i = 0; i < records->n; i++) {
        const struct prock_ring *ring = &records->rings[i];
        HOLDS(position(ring, TAIL) == ring->at && ring->head == position(ring, HEAD));
        HOLDS(until_ns != UINT64_MAX || (ring->at == ring->head && !ring->has_front));
    }
    size_t known = 0;
    for (size_t i = 0; i < records->run_times_size; i++)
        known += records->run_times[i].pid != 0;
    HOLDS(known == records->run_times_n && 2 * known <= records->run_times_size + 2);
}

FUZZ(ring)
{
    struct prock_rings records = {0};
    uint64_t shape = take_bytes(&data, &size, 1);
    make(&records, 1 + shape % 2, shape & 2, (size_t)128 << (shape >> 2) % 4);
    while (size > 0) {
        for (size_t i = 0; i < records.n; i++)
            write_some(&records.rings[i], &data, &size);
        uint64_t until = take_bytes(&data, &size, 1);
        drain(&records, until & 1 ? UINT64_MAX : until);
    }
    drain(&records, UINT64_MAX);
    unmake(&records);
    return 0;
}
