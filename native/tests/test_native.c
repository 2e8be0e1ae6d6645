/* Parsers, lists and sums at their limits; run under sanitizers by tools/test-native.sh. */
#define _GNU_SOURCE
#include "checks.h"
#include "perf/perf.h"
#include "tracker/tracker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int failures, checks;

char *exact(const char *bytes, size_t len)
{
    char *copy = malloc(len ? len : 1);
    if (!copy)
        abort();
    memcpy(copy, bytes, len);
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
    CHECK(stat.flags == 0 && stat.minflt == 5 && stat.majflt == 6 && stat.utime == 7 && stat.stime == 8);
    CHECK(stat.cutime == 9 && stat.cstime == 0 && stat.thread_count == 11);
    CHECK(stat.starttime == 12 && stat.vsize == 13 && stat.rss == 14);
    const size_t up_to_rss = sizeof STAT - 1 - strlen(" 18446744073709551615\n");
    for (size_t len = 0; len <= up_to_rss; len++)
        CHECK(parse_stat(STAT, len, &stat) == -EBADMSG);
    CHECK(parse_stat(STAT, up_to_rss + 1, &stat) == 0);
}

static void test_stat_with_random_bytes(void)
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
    struct prock_cpu cpu = prock_split_cpu(UINT64_MAX, UINT64_MAX, UINT64_MAX);
    CHECK(cpu.user_ns + cpu.system_ns == UINT64_MAX);
    cpu = prock_split_cpu(1000, 0, 0);
    CHECK(cpu.user_ns == 1000 && cpu.system_ns == 0);
    cpu = prock_split_cpu(1000, 1, 3);
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
    CHECK(!prock_pidmap_get(&map, 0, &value)); /* the ppid of init */
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

