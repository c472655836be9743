#!/usr/bin/env bash
# In a box: controller and drone under a real OpenRC; a build goes on while its agent is stopped and started.
#
#   openrc.sh TREE NATS-SERVER REPOSITORY PORTAGE OPENRC
#
# OPENRC is a folder with the unpacked packages of OpenRC; they are laid over the box, not installed.
. "$(dirname "$0")/common.sh"
service() { rc-service "$1" "$2"; }
. "$(dirname "$0")/farm.sh"

# /bin and /lib are links into /usr here
tar -C "$5" -c . | tar -C / -x --keep-directory-symlink --no-same-owner
ldconfig
cp -a "$1/." /
install -m 755 "$2" /usr/bin/nats-server
useradd --system --user-group --home-dir /var/lib/build-swarm --no-create-home --shell /usr/sbin/nologin build-swarm
# what its init makes at boot
for state in daemons exclusive failed hotplugged inactive options scheduled started starting stopping tmp wasinactive; do
	mkdir -p /run/openrc/$state
done
touch /run/openrc/softlevel
# Debian's own scripts are not asked for anything
rm -f /etc/init.d/[!b]*
touch /etc/insserv.conf
printf 'rc_sys=""\nrc_cgroup_cleanup="YES"\nrc_cgroup_mode="unified"\nrc_controller_cgroups="YES"\n' > /etc/rc.conf

configure "$3" "$4"
main=$(pgrep -f 'swarm serve' | grep -vx "$(pgrep -f supervise-daemon | head -n 1)" | tail -n 1)
same "the controller runs as its own user" build-swarm "$(stat -c %U "/proc/$main")"
same "and may gain no privilege" 1 "$(awk '/^NoNewPrivs/ { print $2 }' "/proc/$main/status")"
same "its directory is its own, and others may pass" "build-swarm 711" "$(stat -c '%U %a' /var/lib/build-swarm)"
check "it says how it is" rc-service build-swarm status
check "it is healthy" rc-service build-swarm healthcheck

outlive

kill -KILL "$(pgrep -f 'drone-agent run' | tail -n 1)"
until_true 90 "an agent that was killed comes back" pgrep -f 'drone-agent worker'

# a controller that says of itself that it hangs
printf '{"status":"hung","version":"0","uptime_s":1}' > /box/health
python3 - <<-'PY' &
	import http.server
	class Hung(http.server.BaseHTTPRequestHandler):
	    def do_GET(self):
	        body = open("/box/health", "rb").read()
	        self.send_response(503)
	        self.send_header("Content-Length", str(len(body)))
	        self.end_headers()
	        self.wfile.write(body)
	http.server.HTTPServer(("127.0.0.1", 8199), Hung).serve_forever()
PY
sick() { ! rc-service build-swarm healthcheck; }
sed -i 's|8100/api|8199/api|' /etc/conf.d/build-swarm
until_true 20 "a controller that hangs is unhealthy" sick

check "both stop" timeout 120 bash -c 'rc-service build-swarm-drone stop && rc-service build-swarm stop'
if pgrep -x nats-server > /box/last; then fail "the bus was left behind"; fi
ok "and leave nothing behind"
