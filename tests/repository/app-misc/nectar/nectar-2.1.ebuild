# Distributed under the terms of the MIT License

EAPI=8

inherit hive

DESCRIPTION="Counts words, and with USE=sweet weighs them in honey"
S="${WORKDIR}"
SLOT="0"
KEYWORDS="amd64 arm64"
IUSE="sweet"

DEPEND="
	dev-libs/libcomb:=
	sweet? ( dev-libs/libpollen:2= )
"
RDEPEND="${DEPEND}"

src_unpack() {
	hive_copy_sources
}

src_compile() {
	hive_program nectar $(usev sweet -DSWEET) nectar.c -lcomb $(usev sweet -lpollen-2)
}

src_install() {
	dobin nectar
}
