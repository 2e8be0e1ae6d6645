/* Every process of the machine, one read of stat each. */
#include "prock.h"

#include <errno.h>
#include <stdlib.h>

void prock_scan_start(struct prock_scan *scan, const struct prock_root *root)
{
    *scan = (struct prock_scan){.root = root};
}

static int list(struct prock_scan *scan)
{
    int error = prock_list(scan->root, &scan->pids);
    if (error)
        return error;
    scan->listed = true;
    scan->rows = malloc((scan->pids.n ? scan->pids.n : 1) * sizeof *scan->rows);
    return scan->rows ? 0 : -ENOMEM;
}

int prock_scan_run(struct prock_scan *scan, uint64_t deadline_ns)
{
    int error = scan->listed ? 0 : list(scan);
    while (!error && scan->next < scan->pids.n) {
        error = prock_read_stat(scan->root, scan->pids.v[scan->next++], &scan->rows[scan->n]);
        switch (error) {
        case 0:
            scan->n++;
            break;
        case -ESRCH:
            scan->vanished++;
            error = 0;
            break;
        case -EACCES:
        case -ENOTSUP:
        case -EBADMSG:
            scan->denied++;
            error = 0;
        }
        if (!error && deadline_ns != PROCK_NO_DEADLINE && prock_monotonic_ns() > deadline_ns)
            return scan->next < scan->pids.n;
    }
    return error;
}

void prock_scan_free(struct prock_scan *scan)
{
    prock_pids_free(&scan->pids);
    free(scan->rows);
    scan->rows = NULL;
    scan->n = 0;
}
