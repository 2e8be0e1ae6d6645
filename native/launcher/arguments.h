/* Parses the launcher's arguments; fork_exec.c describes them. */
#ifndef PROCK_LAUNCHER_ARGUMENTS_H
#define PROCK_LAUNCHER_ARGUMENTS_H

#include <stdbool.h>

struct arguments {
    int control, cgroup; /* descriptors; cgroup -1: none */
    bool events;         /* open perf events: one for each of cpus, or one for any CPU if that is empty */
    const char *cpus, *signals;
    const char *keep; /* descriptors to keep open; NULL: all */
    bool scripts, new_session, new_process_group, switches, numbered_environment;
    int umask; /* -1: unchanged */
    const char *directory;
    int count; /* of files; the command follows them */
    char **files;
};

/* Returns false if the arguments are invalid. */
bool parse_arguments(int argc, char **argv, struct arguments *out);
/* Next number of a list that parse_arguments() accepted; false at its end. */
bool next_number(const char **list, int *number);

#endif
