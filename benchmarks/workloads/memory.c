/* memory KIND PROCESSES MIB HOLD_MS: hold memory in one of the ways that are hard to sum up.
 *
 *   private   PROCESSES, each with MIB of its own
 *   shared    PROCESSES, all with the same MIB (MAP_SHARED)
 *   cow       a parent with MIB, and PROCESSES children that read them
 *   cowbreak  as cow, but each child writes to a quarter of them
 *   vm        a parent with MIB, and PROCESSES children in the same address space (CLONE_VM);
 *             one that gets SIGUSR1 executes sleep(1)
 *   vmsibling a child with MIB, and PROCESSES - 1 siblings in its address space (CLONE_VM, CLONE_PARENT)
 *   vfork     a parent with MIB, which waits for a child that vfork(2) started, and that for another, PROCESSES in all
 *   grow      PROCESSES, each with MIB in ten steps, within half of HOLD_MS; for the other half that is held, then half
 *             of it freed
 *
 * Once all have what they are to have, the root says so in a line ("held"), and all hold it for HOLD_MS. No process
 * runs meanwhile, and none outlives the root. */

#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_S = 120, STEPS = 10, WRITTEN_SHARE = 4, PAGE = 4096, STACK = 65536 };

static int ready[2], hold[2]; /* pipes: a byte of each that has its memory; closed by the root when all may end */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void pause_for(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        continue;
}

static char *map(size_t bytes, int sharing)
{
    char *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        die("mmap");
    return block;
}

static void touch(char *block, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += PAGE)
        *(volatile char *)(block + i) = 1;
}

static void look_at(const char *block, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += PAGE)
        (void)*(const volatile char *)(block + i);
}

static void grow(size_t bytes, long ms)
{
    size_t step = bytes / STEPS / PAGE * PAGE;
    char *block = map(step * STEPS, MAP_PRIVATE);
    for (int i = 0; i < STEPS; i++) {
        touch(block + step * (size_t)i, step);
        pause_for(ms / 2 / STEPS);
    }
    pause_for(ms / 2);
    if (munmap(block, step * (STEPS / 2)) != 0)
        die("munmap");
}

static void be_member(const char *kind, char *block, size_t bytes, long ms)
{
    char byte;
    close(ready[0]);
    close(hold[1]);
    if (strcmp(kind, "private") == 0)
        touch(map(bytes, MAP_PRIVATE), bytes);
    else if (strcmp(kind, "shared") == 0)
        touch(block, bytes);
    else if (strcmp(kind, "grow") == 0)
        grow(bytes, ms);
    else
        look_at(block, bytes);
    if (strcmp(kind, "cowbreak") == 0)
        touch(block, bytes / WRITTEN_SHARE);
    if (write(ready[1], "x", 1) != 1)
        die("write");
    (void)!read(hold[0], &byte, 1); /* until the root closes its end */
    _exit(0);
}

static void start_member(const char *kind, char *block, size_t bytes, long ms)
{
    pid_t root = getpid(), pid = fork();
    if (pid < 0)
        die("fork");
    if (pid != 0)
        return;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != root)
        _exit(1);
    be_member(kind, block, bytes, ms);
}

static void be_ready_and_wait(void)
{
    char byte;
    if (write(ready[1], "x", 1) != 1)
        die("write");
    (void)!read(hold[0], &byte, 1);
    _exit(0);
}

static void execute(int unused)
{
    (void)unused;
    execlp("sleep", "sleep", "120", (char *)NULL);
    _exit(1);
}

static int be_sharer(void *unused)
{
    (void)unused;
    if (signal(SIGUSR1, execute) == SIG_ERR)
        die("signal");
    close(ready[0]);
    close(hold[1]);
    be_ready_and_wait();
    return 0;
}

static void start_sharers(long count, int flags)
{
    for (long i = 0; i < count; i++) {
        char *stack = malloc(STACK);
        if (!stack || clone(be_sharer, stack + STACK, CLONE_VM | SIGCHLD | flags, NULL) < 0)
            die("clone");
    }
}

static void start_siblings(long count, size_t bytes)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid != 0)
        return;
    touch(map(bytes, MAP_PRIVATE), bytes);
    start_sharers(count - 1, CLONE_PARENT);
    be_sharer(NULL);
}

/* All but the last wait until their child has ended. */
static int start_chain(long count, long ms)
{
    volatile long left = count;
    while (left-- > 0) {
        pid_t pid = vfork();
        if (pid < 0)
            die("vfork");
        if (pid != 0)
            _exit(0);
    }
    if (write(1, "held\n", 5) != 5)
        die("write");
    pause_for(ms);
    _exit(0);
}

static bool is_kind(const char *name)
{
    static const char *const kinds[] = {"private", "shared", "cow", "cowbreak", "vm", "vmsibling", "vfork", "grow"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(name, kinds[i]) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    if (argc != 5 || !is_kind(argv[1])) {
        fputs("usage: memory private|shared|cow|cowbreak|vm|vmsibling|vfork|grow PROCESSES MIB HOLD_MS\n", stderr);
        return 2;
    }
    long count = atol(argv[2]), ms = atol(argv[4]);
    size_t bytes = (size_t)atol(argv[3]) << 20;
    char *block = NULL, byte;
    alarm(LONGEST_S);
    if (pipe(ready) != 0 || pipe(hold) != 0)
        die("pipe");
    if (strcmp(argv[1], "shared") == 0)
        block = map(bytes, MAP_SHARED);
    if (strncmp(argv[1], "cow", 3) == 0)
        touch(block = map(bytes, MAP_PRIVATE), bytes);
    if (strcmp(argv[1], "vm") == 0 || strcmp(argv[1], "vfork") == 0)
        touch(map(bytes, MAP_PRIVATE), bytes);
    if (strcmp(argv[1], "vfork") == 0)
        return start_chain(count, ms);
    if (strcmp(argv[1], "vm") == 0)
        start_sharers(count, 0);
    else if (strcmp(argv[1], "vmsibling") == 0)
        start_siblings(count, bytes);
    else
        for (long i = 0; i < count; i++)
            start_member(argv[1], block, bytes, ms);
    close(ready[1]);
    close(hold[0]);
    while (count > 0 && read(ready[0], &byte, 1) == 1)
        count--;
    puts("held");
    fflush(stdout);
    pause_for(ms);
    close(hold[1]);
    while (wait(NULL) > 0)
        continue;
    return count > 0;
}
