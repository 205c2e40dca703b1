/* A Lua host that makes life hard for the modules, and prints TAP.
 *
 *     lua_stress sweep SCENARIO.lua [FIRST]   allocations fail
 *     lua_stress gc SCENARIO.lua              a full garbage collection at every VM instruction, in coroutines too
 *     lua_stress plain SCENARIO.lua           neither: shows that the scenario is sound
 *
 * A scenario returns a table: run(context), which works and returns true, or false/nil and a message when it could not;
 * setup(), optional, runs before in peace and returns the context; check(context, result), optional, runs after it in
 * peace and raises if things are not as they should be; lua = false leaves Lua's own allocations alone (for scenarios
 * whose Lua part is large and not what is tested); libraries = false those of libraries (for one that does not bear it).
 *
 * A sweep runs the scenario with n = 0, 1, 2 ... until run() meets no failure. What is counted: in a sanitizer build the
 * allocations of our C objects (by --wrap, allocfail.c), otherwise those of the whole process, libraries and libc
 * included (this program's malloc comes before libc's); and then, separately, those of Lua. For each kind two ways: the
 * n-th fails alone, and it and all later ones fail. Every iteration has a fresh Lua state and must end in success or in a clean error: one that
 * says why, and is no fumbling of ours ("attempt to index a nil value"). Nothing may be left allocated: bytes in use that
 * grow are put before the leak checker. Once the time for one way is up, n takes ever larger steps, and the last line says
 * so.
 *
 * Built with sanitizers, any wrong access ends the program, with n on standard error. */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALLOCFAIL_OWN_HOOK
#include "allocfail.h"

#ifdef __SANITIZE_ADDRESS__
int __lsan_do_recoverable_leak_check(void);
size_t __sanitizer_get_current_allocated_bytes(void);
void __sanitizer_set_death_callback(void (*callback)(void));
#define HAVE_ASAN 1
#else
#define HAVE_ASAN 0
#endif

enum way { WAY_PLAIN, WAY_C_ONE, WAY_C_ALL, WAY_LUA_ONE, WAY_LUA_ALL, WAY_GC };
static const char *const way_names[] = {
    "as it is",        "one C allocation fails",     "C allocations fail from one on", "one Lua allocation fails",
    "Lua allocations fail from one on", "collection at every instruction",
};

static int tests, bad;
static bool counting_lua, counting_c;
static long now_n;
static enum way now_way;
static const char *now_scenario = "";

static void report(bool ok, const char *what, const char *detail)
{
    tests++;
    bad += !ok;
    printf("%sok %d - %s\n", ok ? "" : "not ", tests, what);
    if (*detail)
        fputs("# ", stdout);
    for (const char *c = detail; *c; c++) {
        putchar(*c);
        if (*c == '\n')
            fputs("# ", stdout);
    }
    if (*detail)
        putchar('\n');
    fflush(stdout);
}

#if HAVE_ASAN
static void on_death(void)
{
    fprintf(stderr, "lua_stress: %s, %s, n = %ld\n", now_scenario, way_names[now_way], now_n);
}
#endif

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The hook of allocfail.c in the modules: only while their allocations are what is counted. */
static bool lua_may(void)
{
    return !counting_lua || allocfail_may();
}

bool xpm_alloc_may(void)
{
    return !counting_c || allocfail_may();
}

#if !HAVE_ASAN
/* The process' own allocator, before libc's: what libraries allocate is counted here. Lua's calls pass by lua_allocate
 * and are not counted twice, for only one of the two counts at a time. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);

static bool may(void)
{
    if (xpm_alloc_may())
        return true;
    errno = ENOMEM;
    return false;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    return may() ? __libc_malloc(size) : NULL;
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    return may() ? __libc_calloc(count, size) : NULL;
}

__attribute__((visibility("default"))) void *realloc(void *p, size_t size)
{
    return may() ? __libc_realloc(p, size) : NULL;
}

#define raw_realloc __libc_realloc
#else
#define raw_realloc realloc
#endif

static void *lua_allocate(void *ud, void *p, size_t old_size, size_t size)
{
    (void)ud;
    if (size == 0) {
        free(p);
        return NULL;
    }
    /* Lua takes it for granted that shrinking does not fail. */
    if (!(p && size <= old_size) && !lua_may())
        return NULL;
    return raw_realloc(p, size);
}

