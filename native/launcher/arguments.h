/* The launcher's arguments: from text to what they mean, touching nothing else. */
#ifndef PROCK_LAUNCHER_ARGUMENTS_H
#define PROCK_LAUNCHER_ARGUMENTS_H

#include <stdbool.h>

struct arguments {
    int control, group; /* descriptors; group -1: none */
    bool events;        /* perf events are wanted: one for any CPU where `cpus` is empty, else one each */
    const char *cpus, *signals;
    const char *keep; /* NULL: all descriptors stay open */
    bool scripts, new_session, new_group, switches;
    int umask; /* -1: as it is */
    const char *directory;
    int count; /* of files; the command is behind them */
    char **files;
};

/* False where the launcher was called by somebody who does not know how. */
bool parse_arguments(int argc, char **argv, struct arguments *out);
/* The next of a list of numbers that parse_arguments() found well formed; false at its end. */
bool next_number(const char **list, int *number);

#endif
