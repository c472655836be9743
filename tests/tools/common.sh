# Sourced by the setup steps beside it. Each step may be run as often as you like, is quick when there is nothing
# to do, says on standard error what it does, and prints on standard output only where the thing is.
set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# everything fetched lands below the project, never in the system
tools=${SWARM_TOOLS_DIR:-$project/.tools}
step=$(basename "$0")

say() { printf '%s: %s\n' "$step" "$*" >&2; }
fail() { # what went wrong, what to do next...
	printf '%s: %s\n' "$step" "$1" >&2
	shift
	[ $# -eq 0 ] || printf '  %s\n' "$@" >&2
	exit 1
}

# One setup step at a time, so that tests running side by side may all ask for the same thing.
alone() {
	mkdir -p "$tools"
	exec 9>"$tools/.lock"
	flock -w 600 9 || fail "another setup step has held $tools/.lock for ten minutes" "end it, then run this again"
}

# The interpreter for virtual environments: the system's, because version switchers choose by directory.
find_python() {
	local candidate
	for candidate in /usr/bin/python3 python3; do
		if command -v "$candidate" >/dev/null &&
			"$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
			command -v "$candidate"
			return
		fi
	done
	fail "no Python 3.9 or newer with venv was found" "install it (Debian: python3-venv) and run this again"
}
