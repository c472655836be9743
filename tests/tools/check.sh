#!/usr/bin/env bash
# For the minute between two thoughts: format, clippy, and the quick tests of the crates that changed and of those that
# depend on them. Swarms of real processes, real Portage and journeys of fresh seeds are left to `make test`.
#
#   BASE=COMMIT   changed since then; else since HEAD left origin/main, else since the last commit but one.
#                 What is not committed counts always.
. "$(dirname "$0")/common.sh"

cd "$project"
command -v cargo >/dev/null || fail "cargo is missing" "install Rust 1.95 or newer and run this again"

# What `make test` builds, but for the programs that link everything.
targets=(--workspace --lib --test all --test golden --test simulation)
# what takes long there
slow='package(swarm-simulation) & test(/^fresh_seeds_|^a_fleet_of_thousands_/)'

begin() { # the commit that is compared with; nothing if there is none
	if [ -n "${BASE:-}" ]; then
		git rev-parse --verify --quiet "$BASE^{commit}" || fail "BASE=$BASE is no commit here"
	elif git rev-parse --verify --quiet origin/main >/dev/null; then
		git merge-base HEAD origin/main
	else
		git rev-parse --verify --quiet HEAD~1
	fi
}
crate_of() { # path: its crate; `all` if every crate hangs on it; nothing if none does
	local folder=$1
	case $1 in
		Cargo.toml | Cargo.lock | .config/* | rust-toolchain*) echo all && return ;;
		# what their tests read
		docs/openapi.json) folder=controller ;;
		docs/protocol.md) folder=protocol ;;
	esac
	while [ "$folder" != . ] && [ ! -e "$folder/Cargo.toml" ]; do folder=$(dirname "$folder"); done
	[ "$folder" = . ] || sed -n '/^name = /{s/.*"\(.*\)"/\1/p;q}' "$folder/Cargo.toml"
}

crates=
if ! git rev-parse --git-dir >/dev/null 2>&1; then
	say "this is no clone, so nobody knows what changed: all crates are tested"
	crates=all
elif base=$(begin) && [ -n "$base" ]; then
	changed=$(git diff --name-only "$base" && git ls-files --others --exclude-standard)
	crates=$(while IFS= read -r path; do crate_of "$path"; done <<<"$changed" | sort -u)
	say "compared with $(git log -1 --format='%h %s' "$base")"
else
	[ -z "${BASE:-}" ] || exit 1
	say "there is no earlier commit here to compare with: all crates are tested"
	crates=all
fi

cargo fmt --all --check || fail "the format is not rustfmt's" "make fmt mends it"
cargo clippy --quiet --workspace --all-targets -- -D warnings || fail "clippy has complaints: see above"

if [ -z "$crates" ]; then
	say "no crate has changed: nothing to test"
	exit
elif grep -qx all <<<"$crates"; then
	say "testing all crates"
	wanted='all()'
else
	say "testing" $crates "and what depends on them"
	wanted=$(printf 'rdeps(=%s) + ' $crates)
	wanted=${wanted% + }
fi
if cargo nextest --version >/dev/null 2>&1; then
	exec cargo nextest run "${targets[@]}" --no-tests=pass \
		-E "($wanted) - group(end-to-end) - group(patient) - ($slow)"
fi
say "cargo-nextest is not installed (cargo install --locked cargo-nextest): cargo test runs all quick tests"
exec cargo test --quiet "${targets[@]}"
