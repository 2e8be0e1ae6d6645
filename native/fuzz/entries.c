/* Buffers of getdents64(2) from a faulty file system. */
#define _GNU_SOURCE
#include "fuzz.h"
#include "procfs/procfs.h"

FUZZ(entries)
{
    struct prock_pids pids = {0};
    bool ascending = true;
    int error = prock_parse_entries((const char *)data, size, &pids, &ascending);
    ASSERT(error == 0 || error == -EBADMSG);
    ASSERT(pids.n <= size / 20); /* ino, off, length, type, a digit */
    for (size_t i = 0; i < pids.n; i++) {
        ASSERT(pids.v[i] > 0);
        ASSERT(i == 0 || !ascending || pids.v[i - 1] < pids.v[i]);
    }
    prock_pids_free(&pids);
    return 0;
}
