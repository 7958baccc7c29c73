# Thin doors over Meson; `make help` lists them.
export CC ?= gcc
BUILD ?= build

.PHONY: help build
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BUILD)/build.ninja:
	meson setup $(BUILD)

build: $(BUILD)/build.ninja ## build everything
	ninja -C $(BUILD)
