#!/usr/bin/env bash
# In a box with systemd: the Debian packages installed, started, installed over themselves and purged.
#
#   deb.sh FOLDER-OF-PACKAGES NATS-SERVER
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/units.sh"

install -m 755 "$2" /usr/bin/nats-server
rm -f /usr/sbin/policy-rc.d
controller=$(ls "$1"/build-swarm-controller_*.deb)
drone=$(ls "$1"/build-swarm-drone_*.deb)
settled() { ! systemctl is-active --quiet build-swarm && ! systemctl is-active --quiet build-swarm-drone; }

check "both install" env DEBIAN_FRONTEND=noninteractive dpkg -i "$controller" "$drone"
check "the user is there" getent passwd build-swarm
check "nothing was started" settled
same "nothing was enabled" "" "$(find /etc/systemd/system -name 'build-swarm*')"
if dpkg --verify build-swarm-controller build-swarm-drone | grep . > /box/last; then fail "not as packed: $(cat /box/last)"; fi
ok "every file is as it was packed"
check "swarm runs" swarm --version
check "drone-agent runs" drone-agent --version
same "the environment, which may hold the key, is private" "root 600" "$(stat -c '%U %a' /etc/build-swarm/controller.env)"
check "the documents are there" test -s /usr/share/doc/build-swarm/docs/quickstart.md

unit build-swarm
check "the controller starts" timeout 60 systemctl start build-swarm
check "and answers" swarm status
first=$(systemctl show --value -p MainPID build-swarm)

echo 'name = "mine"' > /etc/build-swarm/controller.toml
check "installed over itself" env DEBIAN_FRONTEND=noninteractive dpkg -i --force-confdef --force-confold "$controller"
same "a changed configuration stays" 'name = "mine"' "$(cat /etc/build-swarm/controller.toml)"
anew() { swarm status && [ "$(systemctl show --value -p MainPID build-swarm)" != "$first" ]; }
until_true 60 "the new one runs in the old one's place" anew

check "both are removed and purged" env DEBIAN_FRONTEND=noninteractive dpkg --purge build-swarm-controller build-swarm-drone
check "nothing runs" settled
for gone in /usr/bin/swarm /usr/bin/drone-agent /etc/build-swarm /usr/share/doc/build-swarm /lib/systemd/system/build-swarm.service; do
	if [ -e "$gone" ]; then fail "$gone is still there: $(ls "$gone")"; fi
done
ok "programs and configuration are gone"
check "the signing key is not" test -s /var/lib/build-swarm/state.redb
