# Everything a developer runs. One target directory and one profile throughout, so that nothing is compiled twice.
CARGO ?= cargo
TOOLS := tests/tools

.NOTPARALLEL:
.PHONY: help demo test build fmt lint unit e2e setup clean

help: ## this list
	@sed -n 's/^\([a-z0-9]*\):.*## /\1	/p' $(firstword $(MAKEFILE_LIST)) | while IFS='	' read -r target text; do \
		printf '  make %-8s %s\n' "$$target" "$$text"; done

demo: ## a whole swarm on this machine: build, install, run; stays up (EXIT=1: check everything and end)
	@EXIT='$(EXIT)' tests/demo.sh

test: lint setup build ## what CI runs: format, clippy, all tests (under 25 minutes from nothing on two cores)
	@$(TOOLS)/nextest.sh

build: ## both programs and all tests, unoptimised
	$(CARGO) build --workspace --bins --tests

fmt: ## format the sources
	$(CARGO) fmt --all

lint: ## format check, clippy without mercy, licences if cargo-deny is installed
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@for script in $(TOOLS)/*.sh tests/demo.sh .ci/run; do bash -n "$$script" || exit 1; done
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --offline check bans licenses sources; fi

unit: setup build ## every test but the end-to-end ones
	@$(TOOLS)/nextest.sh unit

e2e: setup build ## the end-to-end tests alone: real nats-server, real Portage, both programs
	@$(TOOLS)/nextest.sh e2e

setup: ## what the tests need and is missing: system packages, nats-server, Portage (below .tools/)
	@$(TOOLS)/system.sh
	@$(TOOLS)/nats.sh >/dev/null
	@for version in 3.0.83 3.0.82.2 3.0.77 3.0.66.1; do $(TOOLS)/portage.sh $$version >/dev/null || exit 1; done

clean: ## remove what was built and fetched, and stop a demo that is still up
	@if [ -e .demo ] && [ -x target/debug/swarm ]; then target/debug/swarm down --data .demo; fi
	$(CARGO) clean
	rm -rf .demo .tools
