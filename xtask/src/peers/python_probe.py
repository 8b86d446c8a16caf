"""Writes a Delta table with deltalake; reads it with DuckDB and Polars. Argument: its folder."""

import importlib.util
import os
import pathlib
import sys

import deltalake
import duckdb
import polars
import pyarrow

ROWS = 3

table = sys.argv[1]
deltalake.write_deltalake(table, pyarrow.table({"number": range(ROWS)}))

package = importlib.util.find_spec("duckdb_extension_delta").origin
extension = next(pathlib.Path(package).parent.rglob("delta.duckdb_extension"))
connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
connection.execute(f"LOAD '{extension}'")
(counted,) = connection.execute(f"SELECT count(*) FROM delta_scan('{table}')").fetchone()

scanned = polars.scan_delta(table).collect().height
read = deltalake.DeltaTable(table).to_pyarrow_table().num_rows
if (counted, scanned, read) != (ROWS, ROWS, ROWS):
    sys.exit(f"rows: DuckDB {counted}, Polars {scanned}, deltalake {read}; expected {ROWS}")

# Without the interpreter's teardown: pyarrow's threads that hold Python files may abort the process in it.
os._exit(0)
