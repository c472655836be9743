# Distributed under the terms of the MIT License

EAPI=8

inherit hive

DESCRIPTION="Eight busy workers: real compiling, as parallel as make is allowed to be"
SRC_URI="mirror://swarm-demo/${P}.tar"
SLOT="0"
KEYWORDS="amd64 arm64"

src_compile() {
	emake CC="${CC:-gcc}" CFLAGS="${CFLAGS}" LDFLAGS="${LDFLAGS}"
}

src_install() {
	dobin workers
}
