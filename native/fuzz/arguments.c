/* The launcher's arguments, one a line of the input (a NUL ends each). */
#include "launcher/arguments.h"
#include "fuzz.h"

#include <limits.h>

/* As many as there are commas and one, none of them negative. */
static void walk(const char *list)
{
    size_t expected = *list != '\0', n = 0;
    const char *text = list;
    int number;
    for (const char *at = list; *at; at++)
        expected += *at == ',';
    while (next_number(&list, &number)) {
        HOLDS(number >= 0 && (long long)number == strtoll(text, NULL, 10));
        text = list;
        n++;
    }
    HOLDS(n == expected && *list == '\0');
}

FUZZ(arguments)
{
    char *argv[64] = {NULL}, *text = malloc(size + 1);
    int argc = 0;
    HOLDS(text);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    for (char *at = text; argc < 63 && at <= text + size; at += strlen(at) + 1)
        argv[argc++] = at;
    struct arguments how;
    if (parse_arguments(argc, argv, &how)) {
        HOLDS(how.control >= 0 && how.group >= -1 && how.umask >= -1 && how.umask <= 07777);
        HOLDS(how.count >= 1 && how.files + how.count < argv + argc && how.files > argv);
        HOLDS(how.cpus && how.signals && how.directory);
        walk(how.cpus);
        walk(how.signals);
        if (how.keep)
            walk(how.keep);
    }
    free(text);
    return 0;
}
