# Distributed under the terms of the MIT licence

EAPI=8

inherit acct-group

DESCRIPTION="The controller of app-admin/build-swarm"

ACCT_GROUP_ID=-1
