/* Reads one file of one process: open, read, close, parse. prock_classify_enoent is the only place that distinguishes
 * gone, hidden and unsupported. */
#define _GNU_SOURCE
#include "errors.h"
#include "procfs/procfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* By system call number if the C library uses the kernel's struct stat: the symbols of glibc 2.33 and later would keep
 * a module that is built there from loading on older systems, down to glibc 2.17. */
int prock_stat(int at, const char *path, struct stat *out)
{
#if defined __LP64__ && (defined __x86_64__ || defined __aarch64__)
    return (int)syscall(SYS_newfstatat, at, path, out, AT_EMPTY_PATH);
#else
    return fstatat(at, path, out, AT_EMPTY_PATH);
#endif
}

/* Returns the end of the text. */
static char *append(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

/* ROOT/PID/FILE, or ROOT/self/FILE for pid 0; without ROOT if its directory is open. */
static void make_path(const struct prock_root *root, int32_t pid, const char *file, char path[PROCK_PATH_CAP])
{
    char *at = path;
    if (root->dir < 0) {
        at = append(at, root->path, root->path_len);
        *at++ = '/';
    }
    at = pid == 0 ? append(at, "self", 4) : prock_append_pid(at, pid);
    *at++ = '/';
    append(at, file, strlen(file) + 1);
}

static int exists(const struct prock_root *root, int32_t pid, const char *file)
{
    char path[PROCK_PATH_CAP];
    make_path(root, pid, file, path);
    return (root->dir < 0 ? access(path, F_OK) : faccessat(root->dir, path, F_OK, 0)) == 0;
}

int prock_classify_enoent(const struct prock_root *root, int32_t pid, const char *file)
{
    uint64_t total;
    if (exists(root, pid, "")) /* if the file exists now, the pid was reused meanwhile */
        return exists(root, pid, file) ? -ESRCH : -ENOTSUP;
    if (root->clocks_usable && prock_cpu_total(pid, &total) == 0)
        return exists(root, pid, "") ? -ESRCH : -EACCES; /* hidepid=2 */
    return -ESRCH;
}

int prock_is_process(const struct prock_root *root, int32_t pid)
{
    uint64_t total;
    return root->clocks_usable && pid != 0 ? prock_cpu_total(pid, &total) : 0;
}

int prock_open(const struct prock_root *root, int32_t pid, const char *file)
{
    char path[PROCK_PATH_CAP];
    make_path(root, pid, file, path);
    int fd = root->dir < 0 ? open(path, O_RDONLY | O_CLOEXEC) : openat(root->dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? prock_classify_enoent(root, pid, file) : prock_errno(errno);
    return fd;
}

/* Reads to the end and closes the descriptor. */
static int read_and_close(int fd, char *buf, size_t cap, size_t *len)
{
    size_t n = 0;
    for (ssize_t got; n < cap; n += (size_t)got) {
        got = read(fd, buf + n, cap - n);
        if (got < 0 && errno == EINTR) {
            got = 0;
            continue;
        }
        if (got < 0) {
            int error = prock_errno(errno);
            close(fd);
            return error;
        }
        /* The kernel writes these files in one piece: one that ends in a newline is complete, without a second read. */
        if (got == 0 || (n == 0 && buf[got - 1] == '\n' && (size_t)got < cap)) {
            n += (size_t)got;
            break;
        }
    }
    close(fd);
    *len = n;
    return 0;
}

int prock_read(const struct prock_root *root, int32_t pid, const char *file, char *buf, size_t cap, size_t *len)
{
    int fd = prock_open(root, pid, file);
    return fd < 0 ? fd : read_and_close(fd, buf, cap, len);
}

/* Rejects the ids of mere threads, which have a directory in /proc as well. */
static int read_of_process(
    const struct prock_root *root, int32_t pid, const char *file, char *buf, size_t cap, size_t *len)
{
    int error = prock_is_process(root, pid);
    return error ? error : prock_read(root, pid, file, buf, cap, len);
}

int prock_list_threads(const struct prock_root *root, int32_t pid, struct prock_pids *tids)
{
    char task[PROCK_PATH_CAP];
    struct dirent *entry;
    int error = 0;
    snprintf(task, sizeof task, "%s/%d/task", root->path, pid);
    DIR *dir = opendir(task);
    if (!dir)
        return prock_errno(errno);
    while (!error && (errno = 0, entry = readdir(dir))) {
        int32_t tid;
        if (prock_parse_pid(entry->d_name, strlen(entry->d_name), &tid))
            error = prock_pids_add(tids, tid);
    }
    if (!error && errno && prock_errno(errno) != -ESRCH) /* else it exited: these are its last threads */
        error = prock_errno(errno);
    closedir(dir);
    return error;
}

/* A file about memory, after the main thread has ended: of the first other thread that still has memory. */
static int read_of_thread(
    const struct prock_root *root, int32_t pid, const char *name, char *buf, size_t cap, size_t *len)
{
    struct prock_pids tids = {0};
    char file[64];
    int error = pid ? 0 : prock_own_pid(root, &pid);
    int found = -ESRCH;
    if (!error)
        error = prock_list_threads(root, pid, &tids);
    for (size_t i = 0; !error && found && i < tids.n; i++) {
        if (tids.v[i] == pid)
            continue;
        snprintf(file, sizeof file, "task/%d/%s", tids.v[i], name);
        found = prock_read(root, pid, file, buf, cap, len);
        if (!found && *len > 1 && memcmp(buf, "0 ", 2) == 0) /* statm of a thread that is exiting */
            found = -ESRCH;
    }
    prock_pids_free(&tids);
    if (found == -ENOTSUP) /* the process exists, the thread does not */
        found = -ESRCH;
    return error ? error : found;
}

int prock_read_thread_statm(const struct prock_root *root, int32_t pid, struct prock_statm *out)
{
    char buf[512];
    size_t len;
    int error = read_of_thread(root, pid, "statm", buf, sizeof buf, &len);
    return error ? error : prock_parse_statm(buf, len, out);
}

/* The clock is read after the file is opened and before it is read: reading the file fails once the process is reaped,
 * so if it succeeds the pid was not reused in between, and both values are of the same process. */
int prock_read_stat(const struct prock_root *root, int32_t pid, struct prock_stat *out)
{
    char buf[2048];
    size_t len;
    uint64_t total = 0;
    int fd = prock_open(root, pid, "stat");
    if (fd < 0)
        return fd;
    int error = root->clocks_usable ? prock_cpu_total(pid, &total) : 0;
    if (error) { /* reaped since, or the id of a thread */
        close(fd);
        return error;
    }
    if ((error = read_and_close(fd, buf, sizeof buf, &len)) || (error = prock_parse_stat(buf, len, out)))
        return error;
    if (pid != 0)
        out->pid = pid;
    if (root->clocks_usable) {
        out->cpu = prock_split_cpu(total, out->utime, out->stime);
    } else {
        out->cpu.user_ns = prock_multiply(out->utime, root->tick_ns);
        out->cpu.system_ns = prock_multiply(out->stime, root->tick_ns);
    }
    struct prock_statm statm;
    if (prock_leader_exited(out) && prock_read_thread_statm(root, pid, &statm) == 0) {
        out->rss = statm.resident;
        out->vsize = prock_multiply(statm.size, root->page_bytes);
    }
    return 0;
}

int prock_read_cpu(const struct prock_root *root, int32_t pid, struct prock_cpu *out)
{
    struct prock_stat stat;
    if (root->clocks_usable)
        return prock_cpu_time(pid, out);
    int error = prock_read_stat(root, pid, &stat);
    if (!error)
        *out = stat.cpu;
    return error;
}

int prock_read_statm(const struct prock_root *root, int32_t pid, struct prock_statm *out)
{
    char buf[512];
    size_t len;
    struct prock_stat stat;
    int error = read_of_process(root, pid, "statm", buf, sizeof buf, &len);
    if (!error)
        error = prock_parse_statm(buf, len, out);
    if (!error && out->size == 0 && prock_read_stat(root, pid, &stat) == 0 && prock_leader_exited(&stat)) {
        out->size = stat.vsize / root->page_bytes;
        out->resident = stat.rss;
    }
    return error;
}

int prock_read_pss(const struct prock_root *root, int32_t pid, uint64_t *bytes)
{
    char buf[4096];
    size_t len = 0;
    struct prock_stat stat;
    int error = prock_read(root, pid, "smaps_rollup", buf, sizeof buf, &len);
    if (error == -ESRCH && prock_read_stat(root, pid, &stat) == 0 && prock_leader_exited(&stat))
        error = read_of_thread(root, pid, "smaps_rollup", buf, sizeof buf, &len);
    return error ? error : prock_parse_pss(buf, len, bytes);
}

int prock_read_status(const struct prock_root *root, const struct prock_stat *stat, struct prock_status *out)
{
    char buf[4096];
    size_t len;
    int error = prock_leader_exited(stat) ? read_of_thread(root, stat->pid, "status", buf, sizeof buf, &len)
                                          : prock_read(root, stat->pid, "status", buf, sizeof buf, &len);
    return error ? error : prock_parse_status(buf, len, out);
}

int prock_read_io(const struct prock_root *root, int32_t pid, struct prock_io *out)
{
    char buf[2048];
    size_t len;
    int error = read_of_process(root, pid, "io", buf, sizeof buf, &len);
    return error ? error : prock_parse_io(buf, len, out);
}

/* Open descriptors of a process. Since Linux 6.2 they are the size of /proc/PID/fd, which any user may read; before,
 * and where there are none, its entries are counted. Kernel threads and zombies have none, but deny the list. */
int prock_read_fd_count(const struct prock_root *root, int32_t pid, uint64_t *count)
{
    char path[PROCK_PATH_CAP], buf[4096];
    struct stat stat;
    struct prock_stat row;
    make_path(root, pid, "fd", path);
    if (root->clocks_usable && prock_stat(root->dir < 0 ? AT_FDCWD : root->dir, path, &stat) == 0 && stat.st_size > 0) {
        *count = (uint64_t)stat.st_size;
        return 0;
    }
    int dir = prock_open(root, pid, "fd");
    if (dir == -EACCES && prock_read_stat(root, pid, &row) == 0 && row.vsize == 0) {
        *count = 0;
        return 0;
    }
    if (dir < 0)
        return dir;
    long got;
    *count = 0;
    while ((got = syscall(SYS_getdents64, dir, buf, sizeof buf)) > 0)
        for (long at = 0; at < got; at += ((const struct dirent64 *)(buf + at))->d_reclen)
            *count += ((const struct dirent64 *)(buf + at))->d_name[0] != '.';
    int error = got < 0 ? prock_errno(errno) : 0;
    close(dir);
    if (root->clocks_usable && (pid == 0 || pid == (int32_t)getpid()))
        *count -= 1; /* of the list itself */
    return error;
}

#define NUMBER_READER(F, name, file, read) {file, read},
const struct prock_number prock_numbers[] = {PROCK_NUMBERS(NUMBER_READER, ){NULL, NULL}};

void prock_add_numbers(struct prock_numbers *sum, const struct prock_numbers *numbers)
{
    for (int id = 0; id < PROCK_NUMBER_COUNT; id++)
        if (numbers->known & PROCK_NUMBER_BIT(id))
            sum->values[id] += numbers->values[id];
    sum->known |= numbers->known;
}

int prock_read_comm(const struct prock_root *root, int32_t pid, char comm[PROCK_COMM_MAX], size_t *len)
{
    char buf[PROCK_COMM_MAX + 2];
    int error = read_of_process(root, pid, "comm", buf, sizeof buf, len);
    if (error)
        return error;
    *len = prock_parse_comm(buf, *len, comm);
    return 0;
}

int prock_thread_state(const struct prock_root *root, int32_t pid, int32_t tid, char *state)
{
    char file[32], buf[2048];
    size_t len = 0;
    struct prock_stat stat;
    snprintf(file, sizeof file, "task/%d/stat", tid);
    int error = prock_read(root, pid, file, buf, sizeof buf, &len);
    if (error == -ENOTSUP) /* the process exists, the thread does not */
        error = -ESRCH;
    if (!error && !(error = prock_parse_stat(buf, len, &stat)))
        *state = stat.state;
    return error;
}

/* A file of the machine, not of a process. Returns a descriptor or -1 and errno. */
static int open_in_root(const struct prock_root *root, const char *file)
{
    char path[PROCK_PATH_CAP];
    snprintf(path, sizeof path, "%s/%s", root->path, file);
    return open(path, O_RDONLY | O_CLOEXEC);
}

int prock_own_pid(const struct prock_root *root, int32_t *pid)
{
    char path[PROCK_PATH_CAP], target[16];
    snprintf(path, sizeof path, "%s/self", root->path);
    ssize_t len = readlink(path, target, sizeof target);
    if (len < 0)
        return prock_errno(errno);
    return prock_parse_pid(target, (size_t)len, pid) ? 0 : -EBADMSG;
}

/* An upper bound for the number of processes that costs one small read. */
int prock_thread_count(const struct prock_root *root, uint64_t *threads)
{
    char buf[128];
    int fd = open_in_root(root, "loadavg");
    if (fd < 0)
        return prock_errno(errno);
    ssize_t len = read(fd, buf, sizeof buf);
    int error = len < 0 ? prock_errno(errno) : 0;
    close(fd);
    return error ? error : prock_parse_thread_count(buf, (size_t)len, threads);
}

/* The pid allocated last is the last word of two files. ns_last_pid needs CONFIG_CHECKPOINT_RESTORE. loadavg may be a
 * substitute that lxcfs mounted over it, which is on another device than /proc. */
int prock_open_last_pid(const struct prock_root *root)
{
    struct stat loadavg, proc;
    int fd = open_in_root(root, "sys/kernel/ns_last_pid");
    if (fd >= 0)
        return fd;
    fd = open_in_root(root, "loadavg");
    if (fd < 0)
        return errno == ENOENT ? -ENOTSUP : prock_errno(errno);
    if (prock_stat(fd, "", &loadavg) == 0 && prock_stat(AT_FDCWD, root->path, &proc) == 0 &&
        loadavg.st_dev == proc.st_dev)
        return fd;
    close(fd);
    return -ENOTSUP;
}

int prock_read_last_pid(int fd, int32_t *pid)
{
    char buf[128];
    ssize_t len = pread(fd, buf, sizeof buf, 0);
    if (len < 0)
        return prock_errno(errno);
    return prock_parse_last_pid(buf, (size_t)len, pid);
}

int prock_last_pid(const struct prock_root *root, int32_t *pid)
{
    int fd = prock_open_last_pid(root);
    if (fd < 0)
        return fd;
    int error = prock_read_last_pid(fd, pid);
    close(fd);
    return error;
}

static int compare_pids(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

int prock_list_open(int dir, struct prock_pids *out)
{
    _Alignas(struct dirent64) char buf[32768];
    bool ascending = true;
    long got;
    int error = 0;
    while (!error && (got = syscall(SYS_getdents64, dir, buf, sizeof buf)) > 0)
        error = prock_parse_entries(buf, (size_t)got, out, &ascending);
    if (!error && got < 0)
        error = -errno;
    if (!error && !ascending)
        qsort(out->v, out->n, sizeof *out->v, compare_pids);
    return error;
}

int prock_open_root(const struct prock_root *root)
{
    char path[PROCK_PATH_CAP];
    snprintf(path, sizeof path, "%s/", root->path); /* path is empty if / itself is the root */
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -errno : dir;
}

int prock_list(const struct prock_root *root, struct prock_pids *out)
{
    int dir = prock_open_root(root);
    if (dir < 0)
        return dir;
    int error = prock_list_open(dir, out);
    close(dir);
    return error;
}
