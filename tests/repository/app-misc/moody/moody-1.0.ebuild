# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="Fails with the words in DEMO_MOODY; builds when that is empty"
HOMEPAGE="https://swarm.example/demo"
S="${WORKDIR}"
LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 arm64"

src_compile() {
	if [[ -n ${DEMO_MOODY} ]]; then
		echo "${DEMO_MOODY}" >&2
		die "not in the mood"
	fi
	echo "in a good mood today"
}

src_install() {
	newbin - moody <<<$'#!/bin/sh\necho "fine, thank you"'
}
