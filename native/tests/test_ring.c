/* Records of perf events: single ones, and in ring buffers. */
#define _GNU_SOURCE
#include "checks.h"
#include "perf/perf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int parse_record(const unsigned char *bytes, size_t len, struct prock_record *out, size_t *size)
{
    char *copy = exact((const char *)bytes, len);
    int error = prock_parse_record((const unsigned char *)copy, len, out, size);
    free(copy);
    return error;
}

static void test_records_with_random_bytes(void)
{
    unsigned char bytes[64] = {0};
    struct prock_record record;
    size_t size;
    srand(2);
    for (int round = 0; round < 200000; round++) {
        uint32_t type = (uint32_t)rand() % 16;
        uint16_t record_size = (uint16_t)(rand() % 72);
        size_t len = (size_t)rand() % (sizeof bytes + 1);
        for (size_t i = 8; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)(rand() % 3 ? 'a' : 0);
        memcpy(bytes, &type, sizeof type);
        memcpy(bytes + 6, &record_size, sizeof record_size);
        int error = parse_record(bytes, len, &record, &size);
        CHECK(error == 0 || error == -EBADMSG);
        CHECK(
            error || (size == record_size && record_size <= len && record_size >= 24 &&
                      record.comm_len <= PROCK_RECORD_COMM_MAX));
    }
}

static void test_rings_that_cannot_be_mapped(void)
{
    struct prock_rings rings = {0};
    uint64_t total, lost;
    CHECK(prock_rings_map(&rings, (const int[]){-1}, NULL, 1, 65536) == -EBADF && !rings.rings);
    CHECK(prock_rings_map(&rings, (const int[]){-1}, NULL, 1, 65537) == -EINVAL);
    CHECK(prock_rings_map(&rings, NULL, NULL, 0, 65536) == -EINVAL);
    CHECK(prock_perf_read((const int[]){-1}, 1, &total, &lost) == -EBADF);
    int error = prock_perf_stop((const int[]){-1}, 1);
    CHECK(error == -EBADF || error == -ENOSYS); /* ENOSYS: of an emulator without this call */
    CHECK(prock_exec_event_open(0, 1 << 20) < 0 && prock_exec_switch_event_open(0, 1 << 20) < 0);
}

#define BUFFER 131072
#define PAGE ((size_t)sysconf(_SC_PAGESIZE))

/* A file with the layout of an event's buffer, mapped as by the kernel. */
static unsigned char *buffer(int *fd)
{
    *fd = memfd_create("buffer", 0);
    if (*fd < 0 || ftruncate(*fd, (off_t)(PAGE + BUFFER)) < 0)
        abort();
    unsigned char *base = mmap(NULL, PAGE + BUFFER, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (base == MAP_FAILED)
        abort();
    return base;
}

static void set_head(unsigned char *base, uint64_t head)
{
    memcpy(base + 1024, &head, sizeof head);
}

static uint64_t tail(const unsigned char *base)
{
    uint64_t at;
    memcpy(&at, base + 1032, sizeof at);
    return at;
}

static void test_rings_with_random_bytes(void)
{
    int fds[2];
    unsigned char *bases[] = {buffer(&fds[0]), buffer(&fds[1])};
    struct prock_rings rings = {0};
    uint64_t head = 0;
    CHECK(prock_rings_map(&rings, fds, fds + 1, 1, BUFFER) == 0);
    srand(3);
    for (int round = 0; round < 300; round++) {
        struct prock_record_list list = {0};
        head = round % 50 ? head + (uint64_t)rand() % (BUFFER + 100) : (uint64_t)rand() << 32;
        for (int which = 0; which < 2; which++) {
            for (size_t i = 0; i < BUFFER; i++)
                bases[which][PAGE + i] = (unsigned char)(rand() % 8 ? rand() % 64 : 0);
            set_head(bases[which], head);
        }
        CHECK(prock_rings_drain(&rings, UINT64_MAX, &list) == 0);
        CHECK(tail(bases[0]) == head && tail(bases[1]) == head);
        free(list.v);
    }
    CHECK(prock_rings_lost(&rings) && prock_rings_switches_lost(&rings));
    prock_rings_unmap(&rings);
    for (int which = 0; which < 2; which++) {
        munmap(bases[which], PAGE + BUFFER);
        close(fds[which]);
    }
}

static void put(unsigned char *base, uint64_t *head, uint32_t type, uint16_t misc, int32_t pid, uint64_t time_ns)
{
    const bool is_exit = type == 4;
    const uint16_t size = is_exit ? 48 : 24;
    const int32_t ids[] = {pid, 1, pid, 1}, own[] = {pid, pid};
    unsigned char *at = base + PAGE + *head;
    memcpy(at, &type, 4);
    memcpy(at + 4, &misc, 2);
    memcpy(at + 6, &size, 2);
    if (is_exit)
        memcpy(at + 8, ids, sizeof ids);
    memcpy(at + size - 16, own, sizeof own);
    memcpy(at + size - 8, &time_ns, sizeof time_ns);
    set_head(base, *head += size);
}

/* The run time of each of many processes is found, in any order of exits. */
static void test_run_times(void)
{
    enum { N = 1000 };
    int fds[2];
    unsigned char *tasks = buffer(&fds[0]), *switches = buffer(&fds[1]);
    uint64_t at = 0, at_switches = 0;
    struct prock_rings rings = {0};
    struct prock_record_list list = {0};
    for (int32_t pid = 1; pid <= N; pid++) {
        put(switches, &at_switches, 14, 0, pid * 64, (uint64_t)pid * 10);
        put(switches, &at_switches, 14, 1 << 13, pid * 64, (uint64_t)pid * 10 + (uint64_t)pid % 7);
        put(tasks, &at, 4, 0, pid * 387 % (N + 1) * 64, 20 * N + (uint64_t)pid);
    }
    CHECK(prock_rings_map(&rings, fds, fds + 1, 1, BUFFER) == 0);
    CHECK(prock_rings_drain(&rings, UINT64_MAX, &list) == 0 && list.n == N && rings.switches == 2 * N);
    for (size_t i = 0; i < list.n; i++)
        CHECK(list.v[i].kind == PROCK_RECORD_EXIT && list.v[i].cpu_ns == (uint64_t)list.v[i].pid / 64 % 7);
    CHECK(rings.run_times_n == 0 && prock_rings_lost(&rings) == 0 && prock_rings_switches_lost(&rings) == 0);
    free(list.v);
    prock_rings_unmap(&rings);
    munmap(tasks, PAGE + BUFFER);
    munmap(switches, PAGE + BUFFER);
    close(fds[0]);
    close(fds[1]);
}

void test_ring(void)
{
    test_records_with_random_bytes();
    test_rings_that_cannot_be_mapped();
    test_rings_with_random_bytes();
    test_run_times();
}
