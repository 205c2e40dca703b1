/* What the files of xpm.config share. */
#ifndef XPM_LUA_CONFIG_H
#define XPM_LUA_CONFIG_H

#include "base/buf.h"
#include "config/config.h"
#include "lua/common.h"

#define XPM_TREE "xpm.config.tree"

/* A tree's userdata. */
struct xpm_lua_tree {
    struct xpm_config config;
    bool open;
};

/* Pushes a buffer that Lua frees. */
struct xpm_buf *xpm_lua_new_buf(lua_State *L);
/* Pushes the buffer's bytes as a string and frees them; raises "out of memory" if the buffer failed. */
void xpm_lua_push_buf(lua_State *L, struct xpm_buf *b);

/* Pushes a closed tree. */
struct xpm_lua_tree *xpm_lua_new_tree(lua_State *L);
/* Pushes a value as Lua values; maps get an order, lists a mark. The store must be owned by a userdata. */
void xpm_lua_push_value(lua_State *L, const struct xpm_value *v);

/* Pushes the keys of the map at `index` in their order, as a list; their number. */
lua_Integer xpm_lua_push_keys(lua_State *L, int index);
/* "list" or "map" of the table at `index`. */
const char *xpm_lua_table_kind(lua_State *L, int index);
bool xpm_lua_is_list(lua_State *L, int index);
/* Marks the table at `index` as a map whose keys are in the list on top of the stack, which is popped and kept. */
void xpm_lua_set_order(lua_State *L, int index);
void xpm_lua_set_list(lua_State *L, int index);

int xpm_l_config_order(lua_State *L);
int xpm_l_config_list(lua_State *L);
int xpm_l_config_pairs(lua_State *L);
int xpm_l_config_kind(lua_State *L);
int xpm_l_config_encode_json(lua_State *L);
int xpm_l_config_encode_yaml(lua_State *L);

#endif
