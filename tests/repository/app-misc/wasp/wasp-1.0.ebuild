# Distributed under the terms of the MIT License

EAPI=8

inherit hive

DESCRIPTION="Does not compile, on purpose"
S="${WORKDIR}"
SLOT="0"
KEYWORDS="amd64 arm64"

DEPEND="dev-libs/libcomb:="
RDEPEND="${DEPEND}"

src_unpack() {
	hive_copy_sources
}

src_compile() {
	hive_program wasp -Werror=implicit-function-declaration wasp.c -lcomb
}

src_install() {
	dobin wasp
}
