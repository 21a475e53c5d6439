# bench/measured.py
#		What bench/run measured, read and reduced. Used by report.py and chart.py.
from collections import defaultdict
from statistics import median

# What the systems of bench/*.sh are called in the tables.
LABELS = {
    "rdkafka-callback": "librdkafka, `consume_callback_queue`",
    "rdkafka-batch": "librdkafka, `consume_batch_queue`",
    "rdkafka-poll": "librdkafka, `consumer_poll`",
    "rdkafka-range": "librdkafka, one handle",
    "rdkafka": "librdkafka, asynchronous",
    "rdkafka-idempotent": "librdkafka, asynchronous, idempotent",
    "rdkafka-single": "librdkafka, asynchronous, idempotent, one request in flight",
    "rdkafka-sync": "librdkafka, linger 0",
    "rdkafka-default": "librdkafka, its default linger (5 ms)",
    "kcat": "kcat",
    "java": "Java, its performance tool",
    "sarama": "sarama",
    "franz-go": "franz-go",
    "kafka-go": "kafka-go",
    "ours": "**kafka_fdw**",
    "ours-count": "**kafka_fdw** `count(*)`",
    "ours-sum": "**kafka_fdw** `sum(octet_length(value))`",
    "ours-all": "**kafka_fdw**, all columns",
    "ours-fields": "**kafka_fdw**, five columns",
    "ours-first": "**kafka_fdw**, first statement of a session",
    "ours-insert": "**kafka_fdw** `INSERT … SELECT`",
    "ours-copy": "**kafka_fdw** `COPY FROM`",
    "ours-send": "**kafka_fdw** `SELECT kafka_send(…)`",
    "ours-row": "**kafka_fdw**, `INSERT` of one row",
    "heap-count": "heap, `count(*)`",
    "heap-sum": "heap, `sum(octet_length(value))`",
    "heap-fields": "heap, five columns",
    "heap-insert": "`INSERT … SELECT` into an unlogged table",
    "file-count": "file_fdw, `count(*)`",
    "file-sum": "file_fdw, `sum(octet_length(value))`",
    "file-fields": "file_fdw, five columns",
    "copy": "`COPY FROM` into an unlogged table",
    "copy-logged": "`COPY FROM` a file",
    "franz-go-copy": "franz-go and pgx's `CopyFrom`",
    "ours-subscription": "**kafka_fdw**, a subscription",
    "select-1": "`SELECT 1`",
    "alone": "**kafka_fdw**, no workers",
    "workers": "**kafka_fdw**, two workers",
    "plain": "no trigger",
    "immediate": "`delivery=immediate`",
    "commit": "`delivery=commit`",
    "outbox": "`delivery=outbox`",
    "stored": "`delivery=outbox`, the relay stopped",
    "relay": "the relay, after 200,000 rows have gathered",
}


class Results:
    """The lines of a results.tsv (bench/lib.sh tells their form)."""

    def __init__(self, path):
        self.about = {}
        self.skipped = []
        self.wrong = []
        self.runs = defaultdict(dict)  # (section, case, system) -> round -> {key: text}
        for line in open(path, encoding="utf-8"):
            fields = line.rstrip("\n").split("\t")
            if fields[0] == "about":
                self.about[fields[1]] = fields[2]
            elif fields[0] == "skipped":
                self.skipped.append((fields[1], fields[2]))
            elif fields[0] == "wrong":
                self.wrong.append((fields[1], fields[2]))
            else:
                self._add(fields)

    def _add(self, fields):
        section, case, system, number, pairs = fields
        values = dict(pair.split("=", 1) for pair in pairs.split() if "=" in pair)
        if "user" in values:
            values["cpu"] = str(float(values["user"]) + float(values["sys"]))
        if "inner" in values:
            values["wall"] = values["inner"]
        if "peak" in values:
            values["added"] = str(int(values["peak"]) - int(values["rss"]))
        self.runs[section, case, system][number] = values

    def has(self, section, case, system):
        return (section, case, system) in self.runs

    def faults(self, section, case, system):
        """In how many of its rounds did a system fail, or count something else?"""
        return sum("error" in run or "wrong" in run for run in self.runs[section, case, system].values())

    def _numbers(self, section, case, system, key):
        """Round -> number, of the rounds that went well."""
        if not self.has(section, case, system):
            return {}
        return {number: float(run[key]) for number, run in self.runs[section, case, system].items()
                if key in run and "error" not in run and "wrong" not in run}

    def middle(self, section, case, system, key):
        """The median of all rounds; None where there is none."""
        numbers = self._numbers(section, case, system, key)
        return median(numbers.values()) if numbers else None

    def ratio(self, section, case, system, base, key):
        """How many times another's of the same case."""
        return self.against(section, case, system, (section, case, base), key)

    def against(self, section, case, system, other, key):
        """How many times another's. What one round measures shares the machine's state, so ratios
        are taken within each round, and their median is the result."""
        ours = self._numbers(section, case, system, key)
        theirs = self._numbers(*other, key)
        both = [ours[n] / theirs[n] for n in ours if theirs.get(n)]
        return median(both) if both else None
