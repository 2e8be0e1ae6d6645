#include "launcher/redact.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const SECRETS[] = {"passwd", "password", "passphrase", "token", "secret", "key"};
static const char *const HEADERS[] = {"authorization", "cookie"};

struct sink {
    char *out;
    size_t len, cap;
};

static void put(struct sink *sink, const char *text, size_t len)
{
    if (len > sink->cap - sink->len)
        len = sink->cap - sink->len;
    memcpy(sink->out + sink->len, text, len);
    sink->len += len;
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

static bool ends_in(const char *name, size_t len, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(words[i]);
        if (len >= n && strncasecmp(name + len - n, words[i], n) == 0)
            return true;
    }
    return false;
}

/* End of a value: of a quoted text, of the rest of the line or quotation (a header), or of a word. */
static size_t value_end(const char *text, size_t at, size_t len, bool is_header)
{
    char quote = at < len && (text[at] == '"' || text[at] == '\'') ? text[at] : 0;
    if (quote) {
        for (at++; at < len && text[at] != quote; at++)
            ;
        return at < len ? at + 1 : len;
    }
    while (at < len && text[at] != '"' && text[at] != '\'' && text[at] != '\n' &&
           (is_header || (!is_space(text[at]) && text[at] != ';' && text[at] != '&')))
        at++;
    return at;
}

/* Where the value of the name that ends at `at` begins; 0: none follows. */
static size_t value_start(const char *text, size_t at, size_t len, bool is_option)
{
    if (at < len && is_option && is_space(text[at])) {
        while (at < len && is_space(text[at]))
            at++;
        return at < len && strncmp(text + at, "--", 2) != 0 ? at : 0;
    }
    if (at < len && (text[at] == '"' || text[at] == '\''))
        at++;
    while (at < len && is_space(text[at]))
        at++;
    if (at >= len || (text[at] != '=' && text[at] != ':') || (text[at] == ':' && at + 2 < len && text[at + 1] == '/'))
        return 0;
    for (at++; at < len && is_space(text[at]); at++)
        ;
    return at;
}

/* The end of the password of an address that begins after "://"; 0: it has none. *start: of the password. */
static size_t password_end(const char *text, size_t at, size_t len, size_t *start)
{
    *start = 0;
    for (; at < len && text[at] != '/' && !is_space(text[at]); at++) {
        if (text[at] == ':' && !*start)
            *start = at + 1;
        else if (text[at] == '@')
            return *start ? at : 0;
    }
    return 0;
}

size_t prock_redact(const char *text, size_t len, char *out, size_t cap)
{
    struct sink sink = {out, 0, cap};
    size_t at = 0;
    while (at < len) {
        size_t start, end = at;
        if (at + 3 <= len && memcmp(text + at, "://", 3) == 0 && (end = password_end(text, at + 3, len, &start)) > 0) {
            put(&sink, text + at, start - at);
            put(&sink, "***", 3);
            at = end;
            continue;
        }
        for (end = at; end < len && is_name(text[end]); end++)
            ;
        if (end == at) {
            put(&sink, text + at++, 1);
            continue;
        }
        bool is_header = ends_in(text + at, end - at, HEADERS, sizeof HEADERS / sizeof *HEADERS);
        bool is_secret = is_header || ends_in(text + at, end - at, SECRETS, sizeof SECRETS / sizeof *SECRETS);
        start = is_secret ? value_start(text, end, len, text[at] == '-') : 0;
        if (start == 0) {
            put(&sink, text + at, end - at);
            at = end;
            continue;
        }
        put(&sink, text + at, start - at);
        at = value_end(text, start, len, is_header);
        if (at > start)
            put(&sink, "***", 3);
    }
    return sink.len;
}

/* Bytes of the character of valid UTF-8 that begins here, and its code; 0: invalid. */
static size_t character(const unsigned char *at, size_t len, uint32_t *code)
{
    size_t n = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
    if (n == 0 || n > len)
        return 0;
    *code = n == 1 ? at[0] : at[0] & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (at[i] & 0x3fU);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return *code < least[n] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000) ? 0 : n;
}

size_t prock_json_text(const char *text, size_t len, char *out, size_t cap)
{
    struct sink sink = {out, 0, cap};
    for (size_t at = 0; at < len;) {
        char one[16];
        uint32_t code = 0;
        size_t n = character((const unsigned char *)text + at, len - at, &code);
        int size;
        if (n == 0)
            size = snprintf(one, sizeof one, "\\\\x%02x", (unsigned char)text[at]);
        else if (code >= 0x10000)
            size = snprintf(
                one, sizeof one, "\\u%04x\\u%04x", 0xd800 + (unsigned)((code - 0x10000) >> 10),
                0xdc00 + (unsigned)((code - 0x10000) & 0x3ff));
        else if (code == '"' || code == '\\')
            size = snprintf(one, sizeof one, "\\%c", (int)code);
        else if (code < 0x20 || code >= 0x7f)
            size = snprintf(one, sizeof one, "\\u%04x", (unsigned)code);
        else
            size = snprintf(one, sizeof one, "%c", (int)code);
        if ((size_t)size > sink.cap - sink.len) /* no part of an escape */
            break;
        put(&sink, one, (size_t)size);
        at += n ? n : 1;
    }
    return sink.len;
}
