"""Resolves atoms with the root's own Portage: `plan.py QUESTION ANSWER`. Nothing is fetched, built or installed.

QUESTION: {"atoms": [...], "base": [{"cpv", "metadata"}]}; the job's package.use lines come by PORTAGE_CONFIGROOT.
ANSWER:   {"portage", "complaint", "packages", "edges", "order", "targets"}, the shape of the protocol's Plan.

Resolved as `emerge --emptytree --with-bdeps=y --autounmask=n` would, against ebuilds only and as if nothing were
installed but the base; then what only the base's packages were needed for is dropped. `_emerge` is no stable
interface: tried with Portage 3.0.82.2 and 3.0.83 by the agent's tests.
"""
import contextlib
import io
import json
import os
import re
import sys

import portage
from portage.dep import Atom, match_from_list, use_reduce
from portage.exception import AmbiguousPackageName, InvalidAtom, InvalidDependString, PortageException
from portage.versions import _pkg_str
from _emerge.actions import adjust_configs, load_emerge_config
from _emerge.AtomArg import AtomArg
from _emerge.create_depgraph_params import create_depgraph_params
from _emerge.depgraph import backtrack_depgraph
from _emerge.main import parse_opts
from _emerge.Package import Package

OPTIONS = ["--pretend", "--ignore-default-opts", "--oneshot", "--emptytree", "--with-bdeps=y", "--nospinner", "--color=n"]
# What would help? USE changes are offered, nothing else is unmasked.
OFFER = ["--autounmask=y", "--autounmask-use=y", "--autounmask-license=n", "--autounmask-keep-keywords=y",
         "--autounmask-keep-masks=y", "--autounmask-write=n", "--autounmask-continue=n", "--autounmask-backtrack=y"]
MAX_TEXT = 8000


class Complaint(Exception):
    def __init__(self, kind, text, use_changes=None):
        super().__init__(text)
        self.kind, self.text, self.use_changes = kind, text, use_changes or {}

    def data(self):
        return {"kind": self.kind, "text": self.text[:MAX_TEXT], "use_changes": self.use_changes}


def checked(atoms, portdb):
    """Each atom with its category, as emerge would understand it."""
    out = []
    for text in atoms:
        try:
            if "/" in text:
                atom = Atom(text, allow_repo=True)
            else:
                atom = portage.dep_expand(text, mydb=portdb, settings=portdb.settings)
                if atom.cp.startswith("null/"):
                    raise Complaint("not_found", f"there is no package named {text!r}; check the spelling")
        except AmbiguousPackageName as e:
            names = ", ".join(sorted(e.args[0]))
            raise Complaint("bad_atom", f"{text!r} may mean {names}; write one of them with its category") from None
        except InvalidAtom:
            raise Complaint("bad_atom", f"{text!r} is not a package atom; write category/name or =category/name-version") from None
        if atom.blocker:
            raise Complaint("bad_atom", f"{text!r} is a blocker; it names nothing to build")
        out.append(atom)
    return out


class Resolution:
    """One run of the resolver."""

    def __init__(self, options, atoms, base):
        action, opts, files = parse_opts(OPTIONS + options + [str(a) for a in atoms])
        opts["--quiet"] = True
        config = load_emerge_config(action=action, args=files, opts=opts)
        adjust_configs(config.opts, config.trees)
        self.settings, trees = config.target_config.settings, config.trees
        self.eroot = self.settings["EROOT"]
        self.root_config = trees[self.eroot]["root_config"]
        hide_others(trees[self.eroot]["vartree"].dbapi, {p["cpv"] for p in base})
        self.portdb = trees[self.eroot]["porttree"].dbapi
        log = io.StringIO()
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            self.ok, self.graph, _ = backtrack_depgraph(
                self.settings, trees, opts, create_depgraph_params(opts, action), action, files, None)
            self.order = []
            if self.ok:
                self.order = [p for p in self.graph.altlist() if isinstance(p, Package) and p.operation == "merge"]
            else:
                self.graph.display_problems()
        self.text = re.sub(r"\x1b\[[0-9;]*m", "", log.getvalue()).strip()
        self.dynamic = self.graph._dynamic_config

    def use_changes(self):
        changes = getattr(self.dynamic, "_needed_use_config_changes", None) or {}
        return {str(p.cpv): {flag: bool(on) for flag, on in change[1].items()} for p, change in changes.items()}


def hide_others(vardb, names):
    """Let the resolver see only the base's packages: what the swarm built here before must not change a plan."""
    everything = vardb.cpv_all
    vardb.cpv_all = lambda *args, **kwargs: [cpv for cpv in everything(*args, **kwargs) if str(cpv) in names]


def complaint_of(plain, atoms, base):
    """What kind of failure it is, by the resolver's own words and what it would offer."""
    text = plain.text
    if "have been masked" in text or "are masked" in text or "is masked" in text:
        return Complaint("masked", text)
    if "REQUIRED_USE" in text or "has unmet requirements" in text:
        return Complaint("required_use", text)
    if "there are no ebuilds to satisfy" in text:
        return Complaint("not_found", text)
    if plain.dynamic._circular_deps_for_display is not None or "virtual cycle detected" in text:
        return Complaint("circular", text)
    if "built with USE flags to satisfy" in text or "USE changes are necessary" in text:
        offered = Resolution(OFFER, atoms, base)
        changes = offered.use_changes() or plain.use_changes()
        if changes:
            lines = [f"={cpv} " + " ".join(f if on else "-" + f for f, on in sorted(flags.items()))
                     for cpv, flags in sorted(changes.items())]
            text += "\n\nThese package.use lines would help:\n" + "\n".join(lines)
        return Complaint("use_change", text, changes)
    return Complaint("conflict", text or "the resolver gave up without a word")


