#!/usr/bin/env bash
# `make demo`: a whole swarm on this machine, driven through the public command line as a user would do it.
#
# Fetches what is missing, builds, starts a controller and three drones with a prefix of their own each, orders the
# demo repository's packages, and installs a program from the binhost alone into a fresh client prefix, signatures
# verified. Everything it promises is checked; the exit status is 0 only if all of it happened.
#
#   EXIT=1          end the swarm after the checks (also without a terminal); else it stays up until Ctrl-C
#   DEMO_SECONDS=N  give up after that many seconds of building (900)
#   DEMO_PORT=N     the controller's HTTP port (its own choice)
#   DEMO_PROGRAMS=DIR  programs that are built already, to be used as they are
#   DEMO_DIR=DIR    where it all lies (.demo below the project); what an earlier demo left there is removed
. "$(dirname "$0")/tools/common.sh"

demo=$(realpath -m "${DEMO_DIR:-$project/.demo}")
roots=$demo/roots
limit=${DEMO_SECONDS:-900}
programs=${DEMO_PROGRAMS:-$project/target/debug}
swarm=$programs/swarm
agent=$programs/drone-agent
up=no

# What is ordered, and what becomes of it. demo_check.py knows the packages these pull in.
meta=(app-misc/apiary app-misc/honeydrip app-misc/workers app-misc/wasp-trap)
variant=(app-misc/nectar --use sweet)
program=app-misc/waggle

title() { printf '\n\033[1m== %s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi; }

finish() {
	local status=$?
	trap - EXIT
	if [ "$up" = yes ]; then
		title "Ending the swarm"
		timeout 60 "$swarm" down --data "$demo" || status=1
	fi
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

case $project$demo in *[[:space:]]*) fail "Portage cannot build below a path with spaces: $project, $demo" "move the project and try again" ;; esac

# Run a Portage command in the client's prefix, with nothing of this shell's environment.
client=$roots/c1
in_client() {
	env -i HOME="$client/tmp" TERM=dumb LC_ALL=C.UTF-8 NO_COLOR=1 NOCOLOR=true \
		PATH="$portage/bin:$client/tools:/usr/sbin:/usr/bin:/sbin:/bin" PORTAGE_OVERRIDE_EPREFIX="$client" \
		timeout 180 "$@" </dev/null
}

title "1/5  What is needed and missing"
"$project/tests/tools/system.sh"
nats=$("$project/tests/tools/nats.sh")
portage=$("$project/tests/tools/portage.sh")
[ -n "${DEMO_PROGRAMS:-}" ] || command -v cargo >/dev/null || fail "cargo is missing" "install Rust 1.95 or newer and run this again"
export BUILD_SWARM_NATS_SERVER=$nats
echo "nats-server  $("$nats" --version | sed 's/.*v//')   $nats"
echo "Portage      ${portage##*-}   $portage"

title "2/5  Building Build Swarm"
if [ -n "${DEMO_PROGRAMS:-}" ]; then
	echo "taken from $programs"
else
	(cd "$project" && cargo build --bins -p swarm-controller -p drone-agent)
fi

mine=$demo/.build-swarm-demo
if [ -e "$mine" ]; then
	# an earlier demo: end it if it is still up, then start from nothing
	timeout 60 "$swarm" down --data "$demo" >/dev/null 2>&1 || true
	rm -rf "$demo"
elif [ -n "$(ls -A "$demo" 2>/dev/null)" ]; then
	fail "$demo is not empty, and no demo of ours" "choose another DEMO_DIR, or remove what is in it"
fi
mkdir -p "$demo"
touch "$mine"
"$project/tests/tools/repository.sh" "$demo" >/dev/null

title "3/5  Starting a controller and three drones"
up=yes
timeout --foreground 120 "$swarm" up --data "$demo" --drones 3 --detach \
	--repository "$demo/repository" --distfiles "$demo/distfiles" --portage "$portage" \
	${DEMO_PORT:+--http-port "$DEMO_PORT"}
export SWARM_DATA=$demo

title "4/5  Ordering: ${meta[*]}, and nectar once more with USE=sweet"
"$swarm" fresh "${meta[@]}"
# blocked packages are part of the show: the checks below say whether the right ones were
timeout --foreground "$limit" "$swarm" queue add "${variant[@]}" --wait || echo "(not everything could be built)"

"$swarm" --json session show > "$demo/session.json"
"$swarm" --json binhost show > "$demo/binhost.json"

title "5/5  A fresh client installs $program from the binhost alone"
url=$("$(find_python)" -c 'import json, sys; print(json.load(open(sys.argv[1]))["url"])' "$demo/binhost.json")
"$swarm" binhost show --key > "$demo/binhost.asc"
"$agent" root create --prefix "$client" --repository "$demo/repository" --distfiles "$demo/distfiles" \
	--portage "$portage" --profile "default/$(case $(uname -m) in aarch64) echo arm64 ;; *) echo amd64 ;; esac)" --binhost-url "$url" --binhost-key "$demo/binhost.asc"
install=(emerge --getbinpkgonly --binpkg-respect-use=y --oneshot "$program")

# First with a keyring that does not know the swarm's key: this must be refused, or nothing was verified.
mkdir -m 755 "$demo/nobodys-keys"
if in_client env BINPKG_GPG_VERIFY_GPG_HOME="$demo/nobodys-keys" "${install[@]}" > "$demo/client-refused.log" 2>&1; then
	stranger=installed
else
	stranger=refused
fi
if in_client "${install[@]}" > "$demo/client.log" 2>&1; then
	in_client "$client/usr/bin/${program#*/}" demo | tee "$demo/client-output.txt"
else
	tail -n 20 "$demo/client.log"
	: > "$demo/client-output.txt"
fi

title "Did everything happen?"
"$(find_python)" "$project/tests/tools/demo_check.py" "$demo" "$url" "$stranger" || exit 1

title "The swarm is up"
"$swarm" status
echo
echo "Try:  $swarm --data $demo why app-misc/wasp-trap"
if [ -z "${EXIT:-}" ] && [ -t 0 ] && [ -t 1 ]; then
	echo "Ctrl-C ends it."
	trap 'exit 0' INT
	# short naps, because bash looks at signals only between commands
	while :; do sleep 1; done
fi
