# Stand-in; see README.md. Its functions are there and do nothing: live ebuilds are read here, not built.
PROPERTIES+=" live"
git-r3_src_unpack() { die "there is no git-r3 here"; }
EXPORT_FUNCTIONS src_unpack
