# xpm: `make help` lists the targets. Objects and programs go to $(BUILD); nothing else is written.
# A C module is src/lua/NAME*.c with the library src/NAME/*.c (if there is one) and what it uses of src/base.

VERSION := 0.1.0
BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
LUA     ?= lua5.4
LUADIR  ?= $(PREFIX)/share/lua/5.4
LIBDIR  ?= $(PREFIX)/lib/lua/5.4

CC      ?= cc
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
override CFLAGS += -std=gnu11 -fPIC -fvisibility=hidden -fno-strict-aliasing -ffile-prefix-map=$(CURDIR)=. $(WARN) $(SANITIZE)
CPPFLAGS += -Isrc -D_GNU_SOURCE -DXPM_VERSION='"$(VERSION)"' -DXPM_LUADIR='"$(LUADIR)"' -DXPM_LIBDIR='"$(LIBDIR)"'
LUA_CFLAGS := -I/usr/include/lua5.4
LDFLAGS += -Wl,--as-needed $(SANITIZE)
ARFLAGS := rcs

DEB_BUILD := gcc libc6-dev make pkg-config lua5.4 liblua5.4-dev libyaml-dev libcjson-dev libsqlite3-dev libgit2-dev \
             libsodium-dev lua-argparse git ca-certificates
DEB_TEST  := lua-busted lua-penlight tmux procps
DEB_CHECK := lua-check clang libclang-rt-14-dev

MODULES := sys config engine git db
LIBS_sys    :=
LIBS_config := -lyaml -lcjson
LIBS_engine := -lcjson -lsodium
LIBS_git    := -lgit2
LIBS_db     := -lsqlite3

BASE_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard src/base/*.c))
LIBBASE  := $(BUILD)/libxpmbase.a
SOFILES  := $(MODULES:%=$(BUILD)/lib/xpm/%.so)
HEADERS  := $(wildcard src/*/*.h)

.PHONY: all help deps deps-test deps-check demo test check lint install uninstall clean
all: $(BUILD)/xpm $(BUILD)/lib/xpm/xpm-supervisor $(SOFILES)

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(if $(filter src/lua/% src/main.c spec/%,$<),$(LUA_CFLAGS)) -MMD -MP -c -o $@ $<

$(LIBBASE): $(BASE_OBJ)
	@rm -f $@
	$(AR) $(ARFLAGS) $@ $^

# The objects of one module: its library, its bindings, and the bindings' common part.
core_obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out %_main.c,$(wildcard src/$(1)/*.c)))
bind_obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard src/lua/$(1).c src/lua/$(1)_*.c) src/lua/common.c)

define MODULE_RULE
$(BUILD)/lib/xpm/$(1).so: $(call core_obj,$(1)) $(call bind_obj,$(1)) $(LIBBASE)
	@mkdir -p $$(@D)
	$(CC) -shared $(CFLAGS) $(LDFLAGS) -o $$@ $(call core_obj,$(1)) $(call bind_obj,$(1)) $(LIBBASE) $(LIBS_$(1))
endef
$(foreach m,$(MODULES),$(eval $(call MODULE_RULE,$(m))))

# The supervisor is static where it can be: it starts faster and is smaller; sanitizers need it dynamic.
SUPERVISOR_STATIC ?= $(if $(SANITIZE),,-static)
$(BUILD)/lib/xpm/xpm-supervisor: $(BUILD)/obj/src/engine/supervisor_main.o $(call core_obj,engine) $(LIBBASE)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $(SUPERVISOR_STATIC) -Wl,--gc-sections -o $@ $(BUILD)/obj/src/engine/supervisor_main.o -Wl,--start-group $(BUILD)/libxpmengine.a $(LIBBASE) -Wl,--end-group
$(BUILD)/lib/xpm/xpm-supervisor: $(BUILD)/libxpmengine.a
$(BUILD)/libxpmengine.a: $(call core_obj,engine)
	@rm -f $@
	$(AR) $(ARFLAGS) $@ $^

$(BUILD)/xpm: $(BUILD)/obj/src/main.o
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< -llua5.4

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
