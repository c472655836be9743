# Distributed under the terms of the MIT License

EAPI=8

inherit hive

DESCRIPTION="Frames text in a honeycomb"
SRC_URI="mirror://swarm-demo/${P}.tar"
SLOT="0/1"
KEYWORDS="amd64 arm64"
IUSE="debug static-libs"

src_compile() {
	hive_library comb libcomb.so.1 comb.c $(usev debug -g)
	if use static-libs; then
		hive_cc -c -o comb.o comb.c
		ar rcs libcomb.a comb.o || die "ar failed"
	fi
}

src_install() {
	hive_install_library comb libcomb.so.1
	use static-libs && dolib.a libcomb.a
	doheader comb.h
}
