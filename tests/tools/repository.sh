#!/usr/bin/env bash
# Copies the demo repository and its source archives to where Portage may write, and fills the metadata cache once,
# so that no drone has to read every ebuild for itself. The checked-in repository stays as it is.
#
#   repository.sh DIR        makes DIR/repository and DIR/distfiles and prints DIR
. "$(dirname "$0")/common.sh"

[ $# -eq 1 ] || fail "usage: repository.sh DIR"
mkdir -p "$1"
target=$(cd "$1" && pwd -P)
here=$project/tests
venv=$("$here/tools/portage.sh")

# What the copy was made of: nothing to do while that is unchanged.
stamp=$(cd "$here" && find repository tools/sources tools/distfiles.py tools/repository.sh -type f -print0 | sort -z |
	xargs -0 sha256sum | sha256sum)
stamp="$stamp $venv"
if [ "$(cat "$target/.made-of" 2>/dev/null)" = "$stamp" ]; then
	echo "$target"
	exit
fi
alone
if [ "$(cat "$target/.made-of" 2>/dev/null)" != "$stamp" ]; then
	rm -rf "$target/repository" "$target/.made-of" "$target/.cache-root"
	cp -R "$here/repository" "$target/repository"
	"$(find_python)" "$here/tools/distfiles.py" "$target/distfiles"

	# the smallest prefix that egencache runs in; gone afterwards
	root=$target/.cache-root
	case $(uname -m) in aarch64) arch=arm64 ;; *) arch=amd64 ;; esac
	mkdir -p "$root"/{etc/portage/repos.conf,share/portage/config,var/db/pkg,var/tmp,var/cache/edb,tmp}
	ln -s "$venv/share/portage/config/make.globals" "$venv/share/portage/config/sets" "$root/share/portage/config/"
	: > "$root/share/portage/config/repos.conf"
	ln -s "$target/repository/profiles/default/$arch" "$root/etc/portage/make.profile"
	printf '[DEFAULT]\nmain-repo = swarm-demo\n[swarm-demo]\nlocation = %s\nauto-sync = no\n' \
		"$target/repository" > "$root/etc/portage/repos.conf/swarm-demo.conf"
	cat > "$root/etc/portage/make.conf" <<-CONF
		PORTAGE_USERNAME="$(id -un)"
		PORTAGE_GRPNAME="$(id -gn)"
		PORTAGE_TMPDIR="$root/var/tmp"
		DISTDIR="$target/distfiles"
		FEATURES="-sandbox -usersandbox -userpriv -usersync -news -ipc-sandbox -network-sandbox -pid-sandbox -mount-sandbox"
	CONF
	log=$target/metadata-cache.log
	if ! env -i HOME="$root/tmp" TERM=dumb LC_ALL=C.UTF-8 NO_COLOR=1 NOCOLOR=true PATH="$venv/bin:$PATH" \
		PORTAGE_OVERRIDE_EPREFIX="$root" \
		"$venv/bin/egencache" --repo=swarm-demo --update --jobs=2 >"$log" 2>&1 </dev/null; then
		tail -n 15 "$log" >&2
		fail "the metadata cache of the demo repository could not be made" "the whole log is in $log"
	fi
	rm -rf "$root" "$log"
	echo "$stamp" > "$target/.made-of"
fi
echo "$target"
