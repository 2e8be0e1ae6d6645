/* Children of a process. The kernel lists them per thread that started them, so every thread's list is read. */
#define _GNU_SOURCE
#include "errors.h"
#include "procfs/procfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRY_MAX 12 /* a pid and a space */

/* The kernel returns a list of thousands page by page: complete entries are parsed after each read. */
int prock_read_children_list(int fd, struct prock_pids *append_to)
{
    char buf[4096 + ENTRY_MAX];
    size_t carried = 0;
    for (;;) {
        ssize_t got = read(fd, buf + carried, sizeof buf - carried);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return prock_errno(errno);
        size_t len = carried + (size_t)got, complete = len;
        while (complete > 0 && buf[complete - 1] != ' ')
            complete--;
        if (got == 0)
            return carried == 0 ? 0 : -EBADMSG;
        if (len - complete > ENTRY_MAX)
            return -EBADMSG;
        int error = prock_parse_children(buf, complete, append_to);
        if (error)
            return error;
        carried = len - complete;
        memmove(buf, buf + complete, carried);
    }
}

/* Returns -ESRCH if the thread is gone. */
static int read_thread(const struct prock_root *root, int32_t pid, int32_t tid, struct prock_pids *append_to)
{
    char path[PROCK_PATH_CAP];
    int len = snprintf(path, sizeof path, "%s/%d/task/%d/children", root->path, pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        path[(size_t)len - strlen("/children")] = '\0';
        return access(path, F_OK) == 0 ? -ENOTSUP : -ESRCH;
    }
    if (fd < 0)
        return prock_errno(errno);
    int error = prock_read_children_list(fd, append_to);
    close(fd);
    return error;
}

/* by_thread: the children of each thread follow its tid and their number. */
static int read_all_threads(const struct prock_root *root, int32_t pid, bool by_thread, struct prock_pids *append_to)
{
    struct prock_pids tids = {0};
    size_t before = append_to->n, threads_read = 0;
    int error = prock_list_threads(root, pid, &tids);
    for (size_t i = 0; i < tids.n && !error; i++) {
        size_t at = append_to->n;
        if (by_thread && ((error = prock_pids_add(append_to, tids.v[i])) || (error = prock_pids_add(append_to, 0))))
            break;
        error = read_thread(root, pid, tids.v[i], append_to);
        threads_read += error == 0;
        if (by_thread && error)
            append_to->n = at;
        else if (by_thread)
            append_to->v[at + 1] = (int32_t)(append_to->n - at - 2);
        if (error == -ESRCH)
            error = 0;
    }
    prock_pids_free(&tids);
    if (error == -ESRCH || (!error && threads_read == 0))
        error = prock_classify_enoent(root, pid, "task");
    if (error)
        append_to->n = before;
    return error;
}

int prock_read_children(const struct prock_root *root, int32_t pid, int32_t thread_count, struct prock_pids *append_to)
{
    size_t before = append_to->n;
    int error;
    if (thread_count == 0) {
        char task[PROCK_PATH_CAP];
        struct stat st;
        snprintf(task, sizeof task, "%s/%d/task", root->path, pid);
        if (prock_stat(AT_FDCWD, task, &st) != 0)
            return errno == ENOENT ? prock_classify_enoent(root, pid, "task") : prock_errno(errno);
        thread_count = (int32_t)st.st_nlink - 2; /* a directory per thread; 0 on file systems that don't count links */
    }
    if (thread_count == 1) {
        error = read_thread(root, pid, pid, append_to);
        if (error == -ESRCH)
            error = prock_classify_enoent(root, pid, "task");
    } else {
        error = read_all_threads(root, pid, false, append_to);
    }
    if (error)
        append_to->n = before;
    return error;
}

int prock_read_children_by_thread(const struct prock_root *root, int32_t pid, struct prock_pids *append_to)
{
    return read_all_threads(root, pid, true, append_to);
}
