"""Spans as JSON, from the bodies that a collector has got. Arguments: files, those in JSON end in .json."""

import base64
import json
import pathlib
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

IDS = ("traceId", "spanId", "parentSpanId")


def with_ids(value):
    """OTLP writes ids in JSON in hexadecimal digits, where Protocol Buffers have base64."""
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(part)).decode() if key in IDS else with_ids(part)
            for key, part in value.items()
        }
    return [with_ids(part) for part in value] if isinstance(value, list) else value


def request_in(path):
    body = path.read_bytes()
    if path.suffix == ".json":
        return json_format.ParseDict(with_ids(json.loads(body)), ExportTraceServiceRequest())
    request = ExportTraceServiceRequest.FromString(body)
    request.DiscardUnknownFields()
    if request.ByteSize() != len(body):
        sys.exit(f"{path} holds more than the messages have fields for")
    return request


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def span_in(span, resource, scope):
    return {
        "resource": resource,
        "scope": scope.name,
        "name": span.name,
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "kind": span.kind,
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "attributes": attributes(span.attributes),
        "links": [{"trace": link.trace_id.hex(), "id": link.span_id.hex()} for link in span.links],
        "status": span.status.code,
        "flags": span.flags,
    }


spans = []
for argument in sys.argv[1:]:
    for of_resource in request_in(pathlib.Path(argument)).resource_spans:
        resource = attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            spans += [span_in(span, resource, of_scope.scope) for span in of_scope.spans]
json.dump(spans, sys.stdout)
