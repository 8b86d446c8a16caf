"""Reads a lake with other engines and prints what each of them sees, as JSON.

Argument: the place of the data, a directory or s3://bucket/prefix. For each engine and table: the number
of rows, the sum of one column, and the key of every row, sorted.
"""

import importlib.util
import json
import os
import pathlib
import sys

import duckdb
import polars
from deltalake import DeltaTable

PLACE = sys.argv[1]
ON_S3 = PLACE.startswith("s3://")

# Table, column that is summed, column that tells its rows apart.
TABLES = {
    "events": ("subaccount_id", "event_id", "event_hash"),
    "alerts": ("triggered_value", "record_id", "record_id"),
    "quarantine": ("item_bytes", "code", "code"),
    "batches": ("bytes", "sha256", "sha256"),
}


def seen(count, total, keys):
    return {"rows": count, "sum": float(total or 0), "keys": sorted(keys)}


def with_deltalake(uri, total, key, other):
    table = DeltaTable(uri).to_pyarrow_table(columns=[total, key, other])
    rows = table.to_pylist()
    return seen(
        table.num_rows,
        sum(row[total] or 0 for row in rows),
        [row[key] or row[other] for row in rows],
    )


def with_polars(uri, total, key, other):
    options = {}
    if ON_S3:
        options = {name.lower(): os.environ[name] for name in os.environ if name.startswith("AWS_")}
    frame = polars.scan_delta(uri, storage_options=options or None)
    frame = frame.select(polars.col(total), polars.coalesce(key, other).alias("key")).collect()
    return seen(frame.height, frame[total].sum(), frame["key"].to_list())


def with_duckdb(uri, total, key, other):
    rows = DUCKDB.execute(
        f"SELECT {total}, coalesce({key}, {other}) FROM delta_scan('{uri}')"
    ).fetchall()
    return seen(len(rows), sum(row[0] or 0 for row in rows), [row[1] for row in rows])


engines = {"deltalake": with_deltalake, "polars": with_polars}
if not ON_S3:
    # The extension comes as a package, since nothing is downloaded while tests run.
    package = pathlib.Path(importlib.util.find_spec("duckdb_extension_delta").origin).parent
    DUCKDB = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    DUCKDB.execute(f"LOAD '{next(package.rglob('delta.duckdb_extension'))}'")
    engines["duckdb"] = with_duckdb

answers = {}
for name, read in engines.items():
    answers[name] = {
        table: read(f"{PLACE}/lake/{table}", *columns) for table, columns in TABLES.items()
    }
json.dump(answers, sys.stdout)
sys.stdout.flush()
# Without the interpreter's teardown: pyarrow's threads that hold Python files may abort the process in it.
os._exit(0)
