/* Processes that share one address space, as children of vfork(2), posix_spawn(3) and clone(2) with CLONE_VM do until
 * they execute a program: its pages count once in sums. */
#define _GNU_SOURCE
#include "procfs/procfs.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

/* include/linux/sched.h, since Linux 2.5: forked, and has executed nothing since. */
#define PF_FORKNOEXEC 0x40

bool prock_may_share_space(const struct prock_stat *stat)
{
    return stat->flags & PF_FORKNOEXEC && stat->vsize != 0 && !prock_leader_exited(stat);
}

int prock_shares_space(const struct prock_root *root, int32_t pid, int32_t other)
{
    if (!root->clocks_usable)
        return -EPERM; /* other pids than those of our system calls */
    long order = syscall(SYS_kcmp, pid, other, KCMP_VM, 0, 0);
    return order < 0 ? -errno : order == 0;
}

bool prock_waits_for_vfork(const struct prock_root *root, int32_t parent)
{
    struct prock_stat stat;
    return prock_read_stat(root, parent, &stat) == 0 && stat.state == 'D';
}
