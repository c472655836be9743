#!/usr/bin/env python3
"""Check what `make demo` promises; print one line for each promise, exit 1 if one was not kept.

    demo_check.py DIR URL STRANGER

DIR holds session.json (`swarm --json session show`), client.log and client-output.txt. URL is the binhost's.
STRANGER says what became of the client that did not know the swarm's key: `refused` or `installed`.
"""
import json
import os
import sys
import urllib.request

RECEIVED = {
    "app-misc/apiary-1", "app-misc/hivemap-0.9", "app-misc/honeydrip-1.0", "app-misc/nectar-2.1",
    "app-misc/waggle-1.1", "app-misc/workers-1.0", "dev-libs/libcomb-1.2", "dev-libs/libpollen-1.4",
    "dev-libs/libpollen-2.0", "dev-util/hexgen-1.0", "virtual/dance-0",
}
BROKEN, DEPENDENT = "app-misc/wasp-1.0", "app-misc/wasp-trap-1.0"
REASON = "implicit declaration of function"

failed = []


def promise(text, kept, otherwise=""):
    print(f"  {'ok  ' if kept else 'FAIL'}  {text}" + ("" if kept or not otherwise else f"\n        {otherwise}"))
    if not kept:
        failed.append(text)


def stanzas(url):
    """The packages of a binhost's index, each a dictionary."""
    with urllib.request.urlopen(f"{url.rstrip('/')}/Packages", timeout=30) as answer:
        blocks = answer.read().decode().split("\n\n")
    return [dict(line.split(": ", 1) for line in block.splitlines() if ": " in line) for block in blocks[1:] if block]


def names(some):
    return ", ".join(sorted(some)) or "nothing"


def check_session(packages):
    by_state = {}
    for package in packages:
        by_state.setdefault(package["status"], []).append(package)
    received = {package["package"].lstrip("=") for package in by_state.get("received", [])}
    promise(f"{len(RECEIVED)} packages were built and received", received == RECEIVED,
            f"missing: {names(RECEIVED - received)}; unexpected: {names(received - RECEIVED)}")

    rest = {p["package"].lstrip("="): json.dumps(p, ensure_ascii=False) for p in packages if p["status"] != "received"}
    promise("only the wasp and its trap are left", set(rest) == {BROKEN, DEPENDENT}, f"left: {names(rest)}")
    promise(f"{BROKEN} is blocked, with the compiler's own line", REASON in rest.get(BROKEN, ""), rest.get(BROKEN, ""))
    promise(f"{DEPENDENT} is blocked because of {BROKEN}", BROKEN in rest.get(DEPENDENT, ""), rest.get(DEPENDENT, ""))

    drones = {package["drone"] for package in by_state.get("received", []) if package.get("drone")}
    promise("more than one drone took part", len(drones) > 1, f"only {names(drones)}")
    told = [p for p in by_state.get("received", []) if p.get("duration_s") is not None and p.get("size_bytes")]
    promise("every one says how long it took and how large it is", len(told) == len(by_state.get("received", [])))


def check_binhost(index):
    listed = {entry["CPV"] for entry in index}
    promise("the binhost lists every received package", RECEIVED <= listed, f"missing: {names(RECEIVED - listed)}")
    variants = sorted("sweet" in entry.get("USE", "").split() for entry in index if entry["CPV"] == "app-misc/nectar-2.1")
    promise("nectar is there with and without USE=sweet", variants == [False, True], f"variants: {variants}")
    promise("nothing that failed is there", not {BROKEN, DEPENDENT} & listed)


def check_client(directory, stranger):
    def text(name):
        with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as found:
            return found.read()

    promise("a client that does not know the swarm's key is refused", stranger == "refused")
    promise("for its signature", "GnuPG verification failed" in text("client-refused.log"), "see client-refused.log")
    promise("the client that knows it installs waggle", ">>> Completed" in text("client.log"), "see client.log")
    promise("without compiling anything", ">>> Compiling source" not in text("client.log"))
    promise("and it runs there", "Hello, demo! waggle 1.1" in text("client-output.txt"), text("client-output.txt"))


def main(directory, url, stranger):
    with open(os.path.join(directory, "session.json"), encoding="utf-8") as session:
        check_session(json.load(session)["packages"])
    check_binhost(stanzas(url))
    check_client(directory, stranger)
    if failed:
        print(f"\n{len(failed)} of the demo's promises were not kept; everything is below {directory}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
