#include "fuzz.h"
#include "procfs/procfs.h"

FUZZ(comm)
{
    char comm[PROCK_COMM_MAX];
    size_t len = prock_parse_comm((const char *)data, size, comm);
    ASSERT(len <= size && len <= sizeof comm && (len == 0 || memcmp(comm, data, len) == 0));
    bool newline = size && data[size - 1] == '\n';
    ASSERT(len == sizeof comm || len == size - newline);
    return 0;
}
