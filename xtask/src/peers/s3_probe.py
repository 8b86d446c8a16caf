"""Creates a bucket, then one key twice under If-None-Match: the second must be refused.

Arguments: host:port, access key, secret key, region, bucket. Standard library only.
"""

import datetime
import hashlib
import hmac
import http.client
import sys

HOST, ACCESS_KEY, SECRET_KEY, REGION, BUCKET = sys.argv[1:]


def request(method, path, body=b"", secret=SECRET_KEY, **headers):
    """The status of one signed request (AWS Signature Version 4)."""
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    signed = {"host": HOST, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(signed)
    lines = [f"{name}:{value}" for name, value in signed.items()]
    canonical = "\n".join([method, path, "", *lines, "", names, digest])
    scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}"
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={ACCESS_KEY}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"
    connection = http.client.HTTPConnection(HOST, timeout=20)
    connection.request(method, path, body, {**signed, "Authorization": authorization, **headers})
    return connection.getresponse().status


def expect(what, status, *allowed):
    if status not in allowed:
        sys.exit(f"{what}: answered {status}, not {allowed}")


key = f"/{BUCKET}/probe"
only_if_absent = {"If-None-Match": "*"}
expect("create the bucket", request("PUT", f"/{BUCKET}"), 200, 409)
expect("delete the key", request("DELETE", key), 204)
expect("create the key", request("PUT", key, b"one", **only_if_absent), 200)
expect("create it again", request("PUT", key, b"two", **only_if_absent), 412)
expect("read with a wrong secret", request("GET", key, secret="wrong"), 403)
expect("read", request("GET", key), 200)
expect("delete the key", request("DELETE", key), 204)
