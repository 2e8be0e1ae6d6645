/* A pid as the name of a directory, and as the last word of ns_last_pid or loadavg. */
#include "fuzz.h"
#include "procfs/procfs.h"

static bool naive(struct text word, int32_t *pid)
{
    return !starts_with(word, "-") && !starts_with(word, "0") && naive_i32(word, pid);
}

FUZZ(pid)
{
    int32_t pid, other;
    bool is_one = prock_parse_pid((const char *)data, size, &pid), expected = naive(text_of(data, size), &other);
    ASSERT(is_one == expected);
    ASSERT(!is_one || (pid == other && pid > 0));

    size_t end = size && data[size - 1] == '\n' ? size - 1 : size, start = end;
    while (start > 0 && !memchr(" \t", data[start - 1], 2))
        start--;
    expected = naive(text_of(data + start, end - start), &other);
    int error = prock_parse_last_pid((const char *)data, size, &pid);
    ASSERT(error == (expected ? 0 : -EBADMSG));
    ASSERT(error || (pid == other && pid > 0));
    return 0;
}
