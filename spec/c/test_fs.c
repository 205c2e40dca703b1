#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "../support/allocfail.h"
#include "../support/tap.h"

static char folder[256], scratch[4][4400];
static struct xpm_buf buf = XPM_BUF_INIT;

/* `name` in the test's folder; four results live at a time. */
static const char *in(const char *name)
{
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(scratch[turn], sizeof scratch[turn], "%s/%s", folder, name);
    return scratch[turn];
}

static bool holds(const char *path, const char *text)
{
    xpm_buf_clear(&buf);
    return xpm_fs_read(&buf, path, 1 << 20, NULL) == 0 && buf.len == strlen(text) && memcmp(buf.data, text, buf.len) == 0;
}

static size_t count_in(const char *path)
{
    size_t n = 0;
    xpm_buf_clear(&buf);
    return xpm_fs_list(&buf, &n, path, NULL) == 0 ? n : (size_t)-1;
}

static void expect_abspath(const char *path, const char *want)
{
    xpm_buf_clear(&buf);
    bool ok = xpm_fs_abspath(&buf, path, NULL) == 0 && strcmp(buf.data, want) == 0 && buf.len == strlen(want);
    tap_ok(ok, "abspath %s is %s", path, want);
}

static void test_abspath(void)
{
    char cwd[1024], want[1100];
    expect_abspath("/", "/");
    expect_abspath("//", "/");
    expect_abspath("/..", "/");
    expect_abspath("/../../a", "/a");
    expect_abspath("/a/./b//c/", "/a/b/c");
    expect_abspath("/a/b/../c", "/a/c");
    expect_abspath("/a/../../b/..", "/");
    expect_abspath("/a/...", "/a/...");
    expect_abspath("/a/..b/.c", "/a/..b/.c");
    if (!getcwd(cwd, sizeof cwd))
        return;
    expect_abspath("", cwd);
    expect_abspath(".", cwd);
    snprintf(want, sizeof want, "%s/x", cwd);
    expect_abspath("x", want);
    expect_abspath("y/../x/.", want);
    if (chdir("/") == 0) {
        expect_abspath("x", "/x");
        expect_abspath("../x", "/x");
        expect_abspath(".", "/");
    }
    tap_ok(chdir(cwd) == 0, "back again");

    xpm_buf_clear(&buf);
    xpm_buf_adds(&buf, "before:");
    tap_ok(xpm_fs_abspath(&buf, "/a/../../b", NULL) == 0 && strcmp(buf.data, "before:/b") == 0, "'..' stops at what was there");
    struct xpm_err err = XPM_ERR_INIT;
    tap_ok(mkdir(in("gone"), 0777) == 0 && chdir(in("gone")) == 0 && rmdir(in("gone")) == 0, "a folder that goes away");
    xpm_buf_clear(&buf);
    tap_ok(xpm_fs_abspath(&buf, "x", &err) == XPM_ENOTFOUND, "has no path: %s", err.msg);
    tap_ok(xpm_fs_abspath(&buf, "/x", NULL) == 0, "absolute ones need none");
    tap_ok(chdir(cwd) == 0, "back again");
}

