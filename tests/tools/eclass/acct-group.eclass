# Stand-in; see README.md.
SLOT="0"
KEYWORDS="amd64 arm64"
S="${WORKDIR}"
[[ ${CATEGORY} == acct-group ]] || die "acct-group.eclass is for acct-group/"
