#!/usr/bin/env bash
# In a box: the controller's unit under a real systemd, from an installed tree.
#
#   systemd.sh TREE NATS-SERVER CONTAINERFILE
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/units.sh"

place "$1" "$2"
data=/var/lib/build-swarm
show() { systemctl show --value -p "$1" build-swarm; }

check "sysusers makes the user" systemd-sysusers /usr/lib/sysusers.d/build-swarm.conf
unit build-swarm
# short, so that the watchdog can be seen to bite
setting build-swarm 'WatchdogSec=4s' 'RestartSec=1s'

check "the controller starts and says that it is ready" timeout 60 systemctl start build-swarm
same "it is active" active "$(show ActiveState)"
main=$(show MainPID)
same "it runs as its own user" build-swarm "$(stat -c %U "/proc/$main")"
same "without a capability, also for its children" 0000000000000000 "$(awk '/^CapBnd/ { print $2 }' "/proc/$main/status")"
same "its directory is its own, and others may pass" "build-swarm 711" "$(stat -c '%U %a' $data)"
same "the admin key is private" "build-swarm 600" "$(stat -c '%U %a' $data/admin.key)"
check "it answers" swarm status
# the container asks in its own way, without a program but bash
health=$(python3 -c 'import json, re, sys
print(json.loads(re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", open(sys.argv[1]).read(), re.M)[1])[2])' "$3")
check "the container would find it in good health" bash -c "$health"
unserved() { ! bash -c "${health//8100/8101}"; }
check "and not where nobody answers" unserved
check "and takes orders from who has its key" swarm control pause
same "the bus is its child, in its own cgroup" 2 "$(wc -l < /sys/fs/cgroup/system.slice/build-swarm.service/cgroup.procs)"
same "nothing else of the machine can be written by it" ro \
	"$(awk '$5 == "/" { print $6 }' "/proc/$main/mountinfo" | cut -d, -f1)"

before=$(show WatchdogTimestampMonotonic)
fed() { [ "$(show WatchdogTimestampMonotonic)" != "$before" ]; }
until_true 30 "the watchdog is fed" fed

kill -STOP "$main"
again() { [ "$(show NRestarts)" -ge 1 ] && [ "$(show ActiveState)" = active ]; }
until_true 90 "a controller that hangs is ended by the watchdog and started again" again
check "which has forgotten nothing" grep -q '"paused": *true' <(swarm status --json)

# a key of one's own, handed over as a credential
mkdir -p /etc/credstore
printf 'a-key-of-ones-own\n' > /etc/credstore/build-swarm.admin-key
chmod 600 /etc/credstore/build-swarm.admin-key
check "it is restarted" timeout 90 systemctl restart build-swarm
check "the key of the credential store counts" env ADMIN_KEY=a-key-of-ones-own swarm control resume
refused() { ! ADMIN_KEY=$(cat $data/admin.key) swarm control pause; }
check "and the one in the directory no more" refused

# the names of the environment that were there before this version
printf 'ADMIN_KEY=of-the-environment\nCONTROL_PLANE_PORT=8111\nADMIN_PORT=8112\n' > /etc/build-swarm/controller.env
check "it is restarted with an environment" timeout 90 systemctl restart build-swarm
check "port and key of the environment win" env ADMIN_KEY=of-the-environment swarm --url http://127.0.0.1:8111 control resume

check "it stops" timeout 90 systemctl stop build-swarm
same "by itself, in order" "success 0" "$(show Result) $(show ExecMainStatus)"
if pgrep -x nats-server > /box/last; then fail "the bus was left behind"; fi
ok "and leaves nothing behind"
