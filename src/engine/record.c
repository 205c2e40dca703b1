/* Times are written from whole microseconds: a host program's locale, which may change what "%f" prints, plays no
 * part. */
#include "engine/record.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"

void xpm_host_self(struct xpm_host *host)
{
    xpm_os_hostname(host->name, sizeof host->name);
    if (xpm_os_boot_id(host->boot_id) != 0)
        host->boot_id[0] = '\0';
}

void xpm_who_self(struct xpm_who *who)
{
    who->pid = getpid();
    if (xpm_os_process_start(who->pid, &who->start) != 0)
        who->start = 0;
}

size_t xpm_record_size(const char *const *outputs, uint32_t noutputs)
{
    size_t size = 1024; /* the fixed fields, and a message and a host name that need no escapes */
    for (uint32_t i = 0; i < noutputs; i++)
        size += 2 * strlen(outputs[i]) + 32;
    return size;
}

static void add_seconds(struct xpm_buf *b, const char *key, double seconds)
{
    int64_t micro = (int64_t)(seconds * 1e6 + (seconds < 0 ? -0.5 : 0.5));
    xpm_buf_addf(b, ",\"%s\":%" PRId64 ".%06" PRId64, key, micro / 1000000, micro % 1000000);
}

static void add_text(struct xpm_buf *b, const char *key, const char *s)
{
    xpm_buf_addf(b, ",\"%s\":", key);
    xpm_buf_add_json(b, s, strlen(s));
}

static bool fill(struct xpm_buf *b, size_t from, size_t size)
{
    size_t used = b->len - from;
    if (used + 1 < size && xpm_buf_reserve(b, size - used)) {
        memset(b->data + b->len, ' ', size - used - 1);
        b->len += size - used - 1;
    }
    return xpm_buf_addc(b, '\n') && !b->failed;
}

bool xpm_record_pid(struct xpm_buf *b, const struct xpm_pid_record *r, size_t size)
{
    size_t from = b->len;
    xpm_buf_addf(b, "{\"version\":%d,\"pid\":%ld,\"start\":%" PRIu64, XPM_RECORD_VERSION, (long)r->supervisor.pid,
                 r->supervisor.start);
    add_text(b, "host", r->host->name);
    add_text(b, "boot_id", r->host->boot_id);
    xpm_buf_addf(b, ",\"driver\":{\"pid\":%ld,\"start\":%" PRIu64 "}", (long)r->driver.pid, r->driver.start);
    if (r->job)
        xpm_buf_addf(b, ",\"job\":%ld", (long)r->job);
    add_seconds(b, "started_at", r->started_at);
    xpm_buf_addc(b, '}');
    return fill(b, from, size);
}

bool xpm_record_marker(struct xpm_buf *b, const struct xpm_facts *facts, const struct xpm_host *host,
                       const char *const *outputs, const int64_t *sizes, uint32_t noutputs, size_t size)
{
    size_t from = b->len;
    xpm_buf_addf(b, "{\"version\":%d,\"state\":\"%s\"", XPM_RECORD_VERSION, xpm_state_word(facts->state));
    if (facts->reason)
        add_text(b, "reason", xpm_reason_word(facts->reason));
    if (facts->exit_code >= 0)
        xpm_buf_addf(b, ",\"exit_code\":%d", facts->exit_code);
    if (facts->signal)
        xpm_buf_addf(b, ",\"signal\":%d", facts->signal);
    if (facts->started_at > 0)
        add_seconds(b, "started_at", facts->started_at);
    add_seconds(b, "ended_at", facts->ended_at);
    if (facts->cpu_seconds >= 0)
        add_seconds(b, "cpu_seconds", facts->cpu_seconds);
    if (facts->peak_memory >= 0)
        xpm_buf_addf(b, ",\"peak_memory\":%" PRId64, facts->peak_memory);
    add_text(b, "hostname", host->name);
    add_text(b, "boot_id", host->boot_id);
    xpm_buf_adds(b, ",\"outputs\":{");
    for (uint32_t i = 0; i < noutputs; i++) {
        if (i)
            xpm_buf_addc(b, ',');
        xpm_buf_add_json(b, outputs[i], strlen(outputs[i]));
        if (sizes[i] >= 0)
            xpm_buf_addf(b, ":%" PRId64, sizes[i]);
        else
            xpm_buf_adds(b, ":null");
    }
    xpm_buf_addc(b, '}');
    if (facts->message[0]) {
        size_t before = b->len;
        add_text(b, "message", facts->message);
        if (b->len - from + 2 > size)
            b->len = before; /* the room matters more */
    }
    xpm_buf_addc(b, '}');
    return fill(b, from, size);
}

bool xpm_record_holder(struct xpm_buf *b, const struct xpm_host *host, const struct xpm_who *who, double now)
{
    xpm_buf_addf(b, "{\"version\":%d,\"pid\":%ld,\"start\":%" PRIu64, XPM_RECORD_VERSION, (long)who->pid, who->start);
    add_text(b, "host", host->name);
    add_text(b, "boot_id", host->boot_id);
    add_seconds(b, "since", now);
    xpm_buf_adds(b, "}\n");
    return !b->failed;
}
