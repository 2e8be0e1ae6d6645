/* The map of pids, compared with a plain list. */
#include "fuzz.h"
#include "procfs/procfs.h"

enum { MOST = 600 };

FUZZ(pidmap)
{
    struct {
        int32_t pid;
        uint32_t value;
    } list[MOST];
    size_t n = 0;
    struct prock_pidmap map = {0};
    while (size > 0 && n < MOST) {
        uint64_t what = take_bytes(&data, &size, 1);
        int32_t pid = (int32_t)(uint32_t)take_bytes(&data, &size, what & 4 ? 4 : 1);
        uint32_t value = (uint32_t)what, found;
        size_t at = 0;
        while (at < n && list[at].pid != pid)
            at++;
        if (what % 4 == 3) {
            bool has = prock_pidmap_get(&map, pid, &found);
            ASSERT(has == (at < n) && (!has || found == list[at].value));
            continue;
        }
        if (pid == 0) /* marks free slots */
            continue;
        bool is_new = at == n, puts = what % 4 != 0;
        if (puts)
            ASSERT(prock_pidmap_put(&map, pid, value) == 0);
        else
            ASSERT(prock_pidmap_add(&map, pid, value) == is_new);
        if (is_new)
            list[n++].pid = pid;
        if (is_new || puts)
            list[at].value = value;
        ASSERT(map.n == n && 2 * map.n <= map.size + 2);
    }
    for (size_t i = 0; i < n; i++)
        ASSERT(prock_pidmap_add(&map, list[i].pid, 0) == 0);
    prock_pidmap_free(&map);
    return 0;
}
