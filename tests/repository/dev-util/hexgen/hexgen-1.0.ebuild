# Distributed under the terms of the MIT License

EAPI=8

inherit hive

DESCRIPTION="Writes the C tables that hivemap is built from"
S="${WORKDIR}"
SLOT="0"
KEYWORDS="amd64 arm64"

src_unpack() {
	hive_copy_sources
}

src_compile() {
	hive_program hexgen hexgen.c
}

src_install() {
	dobin hexgen
}
