/* What the bindings share. Linked into every module; state that modules share lives in the Lua registry. */
#ifndef XPM_LUA_COMMON_H
#define XPM_LUA_COMMON_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define XPM_LUA_API __attribute__((visibility("default"))) int

/* Pushes nil, message, code word. Returns 3: `return xpm_lua_fail(L, &err);` */
int xpm_lua_fail(lua_State *L, const struct xpm_err *err);

/* Pushes the one value that stands for null in all modules (a userdata that prints as "null"). */
void xpm_lua_push_null(lua_State *L);
bool xpm_lua_is_null(lua_State *L, int index);

/* Raises "unknown option 'x' (allowed: a, b)" unless every key of the table at `index` is in `names` (NULL-ended). */
void xpm_lua_check_options(lua_State *L, int index, const char *const *names);

/* Pushes the weak-keyed registry table `name` ("xpm.order", "xpm.list"), made when needed. */
void xpm_lua_push_weak(lua_State *L, const char *name);

#endif
