# Sourced by what runs in a box. Every check says what it saw; the first that fails ends the box.
set -euo pipefail

ok() { printf 'ok    %s\n' "$*"; }
fail() {
	printf 'FAIL  %s\n' "$*"
	tail -n 25 /box/*.log /var/log/build-swarm*.log 2>/dev/null || true
	exit 1
}
check() { # what, command...
	local what=$1
	shift
	if "$@" > /box/last 2>&1; then ok "$what"; else cat /box/last; fail "$what: $*"; fi
}
same() { # what, wanted, found
	if [ "$2" = "$3" ]; then ok "$1"; else fail "$1: wanted $2, found $3"; fi
}
until_true() { # seconds, what, command...
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" > /box/last 2>&1; do
		[ $SECONDS -lt $end ] || { cat /box/last; fail "waited in vain: $what ($*)"; }
		sleep 0.1
	done
	ok "$what"
}
