#!/usr/bin/env python3
# bench/report.py RESULTS
#		Tables in Markdown of what bench/run measured.
#
# RESULTS has one measurement a line (bench/lib.sh). A ratio is the median of the rounds' own ratios,
# since what is measured in one round shares the machine's state.
import sys
from collections import defaultdict
from statistics import median


def read(path):
    """section -> case -> system -> round -> {key: text}"""
    found = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for line in open(path, encoding="utf-8"):
        section, *rest = line.rstrip("\n").split("\t")
        if section == "skipped":
            continue
        case, system, number, pairs = rest
        values = dict(p.split("=", 1) for p in pairs.split() if "=" in p)
        if "user" in values:
            values["cpu"] = str(float(values["user"]) + float(values["sys"]))
        found[section][case][system][number] = values
    return found


def numbers(runs, key):
    return {n: float(v[key]) for n, v in runs.items() if key in v}


def ratio(runs, base, key):
    a, b = numbers(runs, key), numbers(base, key)
    both = [a[n] / b[n] for n in a if n in b and b[n] > 0]
    return median(both) if both else None


def show(value, digits):
    return "" if value is None else f"{value:.{digits}f}"


def middle(runs, key):
    found = list(numbers(runs, key).values())
    return median(found) if found else None


def scan_table(systems):
    base = systems["rdkafka-callback"]
    print("| | wall s | against librdkafka | CPU s | against librdkafka | main thread, us a row |")
    print("|---|---|---|---|---|---|")
    for name, runs in systems.items():
        main = middle(runs, "main")
        rows = middle(base, "count")
        print("|", " | ".join([
            name, show(middle(runs, "wall"), 2), show(ratio(runs, base, "wall"), 2),
            show(middle(runs, "cpu"), 2), show(ratio(runs, base, "cpu"), 2),
            show(main and main / rows * 1e6, 3)]), "|")


for section, cases in read(sys.argv[1]).items():
    for case, systems in cases.items():
        print(f"\n{section} {case}\n")
        scan_table(systems)
