/* The number of threads in loadavg. */
#include "fuzz.h"
#include "procfs/procfs.h"

FUZZ(threads)
{
    struct text rest = text_of(data, size), word, running;
    uint64_t threads, other, ignored;
    bool expected = true;
    for (int i = 0; i < 3; i++)
        expected = expected && cut(&rest, ' ', &word);
    expected = expected && cut(&rest, ' ', &word) && cut(&word, '/', &running) && naive_u64(running, &ignored) &&
               naive_u64(word, &other);
    int error = prock_parse_thread_count((const char *)data, size, &threads);
    ASSERT(error == (expected ? 0 : -EBADMSG));
    ASSERT(error || threads == other);
    return 0;
}
