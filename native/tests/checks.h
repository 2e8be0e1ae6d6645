/* What the C tests share. */
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
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                             \
        }                                                                                                              \
    } while (0)

/* A copy without a byte to spare, so that the sanitizer sees a parser that reads on. */
char *exact(const char *bytes, size_t len);

/* test_ring.c */
void test_ring(void);

#endif
