#!/usr/bin/env python3
"""Make the source archives of the demo repository out of tests/tools/sources/.

    distfiles.py DIR          write the archives into DIR, after checking them against the Manifests
    distfiles.py --manifests  write the Manifests anew (after a change of the sources)

The archives are uncompressed ustar with fixed order, owner, mode and time, so that they are the same bytes on
every machine and the Manifests in the repository stay true. Needs nothing but Python.
"""
import hashlib
import io
import os
import sys
import tarfile
import tempfile

TOOLS = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(TOOLS, "sources")
REPOSITORY = os.path.join(os.path.dirname(TOOLS), "repository")
MTIME = 1704067200  # 2024-01-01; any fixed time does

# Archives named by a Manifest but made by nobody: that is what app-misc/mirage and app-misc/vaulted are for.
ABSENT = {"mirage-1.0.tar": "app-misc/mirage", "vaulted-1.0.tar": "app-misc/vaulted"}
# Which package each archive belongs to.
OWNERS = {
    "libcomb-1.2.tar": "dev-libs/libcomb",
    "libpollen-1.4.tar": "dev-libs/libpollen",
    "libpollen-2.0.tar": "dev-libs/libpollen",
    "workers-1.0.tar": "app-misc/workers",
}


def archive(name, files):
    """The bytes of an archive with one top directory `name` holding `files` (relative path -> bytes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        def add(path, kind, mode, data=b""):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode, entry.mtime, entry.size = kind, mode, MTIME, len(data)
            tar.addfile(entry, io.BytesIO(data))

        add(name, tarfile.DIRTYPE, 0o755)
        for path in sorted(files):
            add(f"{name}/{path}", tarfile.REGTYPE, 0o644, files[path])
    return out.getvalue()


def archives():
    """Every archive there is: file name -> bytes."""
    made = {}
    for name in sorted(os.listdir(SOURCES)):
        top, files = os.path.join(SOURCES, name), {}
        for path in sorted(os.listdir(top)):
            with open(os.path.join(top, path), "rb") as source:
                files[path] = source.read()
        made[f"{name}.tar"] = archive(name, files)
    missing = set(OWNERS) ^ set(made)
    if missing:
        raise SystemExit(f"distfiles.py: sources/ and the list of owners disagree about {', '.join(sorted(missing))}")
    return made


def manifest_line(name, data):
    return (f"DIST {name} {len(data)} BLAKE2B {hashlib.blake2b(data).hexdigest()}"
            f" SHA512 {hashlib.sha512(data).hexdigest()}\n")


def manifests(made):
    """Every Manifest there should be: package -> text."""
    lines = {}
    for name, data in made.items():
        lines.setdefault(OWNERS[name], []).append(manifest_line(name, data))
    for name, package in ABSENT.items():
        # a true line for an archive with nothing in it, which is then not written
        lines.setdefault(package, []).append(manifest_line(name, archive(name.removesuffix(".tar"), {})))
    return {package: "".join(sorted(found)) for package, found in lines.items()}


def write(path, data):
    """Write the whole file or nothing; leave it alone if it is there already."""
    try:
        with open(path, "rb") as there:
            if there.read() == data:
                return
    except FileNotFoundError:
        pass
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".distfile-")
    with os.fdopen(handle, "wb") as out:
        out.write(data)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def main(arguments):
    if len(arguments) != 1 or (arguments[0].startswith("-") and arguments[0] != "--manifests"):
        raise SystemExit(__doc__)
    made = archives()
    for package, text in manifests(made).items():
        path = os.path.join(REPOSITORY, package, "Manifest")
        if arguments[0] == "--manifests":
            write(path, text.encode())
            continue
        with open(path, encoding="ascii") as manifest:
            if manifest.read() != text:
                raise SystemExit(f"distfiles.py: {package}/Manifest is not true any more; run distfiles.py --manifests")
    if arguments[0] != "--manifests":
        os.makedirs(arguments[0], exist_ok=True)
        for name, data in made.items():
            write(os.path.join(arguments[0], name), data)


if __name__ == "__main__":
    main(sys.argv[1:])
