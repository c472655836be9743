#!/usr/bin/env bash
# Installs the system packages that Portage, the demo and the end-to-end tests need and that are missing.
# Only as root on Debian and its relatives; elsewhere it names what is missing. Nothing is ever removed or upgraded.
. "$(dirname "$0")/common.sh"

missing=()
need() { # Debian package, what shows that it is there...
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}
compiles() { printf '#include <math.h>\n#include <stdio.h>\n' | gcc -E -x c -; }
has_venv() { /usr/bin/python3 -c 'import ensurepip, venv'; }

need gcc command -v gcc
need libc6-dev compiles
need make command -v make
need patch command -v patch
need tar command -v tar
need xz-utils command -v xz
need zstd command -v zstd
need bzip2 command -v bzip2
need wget command -v wget
need gnupg command -v gpg
need pax-utils command -v scanelf
need util-linux command -v flock
need procps command -v ps
need iproute2 command -v ip
# its analyser checks the units; as the first process of a box it runs them
need systemd command -v systemd-analyze
need python3-venv has_venv
need ca-certificates test -d /etc/ssl/certs
# An SSH server would be started where systemd runs; there the tests of the way by SSH are left out if it is missing.
[ -d /run/systemd/system ] || need openssh-server test -x /usr/sbin/sshd
need openssh-client command -v ssh

[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	fail "these packages (by their Debian names) are missing: ${missing[*]}" \
		"install them and run this again; as root on Debian it is done for you:" \
		"apt-get install --no-install-recommends ${missing[*]}"
fi
say "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
	tail -n 5 "$log" >&2
	fail "apt-get could not install ${missing[*]}" "look at its last words above, install them by hand and run this again"
fi
