# Sourced after common.sh by what runs under systemd in a box.

place() { # an installed tree, a nats-server: as a package and its dependency would be
	cp -a "$1/." /
	install -m 755 "$2" /usr/bin/nats-server
}
unit() { # makes an installed unit known; what it prints goes to /box/UNIT.log
	ln -sf "/usr/lib/systemd/system/$1.service" "/box/$1.service"
	mkdir -p "/box/$1.service.d"
	printf '[Service]\nStandardOutput=append:/box/%s.log\nStandardError=append:/box/%s.log\n' "$1" "$1" \
		> "/box/$1.service.d/log.conf"
	systemctl daemon-reload
}
setting() { # unit, lines of [Service]...
	local name=$1
	shift
	{ echo '[Service]' && printf '%s\n' "$@"; } > "/box/$name.service.d/test.conf"
	systemctl daemon-reload
}