static void test_folders(void)
{
    struct xpm_err err = XPM_ERR_INIT;
    struct xpm_fs_stat st;
    tap_ok(xpm_fs_mkdirs(in("a/b/c"), &err) == 0, "folders are made");
    tap_ok(xpm_fs_mkdirs(in("a/b/c"), &err) == 0, "also when they are there");
    tap_ok(xpm_fs_mkdirs(in("a/b//d/./e/"), &err) == 0, "double and final slashes");
    tap_ok(xpm_fs_stat(&st, in("a/b/d/e"), false, NULL) == 0 && st.kind == XPM_FS_DIRECTORY, "they are folders");
    tap_ok(xpm_fs_mkdirs("", &err) == XPM_ENOTFOUND, "no path: %s", err.msg);
    err.code = 0;
    xpm_fs_write(in("file"), "x", 1, NULL);
    tap_ok(xpm_fs_mkdirs(in("file"), &err) == XPM_EEXISTS, "a file in the way: %s", err.msg);
    err.code = 0;
    tap_ok(xpm_fs_mkdirs(in("file/below"), &err) != 0 && strstr(err.msg, "file"), "or on the way: %s", err.msg);
    tap_ok(xpm_fs_mkdir(in("a"), NULL) == XPM_EEXISTS, "mkdir says what is there");
    tap_ok(xpm_fs_mkdir(in("none/x"), NULL) == XPM_ENOTFOUND, "mkdir makes no parents");

    size_t n = 7;
    tap_ok(xpm_fs_list(&buf, &n, in("none"), NULL) == XPM_ENOTFOUND, "a folder that is not there cannot be listed");
    tap_ok(count_in(in("a/b/c")) == 0, "an empty one has no names");
    static const char *const names[] = { "z", "b", "..x", ".hidden", "a b", "\xc3\xa4", "A" };
    for (size_t i = 0; i < 7; i++) {
        char name[64];
        snprintf(name, sizeof name, "a/b/c/%s", names[i]);
        xpm_fs_write(in(name), "", 0, NULL);
    }
    static const char sorted[] = "..x\0.hidden\0A\0a b\0b\0z\0\xc3\xa4";
    tap_ok(count_in(in("a/b/c")) == 7 && buf.len == sizeof sorted && memcmp(buf.data, sorted, buf.len) == 0, "sorted by bytes");
    tap_ok(xpm_fs_remove(in("a/b/c"), &err) == err.code && err.code, "a folder with files is not removed: %s", err.msg);
    tap_ok(xpm_fs_remove(in("a/b/d/e"), NULL) == 0 && xpm_fs_remove(in("file"), NULL) == 0, "an empty one is, and a file");
    tap_ok(xpm_fs_remove(in("file"), NULL) == XPM_ENOTFOUND, "once");
}

static void test_write(void)
{
    struct xpm_err err = XPM_ERR_INIT;
    struct stat st;
    xpm_fs_mkdirs(in("w"), NULL);
    mode_t old = umask(0027);
    tap_ok(xpm_fs_write(in("w/f"), "one", 3, &err) == 0 && holds(in("w/f"), "one"), "a file is written");
    tap_ok(stat(in("w/f"), &st) == 0 && (st.st_mode & 0777) == 0640, "its mode is 0666 less the umask");
    umask(old);
    tap_ok(xpm_fs_write(in("w/f"), "", 0, &err) == 0 && holds(in("w/f"), ""), "written over with nothing");
    tap_ok(xpm_fs_write(in("w/f"), "two", 3, &err) == 0 && holds(in("w/f"), "two"), "and with something");
    tap_ok(count_in(in("w")) == 1, "nothing else is left");
    tap_ok(xpm_fs_write(in("w/none/f"), "x", 1, &err) == XPM_ENOTFOUND, "no folder: %s", err.msg);
    err.code = 0;
    xpm_fs_mkdir(in("w/d"), NULL);
    tap_ok(xpm_fs_write(in("w/d"), "x", 1, &err) != 0 && count_in(in("w")) == 2, "a folder in the way, nothing left: %s", err.msg);
    err.code = 0;

    char name[300] = "w/";
    memset(name + 2, 'n', 255);
    name[257] = '\0';
    tap_ok(xpm_fs_write(in(name), "x", 1, &err) == 0 && holds(in(name), "x"), "a name as long as names may be");
    name[257] = 'n';
    name[258] = '\0';
    tap_ok(xpm_fs_write(in(name), "x", 1, &err) == XPM_EIO && count_in(in("w")) == 3, "a longer one leaves nothing");
    err.code = 0;

    /* A full disk, played by a limit on the size of files. */
    struct rlimit limit, little;
    getrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
    little = (struct rlimit){ 4096, limit.rlim_max };
    setrlimit(RLIMIT_FSIZE, &little);
    static const char big[10000];
    int rc = xpm_fs_write(in("w/f"), big, sizeof big, &err);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_DFL);
    tap_ok(rc == XPM_EIO, "no room: %s", err.msg);
    tap_ok(holds(in("w/f"), "two") && count_in(in("w")) == 3, "the old file stands, nothing is left behind");

    tap_ok(symlink("f", in("w/link")) == 0 && xpm_fs_write(in("w/link"), "three", 5, NULL) == 0, "through a link");
    tap_ok(holds(in("w/link"), "three") && holds(in("w/f"), "two"), "the link is replaced, its target is not");
}