static long collections;

static void collect(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    collections++;
    lua_gc(L, LUA_GCCOLLECT);
}

static int traceback(lua_State *L)
{
    if (allocfail.failed)
        return 1;
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

/* run(context) of the scenario at index 1, with its context at index 2. Leaves its results at 3 ... */
static int call_run(lua_State *L)
{
    lua_settop(L, 2);
    lua_getfield(L, 1, "run");
    lua_pushvalue(L, 2);
    lua_call(L, 1, 2);
    return 2;
}

static int prepare(lua_State *L)
{
    const char *path = lua_touserdata(L, 1);
    luaL_openlibs(L);
    if (luaL_loadfile(L, path) != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    if (lua_getfield(L, -1, "setup") == LUA_TFUNCTION)
        lua_call(L, 0, 1);
    return 2;
}

static int check(lua_State *L)
{
    if (lua_getfield(L, 1, "check") == LUA_TFUNCTION) {
        lua_pushvalue(L, 2);
        lua_pushvalue(L, 3);
        lua_call(L, 2, 0);
    }
    return 0;
}

/* What a scenario asks to leave out. */
struct skip {
    bool lua, libraries;
};

enum outcome { OUT_DONE, OUT_FAILED, OUT_BAD };

/* One run in a fresh state. OUT_DONE: success, no allocation failed; OUT_FAILED: one did, and it ended cleanly;
 * OUT_BAD: `detail` says what went wrong. */
static enum outcome iterate(const char *path, enum way way, long n, struct skip *skip, char *detail, size_t size)
{
    now_n = n;
    now_way = way;
    allocfail_begin(-1, false);
    counting_c = counting_lua = false;
    lua_State *L = lua_newstate(lua_allocate, NULL);
    if (!L) {
        snprintf(detail, size, "no Lua state");
        return OUT_BAD;
    }
    enum outcome out = OUT_BAD;
    lua_pushcfunction(L, traceback);
    lua_pushcfunction(L, prepare);
    lua_pushlightuserdata(L, (void *)path);
    if (lua_pcall(L, 1, 2, 1) != LUA_OK) {
        snprintf(detail, size, "setup: %s", luaL_tolstring(L, -1, NULL));
        goto end;
    }
    lua_remove(L, 1);
    lua_getfield(L, 1, "lua");
    skip->lua = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
    lua_getfield(L, 1, "libraries");
    skip->libraries = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
    lua_pop(L, 2);
    luaL_checkstack(L, 40, NULL);
    lua_gc(L, LUA_GCCOLLECT);

    lua_pushcfunction(L, traceback);
    lua_pushcfunction(L, call_run);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    counting_c = way == WAY_C_ONE || way == WAY_C_ALL;
    counting_lua = way == WAY_LUA_ONE || way == WAY_LUA_ALL;
    if (counting_c || counting_lua)
        allocfail_begin(n, way == WAY_C_ALL || way == WAY_LUA_ALL);
    if (way == WAY_GC)
        lua_sethook(L, collect, LUA_MASKCOUNT, 1);
    int status = lua_pcall(L, 2, 2, 3);
    lua_sethook(L, NULL, 0, 0);
    counting_c = counting_lua = false;
    bool failed = allocfail_end();

    /* 3: traceback; then the results, or the error */
    bool success = status == LUA_OK && lua_toboolean(L, 4);
    const char *message = success ? "" : luaL_tolstring(L, status == LUA_OK ? 5 : 4, NULL);
    if (!success && !failed) {
        snprintf(detail, size, "n = %ld, no allocation failed: %s", n, message);
    } else if (!success && (strstr(message, "attempt to") || strcmp(message, "nil") == 0 || !*message)) {
        snprintf(detail, size, "n = %ld, no clean error: %s", n, message);
    } else {
        lua_settop(L, 2);
        lua_pushboolean(L, success);
        lua_pushcfunction(L, traceback);
        lua_insert(L, 1);
        lua_pushcfunction(L, check);
        lua_insert(L, 2);
        if (lua_pcall(L, 3, 0, 1) != LUA_OK)
            snprintf(detail, size, "n = %ld, check: %s", n, luaL_tolstring(L, -1, NULL));
        else
            out = failed ? OUT_FAILED : OUT_DONE;
    }
end:
    lua_close(L);
    return out;
}

/* True if memory is lost. The leak checker stops the world, so it is asked only when more is in use than ever before. */
static bool leaks(bool surely)
{
#if HAVE_ASAN
    static size_t most;
    size_t bytes = __sanitizer_get_current_allocated_bytes();
    if (bytes <= most && !surely)
        return false;
    if (bytes > most)
        most = bytes;
    return __lsan_do_recoverable_leak_check() != 0;
#else
    (void)surely;
    return false;
#endif
}

static void test(const char *path, enum way way, long n, double budget, struct skip *skip)
{
    char detail[4000] = "", what[200];
    double start = seconds();
    long step = 1, runs = 0;
    enum outcome out;
    for (;; n += step) {
        out = iterate(path, way, n, skip, detail, sizeof detail);
        runs++;
        if (out != OUT_BAD && leaks(false)) {
            snprintf(detail, sizeof detail, "n = %ld leaks", n);
            out = OUT_BAD;
        }
        if (out != OUT_FAILED)
            break;
        if (seconds() - start > budget * (double)(step == 1 ? 1 : 2))
            step = step < 1000000 ? step * 2 : step;
    }
    if (out != OUT_BAD && leaks(true)) {
        snprintf(detail, sizeof detail, "leaks");
        out = OUT_BAD;
    }
    snprintf(what, sizeof what, "%s (%ld %s%s, %.1f s)", way_names[way], way == WAY_GC ? collections : runs,
             way == WAY_GC ? "collections" : "runs", step > 1 ? ", not all n" : "", seconds() - start);
    report(out == OUT_DONE, what, detail);
}

int main(int argc, char **argv)
{
    struct skip skip = { false, false };
    const char *budget_text = getenv("XPM_STRESS_SECONDS");
    double budget = budget_text ? strtod(budget_text, NULL) : 5.0;
    if (argc < 3) {
        fprintf(stderr, "usage: lua_stress sweep|gc|plain SCENARIO.lua [FIRST]\n");
        return 2;
    }
    long first = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    now_scenario = argv[2];
#if HAVE_ASAN
    __sanitizer_set_death_callback(on_death);
#endif
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(argv[1], "gc") == 0) {
        test(argv[2], WAY_GC, 0, budget, &skip);
    } else {
        /* Twice, for what libraries set up once and keep. */
        test(argv[2], WAY_PLAIN, 0, budget, &skip);
        if (!bad)
            test(argv[2], WAY_PLAIN, 0, budget, &skip);
        bool sweep = strcmp(argv[1], "sweep") == 0 && !bad;
        if (sweep && (HAVE_ASAN || !skip.libraries)) {
            test(argv[2], WAY_C_ONE, first, budget, &skip);
            test(argv[2], WAY_C_ALL, first, budget, &skip);
        }
        if (sweep && !skip.lua) {
            test(argv[2], WAY_LUA_ONE, first, budget, &skip);
            test(argv[2], WAY_LUA_ALL, first, budget, &skip);
        }
    }
    printf("1..%d\n", tests);
    return bad ? 1 : 0;
}
