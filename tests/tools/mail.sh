#!/usr/bin/env bash
# Prints the path of a Python with a mail server for tests (aiosmtpd) below .tools/, made if it is not there.
. "$(dirname "$0")/common.sh"

venv=$tools/mail
ready() { [ "$(cat "$venv/.made-for" 2>/dev/null)" = "$venv" ] && [ -x "$venv/bin/python" ]; }

if ! ready; then
	alone
fi
if ! ready; then
	python=$(find_python)
	say "setting up a mail server for tests"
	rm -rf "$venv"
	cat > "$tools/mail.txt" <<-'END'
		aiosmtpd==1.4.6 --hash=sha256:72c99179ba5aa9ae0abbda6994668239b64a5ce054471955fe75f581d2592475
		atpublic==4.1.0 --hash=sha256:df90de1162b1a941ee486f484691dc7c33123ee638ea5d6ca604061306e0fdde
		attrs==26.1.0 --hash=sha256:c647aa4a12dfbad9333ca4e71fe62ddc36f4e63b2d260a37a8b83d2f043ac309
	END
	log=$tools/mail.log
	if ! { "$python" -m venv "$venv" &&
		"$venv/bin/python" -m pip install --quiet --no-deps --only-binary :all: --require-hashes -r "$tools/mail.txt"; } \
		>"$log" 2>&1 </dev/null; then
		tail -n 5 "$log" >&2
		rm -rf "$venv"
		fail "the mail server could not be set up in $venv" \
			"look at pip's last words above; it is three small wheels from the Python package index"
	fi
	rm -f "$log" "$tools/mail.txt"
	echo "$venv" > "$venv/.made-for"
fi
echo "$venv/bin/python"
