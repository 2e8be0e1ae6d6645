/* Shared by the C tests. */
#ifndef PROCK_CHECKS_H
#define PROCK_CHECKS_H

#include <stddef.h>
#include <stdio.h>

extern int failures, checks;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        checks++;                                                                                                      \
        if (!(condition)) {                                                                                            \
            failures++;                                                                                                \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                             \
        }                                                                                                              \
    } while (0)

/* A copy of exactly that size, so that the sanitizer reports a read past its end. */
char *exact(const char *bytes, size_t len);

/* test_ring.c */
void test_ring(void);

#endif
