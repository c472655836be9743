# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="Needs a hen before it can be laid"
HOMEPAGE="https://swarm.example/demo"
S="${WORKDIR}"
LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 arm64"

DEPEND="app-misc/hen"
RDEPEND="${DEPEND}"

src_install() {
	newbin - egg <<<$'#!/bin/sh\necho "an egg"'
}
