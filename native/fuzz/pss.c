#include "fuzz.h"
#include "procfs/procfs.h"

/* Only the first line that starts with "Pss:" counts. */
static bool naive(struct text rest, uint64_t *bytes)
{
    struct text line;
    while (cut(&rest, '\n', &line)) {
        if (!starts_with(line, "Pss:"))
            continue;
        if (line.len < 4 + 3 || memcmp(line.at + line.len - 3, " kB", 3) != 0)
            return false;
        line.at += 4;
        line.len -= 4 + 3;
        while (starts_with(line, " ")) {
            line.at++;
            line.len--;
        }
        if (!naive_u64(line, bytes))
            return false;
        *bytes = *bytes > UINT64_MAX / 1024 ? UINT64_MAX : *bytes * 1024;
        return true;
    }
    return false;
}

FUZZ(pss)
{
    uint64_t bytes, other;
    int error = prock_parse_pss((const char *)data, size, &bytes);
    ASSERT(error == (naive(text_of(data, size), &other) ? 0 : -EBADMSG));
    ASSERT(error || bytes == other);
    return 0;
}
