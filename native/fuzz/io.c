#include "fuzz.h"
#include "procfs/procfs.h"

FUZZ(io)
{
    static const char *const names[] = {
        "rchar: ", "wchar: ", "syscr: ", "syscw: ", "read_bytes: ", "write_bytes: ", "cancelled_write_bytes: "};
    enum { N = sizeof names / sizeof *names };
    bool found[N] = {false}, expected = true;
    uint64_t values[N];
    struct text rest = text_of(data, size), line;
    while (cut(&rest, '\n', &line))
        for (size_t i = 0; i < N; i++) {
            size_t len = strlen(names[i]);
            if (!starts_with(line, names[i]))
                continue;
            expected = expected && naive_u64((struct text){line.at + len, line.len - len}, &values[i]);
            found[i] = true;
        }
    for (size_t i = 0; i < N; i++)
        expected = expected && found[i];

    struct prock_io io;
    int error = prock_parse_io((const char *)data, size, &io);
    ASSERT(error == (expected ? 0 : -EBADMSG));
    if (error)
        return 0;
    ASSERT(io.rchar == values[0] && io.wchar == values[1] && io.syscr == values[2] && io.syscw == values[3]);
    ASSERT(io.read_bytes == values[4] && io.write_bytes == values[5] && io.cancelled_write_bytes == values[6]);
    return 0;
}
