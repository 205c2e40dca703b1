/* sys: the signals of a command line. A host program's signals are never touched unless it calls sys.catch_signals.
 *
 * The handler does three things, all safe at any instant: it notes the signal in a ring, adds one to an eventfd and,
 * while sys.interruptible(true) holds, arms a hook that raises "interrupted" before the next instruction of running Lua
 * code (lua_sethook may be called from a handler: lua.c does so). The ring has one writer, since the handlers block each
 * other, and one reader, sys.caught.
 *
 * A hook belongs to one coroutine, and nothing public tells which one runs. So sys.interruptible(true) puts our
 * own coroutine.resume and coroutine.wrap in place of the library's: they do the same and keep the chain of the coroutines
 * that are running now, as frames on the C stack, of which the handler arms the innermost. One signal raises once: a coroutine that ends by it
 * makes its resumer raise too (where the library's resume would return false and the loop around it would go on), and
 * when a coroutine yields before its hook has run the hook moves to its resumer. */
#include "lua/sys.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lua/common.h"

#define OWNER "xpm.sys.signals"
#define RING 64

static const struct {
    int number;
    const char *name;
} caught_signals[] = { { SIGINT, "INT" }, { SIGTERM, "TERM" }, { SIGHUP, "HUP" } };

#define SIGNALS ((int)(sizeof caught_signals / sizeof *caught_signals))

struct frame { /* a coroutine that has been resumed and has not come back */
    lua_State *co;
    struct frame *outer;
    volatile bool raised; /* its hook has run */
};

static lua_State *owner;                       /* the main thread of the state that catches; NULL: nobody */
static int event_fd = -1;
static struct sigaction before[SIGNALS];       /* what is put back at the end */
static bool installed[SIGNALS];
static volatile sig_atomic_t ring[RING];       /* indices of caught_signals */
static atomic_uint ring_in, ring_out;
static volatile sig_atomic_t raising;          /* sys.interruptible */
static struct frame *volatile running;         /* innermost; NULL: the main thread runs */
static lua_State *volatile armed;              /* where our hook is set */
static volatile lua_Hook other_hook;           /* the hook that was there (a debugger's, a coverage tool's) */
static volatile int other_mask, other_count;

static sigset_t signal_set(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < SIGNALS; i++)
        sigaddset(&set, caught_signals[i].number);
    return set;
}

/* Only on the thread that runs, or (disarm) on one that is suspended below it. */
static void disarm(void)
{
    lua_State *L = armed;
    if (L) {
        lua_sethook(L, other_hook, other_mask, other_count);
        armed = NULL;
    }
}

static void raise_interrupted(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    struct frame *f = running;
    disarm();
    if (f && f->co == L)
        f->raised = true;
    lua_pushliteral(L, "interrupted");
    lua_error(L);
}

