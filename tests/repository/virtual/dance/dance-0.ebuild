# Distributed under the terms of the MIT License

EAPI=8

DESCRIPTION="Virtual for anything that dances"
SLOT="0"
KEYWORDS="amd64 arm64"

RDEPEND="|| ( app-misc/waggle app-misc/moody )"