/* Errors only: success depends on the kernel's settings. */
static void test_perf(void)
{
    uint64_t total = 1;
    int error = prock_task_clock_open(INT32_MAX); /* above every pid_max */
    CHECK(error == -ESRCH || error == -EACCES || error == -ENOTSUP);
    CHECK(prock_perf_read(NULL, 0, &total, NULL) == 0 && total == 0);
    CHECK(prock_perf_read((const int[]){-1}, 1, &total, NULL) == -EBADF);
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

/* The kernel's struct stat is that of the C library's headers. */
static void test_stat_of_a_file(void)
{
    struct stat ours, its;
    char name[] = "/tmp/prock-test-XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0 && write(fd, "three", 5) == 5);
    memset(&ours, 255, sizeof ours);
    CHECK(prock_stat(fd, "", &ours) == 0 && fstat(fd, &its) == 0 && same_file(&ours, &its) && ours.st_size == 5);
    CHECK(prock_file_id(fd) != 0);
    memset(&ours, 255, sizeof ours);
    CHECK(prock_stat(AT_FDCWD, "/proc/self/task", &ours) == 0 && stat("/proc/self/task", &its) == 0);
    CHECK(same_file(&ours, &its) && ours.st_nlink > 2);
    unlink(name);
    close(fd);
    CHECK(prock_stat(AT_FDCWD, name, &ours) == -1 && errno == ENOENT);
    CHECK(prock_stat(fd, "", &ours) == -1 && errno == EBADF && prock_file_id(fd) == 0);
}

static void test_status(void)
{
    static const char text[] =
        "Name:\tVmHWM: 1 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 9 kB\nHugetlbPages:\t  2048 kB\nCpus: 3\n";
    struct prock_status status;
    CHECK(prock_parse_status(text, sizeof text - 1, &status) == 0);
    CHECK(status.peak_rss_bytes == 1234 * 1024 && status.hugetlb_bytes == 2048 * 1024);
    CHECK(prock_parse_status("Name:\ta\nState:\tZ\n", 17, &status) == 0);
    CHECK(status.peak_rss_bytes == 0 && status.hugetlb_bytes == 0);
    CHECK(prock_parse_status("VmHWM:\t1 MB\n", 12, &status) == -EBADMSG);
    CHECK(prock_parse_status("VmHWM:\t1 kB", 11, &status) == -EBADMSG);
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

/* parent: index + 1. */
static struct prock_member member(int32_t pid, uint32_t parent, unsigned flags, uint64_t own_ns)
{
    struct prock_member row = {.pid = pid, .tree = 1, .parent = parent, .flags = flags, .own_ns = own_ns};
    row.stat.thread_count = 1;
    row.rss_bytes = 4096;
    row.io.rchar = own_ns;
    return row;
}

static void test_subtrees(void)
{
    struct prock_member rows[] = {
        member(5, 0, 0, 1),                          /* 0: an adopted orphan, listed before the root */
        member(1, 3, PROCK_ROOT | PROCK_NEW, 10),    /* 1: the root; its parent in the tree is ignored */
        member(2, 2, PROCK_HAS_IO, 100),             /* 2 */
        member(3, 3, PROCK_HAS_IO, 1000),            /* 3: below 2 */
        member(4, 2, PROCK_GONE, 10000),             /* 4: exited */
        member(6, 5, 0, 100000),                     /* 5: its parent exited */
        member(7, 2, PROCK_UNREAD, 1000000),         /* 6: not read yet */
        member(8, 2, 0, 10000000),                   /* 7: of another tree */
        member(9, 8, 0, 100000000),                  /* 8: its parent is of another tree */
        member(10, 2, PROCK_NEW | PROCK_STARTED, 7), /* 9 */
    };
    const size_t n = sizeof rows / sizeof *rows;
    rows[7].tree = 2;
    rows[2].previous_own_ns = 60;
    rows[3].stat.cutime = 2;
    struct prock_member_table table = {rows, n, n};
    uint32_t order[sizeof rows / sizeof *rows];
    struct prock_subtree_sum sums[sizeof rows / sizeof *rows] = {{0}};
    size_t count = 0;
    sums[2].used_ns = 5;
    CHECK(prock_subtree_sums(&table, 1, 1000, order, &count, sums) == 0);
    const uint32_t expected[] = {1, 0, 5, 8, 2, 9, 3}; /* root, other tops, then breadth first */
    CHECK(count == sizeof expected / sizeof *expected && memcmp(order, expected, sizeof expected) == 0);
    CHECK(sums[1].processes == 4 && sums[1].threads == 4 && sums[1].rss_bytes == 4 * 4096);
    CHECK(sums[1].cpu_ns == 10 + 100 + 1000 + 2000 + 7 && sums[2].cpu_ns == 100 + 1000 + 2000);
    CHECK(sums[1].used_ns == 40 + 5 + 1000 + 7 && sums[2].used_ns == 1045);
    CHECK(sums[1].io.rchar == 1100 && sums[1].has_io && sums[2].has_io && !sums[0].has_io && !sums[9].has_io);
    CHECK(sums[0].processes == 1 && sums[5].processes == 1 && sums[8].processes == 1 && sums[4].processes == 0);
    CHECK(
        prock_member_used_ns(&rows[1]) == -1 && prock_member_used_ns(&rows[9]) == 7 &&
        prock_member_used_ns(&rows[2]) == 40);
}

/* Rows read at different times can form a cycle: its members are left out, and the call returns. */
static void test_subtrees_of_a_cycle(void)
{
    struct prock_member rows[] = {
        member(1, 0, PROCK_ROOT, 1), member(2, 4, 0, 2), member(3, 2, 0, 4), member(4, 3, 0, 8)};
    struct prock_member_table table = {rows, 4, 4};
    uint32_t order[4];
    struct prock_subtree_sum sums[4] = {{0}};
    size_t count = 0;
    CHECK(prock_subtree_sums(&table, 1, 1, order, &count, sums) == 0);
    CHECK(count == 1 && sums[0].processes == 1 && sums[0].cpu_ns == 1);
}

int main(void)
{
    test_stat();
    test_stat_with_random_bytes();
    test_io_and_statm();
    test_split();
    test_pidmap();
    test_pids();
    test_perf();
    test_last_pid();
    test_stat_of_a_file();
    test_status();
    test_pss();
    test_subtrees();
    test_subtrees_of_a_cycle();
    test_ring();
    printf("C tests: %d checks, %d failed\n", checks, failures);
    return failures != 0;
}
