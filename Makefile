# Everything a developer runs. One target directory and one profile throughout, so that nothing is compiled twice.
CARGO ?= cargo
TOOLS := tests/tools
# Where `make install` puts things; an empty one is packaging/install.sh's default.
PLACES = DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' COMPONENTS='$(COMPONENTS)' FROM='$(FROM)'

.NOTPARALLEL:
.PHONY: help demo test check soak soak-packaging build fmt lint form clippy unit e2e simulate bench setup clean release install uninstall dist deb

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1	/p' $(firstword $(MAKEFILE_LIST)) | while IFS='	' read -r target text; do \
		printf '  make %-14s %s\n' "$$target" "$$text"; done

demo: ## a whole swarm on this machine: build, install, run; stays up (EXIT=1: check everything and end)
	@EXIT='$(EXIT)' tests/demo.sh

test: ## what CI runs: format, clippy, all tests
	@$(TOOLS)/test.sh

check: setup ## for the minute between two thoughts: format, clippy, quick tests of the crates that changed (BASE=commit)
	@BASE='$(BASE)' $(TOOLS)/check.sh

soak: setup build ## the ebuild of prebuilt programs, emerged; then 1,000 kills, or MINUTES=n long (SEED=n repeats one), with figures
	@FROM=target/debug $(TOOLS)/soak_packaging.sh prebuilt
	@MINUTES='$(MINUTES)' ROUNDS='$(if $(MINUTES),,$(or $(ROUNDS),1000))' SEED='$(SEED)' $(TOOLS)/nextest.sh soak

build: ## both programs and all tests, unoptimised
	$(CARGO) build --workspace --bins --tests

fmt: ## format the sources
	$(CARGO) fmt --all

lint: form clippy ## format check, clippy without mercy, licences if cargo-deny is installed

clippy:
	$(CARGO) clippy $(QUIET) --workspace --all-targets -- -D warnings

form:
	$(CARGO) fmt --all --check
	@for script in $(TOOLS)/*.sh tests/demo.sh .ci/run; do bash -n "$$script" || exit 1; done
	@for script in packaging/*.sh packaging/openrc/*.initd packaging/openrc/*.confd; do sh -n "$$script" || exit 1; done
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --offline check bans licenses sources; fi

unit: setup build ## every test but the end-to-end ones
	@$(TOOLS)/nextest.sh unit

e2e: setup build ## the end-to-end tests alone: real nats-server, real Portage, both programs
	@$(TOOLS)/nextest.sh e2e

simulate: ## a swarm in virtual time: SEED=… DRONES=… HOURS=… WEATHER=calm|rough|storm; without SEED fresh seeds for SECONDS=60
	@$(CARGO) build --quiet --workspace --bin simulate
	@SEED='$(SEED)' DRONES='$(DRONES)' HOURS='$(HOURS)' WEATHER='$(WEATHER)' SECONDS='$(SECONDS)' target/debug/simulate

bench: setup ## the figures of docs/performance.md on this machine, optimised (BENCH=index: one; ROUNDS=3; JSON below target/bench)
	$(CARGO) build --release --workspace --bins
	target/release/swarm-bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(BENCH)

setup: ## what the tests need and is missing: system packages, nats-server, Portage (below .tools/)
	@$(TOOLS)/system.sh
	@$(TOOLS)/nats.sh >/dev/null
	@for version in 3.0.83 3.0.82.2 3.0.77 3.0.66.1; do $(TOOLS)/portage.sh $$version >/dev/null || exit 1; done
	@$(TOOLS)/mail.sh >/dev/null

release: ## both programs as they are installed, optimised
	$(CARGO) build --release --locked --bins -p swarm-controller -p drone-agent

install: ## install what `make release` built (DESTDIR=, PREFIX=/usr/local, SYSCONFDIR=/etc, COMPONENTS=; see packaging/install.sh)
	@$(PLACES) packaging/install.sh install

uninstall: ## remove it again; keeps a changed configuration, and what the services wrote
	@$(PLACES) packaging/install.sh uninstall

dist: release ## tarballs of sources, crates and programs, for ebuilds and for machines without a compiler (OUT=target/dist)
	@OUT='$(OUT)' packaging/dist.sh

deb: release ## Debian packages of controller and drone (OUT=target/dist)
	@OUT='$(OUT)' packaging/deb.sh

soak-packaging: setup release ## packages as their users get them: dist, deb, ebuilds, systemd, OpenRC; minutes, and the network
	@$(TOOLS)/soak_packaging.sh

clean: ## remove what was built and fetched, and stop a demo that is still up
	@if [ -e .demo ] && [ -x target/debug/swarm ]; then target/debug/swarm down --data .demo; fi
	$(CARGO) clean
	rm -rf .demo .tools
