#!/usr/bin/env bash
# Runs the tests of the workspace, with cargo-nextest where there is one, else with cargo's own runner, whose many
# summaries are then added up.
#
#   nextest.sh [all|unit|e2e|soak]     e2e: what .config/nextest.toml puts into a group; unit: the others;
#                                      soak: the rounds of kills alone, without a bound on their time
#   nextest.sh programs DIR            only builds, and writes to DIR where the test programs are
#   nextest.sh all DIR                 runs those, without a Cargo that would lock target/
. "$(dirname "$0")/common.sh"

cd "$project"
which=${1:-all} programs=${2:-}
if cargo nextest --version >/dev/null 2>&1; then
	# much of the time is spent waiting
	threads=$(($(nproc) + 1)) grouped='group(end-to-end) + group(patient)'
	what=(--workspace)
	[ -z "$programs" ] || what=(--cargo-metadata "$programs/cargo.json" --binaries-metadata "$programs/programs.json")
	case $which in
		all) exec cargo nextest run "${what[@]}" --test-threads "$threads" ;;
		unit) exec cargo nextest run --workspace -E "not ($grouped)" ;;
		e2e) exec cargo nextest run --workspace --test-threads "$threads" -E "$grouped" --no-tests=fail ;;
		soak) exec cargo nextest run --workspace --profile soak -E 'binary(rounds)' --no-tests=fail ;;
		programs)
			mkdir -p "$programs"
			cargo metadata --format-version 1 --all-features > "$programs/cargo.json"
			exec cargo nextest list --workspace --list-type binaries-only --message-format json > "$programs/programs.json"
			;;
		*) fail "usage: nextest.sh [all|unit|e2e|soak]" ;;
	esac
fi

case $which in
	soak) exec cargo test -p swarm-tests --test rounds -- --nocapture ;;
	all) selection=(--workspace) ;;
	unit) selection=(--workspace --exclude swarm-tests) ;;
	e2e) selection=(-p swarm-tests) ;;
	*) fail "usage: nextest.sh [all|unit|e2e|soak]" ;;
esac
say "cargo-nextest is not installed (cargo install --locked cargo-nextest): falling back to cargo test"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
# nothing here limits a single test, so the whole run is limited instead
timeout --kill-after=30 2400 cargo test "${selection[@]}" --no-fail-fast -- --test-threads=2 2>&1 | tee "$log" || failed=1
awk '/^test result:/ { passed += $4; failed += $6 }
	END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 || passed == 0 }' "$log" || failed=1
exit "$failed"
