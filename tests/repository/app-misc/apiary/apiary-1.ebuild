# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="Meta package: the whole apiary"
HOMEPAGE="https://swarm.example/demo"
LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 arm64"
IUSE="busy"

RDEPEND="
	virtual/dance
	app-misc/hivemap
	app-misc/nectar
	busy? ( app-misc/workers )
"
