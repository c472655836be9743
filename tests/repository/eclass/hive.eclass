# @ECLASS: hive.eclass
# @SUPPORTED_EAPIS: 8
# @BLURB: compile small C programs and libraries against what is installed below ${EPREFIX}
# @DESCRIPTION:
# Programs get a RUNPATH into the prefix, so that they start without a loader cache. A prefix
# of the same length can take over the binary package: Portage rewrites the path in place.

case ${EAPI} in
	8) ;;
	*) die "${ECLASS}: EAPI ${EAPI} is not supported" ;;
esac

if [[ -z ${_HIVE_ECLASS} ]]; then
_HIVE_ECLASS=1

HOMEPAGE="https://swarm.example/demo"
LICENSE="MIT"

# @FUNCTION: hive_cc
# @USAGE: <compiler arguments>
# @DESCRIPTION:
# Show and run one call of the compiler with the user's flags; die if it fails.
hive_cc() {
	local cmd=(
		"${CC:-gcc}" ${CPPFLAGS} ${CFLAGS}
		-I"${ESYSROOT}/usr/include"
		"$@"
		-L"${ESYSROOT}/usr/$(get_libdir)" ${LDFLAGS}
	)
	echo "${cmd[@]}"
	"${cmd[@]}" || die "the compiler failed"
}

# @FUNCTION: hive_program
# @USAGE: <name> <sources, flags and -l options>
hive_program() {
	local name=${1}
	shift
	hive_cc -o "${name}" -Wl,--enable-new-dtags,-rpath,"${EPREFIX}/usr/$(get_libdir)" "$@"
}

# @FUNCTION: hive_library
# @USAGE: <link name> <soname> <sources and flags>
# @DESCRIPTION:
# Build <soname> and the link lib<link name>.so to it.
hive_library() {
	local link=lib${1}.so soname=${2}
	shift 2
	hive_cc -fPIC -shared -Wl,-soname,"${soname}" -o "${soname}" "$@"
	ln -sf "${soname}" "${link}" || die
}

# @FUNCTION: hive_install_library
# @USAGE: <link name> <soname>
hive_install_library() {
	local dir=/usr/$(get_libdir)
	exeinto "${dir}"
	doexe "${2}"
	dosym "${2}" "${dir}/lib${1}.so"
}

# @FUNCTION: hive_copy_sources
# @DESCRIPTION:
# The src_unpack of packages whose sources lie in files/.
hive_copy_sources() {
	cp "${FILESDIR}"/* "${WORKDIR}"/ || die "copying the sources failed"
}

fi