class Base:
    """What the base has installed, as packages that atoms can be matched against."""

    def __init__(self, base, root_config):
        vardb = root_config.trees["vartree"].dbapi
        self.packages = [
            Package(built=True, installed=True, metadata=p["metadata"], onlydeps=False, operation="nomerge",
                    root_config=root_config, type_name="installed",
                    cpv=_pkg_str(p["cpv"], metadata=p["metadata"], settings=root_config.settings, db=vardb))
            for p in base
        ]

    def has(self, atoms):
        return bool(atoms) and all(match_from_list(Atom(a.without_repo) if a.repo else a, self.packages) for a in atoms)


def flat_atoms(package, key):
    try:
        reduced = use_reduce(package._metadata.get(key, ""), uselist=package.use.enabled, eapi=package.eapi,
                             token_class=Atom, flat=True)
    except InvalidDependString:
        return ()
    return [a for a in reduced if isinstance(a, Atom) and not a.blocker]


def edges_of(resolution):
    """parent -> child -> (build time, run time, the atoms that asked for it)."""
    digraph, asked = resolution.dynamic.digraph, {}
    for child, parents in resolution.dynamic._parent_atoms.items():
        for parent, atom in parents:
            asked.setdefault((parent, child), []).append(atom)
    out = {}
    for parent in (n for n in digraph.order if isinstance(n, Package)):
        declared = {kind: [a for key in keys for a in flat_atoms(parent, key)]
                    for kind, keys in (("build", ("DEPEND", "BDEPEND")), ("run", ("RDEPEND", "IDEPEND")))}
        for child, priorities in digraph.nodes[parent][0].items():
            if not isinstance(child, Package) or child is parent:
                continue
            found = {kind: any(match_from_list(a, [child]) for a in atoms) for kind, atoms in declared.items()}
            # A dependency reached through another name matches no declared atom: then the resolver's word counts.
            build = found["build"] or any(getattr(p, "buildtime", False) for p in priorities)
            run = found["run"] or any(getattr(p, "runtime", False) for p in priorities)
            out.setdefault(parent, {})[child] = (build, run, asked.get((parent, child), []))
    return out


def targets_of(resolution, atoms):
    """The package each atom resolved to."""
    digraph, found = resolution.dynamic.digraph, {}
    for node in digraph.order:
        if isinstance(node, AtomArg):
            children = [c for c in digraph.child_nodes(node) if isinstance(c, Package)]
            if children:
                found[str(node.atom)] = max(children)
    out = []
    for atom in atoms:
        package = found.get(str(atom))
        if package is None:
            package = max((p for p in resolution.order if match_from_list(atom, [p])), default=None)
        out.append(package)
    return out


def source_hash(name):
    """FNV-1a, 32 bits: as the protocol's source_hash."""
    value = 0x811C9DC5
    for byte in name.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def sources(package, resolution):
    """Names of source files, hashed, and their bytes by the Manifest, whether or not they are here already."""
    portdb = resolution.portdb
    try:
        ebuild, tree = portdb.findname2(package.cpv, myrepo=package.repo)
        manifest = portdb.repositories.get_repo_for_location(tree).load_manifest(os.path.dirname(ebuild), "")
        digests = manifest.getDigests()
        files = portdb.getFetchMap(package.cpv, useflags=package.use.enabled, mytree=tree)
        names = [source_hash(name) for name in sorted(files)[:64]]
        return names, sum(int(digests.get(name, {}).get("size", 0)) for name in files)
    except (PortageException, KeyError, TypeError, OSError):
        return [], 0


def described(package, resolution):
    try:
        restrict = use_reduce(package._metadata.get("RESTRICT", ""), uselist=package.use.enabled, flat=True)
    except InvalidDependString:
        restrict = []
    names, size = sources(package, resolution)
    return {
        "cpv": str(package.cpv), "slot": package.slot, "subslot": package.sub_slot, "repository": package.repo,
        "use_flags": sorted({f.lstrip("+-") for f in package.iuse.all} & set(package.use.enabled)),
        "restrict": " ".join(sorted(set(restrict))), "distfile_bytes": size, "sources": names,
    }


def resolve(atoms, base):
    resolution = Resolution(["--autounmask=n"], atoms, base)
    if not resolution.ok:
        raise complaint_of(resolution, atoms, base)
    installed = Base(base, resolution.root_config)
    edges, targets = edges_of(resolution), targets_of(resolution, atoms)
    kept, pending = set(), [t for t in targets if t is not None]
    while pending:
        package = pending.pop()
        if package in kept:
            continue
        kept.add(package)
        pending += [c for c, (_, _, why) in edges.get(package, {}).items() if not installed.has(why)]
    order = [p for p in resolution.order if p in kept]
    number = {p: i for i, p in enumerate(order)}
    return {
        "complaint": None,
        "packages": [described(p, resolution) for p in order],
        "edges": [
            {"from": number[p], "to": number[c], "build_time": build, "run_time": run}
            for p in order for c, (build, run, _) in edges.get(p, {}).items() if c in number
        ],
        "order": list(range(len(order))),
        "targets": [number.get(t) for t in targets],
    }


def main():
    with open(sys.argv[1]) as f:
        question = json.load(f)
    try:
        trees = portage.create_trees()
        atoms = checked(question["atoms"], trees[trees._target_eroot]["porttree"].dbapi)
        answer = resolve(atoms, question["base"])
    except Complaint as complaint:
        answer = {"complaint": complaint.data()}
    answer["portage"] = portage.VERSION
    with open(sys.argv[2], "w") as f:
        json.dump(answer, f)


main()
