"""What each feature of the gateway adds to a build, from the report of `cargo build --timings`.

`build_times.py REPORT` sums the time of the crates that a feature brings, and divides it by the builds that run at once: so long
a build from nothing takes longer with it. Only what was built in that run has a time, tests left out; the report says how much that was.
"""

import json
import os
import re
import subprocess
import sys

FEATURES = ["kubernetes", "llama-cpp", "mistralrs"]


def tree(*features):
    """The crates of a gateway, as name and version."""
    command = ["cargo", "tree", "--locked", "-p", "gateway", "-e", "normal,build", "--prefix", "none", "-f", "{p}"]
    command += ["--features", ",".join(features)] if features else []
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {tuple(line.replace(" v", " ").split()[:2]) for line in lines if line}


def main(report):
    with open(report, encoding="utf-8") as file:
        units = json.loads(re.search(r"const UNIT_DATA = (\[.*?\n?\]);", file.read(), re.DOTALL).group(1))
    seconds = {}
    for unit in units:
        # What was there already is in the report too, with no time.
        if unit["target"].endswith("(test)") or not unit["duration"]:
            continue
        crate = unit["name"], unit["version"]
        seconds[crate] = seconds.get(crate, 0) + unit["duration"]
    at_once = os.cpu_count() or 1
    plain = tree()
    rows = [("(none)", plain)] + [(feature, tree(feature) - plain) for feature in FEATURES]
    print(f"build times by feature, {at_once} at once:")
    for feature, crates in rows:
        built = [seconds[crate] for crate in crates if crate in seconds]
        minutes = sum(built) / at_once / 60
        print(f"  {feature:12} {minutes:6.1f} min   {len(built):4} of {len(crates)} crates were built")


if __name__ == "__main__":
    main(sys.argv[1])
