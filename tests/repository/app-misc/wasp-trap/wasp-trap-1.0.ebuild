# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="Sound itself, but nothing without a wasp"
HOMEPAGE="https://swarm.example/demo"
S="${WORKDIR}"
LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 arm64"

DEPEND="app-misc/wasp"
RDEPEND="${DEPEND}"

src_install() {
	newbin - wasp-trap <<<$'#!/bin/sh\nexec wasp "$@"'
}
