/* Texts for a log: without secrets, and as JSON. */
#ifndef PROCK_LAUNCHER_REDACT_H
#define PROCK_LAUNCHER_REDACT_H

#include <stddef.h>

/* Copies a command line with *** in the place of what prock.redaction hides, and sometimes of more: the value after a
 * name that ends in password, passwd, passphrase, token, secret or key, of an authorization or cookie header, and the
 * password of an address. Returns the length, at most cap. */
size_t prock_redact(const char *text, size_t len, char *out, size_t cap);

/* The inside of a JSON string in ASCII, cut at cap; bytes that are not UTF-8 become \\xff. Returns the length. */
size_t prock_json_text(const char *text, size_t len, char *out, size_t cap);

#endif
