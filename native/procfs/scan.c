/* Every process of the machine, one read of stat each. */
#include "procfs/procfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void prock_scan_start(struct prock_scan *scan, const struct prock_root *root)
{
    memset(scan, 0, sizeof *scan);
    scan->root = *root;
}

static int begin(struct prock_scan *scan)
{
    int dir = prock_open_root(&scan->root);
    if (dir < 0)
        return dir;
    scan->root.dir = dir;
    scan->begun = true;
    int error = scan->listed ? 0 : prock_list_open(dir, &scan->pids);
    if (error)
        return error;
    struct prock_stat *rows = realloc(scan->rows, (scan->n + scan->pids.n + 1) * sizeof *rows);
    if (!rows)
        return -ENOMEM;
    scan->rows = rows;
    return 0;
}

static int read_next(struct prock_scan *scan)
{
    int error = prock_read_stat(&scan->root, scan->pids.v[scan->next++], &scan->rows[scan->n]);
    switch (error) {
    case 0:
        scan->n++;
        return 0;
    case -ESRCH:
        scan->vanished++;
        return 0;
    case -EACCES:
    case -ENOTSUP:
    case -EBADMSG:
        scan->denied++;
        return 0;
    default:
        return error;
    }
}

int prock_scan_run(struct prock_scan *scan, uint64_t deadline_ns)
{
    int error = scan->begun ? 0 : begin(scan);
    while (!error && scan->next < scan->pids.n) {
        error = read_next(scan);
        bool check_deadline = deadline_ns != PROCK_NO_DEADLINE && scan->next % PROCK_STRIDE == 0;
        if (!error && check_deadline && scan->next < scan->pids.n && prock_monotonic_ns() > deadline_ns)
            return 1;
    }
    return error;
}

void prock_scan_free(struct prock_scan *scan)
{
    if (scan->begun)
        close(scan->root.dir);
    prock_pids_free(&scan->pids);
    free(scan->rows);
    memset(scan, 0, sizeof *scan);
}
