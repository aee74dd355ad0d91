# What a person types. Every target is safe to run again.

TARGET := $(or $(CARGO_TARGET_DIR),target)
CARGO := cargo
# Always the whole workspace, so that features are the same everywhere and nothing is compiled twice.
HOST := $(CARGO) build --release --workspace
# A connector's folder is named like its file.
CONNECTORS := $(subst -,_,$(patsubst connectors/%/Cargo.toml,%,$(wildcard connectors/*/Cargo.toml)))
GUESTS := $(CONNECTORS:%=$(TARGET)/wasm32-wasip2/guest/%.wasm)
PACKED := $(TARGET)/connectors
export PGCDC_CONNECTORS := $(abspath $(PACKED))
DENY_VERSION := 0.20.2
export PATH := $(abspath $(TARGET))/tools/bin:$(PATH)

.PHONY: help setup guests pack build demo test unit lint deny bench check clean
.PHONY: faults certify sim
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## the Wasm target and PostgreSQL's binaries, where they are missing
	@scripts/setup

guests:
	$(CARGO) build --profile guest --target wasm32-wasip2 -p 'connector-*'

# Compiles the connectors ahead of time; again only if one of them, or the packer, has changed.
pack: guests
	$(HOST) --bin pgcdc-artifact
	@packer=$(TARGET)/release/pgcdc-artifact; stale=; \
	for name in $(CONNECTORS); do \
	    guest=$(TARGET)/wasm32-wasip2/guest/$$name.wasm; ready=$(PACKED)/$$name.cwasm; \
	    if [ ! "$$ready" -nt "$$guest" ] || [ ! "$$ready" -nt "$$packer" ]; then stale="$$stale $$guest"; fi; \
	done; \
	mkdir -p $(PACKED); \
	for old in $(PACKED)/*.wasm; do \
	    name=$$(basename "$$old" .wasm); \
	    case " $(CONNECTORS) " in *" $$name "*) ;; *) rm -f "$(PACKED)/$$name.wasm" "$(PACKED)/$$name.cwasm" ;; esac; \
	done; \
	if [ -n "$$stale" ]; then echo "packing$$stale"; $$packer $(PACKED) $$stale; fi

build: setup pack ## connectors, compiled ahead of time, then pgcdc around them
	$(HOST) --bins

demo: build ## a small shop in a throwaway PostgreSQL, and its changes as they come; Ctrl-C ends it
	$(TARGET)/release/demo

test: lint deny unit ## everything that must hold before a change is merged

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings

deny:
	@cargo-deny --version >/dev/null 2>&1 || \
	    CARGO_TARGET_DIR=$(TARGET)/tools/target $(CARGO) install cargo-deny --locked --version $(DENY_VERSION) --root $(TARGET)/tools
	cargo-deny --locked --workspace check --hide-inclusion-graph licenses bans sources

unit: build faults
	$(CARGO) test --release --workspace --no-fail-fast

# The same program with places that can be told to fail. It is built in the same folder, so what is shipped is put back behind it.
faults: setup pack
	$(HOST) --bins --features pgcdc/faults
	@mkdir -p $(TARGET)/faults && cp $(TARGET)/release/pgcdc $(TARGET)/faults/pgcdc
	$(HOST) --bins

certify: faults ## kills and faults on a throwaway PostgreSQL, cumulated: n of 10,000; more: make certify ARGS="--kills 2000"
	$(TARGET)/release/certify $(ARGS)

bench: build ## side by side with pg_recvlogical; quick look: make bench ARGS=--quick
	$(TARGET)/release/bench $(ARGS)

# In a folder of its own, because only the pure crate is built.
sim: ## 10,000 seeds of the simulator, and each sabotage that it has to notice
	PGCDC_SIM_SEEDS=$${PGCDC_SIM_SEEDS:-10000} $(CARGO) test --release --target-dir $(TARGET)/sim -p pgcdc-core --test sim -- --nocapture
	@scripts/sabotage

check: ## does it compile?
	$(CARGO) check --workspace --all-targets

clean: ## removes what was built
	$(CARGO) clean
