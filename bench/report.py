#!/usr/bin/env python3
# bench/report.py RESULTS [TEMPLATE]
#		Tables in Markdown of what bench/run measured.
#
# A line "{{NAME}}" of the template is replaced by the table of that name; without a template all
# tables are printed. Medians of all rounds; "x" columns are medians of the rounds' own ratios.
import sys

from measured import LABELS, Results


def number(value, digits=2):
    return "" if value is None else f"{value:,.{digits}f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def label(results, section, case, system):
    """A system's name, with a mark where it did not do what it should have."""
    text = LABELS.get(system, system)
    faults = results.faults(section, case, system)
    if faults:
        text += f" (**wrong in {faults} of {len(results.runs[section, case, system])}**)"
    return text


def systems(results, section, case):
    return [key[2] for key in results.runs if key[:2] == (section, case)]


# ---- Tables, one function a section

def reading(results, section, case, base="rdkafka-callback"):
    rows = []
    for system in systems(results, section, case):
        at = (section, case, system)
        count = results.middle(section, case, base, "count")
        main = results.middle(*at, "main")
        rows.append([
            label(results, *at), number(results.middle(*at, "wall")),
            number(results.ratio(*at, base, "wall")), number(results.middle(*at, "cpu")),
            number(results.ratio(*at, base, "cpu")),
            number(main / count * 1e6 if main and count else None, 3)])
    return table(["", "wall, s", "x", "CPU, s", "x", "main thread, µs a row"], rows)


def codecs(results):
    """The data sets that are read by few."""
    rows = []
    for case, text in (("log1z", "100 bytes, 1 partition, zstd"),
                       ("log4z", "100 bytes, 4 partitions, zstd"),
                       ("long", "1,000 bytes"), ("longz", "1,000 bytes, zstd")):
        if not results.has("scan", case, "ours-count"):
            continue
        cells = [text, number(results.middle("scan", case, "rdkafka-callback", "wall"))]
        for system in ("franz-go", "ours-count", "ours-sum", "ours-all"):
            cells.append(number(results.ratio("scan", case, system, "rdkafka-callback", "wall")))
        rows.append(cells)
    return table(["", "librdkafka, s", "franz-go, x", "**kafka_fdw** `count(*)`, x",
                  "`sum(octet_length(value))`, x", "all columns, x"], rows)


def narrow(results):
    rows = []
    for topic, text in (("small", "batches of 16 KB"), ("log1", "batches of 1 MB")):
        for place in ("middle", "end"):
            case = f"{topic}-{place}"
            for system in ("ours-first", "ours", "rdkafka-range"):
                at = ("narrow", case, system)
                if not results.has(*at):
                    continue
                if system == "ours-first":
                    wall = results.middle(*at, "wall")
                    cells = [number(wall * 1e3 if wall else None), ""]
                else:
                    cells = [number(value / 1e3 if value else None) for value in
                             (results.middle(*at, "p50"), results.middle(*at, "p99"))]
                rows.append([f"{text}, {place}: {label(results, *at)}"] + cells)
    return table(["", "p50, ms", "p99, ms"], rows)


def sending(results):
    rows = []
    for system in systems(results, "send", "many"):
        at = ("send", "many", system)
        rows.append([label(results, *at), number(results.middle(*at, "wall")),
                     number(results.ratio(*at, "rdkafka", "wall")), number(results.middle(*at, "cpu")),
                     number(results.ratio(*at, "rdkafka", "cpu")), number(results.middle(*at, "main"))])
    return table(["", "wall, s", "x", "CPU, s", "x", "main thread, s"], rows)


def single(results):
    rows = []
    for system in systems(results, "single", "single"):
        at = ("single", "single", system)
        rows.append([label(results, *at), number(results.middle(*at, "p50"), 0),
                     number(results.middle(*at, "p99"), 0),
                     number(results.ratio(*at, "rdkafka-sync", "p50"))])
    return table(["", "p50, µs", "p99, µs", "x"], rows)


def sessions(results):
    rows = []
    for system in systems(results, "sessions", "sessions"):
        at = ("sessions", "sessions", system)
        errors = sum(int(run.get("errors", 0)) for run in results.runs[at].values())
        memory = results.middle(*at, "memory")
        rows.append([label(results, *at), number(results.middle(*at, "rate"), 0),
                     number((results.middle(*at, "p50") or 0) / 1e3),
                     number((results.middle(*at, "p99") or 0) / 1e3), str(errors),
                     number(memory / 1024 if memory else None, 0)])
    return table(["", "a second", "p50, ms", "p99, ms", "errors", "memory of all, MB"], rows)


def publish(results):
    rows = []
    for case in ("write", "drain"):
        for system in systems(results, "publish", case):
            at = ("publish", case, system)
            base = "plain" if case == "write" else None
            rows.append([label(results, *at), number(results.middle(*at, "rate"), 0),
                         number(results.ratio(*at, base, "rate") if base else None),
                         number((results.middle(*at, "p50") or 0) / 1e3 or None),
                         number((results.middle(*at, "p99") or 0) / 1e3 or None),
                         number(results.middle(*at, "cpu"), 0),
                         number(results.ratio(*at, base, "cpu") if base else None)])
    return table(["", "rows a second", "x", "p50, ms", "p99, ms", "backend's CPU a row, µs", "x"], rows)


