# Stand-in; see README.md.
SLOT="0"
KEYWORDS="amd64 arm64"
S="${WORKDIR}"
[[ ${CATEGORY} == acct-user ]] || die "acct-user.eclass is for acct-user/"

acct-user_add_deps() {
	[[ -n ${ACCT_USER_ID} ]] || die "ACCT_USER_ID is not set"
	local group
	for group in "${ACCT_USER_GROUPS[@]}"; do
		RDEPEND+=" acct-group/${group}"
	done
}

# What the real one writes, so that a test sees what the user would be.
acct-user_src_install() {
	insinto /usr/lib/sysusers.d
	printf 'u %s - - %s\n' "${PN}" "${ACCT_USER_HOME}" | newins - "acct-user-${PN}.conf"
}

EXPORT_FUNCTIONS src_install
