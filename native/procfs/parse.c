/* Parsers of proc(5) files: they read nothing but the buffer, and accept exactly what src/prock/engine/pure/parse.py
 * accepts. */
#define _GNU_SOURCE
#include "procfs/procfs.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

struct cursor {
    const char *at, *end;
};

static bool at_digit(const struct cursor *c)
{
    return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

/* At most 20 digits that fit into 64 bits. 19 always fit, so only the 20th is checked for overflow. */
static bool read_u64(struct cursor *c, uint64_t *out)
{
    uint64_t value = 0;
    int digits = 0;
    for (; digits < 19 && at_digit(c); digits++)
        value = value * 10 + (uint64_t)(*c->at++ - '0');
    if (digits == 19 && at_digit(c)) {
        uint64_t last = (uint64_t)(*c->at++ - '0');
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, last, &value))
            return false;
    }
    *out = value;
    return digits > 0 && !at_digit(c);
}

/* A negative counter can only be an overflow in the kernel, and becomes 0. */
static bool read_counter(struct cursor *c, uint64_t *out)
{
    bool negative = c->at < c->end && *c->at == '-';
    if (negative)
        c->at++;
    if (!read_u64(c, out))
        return false;
    if (negative)
        *out = 0;
    return true;
}

static bool read_i32(struct cursor *c, int32_t *out)
{
    uint64_t value;
    bool negative = c->at < c->end && *c->at == '-';
    if (negative)
        c->at++;
    if (!read_u64(c, &value) || value > (uint64_t)INT32_MAX + negative)
        return false;
    *out = negative ? (int32_t)-(int64_t)value : (int32_t)value;
    return true;
}

