#!/usr/bin/env bash
# Prints the path of a virtual environment with a pinned Portage below .tools/, made if it is not there.
#
#   portage.sh [VERSION]     3.0.83 unless said otherwise; also 3.0.82.2, 3.0.77 and 3.0.66.1
#
# The system's own Portage, if there is one, is neither used nor touched.
. "$(dirname "$0")/common.sh"

version=${1:-3.0.83}
case $version in
	3.0.83) hash=25de95ad893cdf9abec2bf4d18217b3fc07756989c62d3e74bb1695cdf639402 ;;
	3.0.82.2) hash=72036dbbcd56ff62de0aad660474abe918a526436f69a0bb4a955bc40cccb8bb ;;
	3.0.77) hash=8e21cd1fd93ebfd713859217e17df0fd5e50872fda76bb3bd4c37eebc1e16f14 ;;
	3.0.66.1) hash=75a66d2187127aaeb1a696f8bd477d617dd74f1caffbe9332b1d53212f90529e ;;
	*) fail "Portage $version is not pinned here" "known: 3.0.83 3.0.82.2 3.0.77 3.0.66.1" ;;
esac

venv=$tools/portage-$version
# Scripts in a virtual environment carry its path: one that was moved, or whose Python is gone, is made anew.
ready() { [ "$(cat "$venv/.made-for" 2>/dev/null)" = "$venv" ] && [ -x "$venv/bin/python" ] && [ -x "$venv/bin/emerge" ]; }

if ready; then
	echo "$venv"
	exit
fi
alone
if ! ready; then
	python=$(find_python)
	say "setting up Portage $version"
	rm -rf "$venv"
	log=$tools/portage-$version.log
	printf 'portage==%s --hash=sha256:%s\n' "$version" "$hash" > "$tools/portage-$version.txt"
	# Making pip anew for each version takes longer than all the rest: the first one's installs into the others.
	bare= pip=("$venv/bin/python" -m pip)
	for other in "$tools"/portage-*/bin/python; do
		if [ -x "$other" ] && "$other" -m pip --python "$other" --version >/dev/null 2>&1; then
			bare=--without-pip pip=("$other" -m pip --python "$venv/bin/python")
			break
		fi
	done
	if ! { "$python" -m venv $bare "$venv" &&
		"${pip[@]}" install --quiet --no-deps --only-binary :all: --require-hashes \
			-r "$tools/portage-$version.txt"; } >"$log" 2>&1 </dev/null; then
		tail -n 5 "$log" >&2
		rm -rf "$venv"
		fail "Portage $version could not be set up in $venv" \
			"look at pip's last words above; it is one small wheel from the Python package index"
	fi
	rm -f "$log" "$tools/portage-$version.txt"
	# Portage calls GNU tar "gtar"; Debian has no such name
	command -v gtar >/dev/null || ln -s "$(command -v tar)" "$venv/bin/gtar"
	echo "$venv" > "$venv/.made-for"
fi
echo "$venv"
