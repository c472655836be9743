# Distributed under the terms of the MIT License

EAPI=8

inherit hive

DESCRIPTION="Draws a map of the hive from a table generated at build time"
S="${WORKDIR}"
SLOT="0"
KEYWORDS="amd64 arm64"
IUSE="large small"
REQUIRED_USE="?? ( large small )"

BDEPEND="dev-util/hexgen"
DEPEND="
	dev-libs/libcomb:=
	dev-libs/libpollen:1=
"
RDEPEND="${DEPEND}"

src_unpack() {
	hive_copy_sources
}

src_compile() {
	local radius=4
	use large && radius=8
	use small && radius=2
	PATH="${BROOT}/usr/bin:${PATH}" hexgen ${radius} > cells.h || die "hexgen failed"
	hive_program hivemap hivemap.c -I. -lcomb -lpollen-1
}

src_install() {
	dobin hivemap
}
