# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="For the queen alone: may be built, must not be distributed"
HOMEPAGE="https://swarm.example/demo"
S="${WORKDIR}"
LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 arm64"
RESTRICT="bindist"

src_install() {
	newbin - royal-jelly <<-EOF
		#!/bin/sh
		echo "Only the queen eats this."
	EOF
}