static void arm(lua_State *L)
{
    if (lua_gethook(L) != raise_interrupted) {
        other_hook = lua_gethook(L);
        other_mask = lua_gethookmask(L);
        other_count = lua_gethookcount(L);
    }
    armed = L;
    lua_sethook(L, raise_interrupted, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static void on_signal(int number)
{
    int saved = errno;
    unsigned in = atomic_load(&ring_in);
    for (int i = 0; i < SIGNALS; i++) {
        if (caught_signals[i].number == number && in - atomic_load(&ring_out) < RING) {
            ring[in % RING] = i;
            atomic_store(&ring_in, in + 1);
        }
    }
    uint64_t one = 1;
    ssize_t n = write(event_fd, &one, sizeof one); /* fails only when it is readable anyway */
    (void)n;
    if (raising && !armed)
        arm(running ? running->co : owner);
    errno = saved;
}

static lua_State *main_thread(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main;
}

/* Puts everything back when the state is closed. */
static int l_signals_gc(lua_State *L)
{
    if (owner != main_thread(L))
        return 0; /* it could not catch them */
    for (int i = 0; i < SIGNALS; i++) {
        if (installed[i])
            sigaction(caught_signals[i].number, &before[i], NULL);
        installed[i] = false;
    }
    raising = 0;
    disarm();
    running = NULL;
    owner = NULL;
    if (event_fd >= 0)
        close(event_fd);
    event_fd = -1;
    return 0;
}

/* A signal that is ignored stays so: nohup and `command &` in a script mean it. */
static int l_sys_catch_signals(lua_State *L)
{
    lua_State *main = main_thread(L);
    if (owner == main) {
        lua_pushinteger(L, event_fd);
        return 1;
    }
    if (owner)
        return luaL_error(L, "signals are caught by another Lua state of this process");
    lua_newuserdatauv(L, 0, 0); /* undoes all of it when the state is closed */
    if (luaL_newmetatable(L, OWNER)) {
        lua_pushcfunction(L, l_signals_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, OWNER ".owner");
    event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_fd < 0)
        return luaL_error(L, "cannot make an event descriptor: %s", strerror(errno));
    owner = main;
    atomic_store(&ring_out, atomic_load(&ring_in));
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    action.sa_mask = signal_set();
    for (int i = 0; i < SIGNALS; i++) {
        int number = caught_signals[i].number;
        if (sigaction(number, NULL, &before[i]) != 0 || before[i].sa_handler == SIG_IGN)
            continue;
        installed[i] = sigaction(number, &action, NULL) == 0;
    }
    lua_pushinteger(L, event_fd);
    return 1;
}

int xpm_lua_sys_ppoll(lua_State *L, struct pollfd *fds, nfds_t count, const struct timespec *timeout)
{
    if (owner != main_thread(L))
        return ppoll(fds, count, timeout, NULL);
    sigset_t set = signal_set(), old;
    pthread_sigmask(SIG_BLOCK, &set, &old);
    int n = armed == L ? -2 : ppoll(fds, count, timeout, &old);
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = saved;
    return n < 0 && armed == L ? -2 : n;
}

static int l_sys_caught(lua_State *L)
{
    uint64_t n;
    lua_newtable(L);
    if (owner != main_thread(L))
        return 1;
    /* Emptied before the ring is read: a signal that comes between the two is told now and wakes once for nothing. */
    ssize_t got = read(event_fd, &n, sizeof n);
    (void)got;
    unsigned out = atomic_load(&ring_out);
    for (lua_Integer i = 1; out != atomic_load(&ring_in); i++) {
        lua_pushstring(L, caught_signals[ring[out % RING]].name);
        lua_rawseti(L, -2, i);
        atomic_store(&ring_out, ++out);
    }
    return 1;
}

/* Resumes `co` with the `nargs` values on top of L. Returns the number of results on top of L, or -1 with the error there.
 * Nothing in it raises, so that the frame cannot outlive this call; *interrupted says that our error got out of `co`. */
static int resume(lua_State *L, lua_State *co, int nargs, bool *interrupted)
{
    int count = 0;
    *interrupted = false;
    if (!lua_checkstack(co, nargs)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, co, nargs);
    struct frame f = { co, running, false };
    running = &f;
    int status = lua_resume(co, L, nargs, &count);
    running = f.outer;
    if (armed == co) { /* it came back before its hook could run */
        disarm();
        arm(L);
    }
    if (status == LUA_OK || status == LUA_YIELD) {
        if (lua_checkstack(L, count + 1)) {
            lua_xmove(co, L, count);
            return count;
        }
        lua_pop(co, count);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    *interrupted = f.raised && lua_type(co, -1) == LUA_TSTRING && strcmp(lua_tostring(co, -1), "interrupted") == 0;
    if (*interrupted && f.outer)
        f.outer->raised = true;
    lua_xmove(co, L, 1);
    return -1;
}

static int l_resume(lua_State *L)
{
    bool interrupted;
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "thread");
    int n = resume(L, co, lua_gettop(L) - 1, &interrupted);
    if (interrupted)
        return lua_error(L);
    lua_pushboolean(L, n >= 0);
    lua_insert(L, n >= 0 ? -(n + 1) : -2);
    return n >= 0 ? n + 1 : 2;
}

/* Upvalue 1: the coroutine. */
static int l_wrapped(lua_State *L)
{
    bool interrupted;
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int n = resume(L, co, lua_gettop(L), &interrupted);
    if (n >= 0)
        return n;
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) { /* the error ended it: close its variables, which may raise another */
        if (!interrupted)
            lua_pop(L, 1);
        lua_resetthread(co);
        if (!interrupted)
            lua_xmove(co, L, 1);
    }
    if (!interrupted && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int l_wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, l_wrapped, 1);
    return 1;
}

static int l_sys_interruptible(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TBOOLEAN);
    if (owner != main_thread(L))
        return luaL_error(L, "sys.interruptible needs sys.catch_signals first");
    if (!lua_toboolean(L, 1)) {
        raising = 0;
        disarm();
        return 0;
    }
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, "coroutine") == LUA_TTABLE) {
        lua_pushcfunction(L, l_resume);
        lua_setfield(L, -2, "resume");
        lua_pushcfunction(L, l_wrap);
        lua_setfield(L, -2, "wrap");
    }
    raising = 1;
    return 0;
}

const luaL_Reg xpm_lua_sys_signals[] = {
    { "catch_signals", l_sys_catch_signals },
    { "caught", l_sys_caught },
    { "interruptible", l_sys_interruptible },
    { NULL, NULL },
};
