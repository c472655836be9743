#!/bin/sh
# Installs what was built, or removes it again; the one list of what goes where. `make install` and `make uninstall` call
# it, so does the ebuild, and it stands at the top of the tarball of programs that `make dist` makes.
#
#   [DESTDIR=] [PREFIX=/usr/local] [SYSCONFDIR=/etc] [COMPONENTS="…"] [FROM=DIR] install.sh install|uninstall
#
# DESTDIR     everything goes below it, and nothing installed names it
# COMPONENTS  any of: controller drone systemd openrc docs; all of them unless said otherwise
# FROM        where the programs were built: target/release, or bin/ beside this script
#
# A configuration that is there already is never touched; the current example is always in share/doc/build-swarm.
# Uninstalling keeps a configuration that was changed, and what the services wrote below /var.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd -P)
if [ -d "$here/bin" ]; then top=$here; else top=$(dirname "$here"); fi
: "${DESTDIR=}" "${PREFIX:=/usr/local}" "${SYSCONFDIR:=/etc}" "${COMPONENTS:=controller drone systemd openrc docs}"
if [ -z "${FROM:-}" ]; then
	if [ -d "$here/bin" ]; then FROM=$here/bin; else FROM=$top/target/release; fi
fi

fail() {
	printf 'install.sh: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf '  %s\n' "$@" >&2
	exit 1
}

action=${1:-}
case $action in
	install | uninstall) ;;
	*) fail "say install or uninstall" "the settings are told at the top of $0" ;;
esac
for place in "$PREFIX" "$SYSCONFDIR"; do
	case $place in
		*[!A-Za-z0-9/._+-]*) fail "$place can't be written into units and scripts" "use letters, digits and /._+-" ;;
		/*) ;;
		*) fail "PREFIX and SYSCONFDIR are absolute paths; $place is not" ;;
	esac
done
for component in $COMPONENTS; do
	case $component in
		controller | drone | systemd | openrc | docs) ;;
		*) fail "there is no component $component" "there are: controller drone systemd openrc docs" ;;
	esac
done

has() { case " $COMPONENTS " in *" $1 "*) ;; *) return 1 ;; esac }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

put() { # mode, source, destination
	if [ "$action" = uninstall ]; then
		rm -f "$DESTDIR$3"
		return
	fi
	[ -e "$2" ] || fail "$2 is not there" "build first: make release"
	mkdir -p "$DESTDIR$(dirname "$3")"
	# beside it and renamed: a program that runs can't be written over
	cp "$2" "$DESTDIR$3.new$$"
	chmod "$1" "$DESTDIR$3.new$$"
	mv -f "$DESTDIR$3.new$$" "$DESTDIR$3"
}

adapted() { # source: units and scripts name the programs and their configuration by the places chosen here
	sed -e "s|/usr/bin/|$PREFIX/bin/|g" -e "s|/usr/share/|$PREFIX/share/|g" -e "s|/etc/build-swarm/|$SYSCONFDIR/build-swarm/|g" \
		-e "s|/etc/conf\.d/|$SYSCONFDIR/conf.d/|g" "$1" > "$work/adapted"
	printf '%s' "$work/adapted"
}

settings() { # mode, source, destination: somebody's own once it is there
	if [ "$action" = install ]; then
		[ -e "$DESTDIR$3" ] || put "$1" "$2" "$3"
	elif [ -e "$DESTDIR$3" ] && cmp -s "$2" "$DESTDIR$3"; then
		rm -f "$DESTDIR$3"
	fi
}

shells="bash:share/bash-completion/completions/%s zsh:share/zsh/site-functions/_%s fish:share/fish/vendor_completions.d/%s.fish"

# Completions and pages are the program's own words, so it is asked for them. One that can't run here, being built for
# another machine, is installed without.
spoken() { # program
	for shell in $shells; do
		# shellcheck disable=SC2059 # the list above holds the format
		place=$PREFIX/$(printf "${shell#*:}" "$1")
		if [ "$action" = uninstall ]; then
			rm -f "$DESTDIR$place"
		elif "$FROM/$1" completions "${shell%%:*}" > "$work/completion" 2>/dev/null; then
			put 644 "$work/completion" "$place"
		fi
	done
	if [ "$action" = uninstall ]; then
		rm -f "$DESTDIR$PREFIX/share/man/man1/$1.1" "$DESTDIR$PREFIX/share/man/man1/$1"-*.1
		return
	fi
	mkdir "$work/man"
	if "$FROM/$1" man --dir "$work/man" >/dev/null 2>&1; then
		find "$work/man" -name '*.1' | sort > "$work/pages"
		while read -r page; do
			put 644 "$page" "$PREFIX/share/man/man1/$(basename "$page")"
		done < "$work/pages"
	fi
	rm -rf "$work/man"
}

service() { # service, name of its configuration
	settings 600 "$top/packaging/env/$2.env" "$SYSCONFDIR/build-swarm/$2.env"
	if has systemd; then
		put 644 "$(adapted "$top/packaging/systemd/$1.service")" "$PREFIX/lib/systemd/system/$1.service"
	fi
	if has openrc; then
		put 755 "$(adapted "$top/packaging/openrc/$1.initd")" "$SYSCONFDIR/init.d/$1"
		settings 644 "$(adapted "$top/packaging/openrc/$1.confd")" "$SYSCONFDIR/conf.d/$1"
	fi
}

documents=$PREFIX/share/doc/build-swarm
if has controller; then
	put 755 "$FROM/swarm" "$PREFIX/bin/swarm"
	spoken swarm
	settings 644 "$top/packaging/config/controller.toml" "$SYSCONFDIR/build-swarm/controller.toml"
	service build-swarm controller
	if has systemd; then
		put 644 "$top/packaging/systemd/sysusers.conf" "$PREFIX/lib/sysusers.d/build-swarm.conf"
	fi
fi
if has drone; then
	put 755 "$FROM/drone-agent" "$PREFIX/bin/drone-agent"
	spoken drone-agent
	# drone.toml is only where a drone has joined a swarm; the example is among the documents
	put 644 "$top/packaging/config/drone.toml" "$documents/drone.toml"
	service build-swarm-drone drone
fi
if has openrc; then
	settings 644 "$top/packaging/openrc/logrotate.conf" "$SYSCONFDIR/logrotate.d/build-swarm"
fi
if has docs; then
	for page in README.md CHANGELOG.md LICENSE packaging/config/controller.toml; do
		put 644 "$top/$page" "$documents/$(basename "$page")"
	done
	(cd "$top/docs" && find . -type f ! -name book.toml | sort) > "$work/pages"
	while read -r page; do
		put 644 "$top/docs/$page" "$documents/docs/${page#./}"
	done < "$work/pages"
fi

if [ "$action" = uninstall ]; then
	find "$DESTDIR$documents" -depth -type d -exec rmdir {} \; 2>/dev/null || true
	rmdir "$DESTDIR$SYSCONFDIR/build-swarm" 2>/dev/null || true
	if [ -d "$DESTDIR$SYSCONFDIR/build-swarm" ]; then
		printf 'kept: %s, because something in it was changed\n' "$DESTDIR$SYSCONFDIR/build-swarm"
	fi
elif [ -z "$DESTDIR" ] && has systemd && [ -d /run/systemd/system ] && [ "$(id -u)" -eq 0 ]; then
	if has controller && command -v systemd-sysusers >/dev/null; then
		systemd-sysusers "$PREFIX/lib/sysusers.d/build-swarm.conf"
	fi
	systemctl daemon-reload
fi
