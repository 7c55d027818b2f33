#!/usr/bin/env python3
"""Which glibc a program wants: symbols.py PROGRAM [MOST] prints the versions of the symbols that it asks shared
libraries for, and fails where one is newer than MOST (2.17)."""
import pathlib
import re
import struct
import sys

MOST = "2.17"
# Section types of ELF.
STRTAB, DYNAMIC, VERNEED = 3, 6, 0x6FFFFFFE
DT_NEEDED = 1


def sections(data):
    """(type, link, bytes) of each section of a 64-bit little-endian ELF file."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no 64-bit little-endian ELF file")
    start, = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    for number in range(count):
        _, kind, _, _, offset, length, link = struct.unpack_from("<IIQQQQI", data, start + number * size)
        yield kind, link, data[offset:offset + length] if kind != 8 else b""


def text(names, at):
    return names[at:names.index(b"\0", at)].decode()


def wants(path):
    """The libraries that a program names, and {library: {versions of symbols}}."""
    parts = list(sections(pathlib.Path(path).read_bytes()))
    libraries, versions = [], {}
    for kind, link, part in parts:
        if kind == DYNAMIC:
            libraries += [text(parts[link][2], value) for tag, value in struct.iter_unpack("<QQ", part)
                          if tag == DT_NEEDED]
        if kind == VERNEED:
            at = 0
            while True:
                _, count, file, first, following = struct.unpack_from("<HHIII", part, at)
                entry = at + first
                for _ in range(count):
                    _, _, _, name, step = struct.unpack_from("<IHHII", part, entry)
                    versions.setdefault(text(parts[link][2], file), set()).add(text(parts[link][2], name))
                    entry += step
                if not following:
                    break
                at += following
    return libraries, versions


def number(version):
    return tuple(int(part) for part in version.split("."))


def newer(versions, most):
    """The versions of glibc's symbols above `most`."""
    found = {match[1] for names in versions.values() for name in names
             if (match := re.fullmatch(r"GLIBC_([0-9.]+)", name))}
    return sorted((version for version in found if number(version) > number(most)), key=number)


def main():
    path, most = sys.argv[1], (sys.argv[2:] or [MOST])[0]
    libraries, versions = wants(path)
    if not libraries or not any("GLIBC_" in name for names in versions.values() for name in names):
        sys.exit(f"{path}: names no library or no version of glibc: this was not read rightly")
    for library in libraries:
        print(f"{library}: {' '.join(sorted(versions.get(library, [])))}")
    if above := newer(versions, most):
        sys.exit(f"{path} wants glibc {', '.join(above)}, and may want {most} at most")
    print(f"symbols: glibc {most} is enough")


if __name__ == "__main__":
    main()
