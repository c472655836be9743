# Distributed under the terms of the MIT License

EAPI=8

inherit hive

DESCRIPTION="Counts and weighs pollen; every major version has a slot of its own"
SRC_URI="mirror://swarm-demo/${P}.tar"
SLOT="1"
KEYWORDS="amd64 arm64"

src_compile() {
	hive_library pollen-1 libpollen.so.1 pollen.c
}

src_install() {
	hive_install_library pollen-1 libpollen.so.1
	insinto /usr/include/pollen-1
	doins pollen.h
}
