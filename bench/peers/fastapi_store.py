"""A receiver with FastAPI: each body becomes a file, named by its batch id, before the answer.

PEER_SYNC=1 syncs file and folder first, which is the guarantee that postlake gives. The file is
written on a thread, so that many syncs are under way at once.
"""

import os
import re

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

FOLDER = os.environ["PEER_FOLDER"]
SYNC = os.environ.get("PEER_SYNC") == "1"
NAME = re.compile(r"[0-9a-f-]{1,64}")

app = FastAPI(openapi_url=None)


def store(name: str, body: bytes) -> None:
    with open(os.path.join(FOLDER, name), "xb", buffering=0) as file:
        rest = memoryview(body)
        while rest:
            rest = rest[file.write(rest) :]
        if SYNC:
            os.fsync(file.fileno())
    if SYNC:
        folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@app.post("/webhooks/events")
async def events(request: Request) -> JSONResponse:
    name = request.headers.get("x-messagesystems-batch-id", "")
    if not NAME.fullmatch(name):
        return JSONResponse({}, status_code=400)
    await run_in_threadpool(store, name, await request.body())
    return JSONResponse({})
