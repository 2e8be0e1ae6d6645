/* The parsers and lists on their own, at their edges; run under the sanitizers by tools/test-native.sh. */
#define _GNU_SOURCE
#include "keep.h"
#include "records.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int failures, checks;

#define CHECK(claim)                                                                                                   \
    do {                                                                                                               \
        checks++;                                                                                                      \
        if (!(claim)) {                                                                                                \
            failures++;                                                                                                \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #claim);                                                 \
        }                                                                                                              \
    } while (0)

/* A copy without a byte to spare, so that the sanitizer sees a parser that reads on. */
static char *exact(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);
    if (!copy)
        abort();
    memcpy(copy, text, len);
    return copy;
}

static int parse_stat(const char *text, size_t len, struct prock_stat *out)
{
    char *copy = exact(text, len);
    int error = prock_parse_stat(copy, len, out);
    free(copy);
    return error;
}

static const char STAT[] = "7 (a) b (c) S 1 2 3 4 -1 0 5 0 6 0 7 8 9 -10 20 0 11 0 12 13 14 18446744073709551615\n";

static void test_stat(void)
{
    struct prock_stat stat;
    CHECK(parse_stat(STAT, sizeof STAT - 1, &stat) == 0);
    CHECK(stat.pid == 7 && stat.ppid == 1 && stat.pgrp == 2 && stat.session == 3 && stat.tty_nr == 4);
    CHECK(stat.state == 'S' && stat.comm_len == 7 && memcmp(stat.comm, "a) b (c", 7) == 0);
    CHECK(stat.minflt == 5 && stat.majflt == 6 && stat.utime == 7 && stat.stime == 8);
    CHECK(stat.cutime == 9 && stat.cstime == 0 && stat.num_threads == 11);
    CHECK(stat.starttime == 12 && stat.vsize == 13 && stat.rss == 14);
    const size_t up_to_rss = sizeof STAT - 1 - strlen(" 18446744073709551615\n");
    for (size_t len = 0; len <= up_to_rss; len++)
        CHECK(parse_stat(STAT, len, &stat) == -EBADMSG);
    CHECK(parse_stat(STAT, up_to_rss + 1, &stat) == 0);
}

static void test_stat_of_any_bytes_ends(void)
{
    struct prock_stat stat;
    char line[sizeof STAT];
    srand(1);
    for (int round = 0; round < 200000; round++) {
        memcpy(line, STAT, sizeof line);
        for (int changes = 1 + rand() % 4; changes; changes--)
            line[(size_t)rand() % (sizeof line - 1)] = "0123456789-() \nSZ\xff"[rand() % 19];
        int error = parse_stat(line, (size_t)rand() % sizeof line, &stat);
        CHECK(error == 0 || error == -EBADMSG);
        CHECK(error || stat.comm_len <= PROCK_COMM_MAX);
    }
}

static void test_io_and_statm(void)
{
    static const char text[] = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\n"
                               "cancelled_write_bytes: 18446744073709551615\n";
    struct prock_io io;
    struct prock_statm statm;
    CHECK(prock_parse_io(text, sizeof text - 1, &io) == 0);
    CHECK(io.rchar == 1 && io.wchar == 2 && io.syscr == 3 && io.syscw == 4 && io.read_bytes == 5);
    CHECK(io.write_bytes == 6 && io.cancelled_write_bytes == UINT64_MAX);
    for (size_t len = 0; len < sizeof text - 1; len++) {
        char *copy = exact(text, len);
        CHECK(prock_parse_io(copy, len, &io) == -EBADMSG);
        free(copy);
    }
    CHECK(prock_parse_statm("3 2 1\n", 6, &statm) == 0 && statm.size == 3 && statm.resident == 2);
    CHECK(prock_parse_statm("3 2", 3, &statm) == -EBADMSG);
}

static void test_split(void)
{
    struct prock_cpu cpu = prock_split(UINT64_MAX, UINT64_MAX, UINT64_MAX);
    CHECK(cpu.user_ns + cpu.system_ns == UINT64_MAX);
    cpu = prock_split(1000, 0, 0);
    CHECK(cpu.user_ns == 1000 && cpu.system_ns == 0);
    cpu = prock_split(1000, 1, 3);
    CHECK(cpu.user_ns == 250 && cpu.system_ns == 750);
    CHECK(prock_multiply(UINT64_MAX, 2) == UINT64_MAX && prock_multiply(3, 4) == 12);
}

