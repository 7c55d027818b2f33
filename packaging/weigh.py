#!/usr/bin/env python3
"""What each crate costs: processor seconds of a cold release build, and bytes of the program.

    packaging/weigh.py            builds from nothing in target/weigh, and writes the table of docs/dependencies.md anew

Seconds are those of the processor, of rustc for each crate (build scripts are counted as their crate's, their own work
is not), so that what else the machine does matters little. Bytes are those of functions and data whose names say where they come
from; a generic function counts for the crate that wrote it, and what is inlined for whoever took it in."""
import collections
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/dependencies.md"
FOLDER = ROOT / "target/weigh"
SECONDS = FOLDER / "seconds.jsonl"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
# Crates below both are counted together.
LEAST_SECONDS, LEAST_BYTES = 1.0, 20_000


def compile_one(words):
    """As RUSTC_WRAPPER: compiles, and notes what it took."""
    # What cargo has opened for whoever shares its processors goes along.
    code = subprocess.run(words, close_fds=False).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if "--crate-name" in words:
        name = words[words.index("--crate-name") + 1]
        # A build script has the crate's name in its folder only.
        package = os.environ.get("CARGO_PKG_NAME", name) if name.startswith("build_script") else name
        with open(os.environ["WEIGH_SECONDS"], "a") as notes:
            notes.write(json.dumps([package.replace("-", "_"), used.ru_utime + used.ru_stime]) + "\n")
    return code


def build():
    """A cold build; returns its wall seconds."""
    subprocess.run(["rm", "-rf", FOLDER], check=True)
    FOLDER.mkdir(parents=True)
    environment = {**os.environ, "RUSTC_WRAPPER": __file__, "WEIGH_SECONDS": str(SECONDS), "CARGO_INCREMENTAL": "0",
                   "CARGO_TARGET_DIR": str(FOLDER), "CARGO_PROFILE_RELEASE_STRIP": "none"}
    begun = time.monotonic()
    subprocess.run(["cargo", "build", "--locked", "--release"], cwd=ROOT, env=environment, check=True)
    return time.monotonic() - begun


def seconds():
    spent = collections.Counter()
    for line in SECONDS.read_text().splitlines():
        name, took = json.loads(line)
        spent[name] += took
    return spent


def sizes(program):
    """Bytes of the named functions and data of each crate."""
    named = subprocess.run(["nm", "--print-size", "--demangle=rust", "--defined-only", program], check=True,
                           capture_output=True, text=True).stdout
    found = collections.Counter()
    for line in named.splitlines():
        words = line.split(maxsplit=3)
        if len(words) == 4 and words[2] in "tTrRdDbBvVwW":
            found[crate_of(words[3])] += int(words[1], 16)
    return found


def crate_of(name):
    """The crate that wrote what is so named: of `<T as Trait>::f`, T's; of `<&T>` and the like, the first that is named."""
    first = re.search(r"[A-Za-z_][A-Za-z0-9_]*(?=(\[[0-9a-f]+\])?::)", name)
    return first[0] if first else "(C, and names without a crate)"


def direct():
    """The crates that Cargo.toml names."""
    told = subprocess.run(["cargo", "metadata", "--locked", "--format-version", "1", "--no-deps"], cwd=ROOT, check=True,
                          capture_output=True, text=True).stdout
    package, = json.loads(told)["packages"]
    return {one["name"].replace("-", "_") for one in package["dependencies"] if one["kind"] != "dev"}


def table(spent, bytes_of, wall, program):
    ours, rows, rest = direct(), [], [0, 0.0, 0]
    for name in sorted(set(spent) | set(bytes_of), key=lambda name: (-spent[name], -bytes_of[name], name)):
        if spent[name] < LEAST_SECONDS and bytes_of[name] < LEAST_BYTES:
            rest = [rest[0] + 1, rest[1] + spent[name], rest[2] + bytes_of[name]]
        else:
            shown = f"**{name}**" if name in ours or name == "ami2amo" else name
            rows.append(f"| {shown} | {spent[name]:.1f} | {bytes_of[name] / 1024:,.0f} |")
    total = sum(bytes_of.values())
    return "\n".join([
        "| crate | processor seconds | KiB |", "|---|---|---|", *rows,
        f"| {rest[0]} others, each below {LEAST_SECONDS:.0f} s and {LEAST_BYTES // 1000} KB | {rest[1]:.1f} | {rest[2] / 1024:,.0f} |",
        f"| all | {sum(spent.values()):.0f} | {total / 1024:,.0f} |", "",
        f"Wall time of this build on {os.cpu_count()} cores that others used, too: {wall:.0f} s. The program without its names, as "
        f"`cargo build --release` makes it: {program / 1e6:.1f} MB.", ""])


def main():
    wall = build()
    program = FOLDER / "release/ami2amo"
    bytes_of = sizes(program)
    subprocess.run(["strip", program], check=True)
    page = PAGE.read_text()
    before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(page[:before] + table(seconds(), bytes_of, wall, program.stat().st_size) + page[after:])
    subprocess.run(["rm", "-rf", FOLDER], check=True)


if __name__ == "__main__":
    sys.exit(compile_one(sys.argv[1:]) if len(sys.argv) > 1 else main())
