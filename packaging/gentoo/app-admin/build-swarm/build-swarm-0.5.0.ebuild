# Distributed under the terms of the MIT licence

EAPI=8

# Crates come in a tarball of their own, or are fetched by the live ebuild.
CRATES=""
RUST_MIN_VER="1.95.0"

inherit cargo

DESCRIPTION="A build farm: spare machines compile, every machine installs signed binaries"

if [[ ${PV} == 9999 ]]; then
	inherit git-r3
	# A checkout of yours; name another in make.conf or package.env.
	EGIT_REPO_URI="${BUILD_SWARM_GIT_URI:-file:///usr/src/build-swarm}"
else
	SRC_URI="${P}.tar.xz ${P}-crates.tar.xz"
	KEYWORDS="~amd64 ~arm64"
	RESTRICT="fetch"
fi

LICENSE="MIT"
# of the crates
LICENSE+=" 0BSD Apache-2.0 Apache-2.0-with-LLVM-exceptions BSD BSD-2 Boost-1.0 BZIP2 ISC Unicode-3.0 Unlicense ZLIB"
SLOT="0"
IUSE="+controller +drone"
REQUIRED_USE="|| ( controller drone )"
# What `make test` in a checkout runs wants a nats-server, a Portage of its own and the network.
RESTRICT+=" test"

RDEPEND="
	!app-admin/build-swarm-bin
	controller? (
		acct-group/build-swarm
		acct-user/build-swarm
	)
	drone? ( sys-apps/portage )
"

QA_FLAGS_IGNORED="usr/bin/swarm usr/bin/drone-agent"

pkg_nofetch() {
	elog "Make the tarballs in a checkout of Build Swarm and put them into your DISTDIR:"
	elog "  make dist && cp target/dist/${P}*.tar.xz ${PORTAGE_ACTUAL_DISTDIR:-${DISTDIR}}/"
}

src_unpack() {
	if [[ ${PV} == 9999 ]]; then
		git-r3_src_unpack
		cargo_live_src_unpack
	else
		cargo_src_unpack
	fi
}

src_configure() {
	local packages=(
		$(usev controller "-p swarm-controller")
		$(usev drone "-p drone-agent")
	)
	cargo_src_configure --locked --bins "${packages[@]}"
}

src_install() {
	local components=( systemd openrc $(usev controller) $(usev drone) )
	emake install \
		DESTDIR="${D}" PREFIX="${EPREFIX}/usr" SYSCONFDIR="${EPREFIX}/etc" \
		FROM="$(cargo_target_dir)" COMPONENTS="${components[*]}"
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
