#include "fuzz.h"
#include "perf/perf.h"

FUZZ(record)
{
    struct prock_record record = {0};
    size_t record_size = 0;
    int error = prock_parse_record(data, size, &record, &record_size);
    ASSERT(error == 0 || error == -EBADMSG);
    if (error)
        return 0;
    uint16_t length;
    uint32_t type;
    memcpy(&type, data, sizeof type);
    memcpy(&length, data + 6, sizeof length);
    ASSERT(record_size == length && record_size <= size && record_size >= 24);
    bool named = record.kind == PROCK_RECORD_EXEC || record.kind == PROCK_RECORD_RENAME;
    bool of_two = record.kind == PROCK_RECORD_FORK || record.kind == PROCK_RECORD_EXIT;
    ASSERT(named == (type == 3) && of_two == (type == 4 || type == 7));
    ASSERT(record.comm_len <= PROCK_RECORD_COMM_MAX && record.comm_len + 24 <= record_size);
    ASSERT(named || record.comm_len == 0);
    ASSERT(record.comm_len == 0 || memchr(record.comm, '\0', record.comm_len) == NULL);
    ASSERT(of_two || (record.ppid == 0 && record.ptid == 0));
    ASSERT(record.kind == PROCK_RECORD_LOST || record.lost == 0);
    ASSERT(record.cpu_ns == 0);
    uint64_t time_ns;
    memcpy(&time_ns, data + record_size - 8, sizeof time_ns);
    ASSERT(record.time_ns == time_ns);
    return 0;
}
