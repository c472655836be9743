# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="Needs an egg, but only once it is there itself"
HOMEPAGE="https://swarm.example/demo"
S="${WORKDIR}"
LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 arm64"

PDEPEND="app-misc/egg"

src_install() {
	newbin - hen <<<$'#!/bin/sh\necho cluck'
}
