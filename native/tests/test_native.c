/* The parsers and lists on their own, at their edges; run under the sanitizers by tools/test-native.sh. */
#include "prock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int main(void)
{
    test_stat();
    test_stat_of_any_bytes_ends();
    test_io_and_statm();
    test_split();
    test_pidmap();
    test_pids();
    test_perf();
    test_last_pid();
    printf("C tests: %d checks, %d failed\n", checks, failures);
    return failures != 0;
}
