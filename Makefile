# Thin doors over Meson; `make help` lists them.
export CC ?= gcc
export BUILD ?= build

PREFIX ?= /usr/local
RUNS ?= 100000
KILLS ?= 20

.PHONY: help build run test kills check bench sanitize coverage asan peer fuzz image install test-kube fresh
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BUILD)/build.ninja:
	meson setup $(BUILD)

build: $(BUILD)/build.ninja $(BUILD)/python/cloudpickle ## build everything
	ninja -C $(BUILD)

# What our package needs beside it, for the shells that build/env.sh sets up and for pods.
$(BUILD)/python/cloudpickle: $(BUILD)/build.ninja
	python3 -m venv $(BUILD)/pip
	$(BUILD)/pip/bin/python -m pip install -q --disable-pip-version-check --no-deps --upgrade \
		--target $(BUILD)/python cloudpickle==3.1.2
	@touch $@

run: ## install what is missing, build, run the example RayJob on this machine
	@tools/deps --install --run
	@$(MAKE) --no-print-directory -s build
	@$(BUILD)/bin/mobula run examples/rayjob-counter.yaml

test: build ## unit and system tests; the last line is the sum
	@tools/test

kills: build ## every process of the main job killed at KILLS moments each, as root
	KILLS=$(KILLS) tools/test test/system/kill

check: build ## format, layers, headers, file rules
	@tools/check

bench: build ## our figures beside the peer's
	bench/run --page docs/performance.md
	bench/rayjob

sanitize: ## unit tests under ASan+UBSan; those where threads meet under TSan
	[ -f build-asan/build.ninja ] || meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	ninja -C build-asan >/dev/null
	meson test -C build-asan --no-rebuild --suite unit --print-errorlogs -t 5
	[ -f build-tsan/build.ninja ] || meson setup build-tsan -Db_sanitize=thread -Db_lundef=false >/dev/null
	ninja -C build-tsan src/ipc/ipc_ring_test src/core/core_test src/core/core_serve_test src/core/core_stream_test src/store/store_test >/dev/null
	for name in ipc/ipc_ring core/core core/core_serve core/core_stream store/store; do build-tsan/src/$${name}_test || exit 1; done

coverage: ## which lines the simulations run; at least 90 % of src/own
	@tools/coverage 2000

asan: ## all tests under AddressSanitizer and UBSan
	[ -f build-asan/build.ninja ] || meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false
	@$(MAKE) --no-print-directory -s BUILD=build-asan build
	BUILD=build-asan tools/test

peer: $(BUILD)/peer/bin/ray ## the peer's release beside the build, for tests that compare
$(BUILD)/peer/bin/ray:
	python3 -m venv $(BUILD)/peer
	$(BUILD)/peer/bin/python -m pip install -q --disable-pip-version-check 'ray[default]==2.60.0' joblib # joblib: one script needs it

fuzz: ## every fuzz target, RUNS inputs each
	tools/fuzz $(RUNS)

image: build ## image archives of the operator and of a Ray node
	tools/image

test-kube: build ## one list of tests on the embedded and on KUBECONFIG's API server
	tools/test-kube

install: ## into PREFIX (/usr/local), without tests
	[ -f build-install/build.ninja ] || meson setup build-install --buildtype=release -Dtests=false
	meson configure build-install --prefix=$(abspath $(PREFIX))
	ninja -C build-install
	meson install -C build-install --no-rebuild --strip
	@tools/installed $(abspath $(PREFIX))

fresh: ## prove `make run` on a new minimal Debian 12 (root, mmdebstrap)
	@tools/fresh