static bool take(struct cursor *c, char wanted)
{
    if (c->at >= c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

bool prock_parse_pid(const char *digits, size_t len, int32_t *pid)
{
    struct cursor c = {digits, digits + len};
    uint64_t value;
    if (len == 0 || *digits == '0' || !read_u64(&c, &value) || c.at != c.end || value > INT32_MAX)
        return false;
    *pid = (int32_t)value;
    return true;
}

/* The last ") ", or NULL: the name may contain brackets itself. */
static const char *end_of_name(const char *buf, size_t len)
{
    for (const char *end = buf + len; (end = memrchr(buf, ')', (size_t)(end - buf)));)
        if (end + 1 < buf + len && end[1] == ' ')
            return end;
    return NULL;
}

static int parse_fields(struct cursor *c, struct prock_stat *out)
{
    uint64_t ignored;
    int32_t *const ids[] = {&out->ppid, &out->pgrp, &out->session, &out->tty_nr};
    for (size_t i = 0; i < 4; i++)
        if (!take(c, ' ') || !read_i32(c, ids[i]))
            return -EBADMSG;
    uint64_t *const counters[] = {
        &ignored,     /* tpgid */ &out->flags,
        &out->minflt, &out->cminflt,
        &out->majflt, &out->cmajflt,
        &out->utime,  &out->stime,
        &out->cutime, &out->cstime,
        &ignored,     /* priority */ &ignored, /* nice */
    };
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        if (!take(c, ' ') || !read_counter(c, counters[i]))
            return -EBADMSG;
    if (!take(c, ' ') || !read_i32(c, &out->thread_count))
        return -EBADMSG;
    uint64_t *const rest[] = {&ignored /* itrealvalue */, &out->starttime, &out->vsize, &out->rss};
    for (size_t i = 0; i < 4; i++)
        if (!take(c, ' ') || !read_counter(c, rest[i]))
            return -EBADMSG;
    return 0;
}

int prock_parse_stat(const char *buf, size_t len, struct prock_stat *out)
{
    struct cursor c = {buf, buf + len};
    uint64_t pid;
    if (!read_u64(&c, &pid) || pid > INT32_MAX || !take(&c, ' ') || !take(&c, '('))
        return -EBADMSG;
    out->pid = (int32_t)pid;
    const char *end = end_of_name(buf, len);
    if (!end || end < c.at)
        return -EBADMSG;
    out->comm_len = (size_t)(end - c.at);
    if (out->comm_len > PROCK_COMM_MAX)
        out->comm_len = PROCK_COMM_MAX;
    memcpy(out->comm, c.at, out->comm_len);
    c.at = end + 2;
    if (c.at >= c.end || *c.at == ' ')
        return -EBADMSG;
    out->state = *c.at++;
    if (parse_fields(&c, out) != 0)
        return -EBADMSG;
    /* Without a byte after it the last number may be truncated. */
    bool complete = take(&c, '\n') ? c.at == c.end || *c.at == ' ' : take(&c, ' ');
    return complete ? 0 : -EBADMSG;
}

int prock_parse_statm(const char *buf, size_t len, struct prock_statm *out)
{
    struct cursor c = {buf, buf + len};
    bool ok = read_u64(&c, &out->size) && take(&c, ' ') && read_u64(&c, &out->resident) && take(&c, ' ');
    return ok ? 0 : -EBADMSG;
}

int prock_parse_io(const char *buf, size_t len, struct prock_io *out)
{
    const struct {
        const char *name;
        uint64_t *value;
    } lines[] = {
        {"rchar: ", &out->rchar},
        {"wchar: ", &out->wchar},
        {"syscr: ", &out->syscr},
        {"syscw: ", &out->syscw},
        {"read_bytes: ", &out->read_bytes},
        {"write_bytes: ", &out->write_bytes},
        {"cancelled_write_bytes: ", &out->cancelled_write_bytes},
    };
    const size_t wanted = sizeof lines / sizeof *lines;
    unsigned found = 0;
    const char *end = buf + len;
    for (const char *line = buf, *newline; (newline = memchr(line, '\n', (size_t)(end - line))); line = newline + 1) {
        for (size_t i = 0; i < wanted; i++) {
            size_t name_len = strlen(lines[i].name);
            if ((size_t)(newline - line) < name_len || memcmp(line, lines[i].name, name_len) != 0)
                continue;
            struct cursor c = {line + name_len, newline};
            if (!read_u64(&c, lines[i].value) || c.at != newline)
                return -EBADMSG;
            found |= 1U << i;
        }
    }
    return found == (1U << wanted) - 1 ? 0 : -EBADMSG;
}

int prock_parse_children(const char *buf, size_t len, struct prock_pids *append_to)
{
    struct cursor c = {buf, buf + len};
    while (c.at < c.end) {
        uint64_t pid;
        if (!read_u64(&c, &pid) || pid == 0 || pid > INT32_MAX || !take(&c, ' '))
            return -EBADMSG;
        int error = prock_pids_add(append_to, (int32_t)pid);
        if (error)
            return error;
    }
    return 0;
}

static bool starts_with(const struct cursor *c, const char *end, const char *name)
{
    size_t len = strlen(name);
    return (size_t)(end - c->at) >= len && memcmp(c->at, name, len) == 0;
}

/* The rest of a line after its name: blanks, a number, " kB". */
static bool read_kilobytes(const char *at, const char *end, uint64_t *bytes)
{
    struct cursor c = {at, end};
    uint64_t kilobytes;
    while (take(&c, ' ') || take(&c, '\t'))
        ;
    if (!read_u64(&c, &kilobytes) || end - c.at != 3 || memcmp(c.at, " kB", 3) != 0)
        return false;
    *bytes = prock_multiply(kilobytes, 1024);
    return true;
}

/* smaps_rollup: the line "Pss:  496 kB". */
int prock_parse_pss(const char *buf, size_t len, uint64_t *bytes)
{
    for (struct cursor c = {buf, buf + len}; c.at < c.end;) {
        const char *end = memchr(c.at, '\n', (size_t)(c.end - c.at));
        if (!end)
            break;
        if (starts_with(&c, end, "Pss:"))
            return read_kilobytes(c.at + 4, end, bytes) ? 0 : -EBADMSG;
        c.at = end + 1;
    }
    return -EBADMSG;
}

/* status: a line that a zombie, a kernel thread or an older kernel lacks is 0. */
int prock_parse_status(const char *buf, size_t len, struct prock_status *out)
{
    struct cursor c = {buf, buf + len};
    *out = (struct prock_status){0};
    while (c.at < c.end) {
        const char *end = memchr(c.at, '\n', (size_t)(c.end - c.at));
        if (!end)
            return -EBADMSG;
        if (starts_with(&c, end, "VmHWM:") && !read_kilobytes(c.at + 6, end, &out->peak_rss_bytes))
            return -EBADMSG;
        if (starts_with(&c, end, "HugetlbPages:"))
            return read_kilobytes(c.at + 13, end, &out->hugetlb_bytes) ? 0 : -EBADMSG;
        c.at = end + 1;
    }
    return 0;
}

/* comm: the name, which may contain newlines, and a newline. Returns the length of the name. */
size_t prock_parse_comm(const char *buf, size_t len, char comm[PROCK_COMM_MAX])
{
    if (len && buf[len - 1] == '\n')
        len--;
    if (len > PROCK_COMM_MAX)
        len = PROCK_COMM_MAX;
    memcpy(comm, buf, len);
    return len;
}

/* The last word of ns_last_pid or loadavg. */
int prock_parse_last_pid(const char *buf, size_t len, int32_t *pid)
{
    if (len && buf[len - 1] == '\n')
        len--;
    size_t word = len;
    while (word > 0 && buf[word - 1] != ' ' && buf[word - 1] != '\t')
        word--;
    return prock_parse_pid(buf + word, len - word, pid) ? 0 : -EBADMSG;
}

/* loadavg: 80 in "0.20 0.18 0.12 1/80 11206". */
int prock_parse_thread_count(const char *buf, size_t len, uint64_t *threads)
{
    struct cursor c = {buf, buf + len};
    for (int words = 0; words < 3; c.at++) {
        if (c.at >= c.end)
            return -EBADMSG;
        words += *c.at == ' ';
    }
    uint64_t running;
    bool ok = read_u64(&c, &running) && take(&c, '/') && read_u64(&c, threads) && take(&c, ' ');
    return ok ? 0 : -EBADMSG;
}

/* A buffer of getdents64(2): appends the names that are pids. Clears *ascending if they are not in order. */
int prock_parse_entries(const char *buf, size_t len, struct prock_pids *append_to, bool *ascending)
{
    const size_t names = offsetof(struct dirent64, d_name), size = offsetof(struct dirent64, d_reclen);
    while (len > 0) {
        uint16_t entry_size;
        int32_t pid;
        if (len <= names)
            return -EBADMSG;
        memcpy(&entry_size, buf + size, sizeof entry_size);
        const char *end =
            entry_size > names && entry_size <= len ? memchr(buf + names, '\0', entry_size - names) : NULL;
        if (!end)
            return -EBADMSG;
        if (prock_parse_pid(buf + names, (size_t)(end - buf) - names, &pid)) {
            *ascending = *ascending && (append_to->n == 0 || append_to->v[append_to->n - 1] < pid);
            int error = prock_pids_add(append_to, pid);
            if (error)
                return error;
        }
        buf += entry_size;
        len -= entry_size;
    }
    return 0;
}
