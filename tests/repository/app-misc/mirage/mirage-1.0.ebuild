# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="Its source archive is nowhere to be had"
HOMEPAGE="https://swarm.example/demo"
SRC_URI="mirror://swarm-demo/${P}.tar"
LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 arm64"
