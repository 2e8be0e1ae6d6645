/* Descriptors of members' files: what is read again and again costs half of opening it each time, or less. */
#define _GNU_SOURCE
#include "tracker/tracker.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* A descriptor that so many passes did not need may be given back for another. */
#define IDLE_PASSES 16
/* How many members are looked at for one. */
#define SEARCH 64
/* How many are given back when the process has run out of them. */
#define RETREAT 64

uint64_t prock_file_number(int fd)
{
    struct stat st;
    return prock_stat(fd, "", &st) == 0 ? (uint64_t)st.st_ino ^ (uint64_t)st.st_dev << 48 : 0;
}

/* A program that turns itself into a daemon closes every descriptor, and the number may be another file's by now. */
void prock_close_if_same(int fd, uint64_t number)
{
    if (fd >= 0 && prock_file_number(fd) == number)
        close(fd);
}

void prock_kept_give_back(struct prock_keep *keep, size_t place, int kind)
{
    int *fd = &keep->files[place].fds[kind];
    if (*fd < 0)
        return;
    prock_close_if_same(*fd, keep->files[place].numbers[kind]);
    *fd = -1;
    keep->open--;
}

void prock_kept_give_back_all(struct prock_keep *keep, size_t place)
{
    for (int kind = 0; kind < PROCK_KEPT_FILES; kind++)
        prock_kept_give_back(keep, place, kind);
}

void prock_kept_distrust(struct prock_keep *keep)
{
    for (size_t place = 0; place < keep->table->n; place++)
        prock_kept_give_back_all(keep, place);
}

/* Give back some of the least used: those that the last `idle` passes did not need. */
static size_t give_back_idle(struct prock_keep *keep, uint32_t idle, size_t search, size_t wanted)
{
    size_t given = 0;
    for (size_t i = 0; i < search && i < keep->table->n && given < wanted; i++) {
        keep->hand = keep->hand + 1 < keep->table->n ? keep->hand + 1 : 0;
        for (int kind = 0; kind < PROCK_KEPT_FILES; kind++) {
            struct prock_kept_files *files = &keep->files[keep->hand];
            if (files->fds[kind] >= 0 && keep->number - files->used[kind] >= idle) {
                prock_kept_give_back(keep, keep->hand, kind);
                given++;
            }
        }
    }
    return given;
}

/* Once nobody was found to be idle, the rest of the pass need not look again. */
static bool may_keep(struct prock_keep *keep)
{
    if (keep->open < keep->budget)
        return true;
    if (keep->none_idle_in == keep->number)
        return false;
    if (give_back_idle(keep, IDLE_PASSES, SEARCH, 1) > 0)
        return true;
    keep->none_idle_in = keep->number;
    return false;
}

void prock_keep_set_budget(struct prock_keep *keep, size_t budget)
{
    keep->budget = budget;
    if (keep->open > budget)
        give_back_idle(keep, IDLE_PASSES, keep->table->n, keep->open - budget);
    if (keep->open > budget)
        give_back_idle(keep, 0, keep->table->n, keep->open - budget);
}

/* Open a member's file; where the process is out of descriptors, some of the kept ones make room. */
static int open_file(struct prock_keep *keep, size_t place, const char *what)
{
    int fd = prock_open(&keep->root, prock_kept_at(keep, place)->pid, what);
    if ((fd == -EMFILE || fd == -ENFILE) && give_back_idle(keep, 0, keep->table->n, RETREAT) > 0)
        fd = prock_open(&keep->root, prock_kept_at(keep, place)->pid, what);
    return fd;
}

/* Keep the descriptor of what is read for the second time, or close it. */
static void keep_or_close(struct prock_keep *keep, size_t place, int kind, int fd)
{
    struct prock_kept_files *files = &keep->files[place];
    unsigned bit = 1U << kind;
    if ((files->read_before & bit) && !keep->everything && may_keep(keep)) {
        files->fds[kind] = fd;
        files->numbers[kind] = prock_file_number(fd);
        files->used[kind] = keep->number;
        keep->open++;
    } else {
        close(fd);
    }
    files->read_before |= bit;
}

static ssize_t read_start(int fd, char *buf, size_t cap)
{
    ssize_t got;
    do
        got = pread(fd, buf, cap, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

/* The start of a file: by its kept descriptor, or a fresh one, where `is_whole` says that it was read to its end. */
int prock_kept_read(
    struct prock_keep *keep, size_t place, int kind, const char *what, char *buf, size_t cap, size_t *len)
{
    int *kept = &keep->files[place].fds[kind];
    ssize_t got;
    if (*kept >= 0) {
        keep->files[place].used[kind] = keep->number;
        got = read_start(*kept, buf, cap);
        if (got >= 0) {
            *len = (size_t)got;
            return 0;
        }
        int error = prock_errno(errno);
        if (error == -ESRCH || error == -EACCES) {
            prock_kept_give_back(keep, place, kind);
            return error;
        }
        prock_kept_distrust(keep);
    }
    int fd = open_file(keep, place, what);
    if (fd < 0)
        return fd;
    got = read_start(fd, buf, cap);
    if (got < 0) {
        int error = prock_errno(errno);
        close(fd);
        return error;
    }
    *len = (size_t)got;
    keep_or_close(keep, place, kind, fd);
    return 0;
}
