/* Threads that call everything at once: shared data is read only, each thread changes its own. ThreadSanitizer (make
 * check-threads) reports other accesses. */
#define _GNU_SOURCE
#include "perf/perf.h"
#include "tracker/tracker.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 6, CHILDREN = 20, PAGE = 4096, BYTES = 4096 };

#define ASSERT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static struct prock_root shared = {.path = "/proc", .path_len = 5, .dir = -1, .clocks_usable = true};
static int rounds;
static long passes, records_read;

static void read_one(int32_t pid)
{
    struct prock_stat stat;
    struct prock_statm statm;
    struct prock_io io;
    struct prock_cpu cpu;
    struct prock_pids pids = {0};
    char comm[PROCK_COMM_MAX], state;
    size_t len;
    uint64_t number;
    int32_t own;
    ASSERT(prock_read_stat(&shared, pid, &stat) == 0 && prock_read_cpu(&shared, pid, &cpu) == 0);
    ASSERT(prock_read_statm(&shared, pid, &statm) == 0 && prock_read_comm(&shared, pid, comm, &len) == 0);
    int error = prock_read_io(&shared, pid, &io);
    ASSERT(error == 0 || error == -EACCES || error == -ENOTSUP);
    error = prock_read_pss(&shared, pid, &number);
    ASSERT(error == 0 || error == -EACCES || error == -ENOTSUP);
    error = prock_read_children(&shared, pid, 0, &pids);
    ASSERT(error == 0 || error == -ENOTSUP);
    error = prock_read_children_by_thread(&shared, pid, &pids);
    ASSERT(error == 0 || error == -ENOTSUP);
    ASSERT(prock_thread_state(&shared, pid, pid, &state) == 0);
    ASSERT(prock_own_pid(&shared, &own) == 0 && own == (int32_t)getpid());
    ASSERT(prock_thread_count(&shared, &number) == 0 && number > 0);
    prock_last_pid(&shared, &own);
    prock_pids_free(&pids);
}

static void read_all_processes(void)
{
    struct prock_scan scan;
    struct prock_tree_walk walk;
    prock_scan_start(&scan, &shared);
    ASSERT(prock_scan_run(&scan, PROCK_NO_DEADLINE) == 0 && scan.n > CHILDREN);
    prock_scan_free(&scan);
    prock_tree_walk_start(&walk, &shared, (int32_t)getpid(), PROCK_WANT_CPU | PROCK_WANT_STAT | PROCK_WANT_IO);
    ASSERT(prock_tree_walk_run(&walk, PROCK_NO_DEADLINE) == 0 && walk.n > CHILDREN);
    prock_tree_walk_free(&walk);
}

/* Each thread has its own tracker of the same tree. */
static void track(struct prock_tracker *tracker, int round)
{
    uint32_t order[512];
    struct prock_subtree_sum sums[512];
    size_t n;
    struct prock_member_table snapshot;
    ASSERT(prock_tracker_start(tracker, -1, round % 5 == 0) == 0);
    ASSERT(prock_tracker_run(tracker, PROCK_NO_DEADLINE) == 0);
    ASSERT(prock_member_table_copy(tracker->table, &snapshot) == 0);
    if (snapshot.n <= 512) {
        memset(sums, 0, sizeof sums);
        ASSERT(prock_subtree_sums(&snapshot, 0, 10000000, order, &n, sums) == 0 && n > CHILDREN);
    }
    free(snapshot.rows);
    prock_fd_cache_set_budget(tracker, (size_t)(round % 3) * 20);
}

static int buffer(void)
{
    int fd = memfd_create("buffer", MFD_CLOEXEC);
    ASSERT(fd >= 0 && ftruncate(fd, PAGE + BYTES) == 0);
    return fd;
}

/* A ring buffer per thread; another thread writes it as the kernel does. */
struct ring {
    int fd;
    unsigned char *base;
};

