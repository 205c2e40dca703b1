/* What the parts of the sys module share. */
#ifndef XPM_LUA_SYS_H
#define XPM_LUA_SYS_H

#include <lauxlib.h>
#include <lua.h>
#include <poll.h>

/* Each part's functions, for luaL_setfuncs. */
extern const luaL_Reg xpm_lua_sys_files[];
extern const luaL_Reg xpm_lua_sys_signals[];

/* As ppoll, but -2 when "interrupted" is to be raised in L as soon as the caller returns to it (also when the signal
 * came just before the wait). */
int xpm_lua_sys_ppoll(lua_State *L, struct pollfd *fds, nfds_t count, const struct timespec *timeout);

#endif