def ingest(results):
    rows = []
    for case, text in (("plain", "no index"), ("indexed", "a primary key"),
                       ("command", "by a command, `INSERT … SELECT`"),
                       ("grouped", "by a command, `GROUP BY`, `ON CONFLICT`")):
        base = "indexed" if case == "indexed" else "plain"
        for system in systems(results, "ingest", case):
            at = ("ingest", case, system)
            count = results.middle(*at, "count") or results.middle(*at, "result")
            wall = results.middle(*at, "wall")
            rows.append([f"{text}: {label(results, *at)}", number(count / wall if count and wall else None, 0),
                         number(results.against(*at, ("ingest", base, "copy-logged"), "wall")),
                         number(results.against(*at, ("ingest", base, "copy-logged"), "main"))])
    return table(["", "rows a second", "wall, x", "main thread, x"], rows)


def late(results):
    at = ("ingest", "late", "ours-subscription")
    far = ("ingest", "plain", "ours-subscription")
    if not results.has(*at):
        return ""
    return table(["", ""], [
        ["from the acknowledgement to the row, p50, ms", number((results.middle(*at, "p50") or 0) / 1e3, 1)],
        ["p99, ms", number((results.middle(*at, "p99") or 0) / 1e3, 1)],
        ["memory of a worker that is far behind, of its own, MB",
         number((results.middle(*far, "anon") or 0) / 1024, 0)]])


def memory(results):
    rows = []
    for topic, text in (("small", "200,000 messages of 100 bytes"), ("log1", "2 million of 100 bytes"),
                        ("log4", "2 million of 100 bytes, 4 partitions"),
                        ("long", "200,000 of 1,000 bytes")):
        at = ("memory", topic, "ours")
        if results.has(*at):
            rows.append([text] + [number((results.middle(*at, key) or 0) / 1024, 1)
                                  for key in ("rss", "peak", "added", "kept")])
    return table(["", "before, MB", "at most, MB", "added, MB", "kept afterwards, of its own, MB"], rows)


def parallel(results):
    rows = [[label(results, "parallel", "log4", system),
             number(results.middle("parallel", "log4", system, "wall")),
             number(results.ratio("parallel", "log4", "alone", system, "wall"))]
            for system in systems(results, "parallel", "log4")]
    return table(["", "wall, s", "times as fast"], rows)


def instructions(results):
    texts = {
        "scan-count": "`count(*)`", "scan-sum": "`sum(octet_length(value))`", "scan-all": "all columns",
        "scan-json": "JSON, five columns", "scan-csv": "CSV, five columns",
        "insert": "`INSERT … SELECT`, a row", "send": "`kafka_send`, a message"}
    keys = ("main", "main_kafka_fdw", "main_postgres", "main_librdkafka", "main_libc", "main_other",
            "threads")
    rows = []
    for case, text in texts.items():
        at = ("instructions", case, "ours")
        if results.has(*at):
            rows.append([text] + [number(results.middle(*at, key), 0) for key in keys])
    return table(["", "main thread", "of it kafka_fdw", "postgres", "librdkafka", "libc", "other",
                  "librdkafka's threads"], rows)


def about(results):
    hidden = ("scale",)
    rows = [[key, text] for key, text in results.about.items() if key not in hidden and text]
    return table(["", ""], rows).replace("--:", "---")


def skipped(results):
    lines = [f"- Not measured: {what}. {why[:1].upper() + why[1:]}." for what, why in results.skipped]
    lines += [f"- Wrong: {what}: {how}." for what, how in results.wrong]
    return "\n".join(lines)


# ---- Targets

