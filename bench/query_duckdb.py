"""DuckDB on the Parquet files that the log of a table names: how long each question takes.

    python3 query_duckdb.py TABLE QUESTIONS.json ROUNDS RECIPIENT

The files are named to it, so that it reads no log; the connection stays open, and each question is asked once before it
is measured. Prints for each question the milliseconds of each round and the number of rows.
"""

import json
import sys
import time
from urllib.parse import unquote, urlparse

import duckdb
from deltalake import DeltaTable

table, questions, rounds, recipient = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
files = [unquote(urlparse(uri).path) for uri in DeltaTable(table).file_uris()]
database = duckdb.connect()
database.execute(
    "CREATE VIEW events AS SELECT * FROM read_parquet($files, hive_partitioning = true)".replace(
        "$files", "[" + ", ".join("'" + file.replace("'", "''") + "'" for file in files) + "]"
    )
)
answers = {"version": duckdb.__version__, "files": len(files), "questions": {}}
for question in json.load(open(questions)):
    sql = question["sql"].replace("{recipient}", recipient.replace("'", "''"))
    taken, rows = [], database.execute(sql).to_arrow_table()
    for _ in range(rounds):
        started = time.perf_counter()
        rows = database.execute(sql).to_arrow_table()
        taken.append((time.perf_counter() - started) * 1000)
    answers["questions"][question["name"]] = {"ms": taken, "rows": rows.num_rows}
print(json.dumps(answers))