static void *write_records(void *argument)
{
    struct ring *ring = argument;
    uint64_t *head = (uint64_t *)(void *)(ring->base + 1024), *tail = (uint64_t *)(void *)(ring->base + 1032), at = 0;
    for (int i = 0; i < rounds * 100; i++) {
        const struct {
            uint32_t type;
            uint16_t misc, size;
            int32_t pid, tid;
            uint64_t time_ns;
        } record = {14, i % 2 ? 1 << 13 : 0, 24, 5, 5, (uint64_t)i};
        while (at + 2 * sizeof record - __atomic_load_n(tail, __ATOMIC_ACQUIRE) > BYTES)
            sched_yield();
        for (size_t byte = 0; byte < sizeof record; byte++)
            ring->base[PAGE + (at + byte) % BYTES] = ((const unsigned char *)&record)[byte];
        at += sizeof record;
        __atomic_store_n(head, at, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void read_records(void)
{
    struct ring ring = {.fd = buffer()};
    int nothing = buffer();
    struct prock_rings rings = {0};
    pthread_t writer;
    ASSERT(prock_rings_map(&rings, &nothing, &ring.fd, 1, BYTES) == 0);
    ring.base = rings.rings[1].base; /* the same mapping, so that the sanitizer sees the accesses of both threads */
    ASSERT(pthread_create(&writer, NULL, write_records, &ring) == 0);
    while (rings.switches < (uint64_t)rounds * 100) {
        struct prock_record_list list = {0};
        ASSERT(prock_rings_drain(&rings, UINT64_MAX, &list) == 0 && list.n == 0);
        free(list.v);
        sched_yield();
    }
    ASSERT(pthread_join(writer, NULL) == 0 && rings.switches == (uint64_t)rounds * 100);
    __atomic_add_fetch(&records_read, (long)rings.switches, __ATOMIC_RELAXED);
    prock_rings_unmap(&rings);
    close(ring.fd);
    close(nothing);
}

static void *run_thread(void *unused)
{
    (void)unused;
    struct prock_tracker tracker;
    struct prock_member_table table = {0};
    prock_tracker_init(&tracker, &shared, PROCK_WANT_CPU | PROCK_WANT_STAT | PROCK_WANT_IO, 40, &table);
    ASSERT(prock_tracker_add(&tracker, (int32_t)getpid(), 0) == 0);
    for (int round = 0; round < rounds; round++) {
        read_one((int32_t)getpid());
        if (round % 8 == 0)
            read_all_processes();
        track(&tracker, round);
        uint64_t total;
        int event = prock_task_clock_open(0);
        if (event >= 0) {
            ASSERT(prock_perf_read(&event, 1, &total, NULL) == 0);
            close(event);
        }
        __atomic_add_fetch(&passes, 1, __ATOMIC_RELAXED);
    }
    read_records();
    prock_tracker_free(&tracker);
    free(table.rows);
    return NULL;
}

int main(int argc, char **argv)
{
    rounds = argc > 1 ? atoi(argv[1]) : 100;
    shared.tick_ns = 1000000000U / (uint64_t)sysconf(_SC_CLK_TCK);
    shared.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    pid_t children[CHILDREN];
    int gate[2];
    ASSERT(sysconf(_SC_PAGESIZE) == PAGE && pipe(gate) == 0);
    for (int i = 0; i < CHILDREN; i++)
        if ((children[i] = fork()) == 0) {
            char byte;
            close(gate[1]);
            _exit(read(gate[0], &byte, 1) != 0); /* until the parent exits */
        }
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ASSERT(pthread_create(&threads[i], NULL, run_thread, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        ASSERT(pthread_join(threads[i], NULL) == 0);
    close(gate[1]);
    for (int i = 0; i < CHILDREN; i++)
        ASSERT(waitpid(children[i], NULL, 0) == children[i]);
    printf("C threads: %d threads, %ld rounds, %ld records, no data race\n", THREADS, passes, records_read);
    return 0;
}
