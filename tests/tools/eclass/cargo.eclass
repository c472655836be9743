# Stand-in; see README.md. Builds for real, from crates below ${WORKDIR}/cargo_home/gentoo, without the network.
[[ -n ${RUST_MIN_VER} ]] || die "RUST_MIN_VER is not set before inherit"
IUSE+=" debug"
ECARGO_HOME="${WORKDIR}/cargo_home"
ECARGO_VENDOR="${ECARGO_HOME}/gentoo"

cargo_src_unpack() {
	mkdir -p "${ECARGO_VENDOR}" || die
	local archive
	for archive in ${A}; do
		unpack "${archive}"
	done
	cat > "${ECARGO_HOME}/config.toml" <<-CONF || die
		[source.gentoo]
		directory = "${ECARGO_VENDOR}"
		[source.crates-io]
		replace-with = "gentoo"
		[net]
		offline = true
	CONF
}

cargo_live_src_unpack() { die "there is no network here"; }

cargo_src_configure() { readonly ECARGO_ARGS=( $* ); }

cargo_target_dir() { echo "${CARGO_TARGET_DIR:-target}/$(usex debug debug release)"; }

cargo_src_compile() {
	set -- cargo build $(usex debug "" --release) "${ECARGO_ARGS[@]}" "$@"
	einfo "$*"
	CARGO_HOME=${ECARGO_HOME} "$@" || die "cargo build failed"
}

EXPORT_FUNCTIONS src_unpack src_configure src_compile
