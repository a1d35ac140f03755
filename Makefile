# Patchbay. `make help` lists the targets. Builds out of tree, in build/ (or build-<sanitizers>/ under SANITIZE=).

CC       ?= cc
CFLAGS   ?= -O2 -g
SANITIZE ?=
PREFIX   ?= /usr/local

comma := ,
ifeq ($(SANITIZE),)
BUILD := build
else
BUILD := build-$(subst $(comma),-,$(SANITIZE))
SANFLAGS := -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all
endif

VERSION  := 0.1.0
# libmongoc's headers stand in folders of their own, and are not free of warnings
MONGO_CFLAGS ?= -isystem /usr/include/libmongoc-1.0 -isystem /usr/include/libbson-1.0
WARNINGS := -Wall -Wextra -Wshadow -Wconversion $(WERROR)
ALL_CFLAGS  := -std=c11 -D_GNU_SOURCE -I. -I$(BUILD) $(MONGO_CFLAGS) -DPB_VERSION='"$(VERSION)"' -fstack-protector-strong -fPIE \
               $(WARNINGS) $(SANFLAGS) $(CFLAGS)
ALL_LDFLAGS := -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANFLAGS) $(LDFLAGS)

COMMON_LIBS := $(BUILD)/libcommon.a -lnng -lmsgpackc -lsodium -lcurl -ljansson -lsqlite3 -lmongoc-1.0 -lbson-1.0 -lpcre2-8 -linih -lsimdjson -lidn2 -lstdc++ -lpthread
COMMON_ARCHIVES = $(BUILD)/libcommon.a $(BUILD)/libjsonschema.a # each needs the other: the first comes again, in COMMON_LIBS
BROKER_LIBS := -lmicrohttpd
SANDBOX_LIBS := -lmicrohttpd -lgnutls -ljansson -lz -lpthread