static void test_read(void)
{
    struct xpm_err err = XPM_ERR_INIT;
    xpm_buf_clear(&buf);
    xpm_fs_write(in("r"), "a\0b", 3, NULL);
    tap_ok(xpm_fs_read(&buf, in("r"), 3, NULL) == 0 && buf.len == 3 && memcmp(buf.data, "a\0b", 4) == 0, "bytes, to the limit");
    tap_ok(xpm_fs_read(&buf, in("r"), 100, NULL) == 0 && buf.len == 6, "are appended");
    tap_ok(xpm_fs_read(&buf, in("r"), 2, &err) == XPM_ELIMIT, "past it: %s", err.msg);
    tap_ok(xpm_fs_read(&buf, in("none"), 2, NULL) == XPM_ENOTFOUND, "no file");
    tap_ok(xpm_fs_read(&buf, folder, 2, NULL) == XPM_EIO, "a folder");
    xpm_buf_clear(&buf);
    tap_ok(xpm_fs_read(&buf, "/proc/self/status", 1 << 20, NULL) == 0 && buf.len > 100, "a file that says it is empty");
    xpm_buf_clear(&buf);
    tap_ok(xpm_fs_read(&buf, "/proc/self/status", 10, NULL) == XPM_ELIMIT, "has a limit too");
}

static void expect_tail(size_t lines, size_t bytes, const char *want)
{
    xpm_buf_clear(&buf);
    bool ok = xpm_fs_tail(&buf, in("t"), lines, bytes, NULL) == 0 && buf.len == strlen(want) && memcmp(buf.data, want, buf.len) == 0;
    tap_ok(ok, "%zu lines, %zu bytes: '%s'", lines, bytes, want);
    if (!ok)
        printf("# got '%.*s'\n", (int)buf.len, buf.data ? buf.data : "");
}

static void test_tail(void)
{
    xpm_fs_write(in("t"), "", 0, NULL);
    expect_tail(3, 100, "");
    xpm_fs_write(in("t"), "\n", 1, NULL);
    expect_tail(1, 100, "\n");
    xpm_fs_write(in("t"), "one\ntwo\nthree\n", 14, NULL);
    expect_tail(0, 100, "");
    expect_tail(1, 100, "three\n");
    expect_tail(2, 100, "two\nthree\n");
    expect_tail(3, 100, "one\ntwo\nthree\n");
    expect_tail(4, 100, "one\ntwo\nthree\n");
    expect_tail(4, 14, "one\ntwo\nthree\n");
    expect_tail(4, 13, "two\nthree\n");
    expect_tail(4, 10, "two\nthree\n");
    expect_tail(4, 9, "three\n");
    expect_tail(4, 6, "three\n");
    expect_tail(4, 5, "hree\n");
    expect_tail(4, 0, "");
    xpm_fs_write(in("t"), "one\ntwo", 7, NULL);
    expect_tail(1, 100, "two");
    expect_tail(2, 100, "one\ntwo");
    expect_tail(9, 2, "wo");
    xpm_fs_write(in("t"), "a\n\n\nb\n", 6, NULL);
    expect_tail(2, 100, "\nb\n");
    expect_tail(3, 100, "\n\nb\n");
    xpm_fs_write(in("t"), "\xe2\x82\xac\xe2\x82\xac", 6, NULL);
    expect_tail(1, 5, "\xe2\x82\xac");
    expect_tail(1, 4, "\xe2\x82\xac");
    expect_tail(1, 3, "\xe2\x82\xac");
    struct xpm_err err = XPM_ERR_INIT;
    tap_ok(xpm_fs_tail(&buf, in("none"), 1, 1, NULL) == XPM_ENOTFOUND, "no file");
    tap_ok(xpm_fs_tail(&buf, folder, 1, 1, &err) == XPM_EINVAL, "a folder: %s", err.msg);
    tap_ok(mkfifo(in("fifo"), 0600) == 0 && xpm_fs_tail(&buf, in("fifo"), 1, 1, NULL) == XPM_EINVAL, "a pipe, without waiting");
}

