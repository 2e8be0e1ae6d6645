/* Shared by the fuzz targets. Each is one file with FUZZ(name), which asserts what holds for any input.
 *
 * clang links one target with libFuzzer (tools/check-fuzz.sh); any compiler links all targets with replay.c, which runs
 * them over the files of corpus/ and regressions/ (tools/test-native.sh). */
#ifndef PROCK_FUZZ_H
#define PROCK_FUZZ_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int fuzz_target(const uint8_t *data, size_t size);

#ifdef REPLAY
void replay_add(const char *name, fuzz_target *run);
#define FUZZ(name)                                                                                                     \
    static fuzz_target fuzz_##name;                                                                                    \
    __attribute__((constructor)) static void add_##name(void)                                                          \
    {                                                                                                                  \
        replay_add(#name, fuzz_##name);                                                                                \
    }                                                                                                                  \
    static int fuzz_##name(const uint8_t *data, size_t size)
#else
fuzz_target LLVMFuzzerTestOneInput;
#define FUZZ(name) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
#endif

#define ASSERT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* ---- reference parser: splits text into words; numbers are parsed by the C library ---- */

struct text {
    const char *at;
    size_t len;
};

static inline struct text text_of(const uint8_t *data, size_t size)
{
    return (struct text){(const char *)data, size};
}

/* Splits at the first `at`. Without it, before is the whole text, and the result is false. */
static inline bool cut(struct text *rest, char at, struct text *before)
{
    const char *found = rest->len ? memchr(rest->at, at, rest->len) : NULL;
    before->at = rest->at;
    before->len = found ? (size_t)(found - rest->at) : rest->len;
    rest->at += before->len + (found != NULL);
    rest->len -= before->len + (found != NULL);
    return found != NULL;
}

static inline bool starts_with(struct text text, const char *start)
{
    return text.len >= strlen(start) && memcmp(text.at, start, strlen(start)) == 0;
}

/* At most 20 digits that fit into 64 bits. */
static inline bool naive_u64(struct text word, uint64_t *value)
{
    char copy[21] = {0};
    if (word.len == 0 || word.len > 20)
        return false;
    memcpy(copy, word.at, word.len);
    if (strspn(copy, "0123456789") != word.len)
        return false;
    errno = 0;
    *value = strtoull(copy, NULL, 10);
    return errno == 0;
}

/* With an optional minus. */
static inline bool naive_signed(struct text word, bool *negative, uint64_t *value)
{
    *negative = starts_with(word, "-");
    word.at += *negative;
    word.len -= *negative;
    return naive_u64(word, value);
}

static inline bool naive_i32(struct text word, int32_t *out)
{
    bool negative;
    uint64_t value;
    if (!naive_signed(word, &negative, &value) || value > (uint64_t)INT32_MAX + negative)
        return false;
    *out = (int32_t)(negative ? -(int64_t)value : (int64_t)value);
    return true;
}

/* The next n bytes of the input as a number; missing bytes are 0. */
static inline uint64_t take_bytes(const uint8_t **data, size_t *size, size_t n)
{
    uint64_t value = 0;
    for (; n > 0 && *size > 0; n--, --*size)
        value = value << 8 | *(*data)++;
    return value;
}

#endif
