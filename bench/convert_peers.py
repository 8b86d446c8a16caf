"""The same conversion by DuckDB, Polars and pyarrow, each with one thread.

They read the inner events, a line each: none of them takes webhook bodies as they come. Column names
and types are given to each, so that none has to look for them first. Nested fields become JSON text
(pyarrow: struct columns, which its CSV writer does not take). Times stay text. Parquet is
written with zstd level 1. Seconds, of the clock and of the processor, count from after the import to
the closed output file.

    python3 convert_peers.py columns EVENTS.ndjson COLUMNS.json
    python3 convert_peers.py convert ENGINE FORMAT EVENTS.ndjson COLUMNS.json OUT
    python3 convert_peers.py count FORMAT FILE
"""

import json
import os
import sys
import time

THREADS = 1


class Watch:
    """Seconds of the clock, and of the processor over all threads."""

    def __init__(self):
        self.clock = time.perf_counter()
        self.cpu = time.process_time()

    def read(self):
        return {"seconds": time.perf_counter() - self.clock, "cpu_seconds": time.process_time() - self.cpu}


def kind(value):
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, (dict, list)):
        return "nested"
    return "text"


def columns(source, target):
    """Name and kind of every field; `text` where events disagree."""
    found = {}
    with open(source, "rb") as lines:
        for line in lines:
            for name, value in json.loads(line).items():
                if value is not None:
                    found.setdefault(name, set()).add(kind(value))
    merged = {}
    for name, kinds in found.items():
        if kinds == {"int", "float"}:
            kinds = {"float"}
        merged[name] = kinds.pop() if len(kinds) == 1 else "text"
    with open(target, "w") as out:
        json.dump(merged, out, indent=1)
    return {"columns": len(merged)}


def duckdb_convert(form, source, kinds, target):
    import duckdb

    types = {"text": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN", "nested": "JSON"}
    named = ", ".join(f"'{name}': '{types[kind]}'" for name, kind in kinds.items())
    options = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1" if form == "parquet" else "FORMAT csv, HEADER"
    watch = Watch()
    connection = duckdb.connect(config={"threads": THREADS})
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(
        f"COPY (SELECT * FROM read_json('{source}', format = 'newline_delimited', columns = {{{named}}})) "
        f"TO '{target}' ({options})"
    )
    return watch.read(), duckdb.__version__


def polars_convert(form, source, kinds, target):
    import polars

    types = {"text": polars.String, "int": polars.Int64, "float": polars.Float64, "bool": polars.Boolean, "nested": polars.String}
    schema = {name: types[kind] for name, kind in kinds.items()}
    watch = Watch()
    frame = polars.scan_ndjson(source, schema=schema)
    if form == "parquet":
        frame.sink_parquet(target, compression="zstd", compression_level=1)
    else:
        frame.sink_csv(target)
    return watch.read(), polars.__version__


def pyarrow_schema(kinds):
    import pyarrow

    types = {"text": pyarrow.string(), "int": pyarrow.int64(), "float": pyarrow.float64(), "bool": pyarrow.bool_()}
    return pyarrow.schema([(name, types[kind]) for name, kind in kinds.items() if kind != "nested"])


def pyarrow_convert(form, source, kinds, target):
    import pyarrow
    import pyarrow.json
    import pyarrow.parquet

    watch = Watch()
    table = pyarrow.json.read_json(
        source,
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=4 << 20),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=pyarrow_schema(kinds)),
    )
    pyarrow.parquet.write_table(table, target, compression="zstd", compression_level=1)
    return watch.read(), pyarrow.__version__


def python_pyarrow_convert(form, source, kinds, target):
    """json.loads, then the rows to Parquet by pyarrow: what a script without an engine's reader does."""
    import pyarrow
    import pyarrow.parquet

    types = {"text": pyarrow.string(), "int": pyarrow.int64(), "float": pyarrow.float64(), "bool": pyarrow.bool_(), "nested": pyarrow.string()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in kinds.items()])
    nested = [name for name, kind in kinds.items() if kind == "nested"]
    watch = Watch()
    with open(source, "rb") as lines, pyarrow.parquet.ParquetWriter(
        target, schema, compression="zstd", compression_level=1
    ) as writer:
        rows = []
        for line in lines:
            row = json.loads(line)
            for name in nested:
                if name in row:
                    row[name] = json.dumps(row[name])
            rows.append(row)
            if len(rows) == 20_000:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                rows = []
        if rows:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))
    return watch.read(), pyarrow.__version__


ENGINES = {
    "duckdb": duckdb_convert,
    "polars": polars_convert,
    "pyarrow": pyarrow_convert,
    "python": python_pyarrow_convert,
}


def convert(engine, form, source, names, target):
    with open(names) as file:
        kinds = json.load(file)
    taken, version = ENGINES[engine](form, source, kinds, target)
    return {**taken, "version": version}


def count(form, path):
    """Rows of an output: what Parquet's footer says, or what a CSV reader finds."""
    if form == "parquet":
        import pyarrow.parquet

        return {"rows": pyarrow.parquet.read_metadata(path).num_rows}
    import csv

    csv.field_size_limit(1 << 30)
    with open(path, newline="") as file:
        return {"rows": sum(1 for _ in csv.reader(file)) - 1}


if __name__ == "__main__":
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    actions = {"columns": columns, "convert": convert, "count": count}
    print(json.dumps(actions[sys.argv[1]](*sys.argv[2:])))
