# Distributed under the terms of the MIT License

EAPI=8

inherit hive

DESCRIPTION="Counts and weighs pollen; every major version has a slot of its own"
SRC_URI="mirror://swarm-demo/${P}.tar"
SLOT="2"
KEYWORDS="amd64 arm64"

src_compile() {
	hive_library pollen-2 libpollen.so.2 pollen.c
}

src_install() {
	hive_install_library pollen-2 libpollen.so.2
	insinto /usr/include/pollen-2
	doins pollen.h
}
