# Distributed under the terms of the MIT License

EAPI=8

inherit hive

DESCRIPTION="A friendly greeting with a dance"
S="${WORKDIR}"
SLOT="0"
KEYWORDS="amd64 arm64"
IUSE="test"
RESTRICT="!test? ( test )"

DEPEND="dev-libs/libcomb:="
RDEPEND="${DEPEND}"

src_unpack() {
	hive_copy_sources
}

src_compile() {
	hive_program waggle -DVERSION="\"${PV}\"" waggle.c -lcomb
}

src_test() {
	./waggle tester | grep -q "Hello, tester" || die "waggle does not greet the tester"
}

src_install() {
	dobin waggle
	elog "Try: waggle \$USER"
}
