/* PR_SET_CHILD_SUBREAPER of prctl(2). */
#include "errors.h"
#include "procfs/procfs.h"

#include <sys/prctl.h>

int prock_subreaper(int wanted, bool *was)
{
    int before = 0;
    if (prctl(PR_GET_CHILD_SUBREAPER, (unsigned long)&before, 0UL, 0UL, 0UL) < 0)
        return errno == EINVAL ? -ENOTSUP : prock_errno(errno);
    *was = before != 0;
    if (wanted >= 0 && prctl(PR_SET_CHILD_SUBREAPER, (unsigned long)wanted, 0UL, 0UL, 0UL) < 0)
        return prock_errno(errno);
    return 0;
}
