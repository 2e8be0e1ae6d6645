/* Reads stat of every process of the machine. */
#include "errors.h"
#include "procfs/procfs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void prock_scan_start(struct prock_scan *scan, const struct prock_root *root)
{
    memset(scan, 0, sizeof *scan);
    scan->root = *root;
}

static int start(struct prock_scan *scan)
{
    int dir = prock_open_root(&scan->root);
    if (dir < 0)
        return dir;
    scan->root.dir = dir;
    scan->started = true;
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
    if (!error)
        scan->n++;
    else if (error == -ESRCH)
        scan->vanished++;
    else if (prock_is_unreadable(error))
        scan->denied++;
    else
        return error;
    return 0;
}

int prock_scan_run(struct prock_scan *scan, uint64_t deadline_ns)
{
    int error = scan->started ? 0 : start(scan);
    while (!error && scan->next < scan->pids.n) {
        error = read_next(scan);
        if (!error && scan->next < scan->pids.n && prock_deadline_passed(scan->next, deadline_ns))
            return 1;
    }
    return error;
}

void prock_scan_free(struct prock_scan *scan)
{
    if (scan->started)
        close(scan->root.dir);
    prock_pids_free(&scan->pids);
    free(scan->rows);
    memset(scan, 0, sizeof *scan);
}
