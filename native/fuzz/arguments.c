/* Arguments of the launcher, separated by NUL. */
#include "launcher/arguments.h"
#include "fuzz.h"

#include <limits.h>

/* As many numbers as commas plus one, none negative. */
static void walk(const char *list)
{
    size_t expected = *list != '\0', n = 0;
    const char *text = list;
    int number;
    for (const char *at = list; *at; at++)
        expected += *at == ',';
    while (next_number(&list, &number)) {
        ASSERT(number >= 0 && (long long)number == strtoll(text, NULL, 10));
        text = list;
        n++;
    }
    ASSERT(n == expected && *list == '\0');
}

FUZZ(arguments)
{
    char *argv[64] = {NULL}, *text = malloc(size + 1);
    int argc = 0;
    ASSERT(text);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    for (char *at = text; argc < 63 && at <= text + size; at += strlen(at) + 1)
        argv[argc++] = at;
    struct arguments options;
    if (parse_arguments(argc, argv, &options)) {
        ASSERT(options.control >= 0 && options.cgroup >= -1 && options.umask >= -1 && options.umask <= 07777);
        ASSERT(options.count >= 1 && options.files + options.count < argv + argc && options.files > argv);
        ASSERT(options.cpus && options.signals && options.directory);
        walk(options.cpus);
        walk(options.signals);
        if (options.keep)
            walk(options.keep);
    }
    free(text);
    return 0;
}
