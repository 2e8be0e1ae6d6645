/* Cached descriptors of members' files: reading one again costs at most half of opening it each time. */
#define _GNU_SOURCE
#include "errors.h"
#include "tracker/tracker.h"

#include <sys/stat.h>
#include <unistd.h>

/* A descriptor unused for so many passes may be closed in favour of another. */
#define IDLE_PASSES 16
/* Members searched for an idle descriptor. */
#define SEARCH_COUNT 64
/* Descriptors closed when the process has run out of them. */
#define EVICT_COUNT 64

uint64_t prock_file_id(int fd)
{
    struct stat st;
    return prock_stat(fd, "", &st) == 0 ? (uint64_t)st.st_ino ^ (uint64_t)st.st_dev << 48 : 0;
}

/* A program that turns itself into a daemon closes all descriptors, and the number may be another file's by now. */
void prock_close_if_unchanged(int fd, uint64_t file_id)
{
    if (fd >= 0 && prock_file_id(fd) == file_id)
        close(fd);
}

void prock_fd_cache_close(struct prock_tracker *tracker, size_t index, int kind)
{
    int *fd = &tracker->files[index].fds[kind];
    if (*fd < 0)
        return;
    prock_close_if_unchanged(*fd, tracker->files[index].file_ids[kind]);
    *fd = -1;
    tracker->open--;
}

void prock_fd_cache_close_member(struct prock_tracker *tracker, size_t index)
{
    for (int kind = 0; kind < PROCK_FILE_COUNT; kind++)
        prock_fd_cache_close(tracker, index, kind);
}

void prock_fd_cache_invalidate(struct prock_tracker *tracker)
{
    for (size_t index = 0; index < tracker->table->n; index++)
        prock_fd_cache_close_member(tracker, index);
}

/* Closes up to `wanted` descriptors that were unused for `idle` passes. */
static size_t close_idle(struct prock_tracker *tracker, uint32_t idle, size_t search, size_t wanted)
{
    size_t closed = 0;
    for (size_t i = 0; i < search && i < tracker->table->n && closed < wanted; i++) {
        tracker->evict_cursor = tracker->evict_cursor + 1 < tracker->table->n ? tracker->evict_cursor + 1 : 0;
        for (int kind = 0; kind < PROCK_FILE_COUNT; kind++) {
            struct prock_member_files *files = &tracker->files[tracker->evict_cursor];
            if (files->fds[kind] >= 0 && tracker->pass - files->used[kind] >= idle) {
                prock_fd_cache_close(tracker, tracker->evict_cursor, kind);
                closed++;
            }
        }
    }
    return closed;
}

/* Searches at most once per pass in vain. */
static bool can_cache(struct prock_tracker *tracker)
{
    if (tracker->open < tracker->budget)
        return true;
    if (tracker->none_idle_in_pass == tracker->pass)
        return false;
    if (close_idle(tracker, IDLE_PASSES, SEARCH_COUNT, 1) > 0)
        return true;
    tracker->none_idle_in_pass = tracker->pass;
    return false;
}

void prock_fd_cache_set_budget(struct prock_tracker *tracker, size_t budget)
{
    tracker->budget = budget;
    if (tracker->open > budget)
        close_idle(tracker, IDLE_PASSES, tracker->table->n, tracker->open - budget);
    if (tracker->open > budget)
        close_idle(tracker, 0, tracker->table->n, tracker->open - budget);
}

/* If the process is out of descriptors, closes some of the cached ones first. */
static int open_file(struct prock_tracker *tracker, size_t index, const char *file)
{
    int fd = prock_open(&tracker->root, prock_member_at(tracker, index)->pid, file);
    if ((fd == -EMFILE || fd == -ENFILE) && close_idle(tracker, 0, tracker->table->n, EVICT_COUNT) > 0)
        fd = prock_open(&tracker->root, prock_member_at(tracker, index)->pid, file);
    return fd;
}

/* Caches the descriptor of a file that is read for the second time. */
static void cache_or_close(struct prock_tracker *tracker, size_t index, int kind, int fd)
{
    struct prock_member_files *files = &tracker->files[index];
    unsigned bit = 1U << kind;
    if ((files->read_before & bit) && !tracker->read_all && can_cache(tracker)) {
        files->fds[kind] = fd;
        files->file_ids[kind] = prock_file_id(fd);
        files->used[kind] = tracker->pass;
        tracker->open++;
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

int prock_fd_cache_read(
    struct prock_tracker *tracker, size_t index, int kind, const char *file, char *buf, size_t cap, size_t *len)
{
    int *cached = &tracker->files[index].fds[kind];
    ssize_t got;
    if (*cached >= 0) {
        tracker->files[index].used[kind] = tracker->pass;
        got = read_start(*cached, buf, cap);
        if (got >= 0) {
            *len = (size_t)got;
            return 0;
        }
        int error = prock_errno(errno);
        if (error == -ESRCH || error == -EACCES) {
            prock_fd_cache_close(tracker, index, kind);
            return error;
        }
        prock_fd_cache_invalidate(tracker);
    }
    int fd = open_file(tracker, index, file);
    if (fd < 0)
        return fd;
    got = read_start(fd, buf, cap);
    if (got < 0) {
        int error = prock_errno(errno);
        close(fd);
        return error;
    }
    *len = (size_t)got;
    cache_or_close(tracker, index, kind, fd);
    return 0;
}
