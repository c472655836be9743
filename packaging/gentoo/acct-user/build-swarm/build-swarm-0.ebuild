# Distributed under the terms of the MIT licence

EAPI=8

inherit acct-user

DESCRIPTION="The controller of app-admin/build-swarm"

ACCT_USER_ID=-1
ACCT_USER_GROUPS=( build-swarm )
ACCT_USER_HOME=/var/lib/build-swarm
# others may pass, not look: the binhost's public key is below
ACCT_USER_HOME_PERMS=0711

acct-user_add_deps
