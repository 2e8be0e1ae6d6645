/* Tables of members of any shape, with cycles and members of other trees: each member once, sums equal to their parts.
 */
#include "fuzz.h"
#include "tracker/tracker.h"

enum { MOST = 40 };

FUZZ(subtrees)
{
    struct prock_member rows[MOST];
    struct prock_subtree_sum sums[MOST] = {{0}};
    uint32_t order[MOST + 1];
    bool seen[MOST] = {false};
    size_t n = 1 + (size_t)take_bytes(&data, &size, 1) % MOST, count = 0, top_processes = 0;
    memset(rows, 0, sizeof rows);
    for (size_t i = 0; i < n; i++) {
        rows[i].pid = (int32_t)i + 1;
        rows[i].parent = (uint32_t)(take_bytes(&data, &size, 1) % (n + 1));
        rows[i].tree = (uint32_t)take_bytes(&data, &size, 1) % 2;
        rows[i].flags = (unsigned)take_bytes(&data, &size, 2);
        rows[i].own_ns = take_bytes(&data, &size, 2);
        rows[i].stat.thread_count = 1;
        rows[i].stat.cutime = take_bytes(&data, &size, 8);
    }
    struct prock_member_table table = {rows, n, n};
    ASSERT(prock_subtree_sums(&table, 1, 10000000, order, &count, sums) == 0);
    ASSERT(count <= n);
    for (size_t i = 0; i < count; i++) {
        uint32_t index = order[i];
        ASSERT(index < n && !seen[index]);
        seen[index] = true;
        ASSERT(rows[index].tree == 1 && !(rows[index].flags & (PROCK_GONE | PROCK_UNREAD)));
        uint32_t parent = rows[index].flags & PROCK_ROOT ? 0 : rows[index].parent;
        bool is_top = parent == 0 || rows[parent - 1].tree != 1 || rows[parent - 1].flags & (PROCK_GONE | PROCK_UNREAD);
        ASSERT(is_top || seen[parent - 1]); /* parents precede their children */
        ASSERT(sums[index].processes >= 1 && sums[index].processes == sums[index].threads);
        ASSERT(is_top || sums[parent - 1].processes > sums[index].processes);
        top_processes += is_top ? (size_t)sums[index].processes : 0;
    }
    ASSERT(top_processes == count);
    for (size_t i = 0; i < n; i++)
        ASSERT(seen[i] || sums[i].processes == 0);
    return 0;
}
