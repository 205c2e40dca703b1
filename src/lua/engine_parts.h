/* What the files of the binding xpm.engine share. */
#ifndef XPM_LUA_ENGINE_PARTS_H
#define XPM_LUA_ENGINE_PARTS_H

#include "engine/states.h"
#include "lua/common.h"

/* engine_identifier.c: adds identifier, canonical, hash_file and KIND to the module's table at the top. */
void xpm_lua_engine_identifier(lua_State *L);

/* engine_files.c: adds probe and lock. */
void xpm_lua_engine_files(lua_State *L);

/* Sets the fields of an event or a job that are known, in the table at the top. */
void xpm_lua_set_facts(lua_State *L, const struct xpm_facts *facts);

#endif
