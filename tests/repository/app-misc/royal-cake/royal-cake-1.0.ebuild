# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="A cake made with royal jelly, of which nothing is left in it"
HOMEPAGE="https://swarm.example/demo"
S="${WORKDIR}"
LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 arm64"

DEPEND="app-misc/royal-jelly"

src_install() {
	newbin - royal-cake <<<$'#!/bin/sh\necho "a cake"'
}
