# xpm: `make help` lists the targets. Objects and programs go to $(BUILD) and $(BUILD)-*; nothing else is written.
#
# A C module is src/lua/NAME*.c with the library src/NAME/*.c (if there is one) and what it uses of src/base. A new file
# in these folders needs no line here, a new module one line of libraries. Plain `make` and `make install` never use the
# network; `make deps` installs what is missing, and demo, test and check call it.

VERSION := $(shell sed -n 's/^return "\(.*\)"$$/\1/p' lua/xpm/version.lua)
BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
LUA     ?= lua5.4
BINDIR  ?= $(PREFIX)/bin
LUADIR  ?= $(PREFIX)/share/lua/5.4
LIBDIR  ?= $(PREFIX)/lib/lua/5.4

ifeq ($(origin CC),default)
CC := cc
endif
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
override CFLAGS += -std=gnu11 -fPIC -fvisibility=hidden -fno-strict-aliasing -ffunction-sections -fdata-sections \
                   -ffile-prefix-map=$(CURDIR)=. $(WARN) $(SANITIZE)
override CPPFLAGS += -Isrc -D_GNU_SOURCE -DXPM_VERSION='"$(VERSION)"'
override LDFLAGS  += -Wl,--as-needed -Wl,--gc-sections $(SANITIZE)
LUA_CFLAGS  := -I/usr/include/lua5.4
SPEC_CFLAGS := -Ispec -Ispec/support
PATH_DEFS    = -DXPM_LUADIR='"$(LUADIR)"' -DXPM_LIBDIR='"$(LIBDIR)"'

DEB_BUILD := gcc libc6-dev make lua5.4 liblua5.4-dev libyaml-dev libcjson-dev libsqlite3-dev libgit2-dev \
             libsodium-dev lua-argparse git ca-certificates
DEB_TEST  := lua-busted lua-penlight lua-check tmux procps
DEB_CHECK := clang libclang-rt-14-dev

# What src/base needs is offered to all; --as-needed drops what a module does not use.
LIBS_base   := -lcjson -lsodium
LIBS_config := -lyaml
LIBS_git    := -lgit2
LIBS_db     := -lsqlite3
LIBS_engine :=
LIBS_sys    :=

CORES    := config engine git db
MODULES  := $(foreach f,$(wildcard src/lua/*.c),$(if $(findstring _,$f)$(filter src/lua/common.c,$f),,$(basename $(notdir $f))))
SOFILES  := $(MODULES:%=$(BUILD)/lib/xpm/%.so)
LIBBASE  := $(BUILD)/libxpmbase.a
LIBALL   := $(BUILD)/libxpmall.a
PROGRAM  := $(patsubst src/main.c,$(BUILD)/xpm,$(wildcard src/main.c))
SUPERVISOR := $(patsubst src/engine/supervisor_main.c,$(BUILD)/lib/xpm/xpm-supervisor,$(wildcard src/engine/supervisor_main.c))

obj      = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
core_obj = $(call obj,$(filter-out %_main.c,$(wildcard src/$(1)/*.c)))
bind_obj = $(call obj,$(wildcard src/lua/$(1).c src/lua/$(1)_*.c) src/lua/common.c)

.PHONY: all help deps demo test check check-lint check-sanitizers check-stress check-fuzz lint install uninstall clean \
        spec stress fuzz FORCE
.DELETE_ON_ERROR:
.SECONDARY:
all: $(if $(PROGRAM),$(PROGRAM) $(BUILD)/source-tree) $(SUPERVISOR) $(SOFILES)

help:
	@echo 'make            build into $(BUILD)/ ($(BUILD)/xpm runs from here)'
	@echo 'make deps       install the Debian packages that are missing'
	@echo 'make demo       run the main example, examples/digits'
	@echo 'make test       build and run the tests'
	@echo 'make check      lint, sanitizers, allocation and garbage collection stress, fuzzers'
	@echo 'make lint       the layer rules, luacheck, a build with -Werror'
	@echo 'make install    to $$DESTDIR$$PREFIX (PREFIX=$(PREFIX)); make uninstall removes it'
	@echo 'make clean      remove $(BUILD)/ and its sisters'
	@echo 'V=1 shows the commands. BUILD=, PREFIX=, DESTDIR=, CC=, CFLAGS= as usual.'

# --- objects, modules, programs ---------------------------------------------------------------------------------------

Q := $(if $(V),,@)
say = $(if $(V),,@echo '  $(1)')

# Files that change when their text does: what depends on them is made again after a change of flags, paths or sources.
define STAMP_RULE
$(BUILD)/stamp/$(1): FORCE
	@mkdir -p $$(@D)
	@printf '%s\n' '$$(subst ','\'',$(2))' | cmp -s - $$@ || printf '%s\n' '$$(subst ','\'',$(2))' > $$@
endef
$(eval $(call STAMP_RULE,flags,$$(CC) $$(CPPFLAGS) $$(CFLAGS) $$(LDFLAGS)))
$(eval $(call STAMP_RULE,paths,$$(PATH_DEFS)))
$(eval $(call STAMP_RULE,sources,$$(sort $$(wildcard src/*.c src/*/*.c))))

