/* Ring buffers with any content and any write position. */
#include "fuzz.h"
#include "perf/perf.h"

enum { PAGE = 4096, HEAD = 1024, TAIL = 1032, MOST_RINGS = 4 };

static uint64_t position(const struct prock_ring *ring, size_t at)
{
    uint64_t value;
    memcpy(&value, ring->base + at, sizeof value);
    return value;
}

static void make(struct prock_rings *rings, size_t cpus, bool switches, size_t bytes)
{
    rings->cpus = cpus;
    rings->n = switches ? 2 * cpus : cpus;
    rings->rings = calloc(rings->n, sizeof *rings->rings);
    rings->running = calloc(cpus, sizeof *rings->running);
    ASSERT(rings->rings && rings->running);
    for (size_t i = 0; i < rings->n; i++) {
        unsigned char *base = calloc(1, PAGE + bytes);
        ASSERT(base);
        rings->rings[i] = (struct prock_ring){.base = base, .page = PAGE, .bytes = bytes};
    }
}

static void unmake(struct prock_rings *rings)
{
    for (size_t i = 0; i < rings->n; i++)
        free(rings->rings[i].base);
    free(rings->rings);
    free(rings->running);
    free(rings->run_times);
    free(rings->executing);
}

/* Writes some bytes and a write position, mostly the right one. */
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

static void drain(struct prock_rings *rings, uint64_t until_ns)
{
    struct prock_record_list list = {0};
    size_t most = 0;
    for (size_t i = 0; i < rings->n; i++)
        most += rings->rings[i].bytes / 24 + 1;
    ASSERT(prock_rings_drain(rings, until_ns, &list) == 0);
    ASSERT(list.n <= most && list.n <= list.cap);
    for (size_t i = 0; i < list.n; i++) {
        enum prock_record_kind kind = list.v[i].kind;
        ASSERT((kind >= PROCK_RECORD_FORK && kind <= PROCK_RECORD_EXEC) || kind == PROCK_RECORD_STOPPED);
        ASSERT(list.v[i].time_ns <= until_ns && list.v[i].comm_len <= PROCK_RECORD_COMM_MAX);
        ASSERT(kind == PROCK_RECORD_EXIT || kind >= PROCK_RECORD_EXEC || list.v[i].cpu_ns == 0);
    }
    free(list.v);
    for (size_t i = 0; i < rings->n; i++) {
        const struct prock_ring *ring = &rings->rings[i];
        ASSERT(position(ring, TAIL) == ring->tail && ring->head == position(ring, HEAD));
        ASSERT(until_ns != UINT64_MAX || (ring->tail == ring->head && !ring->has_front));
    }
    size_t known = 0;
    for (size_t i = 0; i < rings->run_times_size; i++)
        known += rings->run_times[i].pid != 0;
    ASSERT(known == rings->run_times_n && 2 * known <= rings->run_times_size + 2);
}

FUZZ(ring)
{
    struct prock_rings rings = {0};
    uint64_t shape = take_bytes(&data, &size, 1);
    make(&rings, 1 + shape % 2, shape & 2, (size_t)128 << (shape >> 2) % 4);
    while (size > 0) {
        for (size_t i = 0; i < rings.n; i++)
            write_some(&rings.rings[i], &data, &size);
        uint64_t until = take_bytes(&data, &size, 1);
        drain(&rings, until & 1 ? UINT64_MAX : until);
    }
    drain(&rings, UINT64_MAX);
    unmake(&rings);
    return 0;
}
