"""Describes a root: `state.py QUESTION ANSWER`. Runs beside Portage; {"what": "state"} or {"what": "base"} in, JSON out.

state: version, profile, CHOST, CFLAGS, FEATURES, and the header Portage would write into a `Packages` index.
base:  everything installed, with the metadata needed to match atoms against it later.
"""
import json
import os
import sys

import portage
from _emerge.Package import Package


def state(trees, eroot):
    settings = trees[eroot]["vartree"].settings
    profiles = os.path.join(os.path.realpath(settings.repositories.mainRepoLocation() or "/"), "profiles") + os.sep
    profile = os.path.realpath(settings.profile_path) if settings.profile_path else ""
    # Portage keeps the rules of the header in the tree of binaries and nowhere else.
    bintree = trees[eroot]["bintree"]
    header = {"CHOST": settings.get("CHOST", "")}
    bintree._update_pkgindex_header(header)
    header = {key: value for key, value in header.items() if value}
    return {
        "version": portage.VERSION,
        "profile": profile.removeprefix(profiles),
        "chost": settings.get("CHOST", ""),
        "cflags": settings.get("CFLAGS", ""),
        "features": sorted(settings.features),
        "index_header": {k: " ".join(str(v).split()) for k, v in header.items()},
    }


def base(trees, eroot):
    vardb = trees[eroot]["vartree"].dbapi
    keys = list(Package.metadata_keys)
    return [{"cpv": str(cpv), "metadata": dict(zip(keys, vardb.aux_get(cpv, keys)))} for cpv in sorted(vardb.cpv_all())]


def main():
    with open(sys.argv[1]) as f:
        question = json.load(f)
    trees = portage.create_trees()
    answer = {"state": state, "base": base}[question["what"]](trees, trees._target_eroot)
    with open(sys.argv[2], "w") as f:
        json.dump(answer, f)


main()
