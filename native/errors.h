/* Error codes of all functions in native/: 0 or a negative errno. What the kernel reports is reduced to:
 *   -ESRCH    the process is gone
 *   -EACCES   access denied (also: hidepid hides the process)
 *   -ENOTSUP  the process exists, but this kernel has no such file or feature
 *   -EBADMSG  the file is not in the format of proc(5)
 * All others (EMFILE, ENOMEM ...) are passed on unchanged. */
#ifndef PROCK_ERRORS_H
#define PROCK_ERRORS_H

#include <errno.h>
#include <stdbool.h>

static inline int prock_errno(int error)
{
    switch (error) {
    case ENOENT:
    case ESRCH:
        return -ESRCH;
    case EACCES:
    case EPERM:
        return -EACCES;
    default:
        return -error;
    }
}

/* The process may still exist, but this file of it can't be used. */
static inline bool prock_is_unreadable(int error)
{
    return error == -EACCES || error == -ENOTSUP || error == -EBADMSG;
}

/* The calling process is out of descriptors or memory: the pass has to fail. */
static inline bool prock_is_exhausted(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

#endif
