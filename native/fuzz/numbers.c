/* Arithmetic with any numbers. */
#include "fuzz.h"
#include "procfs/procfs.h"

__extension__ typedef unsigned __int128 u128;

FUZZ(numbers)
{
    uint64_t total = take_bytes(&data, &size, 8), user = take_bytes(&data, &size, 8),
             system = take_bytes(&data, &size, 8);
    struct prock_cpu cpu = prock_split_cpu(total, user, system);
    ASSERT(cpu.user_ns <= total && cpu.system_ns == total - cpu.user_ns);
    ASSERT(system || cpu.user_ns == total);
    ASSERT(user || !system || cpu.user_ns == 0);
    u128 product = (u128)total * user;
    ASSERT(prock_multiply(total, user) == (product > UINT64_MAX ? UINT64_MAX : (uint64_t)product));
    return 0;
}
