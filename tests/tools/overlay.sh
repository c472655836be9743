#!/usr/bin/env bash
# Lets a real Portage read the ebuilds of packaging/gentoo: a copy of the overlay, a repository "gentoo" of stand-ins for
# the eclasses they inherit, a prefix to install into. Writes their manifests and their metadata cache.
#
#   overlay.sh DIR DISTFILES     makes all of it in DIR (new), with what DISTFILES holds; prints DIR
#
# Afterwards DIR/portage COMMAND ARGS... runs emerge and the like in the prefix DIR/root.
. "$(dirname "$0")/common.sh"

[ $# -eq 2 ] || fail "usage: overlay.sh DIR DISTFILES"
[ ! -e "$1" ] || fail "$1 is there already" "name a new folder"
mkdir -p "$1"
dir=$(cd "$1" && pwd -P)
distfiles=$(cd "$2" && pwd -P)
venv=$("$project/tests/tools/portage.sh")
case $(uname -m) in aarch64) arch=arm64 ;; *) arch=amd64 ;; esac

cp -R "$project/packaging/gentoo" "$dir/overlay"
mkdir -p "$dir/gentoo/metadata" "$dir/gentoo/eclass" "$dir/distfiles"
cp -R "$project/tests/repository/profiles" "$dir/gentoo/profiles"
cp "$project"/tests/tools/eclass/*.eclass "$dir/gentoo/eclass/"
echo gentoo > "$dir/gentoo/profiles/repo_name"
printf 'acct-group\nacct-user\napp-admin\nsys-apps\n' >> "$dir/gentoo/profiles/categories"
printf 'masters =\nthin-manifests = true\nprofile-formats = portage-2\n' > "$dir/gentoo/metadata/layout.conf"
# read straight from where they are: a tarball of crates is large
for file in "$distfiles"/*.tar.xz; do ln -s "$file" "$dir/distfiles/"; done

root=$dir/root
mkdir -p "$root"/{etc/portage/repos.conf,etc/portage/profile,share/portage/config,var/db/pkg,var/tmp,var/cache/edb,var/lib/portage,var/log,tmp,run}
ln -s "$venv/share/portage/config/make.globals" "$venv/share/portage/config/sets" "$root/share/portage/config/"
: > "$root/share/portage/config/repos.conf"
ln -s "$dir/gentoo/profiles/default/$arch" "$root/etc/portage/make.profile"
printf '[DEFAULT]\nmain-repo = gentoo\n[gentoo]\nlocation = %s\nauto-sync = no\n[build-swarm]\nlocation = %s\nauto-sync = no\n' \
	"$dir/gentoo" "$dir/overlay" > "$root/etc/portage/repos.conf/all.conf"
# Portage itself is beside the prefix, not in it
echo "sys-apps/portage-$(basename "$venv" | sed 's/portage-//')" > "$root/etc/portage/profile/package.provided"
cat > "$root/etc/portage/make.conf" <<-CONF
	PORTAGE_USERNAME="$(id -un)"
	PORTAGE_GRPNAME="$(id -gn)"
	PORTAGE_TMPDIR="$root/var/tmp"
	DISTDIR="$dir/distfiles"
	ACCEPT_KEYWORDS="~$arch"
	GENTOO_MIRRORS=""
	MAKEOPTS="-j$(nproc)"
	FEATURES="-sandbox -usersandbox -userpriv -userfetch -usersync -merge-sync -news -ipc-sandbox -network-sandbox -pid-sandbox -mount-sandbox -qa-unresolved-soname-deps"
CONF
# the compiler itself: an ebuild's environment hides where a version switcher keeps its choice
toolchain=$(cd "$project" && rustc --print sysroot 2>/dev/null || true)
cat > "$dir/portage" <<-SH
	#!/usr/bin/env bash
	exec env -i HOME="\${HOME:-/root}" TERM=dumb LC_ALL=C.UTF-8 NO_COLOR=1 NOCOLOR=true \\
		PATH="$venv/bin:${toolchain:+$toolchain/bin:}$PATH" PORTAGE_OVERRIDE_EPREFIX="$root" "\$@" </dev/null
SH
chmod 755 "$dir/portage"

log=$dir/overlay.log
: > "$log"
for ebuild in "$dir"/overlay/*/*/*.ebuild; do
	"$dir/portage" ebuild "$ebuild" manifest >> "$log" 2>&1 ||
		{ tail -n 15 "$log" >&2; fail "Portage makes no manifest for ${ebuild#"$dir"/overlay/}" "the whole log is in $log"; }
done
"$dir/portage" egencache --repo=build-swarm --update --jobs=2 >> "$log" 2>&1 ||
	{ tail -n 15 "$log" >&2; fail "Portage can't read every ebuild" "the whole log is in $log"; }
echo "$dir"
