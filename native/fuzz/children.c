#define _GNU_SOURCE
#include "fuzz.h"
#include "procfs/procfs.h"

#include <fcntl.h>
#include <unistd.h>

static bool naive(struct text rest, struct prock_pids *out)
{
    struct text word;
    while (cut(&rest, ' ', &word)) {
        int32_t pid;
        if (starts_with(word, "-") || !naive_i32(word, &pid) || pid == 0)
            return false;
        ASSERT(prock_pids_add(out, pid) == 0);
    }
    return word.len == 0;
}

/* Through a pipe that returns pieces of that length, as the kernel returns pages. */
static int in_pieces(struct text text, size_t piece, struct prock_pids *out)
{
    enum { MOST = 16 }; /* packets that fit into a pipe */
    int ends[2];
    ASSERT(pipe2(ends, O_DIRECT | O_CLOEXEC) == 0);
    if (piece * MOST < text.len)
        piece = text.len / MOST + 1;
    while (text.len) {
        size_t len = piece < text.len ? piece : text.len;
        ASSERT(write(ends[1], text.at, len) == (ssize_t)len);
        text.at += len;
        text.len -= len;
    }
    close(ends[1]);
    int error = prock_read_children_list(ends[0], out);
    close(ends[0]);
    return error;
}

static void same(const struct prock_pids *one, const struct prock_pids *other)
{
    ASSERT(one->n == other->n);
    ASSERT(one->n == 0 || memcmp(one->v, other->v, one->n * sizeof *one->v) == 0);
}

FUZZ(children)
{
    struct prock_pids whole = {0}, pieces = {0}, other = {0};
    if (size == 0 || size > 16000)
        return 0;
    size_t piece = 1 + data[0] * 16U;
    struct text text = text_of(data + 1, size - 1);
    bool expected = naive(text, &other);
    int error = prock_parse_children(text.at, text.len, &whole);
    ASSERT(error == (expected ? 0 : -EBADMSG));
    int error_of_pieces = in_pieces(text, piece, &pieces);
    ASSERT(error_of_pieces == 0 || error_of_pieces == -EBADMSG);
    ASSERT(error_of_pieces || expected);
    if (!error)
        same(&whole, &other);
    if (!error_of_pieces)
        same(&pieces, &other);
    for (size_t i = 0; i < whole.n; i++)
        ASSERT(whole.v[i] > 0);
    prock_pids_free(&whole);
    prock_pids_free(&pieces);
    prock_pids_free(&other);
    return 0;
}
