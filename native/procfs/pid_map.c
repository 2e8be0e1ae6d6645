/* Lists of pids, and a hash map from pid to number. */
#include "procfs/procfs.h"

#include <errno.h>
#include <stdlib.h>

int prock_pids_add(struct prock_pids *pids, int32_t pid)
{
    if (pids->n == pids->cap) {
        size_t cap = pids->cap ? pids->cap * 2 : 256;
        int32_t *v = realloc(pids->v, cap * sizeof *v);
        if (!v)
            return -ENOMEM;
        pids->v = v;
        pids->cap = cap;
    }
    pids->v[pids->n++] = pid;
    return 0;
}

void prock_pids_free(struct prock_pids *pids)
{
    free(pids->v);
    *pids = (struct prock_pids){0};
}

/* Open addressing; the size is a power of two, and at most half of the slots are used. */
static size_t slot_of(const struct prock_pidmap *map, int32_t pid)
{
    size_t slot = (size_t)((uint32_t)pid * UINT32_C(2654435769)) & (map->size - 1);
    while (map->slots[slot].pid != 0 && map->slots[slot].pid != pid)
        slot = (slot + 1) & (map->size - 1);
    return slot;
}

static int grow(struct prock_pidmap *map)
{
    struct prock_pidmap larger = {.n = map->n, .size = map->size ? map->size * 2 : 128};
    larger.slots = calloc(larger.size, sizeof *larger.slots);
    if (!larger.slots)
        return -ENOMEM;
    for (size_t i = 0; i < map->size; i++)
        if (map->slots[i].pid != 0)
            larger.slots[slot_of(&larger, map->slots[i].pid)] = map->slots[i];
    free(map->slots);
    *map = larger;
    return 0;
}

int prock_pidmap_add(struct prock_pidmap *map, int32_t pid, uint32_t value)
{
    if (map->n * 2 >= map->size && grow(map) != 0)
        return -ENOMEM;
    size_t slot = slot_of(map, pid);
    if (map->slots[slot].pid == pid)
        return 0;
    map->slots[slot].pid = pid;
    map->slots[slot].value = value;
    map->n++;
    return 1;
}

int prock_pidmap_put(struct prock_pidmap *map, int32_t pid, uint32_t value)
{
    int new = prock_pidmap_add(map, pid, value);
    if (new == 0)
        map->slots[slot_of(map, pid)].value = value;
    return new < 0 ? new : 0;
}

bool prock_pidmap_get(const struct prock_pidmap *map, int32_t pid, uint32_t *value)
{
    if (map->size == 0 || pid == 0)
        return false;
    size_t slot = slot_of(map, pid);
    if (map->slots[slot].pid != pid)
        return false;
    *value = map->slots[slot].value;
    return true;
}

void prock_pidmap_free(struct prock_pidmap *map)
{
    free(map->slots);
    *map = (struct prock_pidmap){0};
}
