#include "fuzz.h"
#include "procfs/procfs.h"

static bool naive_kilobytes(struct text line, size_t name_len, uint64_t *bytes)
{
    if (line.len < name_len + 3 || memcmp(line.at + line.len - 3, " kB", 3) != 0)
        return false;
    line.at += name_len;
    line.len -= name_len + 3;
    while (starts_with(line, " ") || starts_with(line, "\t")) {
        line.at++;
        line.len--;
    }
    if (!naive_u64(line, bytes))
        return false;
    *bytes = *bytes > UINT64_MAX / 1024 ? UINT64_MAX : *bytes * 1024;
    return true;
}

/* HugetlbPages comes last. */
static bool naive(struct text rest, struct prock_status *out)
{
    struct text line;
    memset(out, 0, sizeof *out);
    while (cut(&rest, '\n', &line)) {
        if (starts_with(line, "VmHWM:") && !naive_kilobytes(line, 6, &out->peak_rss_bytes))
            return false;
        if (starts_with(line, "HugetlbPages:"))
            return naive_kilobytes(line, 13, &out->hugetlb_bytes);
    }
    return line.len == 0;
}

FUZZ(status)
{
    struct prock_status status, other;
    int error = prock_parse_status((const char *)data, size, &status);
    ASSERT(error == (naive(text_of(data, size), &other) ? 0 : -EBADMSG));
    ASSERT(error || (status.peak_rss_bytes == other.peak_rss_bytes && status.hugetlb_bytes == other.hugetlb_bytes));
    return 0;
}
