#include "fuzz.h"
#include "procfs/procfs.h"

FUZZ(statm)
{
    struct prock_statm statm, other;
    struct text rest = text_of(data, size), first, second;
    bool expected = cut(&rest, ' ', &first) && cut(&rest, ' ', &second) && naive_u64(first, &other.size) &&
                    naive_u64(second, &other.resident);
    int error = prock_parse_statm((const char *)data, size, &statm);
    ASSERT(error == (expected ? 0 : -EBADMSG));
    ASSERT(error || (statm.size == other.size && statm.resident == other.resident));
    return 0;
}