static void test_links(void)
{
    struct xpm_fs_stat st;
    xpm_fs_mkdirs(in("l/d"), NULL);
    xpm_fs_write(in("l/f"), "text", 4, NULL);
    tap_ok(xpm_fs_symlink("d", in("l/link"), NULL) == 0, "a link is made");
    tap_ok(xpm_fs_symlink("f", in("l/link"), NULL) == 0, "and replaced, though it led to a folder");
    xpm_buf_clear(&buf);
    tap_ok(xpm_fs_readlink(&buf, in("l/link"), NULL) == 0 && strcmp(buf.data, "f") == 0, "it says where it leads");
    tap_ok(count_in(in("l")) == 3, "nothing else is left");
    tap_ok(xpm_fs_symlink("f", in("l/d"), NULL) != 0 && count_in(in("l")) == 3, "a folder is not replaced, nothing is left");
    tap_ok(xpm_fs_symlink("f", in("none/link"), NULL) == XPM_ENOTFOUND, "no folder to make one in");
    tap_ok(xpm_fs_readlink(&buf, in("l/f"), NULL) != 0, "a file is no link");
    tap_ok(xpm_fs_stat(&st, in("l/link"), false, NULL) == 0 && st.kind == XPM_FS_FILE && st.size == 4, "stat follows it");
    tap_ok(xpm_fs_stat(&st, in("l/link"), true, NULL) == 0 && st.kind == XPM_FS_LINK, "or not");
    tap_ok(st.mtime > 1.6e9, "with its time");
    tap_ok(xpm_fs_stat(&st, "/dev/null", false, NULL) == 0 && st.kind == XPM_FS_OTHER, "a device is another thing");
    struct xpm_buf real = XPM_BUF_INIT;
    xpm_fs_realpath(&real, folder, NULL);
    xpm_buf_adds(&real, "/l/f");
    xpm_buf_clear(&buf);
    tap_ok(xpm_fs_realpath(&buf, in("l/d/.././link"), NULL) == 0 && strcmp(buf.data, real.data) == 0, "the real path");
    xpm_buf_free(&real);
    tap_ok(xpm_fs_symlink("loop", in("l/loop"), NULL) == 0 && xpm_fs_realpath(&buf, in("l/loop"), NULL) == XPM_EIO, "a loop has none");
    tap_ok(xpm_fs_realpath(&buf, in("l/none"), NULL) == XPM_ENOTFOUND, "nor has what is not there");
    tap_ok(xpm_fs_remove(in("l/link"), NULL) == 0 && holds(in("l/f"), "text"), "removing a link leaves its target");
}

static void test_network(void)
{
    bool network = true, below = true;
    char name[16], name_below[16];
    tap_ok(xpm_fs_network(&network, name, "/proc", NULL) == 0 && !network && strcmp(name, "proc") == 0, "/proc is local");
    tap_ok(xpm_fs_network(&network, name, folder, NULL) == 0 && name[0], "a folder: %s", name);
    tap_ok(xpm_fs_network(&below, name_below, in("none/x/../y/z"), NULL) == 0 && below == network && strcmp(name, name_below) == 0,
           "what is not there lies where its parent does");
    tap_ok(xpm_fs_network(&network, name, "/no-such-folder/x", NULL) == 0, "up to the root");
}

static int everything(struct xpm_err *err)
{
    struct xpm_buf b = XPM_BUF_INIT;
    size_t n;
    bool network;
    char name[16];
    int rc = xpm_fs_mkdirs(in("s/a/b"), err);
    rc = rc ? rc : xpm_fs_write(in("s/f"), "new", 3, err);
    rc = rc ? rc : xpm_fs_read(&b, in("s/f"), 10, err);
    rc = rc ? rc : xpm_fs_tail(&b, in("s/f"), 1, 2, err);
    rc = rc ? rc : xpm_fs_list(&b, &n, in("s"), err);
    rc = rc ? rc : xpm_fs_realpath(&b, in("s/f"), err);
    rc = rc ? rc : xpm_fs_abspath(&b, "x", err);
    rc = rc ? rc : xpm_fs_symlink("f", in("s/l"), err);
    rc = rc ? rc : xpm_fs_readlink(&b, in("s/l"), err);
    rc = rc ? rc : xpm_fs_network(&network, name, in("s/none"), err);
    xpm_buf_free(&b);
    return rc;
}

static void test_memory(void)
{
    for (long n = 0; allocfail_next(n); n++) {
        struct xpm_err err = XPM_ERR_INIT;
        char command[300];
        int rc = everything(&err);
        bool failed = allocfail_end();
        tap_ok(rc == (failed ? XPM_ENOMEM : 0) && err.code == rc, "without the allocation %ld", n);
        snprintf(command, sizeof command, "! find '%s/s' 2>/dev/null | grep -q '[.]tmp$'", folder);
        tap_ok(system(command) == 0, "nothing is left behind");
        snprintf(command, sizeof command, "rm -rf '%s/s'", folder);
        if (system(command) != 0)
            return;
    }
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/xpm-test-fs-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    test_abspath();
    test_folders();
    test_write();
    test_read();
    test_tail();
    test_links();
    test_network();
    test_memory();
    xpm_buf_free(&buf);
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) != 0 ? 1 : tap_done();
}
