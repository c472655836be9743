#!/bin/sh
# Makes the Debian packages build-swarm-controller and build-swarm-drone of what `make release` built, below OUT
# (target/dist). What is in them is what packaging/install.sh installs; the rest stands in the Cargo.toml of each.
set -eu
umask 022

top=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$top"
out=${OUT:-target/dist}
fail() {
	printf 'deb.sh: %s\n  %s\n' "$1" "$2" >&2
	exit 1
}
cargo deb --version >/dev/null 2>&1 || fail "cargo-deb is not installed" "install it and run this again: cargo install --locked cargo-deb"
for program in swarm drone-agent; do
	[ -x "target/release/$program" ] || fail "$program is not built" "build it first: make release"
done

rm -rf target/deb
mkdir -p target/deb "$out"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
when=$(git log -1 --format=%cD 2>/dev/null || date -R)
changelog() { # package
	printf '%s (%s-1) unstable; urgency=medium\n\n  * Version %s; what changed stands in CHANGELOG.md.\n\n -- %s  %s\n' \
		"$1" "$version" "$version" "Build Swarm developers <build-swarm@localhost.localdomain>" "$when" > target/deb/changelog
}
for package in controller drone; do
	tree=target/deb/$package
	components="$package systemd"
	[ "$package" = drone ] || components="$components docs"
	DESTDIR=$top/$tree PREFIX=/usr SYSCONFDIR=/etc COMPONENTS=$components FROM=target/release packaging/install.sh install
	# Debian keeps a package's licence in one place, its pages compressed, and no file in two packages
	[ "$package" = controller ] || mv "$tree/usr/share/doc/build-swarm" "$tree/usr/share/doc/build-swarm-$package"
	rm -f "$tree/usr/share/doc/build-swarm/LICENSE"
	if [ -d "$tree/usr/share/man" ]; then find "$tree/usr/share/man" -name '*.1' -exec gzip -9n {} +; fi
	sed "s/PACKAGE/build-swarm-$package/" packaging/debian/lintian-overrides > "$tree/lintian-overrides"
	changelog "build-swarm-$package"
	case $package in controller) crate=swarm-controller ;; drone) crate=drone-agent ;; esac
	cargo deb --quiet --no-build --no-strip -p "$crate" --output "$out/"
done
