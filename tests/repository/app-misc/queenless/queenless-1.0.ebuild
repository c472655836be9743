# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="Does not resolve: there is no queen"
HOMEPAGE="https://swarm.example/demo"
LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 arm64"

DEPEND="app-misc/queen"
RDEPEND="${DEPEND}"
