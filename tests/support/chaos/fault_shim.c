/* Preloaded into a program that asks about processes: its n-th question goes wrong.
 *
 * A question is a call about a file below /proc or /sys/fs/cgroup, or about the CPU clock of a process. shim_arm(n,
 * what) counts from now on; the n-th one fails with the error `what`, or for 0 returns less than there is; or, below 0,
 * what comes first is done: the byte -what is written to a descriptor, and the question goes on when an answer has
 * come. With NO_MEMORY it is the n-th time that the core in C wants memory, and it gets none.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FILES 65536
#define NO_MEMORY 4096 /* above all errors of the kernel */
#define EXPORT __attribute__((visibility("default")))
#define REAL(name) ((__typeof__(&name))real(#name))

static atomic_long at, asked;
static int action, teller = -1, listener = -1;
static atomic_bool struck;
static char where[512];
static unsigned char known[FILES];
static char paths[1024][128];
static long realtime_offset_ns;

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

EXPORT void shim_director(int tell, int listen)
{
    teller = tell;
    listener = listen;
}

EXPORT void shim_arm(long n, int what)
{
    asked = 0;
    struck = false;
    action = what;
    where[0] = '\0';
    at = n;
}

/* Whether the question came that was to go wrong. */
EXPORT bool shim_disarm(void)
{
    at = 0;
    return struck;
}

EXPORT const char *shim_where(void)
{
    return where;
}

/* The wall clock is so much off from now on. */
EXPORT void shim_set_clock(long offset_ns)
{
    realtime_offset_ns = offset_ns;
}

static bool is_asked_for(const char *path)
{
    return path &&
           (strncmp(path, "/proc/", 6) == 0 || strcmp(path, "/proc") == 0 || strncmp(path, "/sys/fs/cgroup", 14) == 0);
}

/* Of one process: only that can be gone. */
static bool is_of_process(const char *path)
{
    if (strncmp(path, "/proc/", 6) == 0)
        path += 6;
    return (*path >= '1' && *path <= '9') || strncmp(path, "self", 4) == 0;
}

static bool is_known(int fd)
{
    return fd >= 0 && fd < FILES && known[fd];
}

static void note_file(int fd, const char *path, bool counts)
{
    if (fd < 0 || fd >= FILES)
        return;
    known[fd] = counts;
    if (fd < 1024)
        snprintf(paths[fd], sizeof paths[fd], "%s", path);
}

enum { OPENS, READS, ASKS, CLOCKS };

/* Whether this call can fail so. */
static int error_of(int kind, const char *path)
{
    if (kind == CLOCKS || ((action == ENOENT || action == ESRCH) && !is_of_process(path)))
        return -1;
    if (kind == READS)
        return action == EMFILE || action == ENFILE ? -1 : action;
    return action == EINTR || action == 0 ? -1 : action;
}

/* -1: as ever. 0: less than there is. Else the error. */
static int question(int kind, const char *name, const char *path)
{
    if (at == 0 || action == NO_MEMORY)
        return -1;
    int error = action < 0 ? 0 : error_of(kind, path);
    if (error < 0 || atomic_fetch_add(&asked, 1) + 1 != at)
        return -1;
    struck = true;
    snprintf(where, sizeof where, "%s(%s)", name, path);
    if (action >= 0)
        return error;
    char byte = (char)-action;
    if (syscall(SYS_write, teller, &byte, 1) != 1 || syscall(SYS_read, listener, &byte, 1) != 1)
        _exit(99);
    return -1;
}

static const char *path_of(int fd)
{
    return fd >= 0 && fd < 1024 ? paths[fd] : "?";
}

static int opens(const char *name, int dir, const char *path, int flags, mode_t mode)
{
    bool counts = path && (path[0] == '/' ? is_asked_for(path) : is_known(dir));
    int error = counts ? question(OPENS, name, path) : -1;
    if (error > 0) {
        errno = error;
        return -1;
    }
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    note_file(fd, path, counts);
    return fd;
}

#define MODE(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

