# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="Its source archive must be put in place by hand"
HOMEPAGE="https://swarm.example/demo"
SRC_URI="${P}.tar"
LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 arm64"
RESTRICT="fetch"

pkg_nofetch() {
	einfo "Please ask the keeper for ${P}.tar and put it into DISTDIR."
}
