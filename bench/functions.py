"""Functions of AWS Lambda under one runtime of ours: cold start, warm answers, memory; and an alert on thousands of
subaccounts from its POST to its rows. S3 and DynamoDB are ministack, the same for all.

Argument: JSON with the commands of `receive` and `load`, of `original` if there is one, the program `postlake`, rounds
and calls. Prints JSON."""

import base64
import json
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3

FIXTURES = pathlib.Path(__file__).parent.parent / "crates/postlake-sparkpost/fixtures"
PASSWORD = "a-password-that-is-long-enough"
SECRET = "a-secret-that-is-long-enough-for-a-path"
# The original function writes into this one.
BUCKET = "sparkpost-webhooks"
SUBACCOUNTS = 5000
MEMORY_BYTES = 128 * 1024 * 1024
PATIENCE_SECS = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Emulator:
    """ministack, as long as the block lasts."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = dict(
            os.environ, BIND_HOST="127.0.0.1", GATEWAY_PORT=str(port), SFTP_ENABLED="0", PERSIST_STATE="0",
            STATE_DIR=f"{self.folder.name}/state", S3_DATA_DIR=f"{self.folder.name}/s3",
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=environment, cwd=self.folder.name,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        self.environment = {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
        }
        os.environ.update(self.environment)
        end = time.monotonic() + PATIENCE_SECS
        while True:
            try:
                boto3.client("s3").create_bucket(Bucket=BUCKET)
                return self
            except Exception:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


class Function:
    """A process under the runtime's interface."""

    def __init__(self, command, environment, limit=None):
        self.state = threading.Condition()
        self.event, self.answer, self.asked = None, None, 0
        function = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def do_GET(self):
                with function.state:
                    while function.event is None:
                        function.state.wait()
                    event, function.event = function.event, None
                deadline = int((time.time() + PATIENCE_SECS) * 1000)
                self.send_response(200)
                self.send_header("lambda-runtime-aws-request-id", str(function.asked))
                self.send_header("lambda-runtime-deadline-ms", str(deadline))
                self.send_header("content-length", str(len(event)))
                self.end_headers()
                self.wfile.write(event)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                at = time.monotonic()
                self.send_response(202)
                self.send_header("content-length", "0")
                self.end_headers()
                with function.state:
                    function.answer = (at, self.path, body)
                    function.state.notify_all()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        runtime = "127.0.0.1:%d" % self.server.server_port
        environment = {**os.environ, **environment, "AWS_LAMBDA_RUNTIME_API": runtime}

        def limited():
            if limit:
                resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=limited
        )

    def offer(self, event):
        body = json.dumps(event).encode()
        with self.state:
            self.asked += 1
            self.event, self.answer = body, None
            self.state.notify_all()
        return time.monotonic()

    def collect(self):
        with self.state:
            self.state.wait_for(lambda: self.answer, PATIENCE_SECS)
            if not self.answer or not self.answer[1].endswith("/response"):
                self.process.kill()
                raise SystemExit(f"{self.process.args}: {self.answer} {self.process.stderr.read()[-2000:]}")
            at, _, body = self.answer
            return at, json.loads(body)

    def invoke(self, event):
        """Seconds until the answer."""
        asked = self.offer(event)
        answered, answer = self.collect()
        if isinstance(answer, dict) and answer.get("statusCode", 200) != 200:
            raise SystemExit(f"{self.process.args}: {answer}")
        return answered - asked, answer

    def peak_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def stop(self):
        self.process.kill()
        self.process.communicate()
        self.server.shutdown()


def batch(wanted_bytes):
    """A batch of events, each with an id of its own, of about so many bytes."""
    types = json.loads((FIXTURES / "events-all-27-types.json").read_text())
    events, size = [], 0
    while size < wanted_bytes:
        event = json.loads(json.dumps(types[len(events) % len(types)]))
        next(iter(event["msys"].values()))["event_id"] = str(uuid.uuid4())
        events.append(event)
        size += len(json.dumps(event)) + 2
    return json.dumps(events)


def of_balancer(body):
    credentials = base64.b64encode(f"sparkpost:{PASSWORD}".encode()).decode()
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:..."}},
        "httpMethod": "POST", "path": "/webhooks/events", "queryStringParameters": {},
        "headers": {
            "authorization": f"Basic {credentials}", "content-type": "application/json",
            "x-messagesystems-batch-id": str(uuid.uuid4()), "x-forwarded-for": "192.0.2.1",
        },
        "body": body, "isBase64Encoded": False,
    }


def of_function_url(body):
    path = f"/webhooks/alerts/{SECRET}"
    return {
        "version": "2.0", "rawPath": path, "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": "POST", "path": path, "sourceIp": "192.0.2.1"}},
        "body": body, "isBase64Encoded": False,
    }


