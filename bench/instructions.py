#!/usr/bin/env python3
# bench/instructions.py FEWER MORE ROWS
#		Instructions a row: the difference of two counts of callgrind, for so many more rows.
#
# FEWER and MORE are the names of callgrind's files without the numbers of the threads (-01 is the
# backend's own). Prints the main thread's and the others' instructions, and the main thread's by the
# file of the program that holds them.
import glob
import re
import sys
from collections import Counter

OBJECTS = {
    "postgres": "postgres",
    "kafka_fdw": "kafka_fdw",
    "librdkafka": "librdkafka",
    "libc": "libc",
}


def own_costs(path):
    """Instructions by object. After a line that begins with calls= comes the cost of what was
    called, which is counted where it was spent."""
    costs = Counter()
    names = {}
    current = "other"
    called = False
    for line in open(path, encoding="utf-8", errors="replace"):
        if line.startswith("ob="):
            number, _, name = line[3:].strip().partition(" ")
            if name:
                names[number] = name.rsplit("/", 1)[-1]
            base = re.split(r"[.-]", names.get(number, ""))[0]
            current = OBJECTS.get(base, "other")
        elif line.startswith("cob="):
            number, _, name = line[4:].strip().partition(" ")
            if name:
                names[number] = name.rsplit("/", 1)[-1]
        elif line.startswith("calls="):
            called = True
        elif line[:1] in "+-*0123456789":
            fields = line.split()
            if called:
                called = False
            elif len(fields) > 1:
                costs[current] += int(fields[1])
    return costs


def count(name):
    main, others = Counter(), 0
    for path in glob.glob(name + "-*"):
        costs = own_costs(path)
        if path.endswith("-01"):
            main += costs
        else:
            others += sum(costs.values())
    return main, others


few, few_others = count(sys.argv[1])
many, many_others = count(sys.argv[2])
rows = int(sys.argv[3])
pairs = [("main", (sum(many.values()) - sum(few.values())) / rows),
         ("threads", (many_others - few_others) / rows)]
pairs += [("main_" + name, (many[name] - few[name]) / rows) for name in (*OBJECTS.values(), "other")]
print(" ".join(f"{name}={value:.0f}" for name, value in pairs))
