/* replay native/fuzz: runs each target over its files in corpus/ and regressions/.
 * replay NAME FILE...: runs one target over these files. */
#define _GNU_SOURCE
#include "fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    const char *name;
    fuzz_target *run;
} targets[64];
static size_t count, files;
static char current[PATH_MAX];

void replay_add(const char *name, fuzz_target *run)
{
    if (count == sizeof targets / sizeof *targets)
        abort();
    targets[count].name = name;
    targets[count++].run = run;
}

/* Sanitizers abort, too. */
static void print_current_file(int number)
{
    static const char why[] = "\nreplay: failed at ";
    ssize_t ignored = write(STDERR_FILENO, why, sizeof why - 1) + write(STDERR_FILENO, current, strlen(current)) +
                      write(STDERR_FILENO, "\n", 1);
    (void)ignored;
    signal(number, SIG_DFL);
    raise(number);
}

/* In a block of exactly that size, so that the sanitizer reports a read past its end. */
static void replay(fuzz_target *run, const char *path)
{
    FILE *file = fopen(path, "re");
    struct stat st;
    if (!file || fstat(fileno(file), &st) < 0) {
        perror(path);
        exit(2);
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, file) != size)
        abort();
    fclose(file);
    snprintf(current, sizeof current, "%s", path);
    run(data, size);
    free(data);
    files++;
}

static size_t replay_all(fuzz_target *run, const char *root, const char *kind, const char *name)
{
    char path[PATH_MAX];
    size_t before = files;
    snprintf(path, sizeof path, "%s/%s/%s", root, kind, name);
    DIR *directory = opendir(path);
    size_t len = strlen(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path + len, sizeof path - len, "/%s", entry->d_name);
        replay(run, path);
    }
    if (directory)
        closedir(directory);
    return files - before;
}

int main(int argc, char **argv)
{
    signal(SIGABRT, print_current_file);
    bool known = false;
    if (argc < 2)
        return 2;
    for (size_t i = 0; i < count; i++) {
        if (argc > 2 && strcmp(argv[1], targets[i].name) != 0)
            continue;
        known = true;
        for (int file = 2; file < argc; file++)
            replay(targets[i].run, argv[file]);
        if (argc == 2 && replay_all(targets[i].run, argv[1], "corpus", targets[i].name) == 0) {
            fprintf(stderr, "replay: no corpus of %s in %s: run native/fuzz/seeds.py\n", targets[i].name, argv[1]);
            return 1;
        }
        if (argc == 2)
            replay_all(targets[i].run, argv[1], "regressions", targets[i].name);
    }
    if (!known) {
        fprintf(stderr, "replay: unknown target %s: use the name of a file in native/fuzz\n", argv[1]);
        return 2;
    }
    printf("Fuzz targets: %zu of %zu files replayed\n", argc > 2 ? (size_t)1 : count, files);
    return 0;
}
