#!/usr/bin/env bash
# In a box: controller and drone under a real systemd; a build goes on while its agent is stopped and started.
#
#   systemd_farm.sh TREE NATS-SERVER REPOSITORY PORTAGE
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/units.sh"
service() { systemctl "$2" "$1"; }
. "$(dirname "$0")/farm.sh"

place "$1" "$2"
systemd-sysusers /usr/lib/sysusers.d/build-swarm.conf
unit build-swarm
unit build-swarm-drone
configure "$3" "$4"
outlive

# A compiler that takes too much memory is its own end: the unit says so, and its main process is not the one chosen.
same "what the kernel kills does not end the unit" continue "$(systemctl show --value -p OOMPolicy build-swarm-drone)"
main=$(systemctl show --value -p MainPID build-swarm-drone)
kill -KILL "$main"
again() { [ "$(systemctl show --value -p NRestarts build-swarm-drone)" -ge 1 ] && online; }
setting build-swarm-drone 'RestartSec=1s'
until_true 90 "an agent that was killed comes back" again
check "both stop" timeout 120 systemctl stop build-swarm-drone build-swarm
