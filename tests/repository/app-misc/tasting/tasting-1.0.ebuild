# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="Does not resolve until app-misc/nectar is built with USE=sweet"
HOMEPAGE="https://swarm.example/demo"
LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 arm64"

RDEPEND="app-misc/nectar[sweet]"
