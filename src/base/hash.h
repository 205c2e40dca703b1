/* BLAKE2b-256 (RFC 7693, no key, 32 bytes out). The one adapter of libsodium. */
#ifndef XPM_BASE_HASH_H
#define XPM_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define XPM_HASH_SIZE 32
#define XPM_HASH_HEX (2 * XPM_HASH_SIZE)

/* The hash of `len` bytes. Allocates nothing and cannot fail. */
void xpm_hash_bytes(uint8_t out[XPM_HASH_SIZE], const void *data, size_t len);

/* The hash of a file's content, read in pieces. Errors: not_found, io. */
int xpm_hash_file(uint8_t out[XPM_HASH_SIZE], const char *path, struct xpm_err *err);

/* 64 lower-case hexadecimal digits and a NUL. */
void xpm_hash_to_hex(char out[XPM_HASH_HEX + 1], const uint8_t hash[XPM_HASH_SIZE]);

/* Reads exactly 64 digits (lower case only: one hash has one name). False if `len` or a digit is wrong. */
bool xpm_hash_from_hex(uint8_t out[XPM_HASH_SIZE], const char *hex, size_t len);

#endif
