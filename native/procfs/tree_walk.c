/* One pass over a tree: walks down from the root by the lists of children, or scans the machine if that is cheaper.
 *
 * Parents are read before their children: otherwise a child reaped in between would count twice, itself and in its
 * parent's cutime. */
#include "errors.h"
#include "procfs/procfs.h"

#include <stdlib.h>

/* A scan is considered once so many members are queued ... */
#define FIRST_SCAN_CHECK 64
/* ... and a fifth of all threads: listing the processes then adds at most an eighth to the cost of the walk. */
#define LISTING_SHARE 5
/* Cost per member of the walk (stat and children) and of the scan (stat): 11.6 and 8 us. */
#define WALK_COST 3
#define SCAN_COST 2

void prock_tree_walk_start(struct prock_tree_walk *walk, const struct prock_root *root, int32_t root_pid, int want)
{
    if ((want & PROCK_WANT_CPU) && !root->clocks_usable)
        want |= PROCK_WANT_STAT;
    *walk = (struct prock_tree_walk){
        .root = root, .root_pid = root_pid, .want = want, .consider_scan_at = FIRST_SCAN_CHECK};
    prock_scan_start(&walk->scan, root);
}

static int append(struct prock_tree_walk *walk, int32_t pid, int32_t parent)
{
    int new = prock_pidmap_add(&walk->known, pid, (uint32_t)walk->n);
    if (new != 1)
        return new;
    if (walk->n == walk->cap) {
        size_t cap = walk->cap ? walk->cap * 2 : 32;
        struct prock_tree_member *members = realloc(walk->members, cap * sizeof *members);
        if (!members)
            return -ENOMEM;
        walk->members = members;
        walk->cap = cap;
    }
    struct prock_tree_member *member = &walk->members[walk->n++];
    member->pid = pid;
    member->parent = parent;
    member->gone = member->shares_space = member->has_cpu = member->has_stat = member->has_io = false;
    member->unreadable = member->numbers.known = 0;
    return 0;
}

static int begin_with_root(struct prock_tree_walk *walk)
{
    walk->n = walk->next = walk->vanished = 0;
    prock_pidmap_free(&walk->known);
    int error = prock_is_process(walk->root, walk->root_pid);
    return error ? error : append(walk, walk->root_pid, 0);
}

static bool is_root(const struct prock_tree_walk *walk, const struct prock_tree_member *member)
{
    return member->pid == walk->root_pid;
}

/* Records in the member that a file is gone or unreadable; returns other errors. */
static int note_error(struct prock_tree_member *member, int error, unsigned unreadable)
{
    if (error == -ESRCH) {
        member->gone = true;
        return 0;
    }
    if (!prock_is_unreadable(error))
        return error;
    member->unreadable |= unreadable;
    return 0;
}

/* The pid was reused since it was listed if the process is not a child of the parent that listed it. If that parent has
 * exited, reaped or not, its children were reparented. */
static bool pid_was_reused(const struct prock_tree_walk *walk, const struct prock_tree_member *member)
{
    int32_t ppid = member->stat.ppid;
    struct prock_stat parent;
    if (!member->parent || ppid == member->parent || ppid == 0 || !walk->root->clocks_usable)
        return false;
    return prock_read_stat(walk->root, member->parent, &parent) == 0 && prock_is_running(&parent);
}

/* Reads what is wanted of one member. row: its stat if that was read already. An unreadable root is an error. */
static int read_member(struct prock_tree_walk *walk, struct prock_tree_member *member, const struct prock_stat *row)
{
    int error = 0;
    if (row) {
        member->stat = *row;
        member->has_stat = true;
    } else if (walk->want & PROCK_WANT_STAT) {
        error = prock_read_stat(walk->root, member->pid, &member->stat);
        member->has_stat = error == 0;
        if (error && prock_is_unreadable(error) && is_root(walk, member))
            return error;
        if (error && ((error = note_error(member, error, PROCK_UNREADABLE_STAT)) || member->gone))
            return error;
        if (member->has_stat && pid_was_reused(walk, member)) {
            member->gone = true;
            return 0;
        }
    }
    if (member->has_stat) {
        member->cpu = member->stat.cpu;
        member->has_cpu = true;
    } else if ((walk->want & PROCK_WANT_CPU) && walk->root->clocks_usable) {
        error = prock_cpu_time(member->pid, &member->cpu);
        member->has_cpu = error == 0;
        if (error && !member->unreadable) {
            member->gone = error == -ESRCH;
            if (!member->gone)
                return error;
            return 0;
        }
    }
    if (walk->want & PROCK_WANT_IO) {
        error = prock_read_io(walk->root, member->pid, &member->io);
        member->has_io = error == 0;
        if (error && error != -ESRCH && (error = note_error(member, error, PROCK_UNREADABLE_IO)))
            return error;
    }
    for (int id = 0; id < PROCK_NUMBER_COUNT; id++) {
        unsigned bit = PROCK_NUMBER_BIT(id);
        if (!((unsigned)walk->want & bit))
            continue;
        error = prock_numbers[id].read(walk->root, member->pid, &member->numbers.values[id]);
        if (!error)
            member->numbers.known |= bit;
        else if (error != -ESRCH && (error = note_error(member, error, bit)))
            return error;
    }
    return 0;
}

