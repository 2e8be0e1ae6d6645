#include "fuzz.h"
#include "procfs/procfs.h"

/* Like src/prock/engine/pure/parse.py. */
static bool naive(struct text text, struct prock_stat *out)
{
    int32_t ignored;
    uint64_t none, *const counters[] = {
                       &none,       &out->flags, &out->minflt,    &out->cminflt, &out->majflt, &out->cmajflt,
                       &out->utime, &out->stime, &out->cutime,    &out->cstime,  &none,        &none,
                       NULL,        &none,       &out->starttime, &out->vsize,   &out->rss,
                   };
    int32_t *const ids[] = {&out->ppid, &out->pgrp, &out->session, &out->tty_nr};
    struct text words[22], rest = {0};
    size_t opening = 0, closing = text.len, n = 0;
    while (opening + 1 < text.len && memcmp(text.at + opening, " (", 2) != 0)
        opening++;
    while (closing > 0 && (closing + 1 >= text.len || memcmp(text.at + closing, ") ", 2) != 0))
        closing--;
    if (opening + 1 >= text.len || closing < opening + 2)
        return false;
    if (!naive_i32((struct text){text.at, opening}, &out->pid) || text.at[0] == '-')
        return false;
    out->comm_len = closing - opening - 2 > PROCK_COMM_MAX ? PROCK_COMM_MAX : closing - opening - 2;
    memcpy(out->comm, text.at + opening + 2, out->comm_len);
    rest = (struct text){text.at + closing + 2, text.len - closing - 2};
    bool more = true;
    for (; n < 22 && more; n++)
        more = cut(&rest, ' ', &words[n]);
    if (n < 22 || words[0].len != 1)
        return false;
    bool newline = words[21].len && words[21].at[words[21].len - 1] == '\n';
    if (!more && !newline)
        return false;
    words[21].len -= newline;
    out->state = words[0].at[0];
    for (size_t i = 1; i < 22; i++) {
        bool negative;
        uint64_t value;
        int32_t *id = i < 5 ? ids[i - 1] : i == 17 ? &out->thread_count : &ignored;
        if ((i < 5 || i == 17) && !naive_i32(words[i], id))
            return false;
        if (!naive_signed(words[i], &negative, &value))
            return false;
        if (i >= 5 && i != 17)
            *counters[i - 5] = negative ? 0 : value;
    }
    return true;
}

FUZZ(stat)
{
    struct prock_stat stat, other;
    int error = prock_parse_stat((const char *)data, size, &stat);
    ASSERT(error == 0 || error == -EBADMSG);
    ASSERT((error == 0) == naive(text_of(data, size), &other));
    if (error)
        return 0;
    ASSERT(stat.comm_len <= PROCK_COMM_MAX && stat.comm_len < size);
    ASSERT(stat.pid >= 0 && stat.pid == other.pid && stat.ppid == other.ppid && stat.pgrp == other.pgrp);
    ASSERT(stat.session == other.session && stat.tty_nr == other.tty_nr && stat.thread_count == other.thread_count);
    ASSERT(stat.state == other.state && stat.comm_len == other.comm_len);
    ASSERT(memcmp(stat.comm, other.comm, stat.comm_len) == 0);
    ASSERT(stat.flags == other.flags);
    ASSERT(stat.minflt == other.minflt && stat.cminflt == other.cminflt);
    ASSERT(stat.majflt == other.majflt && stat.cmajflt == other.cmajflt);
    ASSERT(stat.utime == other.utime && stat.stime == other.stime);
    ASSERT(stat.cutime == other.cutime && stat.cstime == other.cstime);
    ASSERT(stat.starttime == other.starttime && stat.vsize == other.vsize && stat.rss == other.rss);
    struct prock_cpu cpu = prock_split_cpu(prock_multiply(stat.utime, 10000000), stat.utime, stat.stime);
    ASSERT(cpu.user_ns + cpu.system_ns == prock_multiply(stat.utime, 10000000));
    return 0;
}