COMMON_SRC  := $(wildcard common/*.c)
BROKER_SRC  := $(filter-out broker/main.c,$(wildcard broker/*.c broker/board/*.c broker/http/*.c))
WORKER_SRC  := $(filter-out worker/main.c,$(wildcard worker/*.c worker/declarative/*.c))
CLIENT_SRC  := $(filter-out common/client/main.c,$(wildcard common/client/*.c))
SANDBOX_SRC := $(wildcard tests/sandbox/*.c)
UNIT_SRC    := $(wildcard tests/unit/test_*.c) $(wildcard tests/store/test_*.c)
UNIT_LIB    := $(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c tests/store/*.c))

objects = $(patsubst %.c,$(BUILD)/%.o,$(1))

PROGRAMS := $(BUILD)/patchbay-broker $(BUILD)/patchbay-worker $(BUILD)/patchbay
TESTS    := $(patsubst %.c,$(BUILD)/%,$(UNIT_SRC))

.PHONY: all
all: $(PROGRAMS) ## build the three programs

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: CC CFLAGS LDFLAGS SANITIZE=address,undefined WERROR=-Werror PREFIX DESTDIR"

.PHONY: deps
deps: ## install the packages that are missing
	@scripts/deps

$(BUILD)/libcommon.a: $(call objects,$(COMMON_SRC))
$(BUILD)/libbroker.a: $(call objects,$(BROKER_SRC))
$(BUILD)/libworker.a: $(call objects,$(WORKER_SRC))
$(BUILD)/libclient.a: $(call objects,$(CLIENT_SRC))
$(BUILD)/libtest.a: $(call objects,$(UNIT_LIB))

$(BUILD)/lib%.a:
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/patchbay-broker: $(BUILD)/broker/main.o $(BUILD)/libbroker.a $(COMMON_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(BROKER_LIBS) $(COMMON_LIBS)

$(BUILD)/patchbay-worker: $(BUILD)/worker/main.o $(BUILD)/libworker.a $(COMMON_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS)

$(BUILD)/patchbay: $(BUILD)/common/client/main.o $(BUILD)/libclient.a $(BUILD)/libworker.a $(COMMON_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS)

$(BUILD)/patchbay-sandbox: $(call objects,$(SANDBOX_SRC))
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SANDBOX_LIBS)

# The broker on a disk that fails when a test wants it (tests/system/faulty_broker.c).
$(BUILD)/patchbay-broker-faulty: $(BUILD)/broker/main.o $(BUILD)/tests/system/faulty_broker.o \
                                 $(BUILD)/tests/store/fault_vfs.o $(BUILD)/libbroker.a $(COMMON_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(BROKER_LIBS) $(COMMON_LIBS)

$(BUILD)/patchbay-flap: $(BUILD)/tests/system/flap.o $(COMMON_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS)

$(BUILD)/patchbay-cron: $(BUILD)/tests/system/cron_next.o $(COMMON_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS)

# The JSON Schema engine: a library of its own, with one file of C++ for simdjson.
CXX ?= c++
JSONSCHEMA_ARCHIVES := $(BUILD)/libjsonschema.a $(BUILD)/libcommon.a
$(BUILD)/libjsonschema.a: $(call objects,$(wildcard common/jsonschema/*.c)) $(BUILD)/common/jsonschema/index.o
$(BUILD)/common/jsonschema/index.o: common/jsonschema/index.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -I. -fPIE -Wall -Wextra $(WERROR) $(SANFLAGS) -fno-sanitize=vptr $(CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/tests/jsonschema/suite: $(BUILD)/tests/jsonschema/suite.o $(JSONSCHEMA_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS)

$(BUILD)/tests/bench/jsonschema/bench: $(BUILD)/tests/bench/jsonschema/bench.o $(JSONSCHEMA_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS)

PAIRS ?= 20000
$(BUILD)/tests/jsonschema/judge: $(BUILD)/tests/jsonschema/judge.o $(JSONSCHEMA_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS)

.PHONY: jsonschema-oracle
jsonschema-oracle: $(BUILD)/tests/jsonschema/judge jsonschema-suite ## the engine beside jsonschema-rs over PAIRS mutated pairs
	@BUILD=$(BUILD) scripts/jsonschema-oracle $(PAIRS)

.PHONY: bench-jsonschema
bench-jsonschema: $(BUILD)/tests/bench/jsonschema/bench ## the engine beside Rust's jsonschema and ajv (needs cargo and npm)
	@BUILD=$(BUILD) scripts/jsonschema-bench

.PHONY: jsonschema-suite
jsonschema-suite: $(BUILD)/tests/jsonschema/suite ## the official JSON Schema suite (fetched; SUITE=FOLDER uses one)
	@BUILD=$(BUILD) scripts/jsonschema-suite

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/libtest.a $(BUILD)/libbroker.a $(BUILD)/libclient.a $(BUILD)/libworker.a $(COMMON_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(TEST_LIBS) $(BROKER_LIBS) $(COMMON_LIBS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Served at /openapi.yaml: the file becomes part of the broker.
$(BUILD)/openapi.inc: schemas/openapi.yaml
	@mkdir -p $(@D)
	xxd -i < $< > $@
$(BUILD)/broker/http/openapi.o: $(BUILD)/openapi.inc

.PHONY: tests
tests: $(PROGRAMS) $(BUILD)/patchbay-sandbox $(BUILD)/patchbay-flap $(BUILD)/patchbay-cron $(BUILD)/patchbay-broker-faulty $(TESTS) ## build everything that tests need

.PHONY: unit
unit: $(TESTS) ## run the unit and store tests alone
	@BUILD=$(BUILD) scripts/test --unit

.PHONY: test
test: deps ## install what is missing, then run every test that needs no extra server
	@$(MAKE) --no-print-directory tests
	@BUILD=$(BUILD) scripts/test

.PHONY: test-mongo
test-mongo: $(PROGRAMS) $(BUILD)/patchbay-sandbox $(TESTS) ## the tests that need a MongoDB, on one that is found or started
	@BUILD=$(BUILD) scripts/mongo run --test-commands -- scripts/test --mongo

# The board in a world that fails, by seed.
SEEDS ?= 2000
$(BUILD)/patchbay-sim: $(call objects,$(wildcard tests/sim/*.c)) $(BUILD)/libbroker.a $(COMMON_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(BROKER_LIBS) $(COMMON_LIBS)

.PHONY: sim
sim: $(BUILD)/patchbay-sim ## the board through SEEDS seeds of crashes, losses and delays (default 2000)
	@$< $(SEEDS)

.PHONY: sim-mutations
sim-mutations: $(BUILD)/patchbay-sim ## break the board on purpose: the simulator must catch each fault
	@BUILD=$(BUILD) scripts/sim-mutations

# Real processes in network namespaces (root, iproute2), killed, stopped and cut off.
MINUTES ?= 3
.PHONY: chaos
chaos: tests ## MINUTES of load and faults in network namespaces, then an audit (SEED= repeats the faults)
	@BUILD=$(BUILD) scripts/chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# Fuzz targets: with libFuzzer in build-fuzz/ (make fuzz), else with a main() that replays their seeds (make test).
FUZZ_SRC     := $(wildcard tests/fuzz/*.c)
FUZZ_TARGETS := $(patsubst %.c,$(BUILD)/%,$(FUZZ_SRC))
FUZZ_MAIN     = $(BUILD)/tests/fuzz/lib/replay.o
FUZZ_SECONDS ?= 10
FUZZ_CHECKS  := -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all
$(FUZZ_TARGETS): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/lib/fuzz.o $(FUZZ_MAIN) \
                 $(BUILD)/libbroker.a $(BUILD)/libclient.a $(BUILD)/libworker.a $(COMMON_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) $(FUZZ_ENGINE) -o $@ $^ $(BROKER_LIBS) $(COMMON_LIBS)
$(BUILD)/tests/unit/test_fuzz_seeds: | $(FUZZ_TARGETS)

.PHONY: fuzz-targets
fuzz-targets: $(FUZZ_TARGETS)

.PHONY: fuzz
fuzz: ## try every parser with generated input for FUZZ_SECONDS each (needs clang: scripts/deps --ci)
	@$(MAKE) --no-print-directory BUILD=build-fuzz CC=clang CXX=clang++ CFLAGS="-O1 -g" WERROR= SANFLAGS="$(FUZZ_CHECKS)" FUZZ_MAIN= \
	  FUZZ_ENGINE=-fsanitize=fuzzer fuzz-targets
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz build-fuzz $(FUZZ)

.PHONY: demo
demo: deps ## three integrations and 10,000 more set up, and all tested again (ONCE=1 ends by itself; STORE=URL)
	@$(MAKE) --no-print-directory all $(BUILD)/patchbay-sandbox
	@BUILD=$(BUILD) ONCE=$(ONCE) STORE='$(STORE)' scripts/demo

.PHONY: run
run: all ## a broker, workers and the embedded store in ./data
	$(BUILD)/patchbay up

.PHONY: install
install: all ## programs and packages below PREFIX (and DESTDIR)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/patchbay
	install $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	cp -R manifests schemas $(DESTDIR)$(PREFIX)/share/patchbay/

# Benchmarks: programs in tests/bench, each run by a script or by hand; none is a test.
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/libbroker.a $(COMMON_ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(BROKER_LIBS) $(COMMON_LIBS)

.PHONY: bench
bench: tests $(BUILD)/tests/bench/rows $(BUILD)/tests/bench/store ## jobs a second from end to end beside SQLite alone, time of one job, memory of a million
	@BUILD=$(BUILD) python3 tests/bench/jobs.py

.PHONY: format
format: ## clang-format over the sources
	@git ls-files '*.c' '*.h' | xargs clang-format -i

.PHONY: clean
clean: ## remove every build
	rm -rf build build-*

.DELETE_ON_ERROR:
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
