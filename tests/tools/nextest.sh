#!/usr/bin/env bash
# Runs all tests of the workspace, with cargo-nextest where there is one, else with cargo's own runner, whose
# many summaries are then added up. Arguments go to cargo-nextest or, as filters, to `cargo test`.
. "$(dirname "$0")/common.sh"

cd "$project"
if cargo nextest --version >/dev/null 2>&1; then
	exec cargo nextest run --workspace "$@"
fi

say "cargo-nextest is not installed (cargo install --locked cargo-nextest): falling back to cargo test"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
# nothing limits a single test here, so the whole run is limited instead
timeout --kill-after=30 2400 cargo test --workspace --no-fail-fast -- --test-threads=2 2>&1 | tee "$log" || failed=1
awk '/^test result:/ { passed += $4; bad += $6 } END { printf "%d passed, %d failed\n", passed, bad; exit bad > 0 }' "$log" || failed=1
exit "$failed"
