#!/usr/bin/env python3
"""Plays scenarios against the lab's running PBX and prints the truth of each call as one JSON line.

    play.py list             the scenarios
    play.py run NAME…|all    play them, four at a time; needs root (Asterisk's console)
"""
import asyncio
import inspect
import json
import sys

import office
import scenarios


async def run(names):
    people = await office.Office().open()
    try:
        async for truth in people.play_all([scenarios.ALL[name] for name in names]):
            print(json.dumps(truth.line(), ensure_ascii=False), flush=True)
        await office.quiet()
    finally:
        people.close()


def main(command="", *names):
    if command == "list":
        for name, play in scenarios.ALL.items():
            print(f"{name:32}{inspect.getdoc(play)}")
        return
    if names == ("all",):
        names = tuple(scenarios.ALL)
    unknown = [name for name in names if name not in scenarios.ALL]
    if command != "run" or not names or unknown:
        sys.exit(f"unknown scenarios: {unknown}; see play.py list" if unknown else __doc__)
    asyncio.run(run(names))


if __name__ == "__main__":
    main(*sys.argv[1:])
