"""Reads a lake with other engines and prints what each of them sees, as JSON.

Arguments: the place of the data, a directory or s3://bucket/prefix, and a folder with a file `<table>.parquet` for
each table: its rows as `postlake query` answers them. For each engine and table: the number of rows, and
for each column a digest of its values, the rows in the order of their lineage. `protocol` is what a reader of the log
has to know.
"""

import datetime
import hashlib
import importlib.util
import json
import os
import pathlib
import sys

import duckdb
import polars
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from deltalake import DeltaTable

PLACE = sys.argv[1]
EXPORTS = pathlib.Path(sys.argv[2])
ON_S3 = PLACE.startswith("s3://")
TABLES = ("events", "alerts", "quarantine", "batches")
LINEAGE = ("stream", "segment", "batch_index", "item_index")


def plain(value):
    """The same value is the same whichever engine has read it."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat()
    return value


def seen(table):
    columns = {name: table[name].to_pylist() for name in table.column_names}
    lineage = [columns[name] for name in LINEAGE if name in columns]
    place = lambda row: [(each[row] is not None, each[row]) for each in lineage]
    order = sorted(range(table.num_rows), key=place)
    digests = {}
    for name, values in columns.items():
        digest = hashlib.sha256()
        for row in order:
            digest.update(repr(plain(values[row])).encode() + b"\n")
        digests[name] = digest.hexdigest()
    return {"rows": table.num_rows, "columns": digests}


def with_postlake(uri, name):
    return pyarrow.parquet.read_table(EXPORTS / f"{name}.parquet")


def with_deltalake(uri, name):
    return DeltaTable(uri).to_pyarrow_table()


def with_polars(uri, name):
    options = {}
    if ON_S3:
        options = {name.lower(): os.environ[name] for name in os.environ if name.startswith("AWS_")}
    return polars.scan_delta(uri, storage_options=options or None).collect().to_arrow()


def with_duckdb(uri, name):
    return DUCKDB.execute(f"SELECT * FROM delta_scan('{uri}')").to_arrow_table()


def protocol(uri):
    found = DeltaTable(uri).protocol()
    features = (found.reader_features or []) + (found.writer_features or [])
    return [found.min_reader_version, found.min_writer_version, features]


engines = {"deltalake": with_deltalake, "polars": with_polars, "postlake": with_postlake}
if not ON_S3:
    # The extension comes as a package, since nothing is downloaded while tests run.
    package = pathlib.Path(importlib.util.find_spec("duckdb_extension_delta").origin).parent
    DUCKDB = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    DUCKDB.execute(f"LOAD '{next(package.rglob('delta.duckdb_extension'))}'")
    engines["duckdb"] = with_duckdb

answers = {
    name: {table: seen(read(f"{PLACE}/lake/{table}", table)) for table in TABLES}
    for name, read in engines.items()
}
answers["protocol"] = {table: protocol(f"{PLACE}/lake/{table}") for table in TABLES}
json.dump(answers, sys.stdout)
sys.stdout.flush()
# Without the interpreter's teardown: pyarrow's threads that hold Python files may abort the process in it.
os._exit(0)