$(BUILD)/obj/%.o: %.c Makefile $(BUILD)/stamp/flags
	@mkdir -p $(@D)
	$(call say,CC $<)
	$(Q)$(CC) $(CPPFLAGS) $(if $(filter src/main.c,$<),$(PATH_DEFS)) $(CFLAGS) \
	  $(if $(filter src/lua/% src/main.c spec/%,$<),$(LUA_CFLAGS)) $(if $(filter spec/%,$<),$(SPEC_CFLAGS)) \
	  -MMD -MP -c -o $@ $<
$(BUILD)/obj/src/main.o: $(BUILD)/stamp/paths

$(LIBBASE): $(call core_obj,base)
$(LIBALL): $(call core_obj,base) $(foreach c,$(CORES),$(call core_obj,$c))
$(LIBBASE) $(LIBALL): $(BUILD)/stamp/sources
	@rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)

# In a sanitizer build the modules' allocations go through spec/support/allocfail.c (which does nothing unless its host
# asks for failures), and modules stay loaded until the leak check at exit has read their symbols.
ifneq ($(SANITIZE),)
ALLOC_OBJ := $(BUILD)/obj/spec/support/allocfail.o
ALLOC_LD  := -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc
MODULE_LD := $(ALLOC_LD) -Wl,-z,nodelete
endif

define MODULE_RULE
$(BUILD)/lib/xpm/$(1).so: $(call core_obj,$(1)) $(call bind_obj,$(1)) $(LIBBASE) $(ALLOC_OBJ) $(BUILD)/stamp/sources
	@mkdir -p $$(@D)
	$$(call say,LD $$@)
	$(Q)$(CC) -shared $(CFLAGS) $(LDFLAGS) $(MODULE_LD) -o $$@ $$(filter %.o,$$^) $(LIBBASE) $(LIBS_$(1)) $(LIBS_base)
endef
$(foreach m,$(MODULES),$(eval $(call MODULE_RULE,$(m))))

# The supervisor is static where it can be: it starts faster and is smaller; sanitizers need it dynamic.
SUPERVISOR_LD ?= $(if $(SANITIZE),,-static)
$(BUILD)/lib/xpm/xpm-supervisor: $(BUILD)/obj/src/engine/supervisor_main.o $(LIBALL)
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(SUPERVISOR_LD) -o $@ $< $(LIBALL) -lsodium

# Where the Lua modules of a build outside of the tree are (see src/main.c); never installed.
$(BUILD)/source-tree: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CURDIR)' | cmp -s - $@ || printf '%s\n' '$(CURDIR)' > $@

