# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="A large package: DEMO_FAT_MB megabytes that do not compress"
HOMEPAGE="https://swarm.example/demo"
S="${WORKDIR}"
LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 arm64"
RESTRICT="strip"

src_compile() {
	head -c "${DEMO_FAT_MB:-16}M" /dev/urandom > honey || die "filling the pot failed"
}

src_install() {
	insinto /usr/share/honeypot
	doins honey
}
