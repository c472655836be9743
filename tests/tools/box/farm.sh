# Sourced after common.sh: a controller and one drone as services, whatever starts them. Whoever sources it has a
# function `service NAME start|stop|restart`.

honey==app-misc/honeydrip-1.0

configure() { # where repository and sources are, Portage's environment
	printf 'BUILD_SWARM_RULES_MIN_FREE_DISK=1GiB\nBUILD_SWARM_LOCAL_DRONES=d1\n' > /etc/build-swarm/controller.env
	check "the installed example is a configuration" swarm config check /etc/build-swarm/controller.toml
	check "the controller starts" service build-swarm start
	until_true 30 "it answers" swarm status
	local prefix=/var/lib/build-swarm-drone/roots/d1
	check "a root to build in is made" drone-agent root create --prefix $prefix --repository "$1/repository" \
		--distfiles "$1/distfiles" --portage "$2" --profile "$profile"
	refused() { ! service build-swarm-drone start; }
	check "a machine that has joined no swarm starts no drone" refused
	cp /usr/share/doc/build-swarm/drone.toml /etc/build-swarm/drone.toml
	# what differs from the example is in the environment's file
	cat > /etc/build-swarm/drone.env <<-ENV
		BUILD_SWARM_NAME=d1
		BUILD_SWARM_CREDENTIALS=/var/lib/build-swarm/drones/d1.nk
		BUILD_SWARM_BUS_URL=$(cat /var/lib/build-swarm/bus.url)
		BUILD_SWARM_ROOT_PATH=$prefix
		BUILD_SWARM_ROOT_VENV=$2
		BUILD_SWARM_ROOT_REPOSITORY=$1/repository
		BUILD_SWARM_ROOT_PROFILE=$profile
		BUILD_SWARM_ROOT_DISTFILES=$1/distfiles
		BUILD_SWARM_ROOT_MAKE_CONF="DEMO_SLOW_SECONDS=\"15\""
	ENV
	if [ -e /var/lib/build-swarm/bus-ca.pem ]; then
		echo "BUILD_SWARM_BUS_CA=/var/lib/build-swarm/bus-ca.pem" >> /etc/build-swarm/drone.env
	fi
	check "the drone starts" service build-swarm-drone start
	until_true 60 "and joins" online
}
case $(uname -m) in aarch64) profile=default/arm64 ;; *) profile=default/amd64 ;; esac

online() { swarm status --json | grep -q '"nodes_online": *1'; }
attempt() { pgrep -f 'drone-agent attempt' | head -n 1; }
building() { [ -n "$(attempt)" ] && pgrep -f "emerge.*$honey" > /dev/null; }
in_history() { # package: how often it ended well
	swarm history --json | python3 -c '
import json, sys
rows = json.load(sys.stdin)["history"]
print(sum(row["status"] == "success" and row["package"].startswith(sys.argv[1]) for row in rows))' "$1"
}
received() { [ "$(in_history "$honey")" -ge 1 ]; }

# Builds outlive their agent: stopped and started in the middle of one, it takes it over.
outlive() {
	check "a package is queued" swarm queue add app-misc/honeydrip
	until_true 120 "it is being built" building
	local before emerge supervisor
	before=$(attempt)
	emerge=$(pgrep -f "emerge.*$honey" | head -n 1)
	supervisor=$(pgrep -f 'drone-agent run' | head -n 1)
	check "the agent stops in the middle of it" timeout 60 bash -c 'service "$@"' - build-swarm-drone stop
	if pgrep -f 'drone-agent (run|worker)' > /box/last; then fail "an agent runs on"; fi
	check "the build goes on without it" kill -0 "$before" "$emerge"
	check "the agent starts again" timeout 60 bash -c 'service "$@"' - build-swarm-drone start
	until_true 60 "another process of it" pgrep -f 'drone-agent worker'
	[ "$(pgrep -f 'drone-agent run' | head -n 1)" != "$supervisor" ] || fail "the agent is the same process"
	same "the attempt is the same process" "$before" "$(attempt)"
	until_true 150 "its package is received" received
	same "built once" 1 "$(in_history "$honey")"
}
export -f service 2>/dev/null || true
