#include "launcher/arguments.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

enum { CONTROL = 1, CGROUP, CPUS, KEEP, SIGNALS, FLAGS, UMASK, DIRECTORY, COUNT, FILES };

/* Digits up to a comma or the end; at most INT_MAX. */
static bool read_number(const char **at, int base, int *number)
{
    long long value = 0;
    const char *text = *at;
    while (*text >= '0' && *text < '0' + base && value <= INT_MAX)
        value = value * base + (*text++ - '0');
    if (text == *at || value > INT_MAX || (*text && *text != ','))
        return false;
    *at = text;
    *number = (int)value;
    return true;
}

bool next_number(const char **list, int *number)
{
    if (!**list || !read_number(list, 10, number))
        return false;
    *list += **list == ',';
    return true;
}

/* Empty, or numbers separated by commas. */
static bool is_list(const char *text)
{
    int number;
    if (!*text)
        return true;
    while (read_number(&text, 10, &number)) {
        if (!*text)
            return true;
        text++;
    }
    return false;
}

static bool is_number(const char *text, int base, int *number)
{
    return read_number(&text, base, number) && !*text;
}

bool parse_arguments(int argc, char **argv, struct arguments *out)
{
    *out = (struct arguments){.cgroup = -1, .umask = -1};
    if (argc <= FILES + 1)
        return false;
    if (!is_number(argv[CONTROL], 10, &out->control) ||
        (strcmp(argv[CGROUP], "-1") != 0 && !is_number(argv[CGROUP], 10, &out->cgroup)) ||
        (strcmp(argv[UMASK], "-") != 0 && (!is_number(argv[UMASK], 8, &out->umask) || out->umask > 07777)) ||
        !is_number(argv[COUNT], 10, &out->count) || out->count < 1 || out->count >= argc - FILES)
        return false;
    out->events = strcmp(argv[CPUS], "-") != 0;
    out->cpus = out->events && strcmp(argv[CPUS], "any") != 0 ? argv[CPUS] : "";
    if (out->events && !*argv[CPUS])
        return false;
    out->keep = strcmp(argv[KEEP], "-") == 0 ? NULL : argv[KEEP];
    out->signals = argv[SIGNALS];
    if (!is_list(out->cpus) || !is_list(out->keep ? out->keep : "") || !is_list(out->signals))
        return false;
    out->scripts = strchr(argv[FLAGS], 'x') != NULL;
    out->new_session = strchr(argv[FLAGS], 's') != NULL;
    out->new_process_group = strchr(argv[FLAGS], 'g') != NULL;
    out->switches = strchr(argv[FLAGS], 'w') != NULL;
    out->numbered_environment = strchr(argv[FLAGS], 'e') != NULL;
    out->directory = argv[DIRECTORY];
    out->files = argv + FILES;
    return true;
}
