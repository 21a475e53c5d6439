#!/usr/bin/env python3
# bench/chart.py RESULTS
#		A chart of what bench/run measured, as SVG: how long it takes to read all of a topic, to send
#		many rows, to send one row after another.
#
# Its greys and its blue stand out from white and from black alike, and it has no background, since
# GitHub shows it in both modes.
import sys
from html import escape

from measured import LABELS, Results

TEXT = "#6e7781"
OTHERS = "#909ba6"
OURS = "#2f81f7"
WIDTH = 840
LABEL = 330  # width of the names
BAR = 18
GAP = 7

# Title, section, case, key, factor to the unit shown, systems
PANELS = (
    ("Reading 2 million messages of 100 bytes: seconds", "scan", "log1", "wall", 1,
     ("ours-count", "ours-sum", "ours-all", "rdkafka-callback", "rdkafka-batch", "rdkafka-poll", "kcat",
      "franz-go", "sarama", "kafka-go", "java", "copy", "file-sum")),
    ("Sending 500,000 rows, acknowledged: seconds", "send", "many", "wall", 1,
     ("ours-insert", "ours-copy", "rdkafka", "rdkafka-single", "java", "sarama", "franz-go", "kafka-go")),
    ("Sending one row after another, acknowledged: microseconds each, median", "single", "single", "p50", 1,
     ("ours-send", "ours-row", "rdkafka-sync", "sarama", "franz-go", "kafka-go", "select-1")),
)


def name_of(system):
    return LABELS.get(system, system).replace("**", "").replace("`", "")


def panel(results, top, title, section, case, key, factor, systems):
    """The panel's elements, and where the next one begins."""
    bars = [(results.middle(section, case, system, key), system) for system in systems]
    bars = sorted((value * factor, system) for value, system in bars if value is not None)
    if not bars:
        return [], top
    longest = bars[-1][0]
    out = [f'<text x="0" y="{top + 14}" font-weight="600" fill="{TEXT}">{escape(title)}</text>']
    y = top + 26
    for value, system in bars:
        width = max(1, (WIDTH - LABEL - 80) * value / longest)
        colour = OURS if system.startswith("ours") else OTHERS
        digits = 2 if longest < 100 else 0
        out.append(f'<text x="{LABEL - 8}" y="{y + 13}" text-anchor="end" fill="{TEXT}">'
                   f'{escape(name_of(system))}</text>')
        out.append(f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>')
        out.append(f'<text x="{LABEL + width + 6:.1f}" y="{y + 13}" fill="{TEXT}">{value:,.{digits}f}</text>')
        y += BAR + GAP
    return out, y + 18


def main():
    results = Results(sys.argv[1])
    elements = []
    top = 4
    for panel_of in PANELS:
        more, top = panel(results, top, *panel_of)
        elements += more
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}" '
          'font-family="-apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13" role="img">')
    print("<title>kafka_fdw beside other clients of Kafka</title>")
    print("\n".join(elements))
    print("</svg>")


main()