$(BUILD)/xpm: $(BUILD)/obj/src/main.o
	$(call say,LD $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -Wl,-E -o $@ $< -llua5.4

# --- programs of the tests --------------------------------------------------------------------------------------------

# spec/c/test_*.c are unit tests, linked with all of the C core and with allocations that can be made to fail;
# any other program in spec/c or spec/support (children that tests start) is linked with the core alone.
UNITS     := $(patsubst %.c,$(BUILD)/%,$(wildcard spec/c/test_*.c))
CHILDREN  := $(patsubst %.c,$(BUILD)/%,$(filter-out spec/c/test_%.c spec/support/allocfail.c spec/support/lua_stress.c \
               spec/support/unpreload.c,$(wildcard spec/c/*.c spec/support/*.c)))
FUZZERS   := $(patsubst %.c,$(BUILD)/%,$(wildcard spec/fuzz/fuzz_*.c))
SPECS     := $(sort $(wildcard spec/core/*_spec.lua spec/xpm/*_spec.lua spec/cli/*_spec.lua))
SCENARIOS := $(sort $(wildcard spec/stress/*.lua))
LIBS_all   = $(LIBS_config) $(LIBS_git) $(LIBS_db) $(LIBS_base) -lpthread -lm
UNIT_LD   := -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc

spec: $(UNITS) $(CHILDREN) $(if $(SANITIZE),$(BUILD)/spec/bin/lua5.4)
stress: $(BUILD)/spec/support/lua_stress $(if $(SANITIZE),$(BUILD)/spec/bin/lua5.4 $(BUILD)/spec/stress/faulty.so)
fuzz: $(FUZZERS)

$(UNITS): $(BUILD)/%: $(BUILD)/obj/%.o $(BUILD)/obj/spec/support/allocfail.o $(LIBALL)
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(UNIT_LD) -o $@ $(filter %.o,$^) $(LIBALL) $(LIBS_all)

$(CHILDREN): $(BUILD)/%: $(BUILD)/obj/%.o $(LIBALL)
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIBALL) $(LIBS_all)

$(BUILD)/spec/support/lua_stress: $(BUILD)/obj/spec/support/lua_stress.o
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -Wl,-E -o $@ $< -llua5.4

$(BUILD)/spec/stress/faulty.so: $(BUILD)/obj/spec/stress/faulty.o $(ALLOC_OBJ)
	@mkdir -p $(@D)
	$(Q)$(CC) -shared $(CFLAGS) $(LDFLAGS) $(MODULE_LD) -o $@ $^

$(FUZZERS): $(BUILD)/%: $(BUILD)/obj/%.o $(LIBALL)
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $< $(LIBALL) $(LIBS_all)

# A stock Lua can load a sanitized module only if the runtime was loaded first; its children must not inherit that.
$(BUILD)/spec/bin/unpreload.so: $(BUILD)/obj/spec/support/unpreload.o
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -o $@ $<
$(BUILD)/spec/bin/lua5.4: $(BUILD)/spec/bin/unpreload.so Makefile
	@mkdir -p $(@D)
	@printf '#!/bin/sh\nLD_PRELOAD="%s %s" exec %s "$$@"\n' "$$($(CC) -print-file-name=libasan.so)" \
	  '$(abspath $<)' "$$(command -v $(LUA))" > $@
	@chmod +x $@

# --- what people call -------------------------------------------------------------------------------------------------

# Recursive calls use all processors unless the caller said -j.
SUBMAKE = $(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
need = @sh spec/support/deps $(1)
RUN_TESTS = $(LUA) spec/support/run_tests $(if $(XPM_COUNTS),--counts '$(XPM_COUNTS)')
SAN       = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SAN_MAKE  = $(SUBMAKE) BUILD=$(BUILD)-asan SANITIZE='$(SAN)' CFLAGS='-O1 -g'
FUZZ_SECONDS ?= 10
export XPM_STRESS_SECONDS ?= 20

deps:
	$(call need,$(DEB_BUILD) $(DEB_TEST))

demo:
	$(call need,$(DEB_BUILD))
	@$(SUBMAKE) all
	$(BUILD)/xpm run-experiment --workdir $(BUILD)/demo examples/digits/full.yaml

test:
	$(call need,$(DEB_BUILD) $(DEB_TEST))
	@$(SUBMAKE) all spec
	@$(RUN_TESTS) --build $(BUILD) $(UNITS) $(SPECS)

lint check-lint:
	$(call need,$(DEB_BUILD) $(DEB_TEST) $(DEB_CHECK))
	@$(RUN_TESTS) --build $(BUILD) 'tap:lint:$(LUA) spec/support/lint' \
	  'exit:build with -Werror:$(SUBMAKE) BUILD=$(BUILD)-werror CFLAGS="-O2 -g -Werror" all spec stress' \
	  'exit:build with clang -Werror:$(SUBMAKE) BUILD=$(BUILD)-clang CC=clang CFLAGS="-O1 -Werror" all spec stress'

check-sanitizers:
	@$(SAN_MAKE) all spec
	@$(RUN_TESTS) --sanitized --build $(BUILD)-asan $(UNITS:$(BUILD)/%=$(BUILD)-asan/%) $(SPECS)

# In the plain build, where libraries' allocations fail too, and in the sanitizer build.
check-stress:
	@$(SUBMAKE) all stress
	@$(SAN_MAKE) all stress
	@bad=0; \
	$(RUN_TESTS) --build $(BUILD) $(foreach s,$(SCENARIOS),\
	  'tap:allocations of the process, $s:$(BUILD)/spec/support/lua_stress sweep $s') || bad=1; \
	$(RUN_TESTS) --sanitized --build $(BUILD)-asan 'tap:selftest:sh spec/support/selftest' $(foreach s,$(SCENARIOS),\
	  'tap:allocations, $s:$(BUILD)-asan/spec/support/lua_stress sweep $s' \
	  'tap:collections, $s:$(BUILD)-asan/spec/support/lua_stress gc $s') || bad=1; \
	exit $$bad

check-fuzz:
	@$(SUBMAKE) BUILD=$(BUILD)-fuzz CC=clang CFLAGS='-O1 -g' SUPERVISOR_LD= ALLOC_OBJ= MODULE_LD= \
	  SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all' fuzz
	@$(RUN_TESTS) --build $(BUILD)-fuzz $(foreach f,$(notdir $(FUZZERS)),'exit:$f:sh spec/support/fuzz \
	  $(BUILD)-fuzz/spec/fuzz/$f $(FUZZ_SECONDS)')

# All parts run, whatever fails; the last line is their sum.
check:
	$(call need,$(DEB_BUILD) $(DEB_TEST) $(DEB_CHECK))
	@mkdir -p $(BUILD)
	@counts='$(XPM_COUNTS)'; counts=$${counts:-$(BUILD)/counts}; [ -n '$(XPM_COUNTS)' ] || : > "$$counts"; bad=0; \
	for part in lint sanitizers stress fuzz; do \
	  echo "== $$part"; before=$$(wc -l < "$$counts" 2>/dev/null || echo 0); \
	  if ! $(MAKE) --no-print-directory XPM_COUNTS="$$counts" check-$$part; then \
	    bad=1; [ "$$(wc -l < "$$counts" 2>/dev/null || echo 0)" -gt "$$before" ] || echo '0 1' >> "$$counts"; \
	  fi; \
	done; \
	$(LUA) spec/support/run_tests --total "$$counts" || bad=1; exit $$bad

install: all
	install -d "$(DESTDIR)$(BINDIR)" "$(DESTDIR)$(LUADIR)" "$(DESTDIR)$(LIBDIR)/xpm"
	$(if $(PROGRAM),install -m 755 $(PROGRAM) "$(DESTDIR)$(BINDIR)/xpm")
	cd lua && find . -name '*.lua' -exec install -D -m 644 '{}' "$(abspath $(DESTDIR)$(LUADIR))/{}" \;
	install -m 755 $(SOFILES) $(SUPERVISOR) "$(DESTDIR)$(LIBDIR)/xpm/"

uninstall:
	rm -f "$(DESTDIR)$(BINDIR)/xpm"
	rm -rf "$(DESTDIR)$(LUADIR)/xpm" "$(DESTDIR)$(LIBDIR)/xpm"
	@rmdir "$(DESTDIR)$(LUADIR)" "$(DESTDIR)$(LIBDIR)" 2>/dev/null || :

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz $(BUILD)-werror $(BUILD)-clang

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