static void test_pidmap(void)
{
    struct prock_pidmap map = {0};
    uint32_t value;
    CHECK(!prock_pidmap_get(&map, 5, &value));
    for (int32_t pid = 1; pid <= 5000; pid++)
        CHECK(prock_pidmap_add(&map, pid * 7, (uint32_t)pid) == 1);
    CHECK(prock_pidmap_add(&map, 7, 99) == 0);
    for (int32_t pid = 1; pid <= 5000; pid++)
        CHECK(prock_pidmap_get(&map, pid * 7, &value) && value == (uint32_t)pid);
    CHECK(!prock_pidmap_get(&map, 8, &value));
    CHECK(!prock_pidmap_get(&map, 0, &value)); /* the parent of init: nobody */
    CHECK(prock_pidmap_put(&map, 7, 99) == 0 && prock_pidmap_get(&map, 7, &value) && value == 99);
    CHECK(prock_pidmap_put(&map, 8, 1) == 0 && prock_pidmap_get(&map, 8, &value) && value == 1);
    CHECK(prock_pidmap_get(&map, 14, &value) && value == 2 && map.n == 5001);
    prock_pidmap_free(&map);
}

static void test_pids(void)
{
    int32_t pid;
    struct prock_pids pids = {0};
    CHECK(prock_parse_pid("2147483647", 10, &pid) && pid == INT32_MAX);
    CHECK(!prock_parse_pid("2147483648", 10, &pid) && !prock_parse_pid("0", 1, &pid));
    CHECK(!prock_parse_pid("07", 2, &pid) && !prock_parse_pid("", 0, &pid) && !prock_parse_pid("7x", 2, &pid));
    CHECK(prock_parse_children("5 6 ", 4, &pids) == 0 && pids.n == 2 && pids.v[1] == 6);
    CHECK(prock_parse_children("5", 1, &pids) == -EBADMSG && prock_parse_children("0 ", 2, &pids) == -EBADMSG);
    prock_pids_free(&pids);
}

/* What is refused; the rest needs a kernel that grants it. */
static void test_perf(void)
{
    uint64_t total = 1;
    int error = prock_perf_open(INT32_MAX); /* above every pid_max */
    CHECK(error == -ESRCH || error == -EACCES || error == -ENOTSUP);
    CHECK(prock_perf_read(NULL, 0, &total) == 0 && total == 0);
    CHECK(prock_perf_read((const int[]){-1}, 1, &total) == -EBADF);
}

static void test_last_pid(void)
{
    static const struct prock_root nowhere = {.path = "/nonexistent", .path_len = 12, .dir = -1};
    int32_t pid;
    CHECK(prock_last_pid(&nowhere, &pid) == -ENOTSUP);
}