def settings(role, url):
    return {
        "POSTLAKE_ROLE": role, "POSTLAKE_STORE__URL": url, "WEBHOOK_PASSWORD": PASSWORD, "ALERT_SECRET": SECRET,
        "POSTLAKE_INGEST__AUTH__BASIC": '[{username="sparkpost",password_env="WEBHOOK_PASSWORD"}]',
        "POSTLAKE_INGEST__AUTH__ALERT_SECRET_ENVS": '["ALERT_SECRET"]',
    }


def receiving(command, calls):
    """One environment of a function: its cold start, its answers, and what a batch of 1 MB takes."""
    environment = settings("receive", f"s3://{BUCKET}/{uuid.uuid4()}")
    function = Function(command, environment)
    function.offer(of_balancer(batch(100_000)))
    first, _ = function.collect()
    small = [function.invoke(of_balancer(batch(100_000)))[0] for _ in range(calls)]
    megabyte = [function.invoke(of_balancer(batch(1_000_000)))[0] for _ in range(5)]
    found = {
        "cold_start_ms": (first - function.started) * 1e3,
        "warm_p50_ms": statistics.median(small) * 1e3,
        "warm_p99_ms": statistics.quantiles(small, n=100)[98] * 1e3,
        "megabyte_ms": statistics.median(megabyte) * 1e3,
        "peak_rss_mib": function.peak_bytes() / 1024 / 1024,
    }
    function.stop()
    return found


def within_memory(command):
    """Whether a process that is refused more than 128 MiB of data takes batches of 1 MB."""
    function = Function(command, settings("receive", f"s3://{BUCKET}/{uuid.uuid4()}"), MEMORY_BYTES)
    for _ in range(10):
        function.invoke(of_balancer(batch(1_000_000)))
    function.stop()
    return True


def alerts():
    sent = json.loads((FIXTURES / "alerts-shape-a.json").read_text())
    score = next(alert for alert in sent if alert["metric"] == "health_score")
    entries = [
        {**score, "filters": {"subaccount_id": subaccount}, "triggered_value": subaccount % 100 + 0.5}
        for subaccount in range(1, SUBACCOUNTS + 1)
    ]
    return json.dumps(entries)


def notice(prefix):
    pages = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/raw/")
    records = [
        {"eventSource": "aws:s3", "s3": {"bucket": {"name": BUCKET}, "object": {"key": found["Key"]}}}
        for found in pages["Contents"]
    ]
    body = json.dumps({"Records": records})
    return {"Records": [{"messageId": "1", "eventSource": "aws:sqs", "body": body}]}


def scores(commands, sinks):
    """An alert on 5,000 subaccounts: answered, and loaded by a function that starts cold."""
    prefix = str(uuid.uuid4())
    url = f"s3://{BUCKET}/{prefix}"
    environment = {}
    if sinks:
        table = f"scores-{prefix}"
        environment["POSTLAKE_SINKS"] = (
            f'[{{name="csv",type="csv"}},{{name="hs",type="scores"}},{{name="store",type="dynamodb",table="{table}"}}]'
        )
        create = [commands["postlake"], "dynamodb", "create-table"]
        subprocess.run(create, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)
    body = alerts()
    receive = Function(commands["receive"], settings("receive", url))
    answered, _ = receive.invoke(of_function_url(body))
    receive.stop()
    load = Function(commands["load"], {**settings("load", url), **environment})
    loaded, answer = load.invoke(notice(prefix))
    load.stop()
    if answer != {"batchItemFailures": []}:
        raise SystemExit(f"load: {answer}")
    count = [commands["postlake"], "query", "SELECT count(*) FROM alerts", "-o", "csv", "--data", url]
    rows = subprocess.run(count, env=os.environ, check=True, capture_output=True, text=True).stdout.split()[1]
    return {"body_bytes": len(body), "answered_ms": answered * 1e3, "loaded_s": answered + loaded, "rows": int(rows)}


def main():
    commands = json.loads(sys.argv[1])
    rounds, calls = commands["rounds"], commands["calls"]
    subjects = {name: commands[name] for name in ("receive", "original") if commands.get(name)}
    with Emulator():
        found = {name: [] for name in subjects}
        for _ in range(rounds):
            for name, command in subjects.items():
                found[name].append(receiving(command, calls))
        answer = {
            "subjects": found,
            "within_memory": within_memory(commands["receive"]),
            "scores": [scores(commands, False) for _ in range(rounds)],
            "scores_with_sinks": [scores(commands, True)],
        }
    print(json.dumps(answer))


main()