/* The scan reads all processes of the machine except those that were visited already. */
static int switch_to_scan(struct prock_tree_walk *walk, const struct prock_pids *all)
{
    struct prock_scan *scan = &walk->scan;
    int error = 0;
    uint32_t index;
    scan->rows = malloc((walk->next + 1) * sizeof *scan->rows);
    if (!scan->rows)
        return -ENOMEM;
    for (size_t i = 0; i < walk->next; i++)
        if (walk->members[i].has_stat && !walk->members[i].gone)
            scan->rows[scan->n++] = walk->members[i].stat;
    for (size_t i = 0; i < all->n && !error; i++) {
        bool visited = prock_pidmap_get(&walk->known, all->v[i], &index) && index < walk->next;
        if (!visited || !walk->members[index].has_stat)
            error = prock_pids_add(&scan->pids, all->v[i]);
    }
    scan->listed = true;
    walk->phase = PROCK_SCANNING;
    return error;
}

/* Switches to a scan if the rest of the walk would cost more. */
static int consider_scan(struct prock_tree_walk *walk)
{
    size_t waiting = walk->n - walk->next;
    uint64_t threads;
    if (!(walk->want & PROCK_WANT_STAT) || walk->scan_denied || waiting < walk->consider_scan_at)
        return 0;
    if (prock_thread_count(walk->root, &threads) == 0 && waiting * LISTING_SHARE < threads) {
        walk->consider_scan_at = threads / LISTING_SHARE + 1;
        return 0;
    }
    struct prock_pids all = {0};
    int error = prock_list(walk->root, &all);
    size_t unread = all.n > walk->next ? all.n - walk->next : 0;
    if (!error && waiting * WALK_COST > unread * SCAN_COST)
        error = switch_to_scan(walk, &all);
    else
        walk->consider_scan_at = unread * SCAN_COST / WALK_COST + 1;
    prock_pids_free(&all);
    return error;
}

/* Reads the next member and queues its children. */
static int visit(struct prock_tree_walk *walk)
{
    struct prock_tree_member *member = &walk->members[walk->next++];
    int error = read_member(walk, member, NULL);
    if (error)
        return error;
    if (!member->gone) {
        walk->found.n = 0;
        int32_t threads = member->has_stat ? member->stat.thread_count : 0;
        error = prock_read_children(walk->root, member->pid, threads, &walk->found);
        if (error == -EACCES || error == -EBADMSG) {
            member->unreadable |= PROCK_UNREADABLE_CHILDREN;
            error = 0;
        } else if (error == -ESRCH) {
            member->gone = walk->want == 0; /* nothing else was read of it */
            error = 0;
        }
        int32_t pid = member->pid; /* append() may move the array */
        for (size_t i = 0; i < walk->found.n && !error; i++)
            error = append(walk, walk->found.v[i], pid);
        member = &walk->members[walk->next - 1];
    }
    if (member->gone && !is_root(walk, member))
        walk->vanished++;
    return error;
}

static int walk_down(struct prock_tree_walk *walk, uint64_t deadline_ns)
{
    int error = walk->n ? 0 : begin_with_root(walk);
    while (!error && walk->next < walk->n) {
        error = consider_scan(walk);
        if (walk->phase == PROCK_SCANNING)
            return error;
        if (!error)
            error = visit(walk);
        if (!error && prock_deadline_passed(walk->next, deadline_ns))
            return 1;
    }
    if (error == -ENOTSUP && !walk->scan_forced) {
        walk->scan_forced = true; /* the kernel was built without CONFIG_PROC_CHILDREN */
        walk->phase = PROCK_SCANNING;
        return 0;
    }
    if (!error)
        walk->phase = PROCK_DONE;
    return error;
}

static int scan(struct prock_tree_walk *walk, uint64_t deadline_ns)
{
    int status = prock_scan_run(&walk->scan, deadline_ns);
    if (status != 0)
        return status;
    if (walk->scan.denied && !walk->scan_forced) {
        /* Some of these may be members, which only the walk finds. */
        walk->scan_denied = true;
        walk->phase = PROCK_WALKING;
        return begin_with_root(walk);
    }
    walk->phase = PROCK_ASSEMBLING;
    return 0;
}