def targets(results):
    """Each target beside what was reached."""
    r = results
    rows = []

    def row(text, limit, reached, digits=2, at_least=False, unit=""):
        if reached is None:
            rows.append([text, f"{limit}{unit}", "", "not measured"])
            return
        met = reached >= limit if at_least else reached <= limit
        sign = "≥" if at_least else "≤"
        rows.append([text, f"{sign} {limit}{unit}", f"{reached:,.{digits}f}{unit}", "yes" if met else "**no**"])

    def a_row(case, system):
        main = r.middle("scan", case, system, "main")
        count = r.middle("scan", case, "rdkafka-callback", "count")
        return main / count * 1e6 if main and count else None

    def of_librdkafka(case, system):
        """The main thread's time, against librdkafka's whole processor time for the same messages."""
        main = r.middle("scan", case, system, "main")
        cpu = r.middle("scan", case, "rdkafka-callback", "cpu")
        return main / cpu if main and cpu else None

    def worst(*values):
        found = [value for value in values if value is not None]
        return max(found) if found else None

    def narrow_ms(topic):
        value = worst(*(r.middle("narrow", f"{topic}-{place}", "ours", "p50") for place in ("middle", "end")))
        return value / 1e3 if value else None

    for case, text in (("log1", "1 partition"), ("log4", "4 partitions")):
        row(f"whole topic, `count(*)`, against librdkafka's fastest call, wall, {text}", 1.25,
            worst(*(r.ratio("scan", case, "ours-count", base, "wall")
                    for base in ("rdkafka-callback", "rdkafka-batch"))))
    row("the same from three brokers", 1.25,
        r.ratio("cluster", "spread", "ours-count", "rdkafka-callback", "wall"))
    row("main thread a row, `count(*)`", 0.17, a_row("log1", "ours-count"), 3, unit=" µs")
    row("main thread a row, `sum(octet_length(value))`", 0.24, a_row("log1", "ours-sum"), 3, unit=" µs")
    row("JSON, five columns, main thread a row", 0.6, a_row("json", "ours-fields"), 3, unit=" µs")
    row("CSV, five columns, main thread a row", 0.5, a_row("csv", "ours-fields"), 3, unit=" µs")
    # The times above are from a machine on which librdkafka takes 0.25 µs for a message.
    for case, system, text, limit in (
            ("log1", "ours-count", "`count(*)`", 0.17), ("log1", "ours-sum", "`sum(octet_length(value))`", 0.24),
            ("json", "ours-fields", "JSON", 0.6), ("csv", "ours-fields", "CSV", 0.5)):
        row(f"the same for {text}, against librdkafka's processor time ({limit} µs of 0.25 µs)",
            round(limit / 0.25, 2), of_librdkafka(case, system))
    row("narrow range, warm, batches of 16 KB, p50", 1, narrow_ms("small"), unit=" ms")
    row("narrow range, warm, batches of 1 MB, p50", 3, narrow_ms("log1"), unit=" ms")
    added = worst(*(r.middle("memory", topic, "ours", "added") for topic in ("small", "log1", "log4", "long")))
    row("memory that a scan adds, any topic", 25, added / 1024 if added else None, 1, unit=" MB")
    row("`INSERT … SELECT`, against librdkafka's asynchronous producer, wall", 1.25,
        r.ratio("send", "many", "ours-insert", "rdkafka", "wall"))
    base = r.middle("single", "single", "select-1", "p50")
    sync = r.middle("single", "single", "rdkafka-sync", "p50")
    ours = r.middle("single", "single", "ours-send", "p50")
    if base and sync and ours:
        row("`kafka_send` p50, against `SELECT 1` + 1.1 x librdkafka's synchronous send", 1,
            ours / (base + 1.1 * sync))
    fastest = [value for value in (r.middle("single", "single", client, "p50")
                                   for client in ("sarama", "franz-go", "kafka-go")) if value]
    if fastest and ours:
        row("`kafka_send` p50, against the fastest Go client", 1, ours / min(fastest))
    row("two workers, heavy work for each row", 1.6, r.ratio("parallel", "log4", "alone", "workers", "wall"),
        at_least=True)
    row("INSERT with a trigger, `delivery=outbox`, against none, its relay at work", 0.67,
        r.ratio("publish", "write", "outbox", "plain", "rate"), at_least=True)
    for case, text in (("plain", "a table without an index"), ("indexed", "one with a primary key")):
        row(f"a subscription into {text}, against `COPY FROM` a file, wall", 1,
            r.ratio("ingest", case, "ours-subscription", "copy-logged", "wall"))
    row("the same, against a Go program that uses COPY", 1,
        r.ratio("ingest", "plain", "ours-subscription", "franz-go-copy", "wall"))
    for key, limit in (("p50", 10), ("p99", 30)):
        value = r.middle("ingest", "late", "ours-subscription", key)
        row(f"from a message's acknowledgement to its row, {key}", limit, value / 1e3 if value else None, 1,
            unit=" ms")
    value = r.middle("ingest", "plain", "ours-subscription", "anon")
    row("memory of a worker that is far behind, of its own", 64, value / 1024 if value else None, 0, unit=" MB")
    lines = table(["", "target", "reached", "met"], rows)
    return lines.replace("--:", "---")


TABLES = {
    "about": about,
    "targets": targets,
    "scan log1": lambda r: reading(r, "scan", "log1"),
    "scan log4": lambda r: reading(r, "scan", "log4"),
    "scan others": codecs,
    "scan json": lambda r: reading(r, "scan", "json"),
    "scan csv": lambda r: reading(r, "scan", "csv"),
    "cluster": lambda r: reading(r, "cluster", "spread"),
    "narrow": narrow,
    "send": sending,
    "single": single,
    "sessions": sessions,
    "memory": memory,
    "publish": publish,
    "ingest": ingest,
    "late": late,
    "parallel": parallel,
    "instructions": instructions,
    "skipped": skipped,
}


def main():
    results = Results(sys.argv[1])
    if len(sys.argv) < 3:
        for name, make in TABLES.items():
            text = make(results)
            if text.count("\n") > 1:
                print(f"\n### {name}\n\n{text}")
        return
    for line in open(sys.argv[2], encoding="utf-8"):
        name = line.strip()
        if name.startswith("{{") and name.endswith("}}"):
            print(TABLES[name[2:-2]](results))
        else:
            print(line, end="")


main()