static int parse_pss(const char *text, size_t len, uint64_t *bytes)
{
    char *copy = exact(text, len);
    int error = prock_parse_pss(copy, len, bytes);
    free(copy);
    return error;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_nlink == b->st_nlink && a->st_mode == b->st_mode &&
           a->st_uid == b->st_uid && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The kernel's structure is the one that the C library's headers describe. */
static void test_stat_of_a_file(void)
{
    struct stat ours, its;
    char name[] = "/tmp/prock-test-XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0 && write(fd, "three", 5) == 5);
    memset(&ours, 255, sizeof ours);
    CHECK(prock_stat(fd, "", &ours) == 0 && fstat(fd, &its) == 0 && same_file(&ours, &its) && ours.st_size == 5);
    CHECK(prock_file_number(fd) != 0);
    memset(&ours, 255, sizeof ours);
    CHECK(prock_stat(AT_FDCWD, "/proc/self/task", &ours) == 0 && stat("/proc/self/task", &its) == 0);
    CHECK(same_file(&ours, &its) && ours.st_nlink > 2);
    unlink(name);
    close(fd);
    CHECK(prock_stat(AT_FDCWD, name, &ours) == -1 && errno == ENOENT);
    CHECK(prock_stat(fd, "", &ours) == -1 && errno == EBADF && prock_file_number(fd) == 0);
}

static void test_pss(void)
{
    static const char text[] =
        "55d0-7ffe ---p 00000000 00:00 0   [rollup]\nRss:      9 kB\nPss:   1234 kB\nPss_Anon: 7 kB\n";
    const char *bad[] = {
        "",
        "\n",
        "Pss:\n",
        "Pss: \n",
        "Pss: x kB\n",
        "Pss: 1\n",
        "Pss: 1 MB\n",
        "Pss: -1 kB\n",
        "Pss_Anon: 7 kB\n",
        "Pss: 1 kB",
        "Pss: 99999999999999999999999 kB x\n"};
    uint64_t bytes = 0;
    CHECK(parse_pss(text, sizeof text - 1, &bytes) == 0 && bytes == 1234 * 1024);
    const size_t up_to_pss = (size_t)(strstr(text, "Pss_") - text);
    for (size_t len = 0; len < up_to_pss; len++)
        CHECK(parse_pss(text, len, &bytes) == -EBADMSG);
    CHECK(parse_pss(text, up_to_pss, &bytes) == 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(parse_pss(bad[i], strlen(bad[i]), &bytes) == -EBADMSG);
    CHECK(parse_pss("Pss: 18446744073709551615 kB\n", 29, &bytes) == 0 && bytes == UINT64_MAX);
}

/* A member that used `own_ns`; `parent` is a place + 1. */
static struct prock_kept kept(int32_t pid, uint32_t parent, unsigned flags, uint64_t own_ns)
{
    struct prock_kept row = {.pid = pid, .tree = 1, .parent = parent, .flags = flags, .own_ns = own_ns};
    row.stat.num_threads = 1;
    row.rss_bytes = 4096;
    row.io.rchar = own_ns;
    return row;
}

static void test_subtrees(void)
{
    struct prock_kept rows[] = {
        kept(5, 0, 0, 1),                             /* 0: an orphan that others adopted, known before the root */
        kept(1, 3, PROCK_ROOT | PROCK_NEW, 10),       /* 1: the root, whose parent is in the tree, too: no matter */
        kept(2, 2, PROCK_HAS_IO, 100),                /* 2 */
        kept(3, 3, PROCK_HAS_IO, 1000),               /* 3: below 2 */
        kept(4, 2, PROCK_GONE, 10000),                /* 4: has ended */
        kept(6, 5, 0, 100000),                        /* 5: its parent has */
        kept(7, 2, PROCK_UNREAD, 1000000),            /* 6: has not been read */
        kept(8, 2, 0, 10000000),                      /* 7: of another tree */
        kept(9, 8, 0, 100000000),                     /* 8: its parent is */
        kept(10, 2, PROCK_NEW | PROCK_BORN_SINCE, 7), /* 9 */
    };
    const size_t n = sizeof rows / sizeof *rows;
    rows[7].tree = 2;
    rows[2].before_ns = 60;
    rows[3].stat.cutime = 2;
    struct prock_table table = {rows, n, n};
    uint32_t order[sizeof rows / sizeof *rows];
    struct prock_subtree sums[sizeof rows / sizeof *rows] = {{0}};
    size_t count = 0;
    sums[2].used_ns = 5;
    CHECK(prock_subtrees(&table, 1, 1000, order, &count, sums) == 0);
    const uint32_t expected[] = {1, 0, 5, 8, 2, 9, 3}; /* root, strays, then breadth first */
    CHECK(count == sizeof expected / sizeof *expected && memcmp(order, expected, sizeof expected) == 0);
    CHECK(sums[1].processes == 4 && sums[1].threads == 4 && sums[1].rss_bytes == 4 * 4096);
    CHECK(sums[1].cpu_ns == 10 + 100 + 1000 + 2000 + 7 && sums[2].cpu_ns == 100 + 1000 + 2000);
    CHECK(sums[1].used_ns == 40 + 5 + 1000 + 7 && sums[2].used_ns == 1045);
    CHECK(sums[1].io.rchar == 1100 && sums[1].has_io && sums[2].has_io && !sums[0].has_io && !sums[9].has_io);
    CHECK(sums[0].processes == 1 && sums[5].processes == 1 && sums[8].processes == 1 && sums[4].processes == 0);
    CHECK(prock_used_ns(&rows[1]) == -1 && prock_used_ns(&rows[9]) == 7 && prock_used_ns(&rows[2]) == 40);
}

/* A table of what was read at different times can hold a cycle: who is in it is left out, and the pass ends. */
static void test_subtrees_of_a_cycle(void)
{
    struct prock_kept rows[] = {kept(1, 0, PROCK_ROOT, 1), kept(2, 4, 0, 2), kept(3, 2, 0, 4), kept(4, 3, 0, 8)};
    struct prock_table table = {rows, 4, 4};
    uint32_t order[4];
    struct prock_subtree sums[4] = {{0}};
    size_t count = 0;
    CHECK(prock_subtrees(&table, 1, 1, order, &count, sums) == 0);
    CHECK(count == 1 && sums[0].processes == 1 && sums[0].cpu_ns == 1);
}

static int parse_record(const unsigned char *bytes, size_t len, struct prock_record *out, size_t *size)
{
    char *copy = exact((const char *)bytes, len);
    int error = prock_parse_record((const unsigned char *)copy, len, out, size);
    free(copy);
    return error;
}

static void test_records_of_any_bytes_end(void)
{
    unsigned char bytes[64] = {0};
    struct prock_record record;
    size_t size;
    srand(2);
    for (int round = 0; round < 200000; round++) {
        uint32_t type = (uint32_t)rand() % 16;
        uint16_t told = (uint16_t)(rand() % 72);
        size_t len = (size_t)rand() % (sizeof bytes + 1);
        for (size_t i = 8; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)(rand() % 3 ? 'a' : 0);
        memcpy(bytes, &type, sizeof type);
        memcpy(bytes + 6, &told, sizeof told);
        int error = parse_record(bytes, len, &record, &size);
        CHECK(error == 0 || error == -EBADMSG);
        CHECK(error || (size == told && told <= len && told >= 24 && record.comm_len <= PROCK_RECORD_COMM_MAX));
    }
}

static void test_records_that_cannot_be_mapped(void)
{
    struct prock_records records = {0};
    uint64_t total, lost;
    CHECK(prock_records_map(&records, (const int[]){-1}, NULL, 1, 65536) == -EBADF && !records.rings);
    CHECK(prock_records_map(&records, (const int[]){-1}, NULL, 1, 65537) == -EINVAL);
    CHECK(prock_records_map(&records, NULL, NULL, 0, 65536) == -EINVAL);
    CHECK(prock_records_totals((const int[]){-1}, 1, &total, &lost) == -EBADF);
    int error = prock_records_stop((const int[]){-1}, 1);
    CHECK(error == -EBADF || error == -ENOSYS); /* of an emulator that does not know the call */
    CHECK(prock_perf_open_on_exec(1 << 20) < 0 && prock_perf_open_switches_on_exec(1 << 20) < 0);
}

#define BUFFER 131072
#define PAGE ((size_t)sysconf(_SC_PAGESIZE))

/* A file like the buffer of an event, as the kernel sees it. */
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

static void test_buffers_of_any_bytes(void)
{
    int fds[2];
    unsigned char *bases[] = {buffer(&fds[0]), buffer(&fds[1])};
    struct prock_records records = {0};
    uint64_t head = 0;
    CHECK(prock_records_map(&records, fds, fds + 1, 1, BUFFER) == 0);
    srand(3);
    for (int round = 0; round < 300; round++) {
        struct prock_record_list list = {0};
        head = round % 50 ? head + (uint64_t)rand() % (BUFFER + 100) : (uint64_t)rand() << 32;
        for (int which = 0; which < 2; which++) {
            for (size_t i = 0; i < BUFFER; i++)
                bases[which][PAGE + i] = (unsigned char)(rand() % 8 ? rand() % 64 : 0);
            set_head(bases[which], head);
        }
        CHECK(prock_records_drain(&records, UINT64_MAX, &list) == 0);
        CHECK(tail(bases[0]) == head && tail(bases[1]) == head);
        free(list.v);
    }
    CHECK(prock_records_lost(&records) && prock_records_switches_lost(&records));
    prock_records_unmap(&records);
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

/* What each of many processes ran is found again, in whatever order they end. */
static void test_what_processes_ran(void)
{
    enum { N = 1000 };
    int fds[2];
    unsigned char *tasks = buffer(&fds[0]), *switches = buffer(&fds[1]);
    uint64_t at = 0, at_switches = 0;
    struct prock_records records = {0};
    struct prock_record_list list = {0};
    for (int32_t pid = 1; pid <= N; pid++) {
        put(switches, &at_switches, 14, 0, pid * 64, (uint64_t)pid * 10);
        put(switches, &at_switches, 14, 1 << 13, pid * 64, (uint64_t)pid * 10 + (uint64_t)pid % 7);
        put(tasks, &at, 4, 0, pid * 387 % (N + 1) * 64, 20 * N + (uint64_t)pid);
    }
    CHECK(prock_records_map(&records, fds, fds + 1, 1, BUFFER) == 0);
    CHECK(prock_records_drain(&records, UINT64_MAX, &list) == 0 && list.n == N && records.switches == 2 * N);
    for (size_t i = 0; i < list.n; i++)
        CHECK(list.v[i].kind == PROCK_RECORD_EXIT && list.v[i].cpu_ns == (uint64_t)list.v[i].pid / 64 % 7);
    CHECK(records.ran_n == 0 && prock_records_lost(&records) == 0 && prock_records_switches_lost(&records) == 0);
    free(list.v);
    prock_records_unmap(&records);
    munmap(tasks, PAGE + BUFFER);
    munmap(switches, PAGE + BUFFER);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    test_buffers_of_any_bytes();
    test_what_processes_ran();
    test_records_of_any_bytes_end();
    test_records_that_cannot_be_mapped();
    test_stat();
    test_stat_of_any_bytes_ends();
    test_io_and_statm();
    test_split();
    test_pidmap();
    test_pids();
    test_perf();
    test_last_pid();
    test_stat_of_a_file();
    test_pss();
    test_subtrees();
    test_subtrees_of_a_cycle();
    printf("C tests: %d checks, %d failed\n", checks, failures);
    return failures != 0;
}
