#!/usr/bin/env bash
# Everything, as CI runs it. What only waits, or has time, runs beside what is waited for: things are fetched while the
# programs compile, and clippy reads the sources while the tests run, most of which wait. Each step that fails says so,
# and the last line names it.
. "$(dirname "$0")/common.sh"

cd "$project"
scratch=$(mktemp -d)
declare -A beside=()
finish() {
	local name
	for name in "${!beside[@]}"; do kill -- "-${beside[$name]}" 2>/dev/null || true; done
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start() { # name, command...: runs it beside what follows; what it says is kept
	local name=$1
	shift
	# a process group of its own, so that all of it can be ended
	set -m
	"$@" >"$scratch/$name" 2>&1 </dev/null &
	set +m
	beside[$name]=$!
}
ended() { # name: waits for it, shows what it said, gives its status
	local status=0
	wait "${beside[$1]}" || status=$?
	unset "beside[$1]"
	cat "$scratch/$1" >&2
	return "$status"
}
step() { # name, command...
	local name=$1
	shift
	"$@" || fail "$name failed: what it said is above"
	say "$name: done after $SECONDS s"
}
run() { make --no-print-directory "$@"; }

step form run form
# without a compiler nothing else is worth a try
step "system packages" tests/tools/system.sh
start setup run setup
step build run build
ended setup || fail "setup failed: what it said is above"

if ! cargo nextest --version >/dev/null 2>&1; then
	step clippy run clippy
	step tests tests/tools/nextest.sh
	exit
fi
# Cargo lets only one of its kind work in target/ at a time, so the test programs are looked up before clippy begins.
step "list of test programs" tests/tools/nextest.sh programs "$scratch/programs"
start clippy nice make --no-print-directory clippy QUIET=--quiet
failed=
tests/tools/nextest.sh all "$scratch/programs" || failed=" tests"
say "tests: ended after $SECONDS s"
ended clippy || failed+=" clippy"
say "clippy: ended after $SECONDS s"
[ -z "$failed" ] || fail "failed:$failed" "what they said is above"
