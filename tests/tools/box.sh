#!/usr/bin/env bash
# Runs a script in a throwaway copy of this system: an overlay over /, its own processes, network, users' files and
# /run, and if asked for a real systemd as its first process. Nothing it does is seen outside, and all of it ends with
# the script.
#
#   box.sh --possible                  status 0 if this machine can; else says why not
#   box.sh [--systemd] SCRIPT ARGS...  runs SCRIPT with bash as root inside; its output and status are the box's
#
# Under systemd the unit path is /box alone: link there the units that are to be known. What they print goes to
# /box/UNIT.log.
. "$(dirname "$0")/common.sh"

missing() { # why a box can't be had here
	[ "$(id -u)" -eq 0 ] || { echo "a box needs root"; return; }
	command -v unshare >/dev/null || { echo "there is no unshare (util-linux)"; return; }
	unshare --mount --pid --fork --net --uts --ipc --cgroup true 2>/dev/null || { echo "namespaces can't be made here"; return; }
	grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || { echo "the kernel has no overlay file system"; return; }
	grep -qw cgroup2 /proc/filesystems || { echo "the kernel has no cgroup2"; return; }
	[ -x /lib/systemd/systemd ] || { echo "there is no systemd"; return; }
}

if [ "${1:-}" = --possible ]; then
	why=$(missing)
	[ -z "$why" ] || { echo "$why"; exit 1; }
	exit 0
fi
why=$(missing)
[ -z "$why" ] || fail "no box here: $why"
init=
if [ "${1:-}" = --systemd ]; then init=systemd && shift; fi
[ $# -ge 1 ] || fail "usage: box.sh [--systemd] SCRIPT ARGS..."
script=$(realpath "$1")
shift

scratch=$(mktemp -d)
status=0
mkdir "$scratch/said"
trap 'rm -rf "$scratch"' EXIT
# what a box leaves in the cgroup tree goes with it
unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
if [ -z "$unified" ]; then
	unified=$scratch/cgroup
	mkdir "$unified"
	mount -t cgroup2 cgroup2 "$unified"
	trap 'umount "$scratch/cgroup"; rm -rf "$scratch"' EXIT
fi
group=$unified/box.$$
mkdir "$group"
drop_group() { find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true; }

(
	echo "$BASHPID" > "$group/cgroup.procs"
	exec env -i PATH="$PATH" BOX_SCRATCH="$scratch" BOX_INIT="$init" \
		unshare --mount --pid --fork --kill-child --net --uts --ipc --cgroup \
		bash "$project/tests/tools/box/inside.sh" "$script" "$@" </dev/null
) || status=$?
cat "$scratch/said/out" 2>/dev/null || true
[ ! -e "$scratch/said/status" ] || status=$(cat "$scratch/said/status")
[ -e "$scratch/said/status" ] || { say "the box ended before its script did"; status=1; }
drop_group
exit "$status"
