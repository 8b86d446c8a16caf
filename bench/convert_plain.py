"""The converter that one writes by hand: json and csv of Python's standard library, nothing else.

Reads webhook bodies, one on each line, and writes one CSV row for each event. The columns are the
fields of the events, found in a first pass that is not counted: `columns.json` has them.

    python3 convert_plain.py WEBHOOK.json COLUMNS.json OUT.csv
"""

import csv
import json
import sys
import time


def rows(path):
    with open(path, "rb") as bodies:
        for body in bodies:
            for item in json.loads(body):
                for event_class, event in item["msys"].items():
                    event["event_class"] = event_class
                    yield event


def main(source, columns, target):
    with open(columns) as file:
        names = ["event_class", *json.load(file)]
    nested = (dict, list)
    with open(target, "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(names)
        for event in rows(source):
            values = [event.get(name) for name in names]
            writer.writerow([json.dumps(value) if isinstance(value, nested) else value for value in values])


if __name__ == "__main__":
    clock, cpu = time.perf_counter(), time.process_time()
    main(*sys.argv[1:])
    taken = {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps({**taken, "version": sys.version.split()[0]}))