EXPORT int open(const char *path, int flags, ...)
{
    MODE(flags)
    return opens("open", AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    MODE(flags)
    return opens("open", AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int dir, const char *path, int flags, ...)
{
    MODE(flags)
    return opens("openat", dir, path, flags, mode);
}

EXPORT int openat64(int dir, const char *path, int flags, ...)
{
    MODE(flags)
    return opens("openat", dir, path, flags, mode);
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
    int error = is_asked_for(path) ? question(OPENS, "fopen", path) : -1;
    if (error > 0) {
        errno = error;
        return NULL;
    }
    return REAL(fopen64)(path, mode);
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
    return fopen64(path, mode);
}

static size_t cut(int error, size_t size)
{
    return error == 0 && size > 7 ? 7 : size;
}

EXPORT ssize_t read(int fd, void *buf, size_t size)
{
    int error = is_known(fd) ? question(READS, "read", path_of(fd)) : -1;
    if (error > 0) {
        errno = error;
        return -1;
    }
    return REAL(read)(fd, buf, cut(error, size));
}

static ssize_t preads(int fd, void *buf, size_t size, off_t offset)
{
    int error = is_known(fd) ? question(READS, "pread", path_of(fd)) : -1;
    if (error > 0) {
        errno = error;
        return -1;
    }
    return syscall(SYS_pread64, fd, buf, cut(error, size), offset);
}

EXPORT ssize_t pread(int fd, void *buf, size_t size, off_t offset)
{
    return preads(fd, buf, size, offset);
}

EXPORT ssize_t pread64(int fd, void *buf, size_t size, off_t offset)
{
    return preads(fd, buf, size, offset);
}

EXPORT long syscall(long number, ...)
{
    va_list rest;
    long a[6];
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_getdents64 && is_known((int)a[0])) {
        int error = question(ASKS, "getdents64", path_of((int)a[0]));
        if (error > 0) {
            errno = error;
            return -1;
        }
    }
#ifdef SYS_newfstatat
    if (number == SYS_newfstatat && is_asked_for((const char *)a[1])) {
        int error = question(ASKS, "newfstatat", (const char *)a[1]);
        if (error > 0) {
            errno = error;
            return -1;
        }
    }
#endif
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

EXPORT DIR *opendir(const char *path)
{
    int error = is_asked_for(path) ? question(OPENS, "opendir", path) : -1;
    if (error > 0) {
        errno = error;
        return NULL;
    }
    DIR *dir = REAL(opendir)(path);
    if (dir)
        note_file(dirfd(dir), path, is_asked_for(path));
    return dir;
}

EXPORT struct dirent64 *readdir64(DIR *dir)
{
    int error = is_known(dirfd(dir)) ? question(ASKS, "readdir", path_of(dirfd(dir))) : -1;
    if (error > 0) {
        errno = error;
        return NULL;
    }
    return REAL(readdir64)(dir);
}

EXPORT struct dirent *readdir(DIR *dir)
{
    return (struct dirent *)readdir64(dir);
}

#define ASK(call, path, counts)                                                                                        \
    int error = (counts) ? question(ASKS, call, path) : -1;                                                            \
    if (error > 0) {                                                                                                   \
        errno = error;                                                                                                 \
        return -1;                                                                                                     \
    }

EXPORT int access(const char *path, int mode)
{
    ASK("access", path, is_asked_for(path))
    return REAL(access)(path, mode);
}

EXPORT int faccessat(int dir, const char *path, int mode, int flags)
{
    ASK("faccessat", path, is_asked_for(path) || (path[0] != '/' && is_known(dir)))
    return REAL(faccessat)(dir, path, mode, flags);
}

EXPORT int stat64(const char *path, struct stat64 *status)
{
    ASK("stat", path, is_asked_for(path))
    return REAL(stat64)(path, status);
}

EXPORT int stat(const char *path, struct stat *status)
{
    return stat64(path, (struct stat64 *)status);
}

EXPORT int fstatat64(int dir, const char *path, struct stat64 *status, int flags)
{
    ASK("fstatat", path, is_asked_for(path))
    return REAL(fstatat64)(dir, path, status, flags);
}

EXPORT int fstatat(int dir, const char *path, struct stat *status, int flags)
{
    return fstatat64(dir, path, (struct stat64 *)status, flags);
}

EXPORT ssize_t readlink(const char *path, char *buf, size_t size)
{
    ASK("readlink", path, is_asked_for(path))
    return REAL(readlink)(path, buf, size);
}

EXPORT ssize_t readlinkat(int dir, const char *path, char *buf, size_t size)
{
    ASK("readlinkat", path, is_asked_for(path))
    return REAL(readlinkat)(dir, path, buf, size);
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *t)
{
    if (clock < 0) {
        char name[32];
        snprintf(name, sizeof name, "of process %d", (int)~((unsigned)clock >> 3 | 7U << 29));
        question(CLOCKS, "clock_gettime", name);
    }
    int status = REAL(clock_gettime)(clock, t);
    if (clock == CLOCK_REALTIME && realtime_offset_ns && status == 0) {
        long long ns = t->tv_sec * 1000000000LL + t->tv_nsec + realtime_offset_ns;
        t->tv_sec = ns / 1000000000;
        t->tv_nsec = ns % 1000000000;
    }
    return status;
}

/* ---- memory ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

static bool gets_none(const char *name, const void *caller)
{
    Dl_info of;
    if (at == 0 || action != NO_MEMORY || !dladdr(caller, &of) || !strstr(of.dli_fname, "/_core."))
        return false;
    if (atomic_fetch_add(&asked, 1) + 1 != at)
        return false;
    struck = true;
    snprintf(
        where, sizeof where, "%s at %#lx", name, (unsigned long)((const char *)caller - (const char *)of.dli_fbase));
    errno = ENOMEM;
    return true;
}

EXPORT void *malloc(size_t size)
{
    return gets_none("malloc", __builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

EXPORT void *calloc(size_t n, size_t size)
{
    return gets_none("calloc", __builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

EXPORT void *realloc(void *old, size_t size)
{
    return gets_none("realloc", __builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}