/* Links the children of each row, in the order of the scan. */
static int link_rows(struct prock_tree_walk *walk)
{
    size_t n = walk->scan.n;
    uint32_t parent;
    walk->first_child = calloc(n + 1, sizeof *walk->first_child);
    walk->next_sibling = calloc(n + 1, sizeof *walk->next_sibling);
    if (!walk->first_child || !walk->next_sibling)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (prock_pidmap_add(&walk->row_of_pid, walk->scan.rows[i].pid, (uint32_t)i) < 0)
            return -ENOMEM;
    for (size_t i = n; i-- > 0;) {
        if (!prock_pidmap_get(&walk->row_of_pid, walk->scan.rows[i].ppid, &parent))
            continue;
        walk->next_sibling[i] = walk->first_child[parent];
        walk->first_child[parent] = (uint32_t)i + 1;
    }
    return 0;
}

static int assemble(struct prock_tree_walk *walk)
{
    uint32_t row, parent_row = 0;
    int error = begin_with_root(walk);
    if (!error)
        error = link_rows(walk);
    if (!error && !prock_pidmap_get(&walk->row_of_pid, walk->root_pid, &row))
        return -ESRCH;
    for (; !error && walk->next < walk->n; walk->next++) {
        struct prock_tree_member *member = &walk->members[walk->next];
        prock_pidmap_get(&walk->row_of_pid, member->pid, &row);
        bool read_too_early =
            member->parent && prock_pidmap_get(&walk->row_of_pid, member->parent, &parent_row) && row < parent_row;
        error = read_member(walk, member, read_too_early ? NULL : &walk->scan.rows[row]);
        if (error)
            break;
        if (member->gone) {
            walk->vanished += !is_root(walk, member);
            continue;
        }
        int32_t pid = member->pid;
        for (uint32_t child = walk->first_child[row]; child && !error; child = walk->next_sibling[child - 1])
            error = append(walk, walk->scan.rows[child - 1].pid, pid);
    }
    if (!error)
        walk->phase = PROCK_DONE;
    return error;
}

/* Their sizes were read one after the other. */
static bool is_similar(const struct prock_tree_member *member, const struct prock_tree_member *other)
{
    uint64_t rss = member->stat.rss, other_rss = other->stat.rss,
             difference = rss > other_rss ? rss - other_rss : other_rss - rss;
    return other->has_stat && !other->gone && member->stat.vsize == other->stat.vsize && difference <= rss / 16;
}

/* A forked child maps fewer pages than its parent, so most are not compared. */
static bool shares(
    const struct prock_tree_walk *walk, struct prock_tree_member *member, const struct prock_tree_member *other)
{
    struct prock_statm now;
    if (!is_similar(member, other))
        return false;
    int same = prock_shares_space(walk->root, member->pid, other->pid);
    if (same == 0 && other->pid == member->stat.ppid && prock_read_statm(walk->root, member->pid, &now) == 0 &&
        now.size) {
        /* It may have executed a program since its memory was read. */
        member->stat.rss = now.resident;
        member->stat.vsize = prock_multiply(now.size, walk->root->page_bytes);
    }
    return same < 0 ? other->pid == member->stat.ppid && prock_waits_for_vfork(walk->root, other->pid) : same;
}

static void find_shared(struct prock_tree_walk *walk)
{
    const struct prock_tree_member *latest = NULL;
    for (size_t i = 1; i < walk->n; i++) {
        struct prock_tree_member *member = &walk->members[i];
        uint32_t parent;
        if (!member->has_stat || member->gone || !prock_may_share_space(&member->stat))
            continue;
        if (prock_pidmap_get(&walk->known, member->stat.ppid, &parent))
            member->shares_space = shares(walk, member, &walk->members[parent]);
        if (!member->shares_space && latest)
            member->shares_space = shares(walk, member, latest);
        latest = member;
    }
}

int prock_tree_walk_run(struct prock_tree_walk *walk, uint64_t deadline_ns)
{
    int status = 0;
    while (status == 0 && walk->phase != PROCK_DONE) {
        if (walk->phase == PROCK_WALKING)
            status = walk_down(walk, deadline_ns);
        else if (walk->phase == PROCK_SCANNING)
            status = scan(walk, deadline_ns);
        else
            status = assemble(walk);
    }
    if (status == 0 && walk->members[0].gone)
        return -ESRCH;
    if (status == 0)
        find_shared(walk);
    return status;
}

void prock_tree_walk_free(struct prock_tree_walk *walk)
{
    prock_scan_free(&walk->scan);
    prock_pids_free(&walk->found);
    prock_pidmap_free(&walk->known);
    prock_pidmap_free(&walk->row_of_pid);
    free(walk->members);
    free(walk->first_child);
    free(walk->next_sibling);
    walk->members = NULL;
}
