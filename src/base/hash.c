/* libsodium chooses its fast code in sodium_init, which costs a few system calls: it is called only before files are
 * hashed. An identifier is short, and the portable code needs no initialization. */
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

_Static_assert(XPM_HASH_SIZE == crypto_generichash_BYTES, "BLAKE2b-256");

void xpm_hash_bytes(uint8_t out[XPM_HASH_SIZE], const void *data, size_t len)
{
    static const uint8_t nothing;
    crypto_generichash(out, XPM_HASH_SIZE, data ? data : &nothing, len, NULL, 0);
}

int xpm_hash_file(uint8_t out[XPM_HASH_SIZE], const char *path, struct xpm_err *err)
{
    crypto_generichash_state state;
    unsigned char piece[65536];
    int rc = 0;
    ssize_t n;
    if (sodium_init() < 0)
        return xpm_err_set(err, XPM_EUNSUPPORTED, "the hash library cannot be initialized");
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return xpm_err_errno(err, errno, "cannot open %s", path);
    crypto_generichash_init(&state, NULL, 0, XPM_HASH_SIZE);
    while ((n = read(fd, piece, sizeof piece)) != 0) {
        if (n > 0) {
            crypto_generichash_update(&state, piece, (unsigned long long)n);
        } else if (errno != EINTR) {
            rc = xpm_err_errno(err, errno, "cannot read %s", path);
            break;
        }
    }
    close(fd);
    if (rc == 0)
        crypto_generichash_final(&state, out, XPM_HASH_SIZE);
    return rc;
}

void xpm_hash_to_hex(char out[XPM_HASH_HEX + 1], const uint8_t hash[XPM_HASH_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < XPM_HASH_SIZE; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[XPM_HASH_HEX] = '\0';
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool xpm_hash_from_hex(uint8_t out[XPM_HASH_SIZE], const char *hex, size_t len)
{
    if (len != XPM_HASH_HEX)
        return false;
    for (size_t i = 0; i < XPM_HASH_SIZE; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
