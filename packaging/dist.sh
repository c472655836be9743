#!/bin/sh
# Makes the tarballs a release consists of, below OUT (target/dist):
#
#   build-swarm-VERSION.tar.xz           the sources, as they are in the working tree
#   build-swarm-VERSION-crates.tar.xz    every crate they need, as cargo.eclass and `cargo --config` take them
#   build-swarm-VERSION-ARCH.tar.xz      the programs of `make release` with everything installed beside them, and install.sh
#
#   [OUT=DIR] dist.sh [sources] [crates] [programs]     all of them unless said otherwise
#
# The same tree makes the same bytes: names sorted, one owner, the time of the newest commit.
set -eu
umask 022

top=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$top"
out=${OUT:-target/dist}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
name=build-swarm-$version
[ $# -gt 0 ] || set -- sources crates programs
mkdir -p "$out"
out=$(cd "$out" && pwd -P)
work=$(mktemp -d "$out/making.XXXXXX")
trap 'rm -rf "$work"' EXIT

fail() {
	printf 'dist.sh: %s\n  %s\n' "$1" "$2" >&2
	exit 1
}
pack() { # tarball's name; packs everything in $work/tree
	when=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.lock)
	tar -C "$work/tree" --sort=name --mtime="@$when" --owner=0 --group=0 --numeric-owner --mode=u+rw,go+r-w -c . |
		xz -T0 "-${XZ_LEVEL:-6}" > "$work/$1"
	mv -f "$work/$1" "$out/$1"
	rm -rf "$work/tree"
	printf '%s\n' "$out/$1"
}

for part in "$@"; do
	mkdir "$work/tree"
	case $part in
		sources)
			git rev-parse --is-inside-work-tree >/dev/null 2>&1 || fail "the sources are no git checkout" "what belongs to them is asked of git; a release's sources are already packed"
			mkdir "$work/tree/$name"
			git ls-files -z --cached --others --exclude-standard > "$work/list"
			tar --null -T "$work/list" -c | tar -C "$work/tree/$name" -x
			pack "$name.tar.xz"
			;;
		crates)
			# the folder cargo.eclass keeps crates in; needs the network, or crates fetched before
			mkdir -p "$work/tree/cargo_home"
			cargo vendor --locked --versioned-dirs --quiet "$work/tree/cargo_home/gentoo" > "$work/vendor.toml" ||
				fail "the crates could not be fetched" "look at cargo's words above"
			pack "$name-crates.tar.xz"
			;;
		programs)
			arch=$(uname -m)
			tree=$work/tree/$name-$arch
			mkdir -p "$tree/bin"
			for program in swarm drone-agent; do
				[ -x "${FROM:-target/release}/$program" ] || fail "$program is not built" "build it first: make release"
				cp "${FROM:-target/release}/$program" "$tree/bin/$program"
			done
			cp packaging/install.sh README.md CHANGELOG.md LICENSE "$tree/"
			mkdir "$tree/packaging"
			cp -R packaging/config packaging/env packaging/systemd packaging/openrc "$tree/packaging/"
			cp -R docs "$tree/docs"
			pack "$name-$arch.tar.xz"
			;;
		*) fail "there is no part $part" "there are: sources crates programs" ;;
	esac
done
