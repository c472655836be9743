# Distributed under the terms of the MIT licence

EAPI=8

MY_P="build-swarm-${PV}"

DESCRIPTION="A build farm: spare machines compile, every machine installs signed binaries; prebuilt"
SRC_URI="amd64? ( ${MY_P}-x86_64.tar.xz )"
S="${WORKDIR}/${MY_P}-x86_64"

LICENSE="MIT 0BSD Apache-2.0 Apache-2.0-with-LLVM-exceptions BSD BSD-2 Boost-1.0 BZIP2 ISC Unicode-3.0 Unlicense ZLIB"
SLOT="0"
KEYWORDS="-* ~amd64"
IUSE="+controller +drone"
REQUIRED_USE="|| ( controller drone )"
RESTRICT="fetch"

RDEPEND="
	!app-admin/build-swarm
	controller? (
		acct-group/build-swarm
		acct-user/build-swarm
	)
	drone? ( sys-apps/portage )
"

QA_PREBUILT="usr/bin/swarm usr/bin/drone-agent"

pkg_nofetch() {
	elog "Make the tarball in a checkout of Build Swarm, on any machine of this kind, and put it into your DISTDIR:"
	elog "  make dist && cp target/dist/${MY_P}-x86_64.tar.xz ${PORTAGE_ACTUAL_DISTDIR:-${DISTDIR}}/"
}

src_install() {
	local components=( systemd openrc $(usev controller) $(usev drone) )
	DESTDIR="${D}" PREFIX="${EPREFIX}/usr" SYSCONFDIR="${EPREFIX}/etc" COMPONENTS="${components[*]}" \
		./install.sh install || die
	# acct-user/build-swarm makes the user
	rm -rf "${ED}/usr/lib/sysusers.d" || die
	dodoc README.md CHANGELOG.md
	dodoc -r docs
}

pkg_postinst() {
	if use controller; then
		elog "The controller starts a nats-server 2.11 or newer of its own. The one in PATH will do, or"
		elog "/var/lib/build-swarm/bin/nats-server, or the one that bus.server in"
		elog "${EROOT}/etc/build-swarm/controller.toml names."
	fi
	if use drone; then
		elog "A drone has to be let in by its controller before it starts, and needs a root to build in:"
		elog "see docs/installation.md in ${EROOT}/usr/share/doc/${PF}."
	fi
	elog "Nothing was started. systemctl enable --now, or rc-update add and rc-service start:"
	elog "  $(usev controller build-swarm) $(usev drone build-swarm-drone)"
}
