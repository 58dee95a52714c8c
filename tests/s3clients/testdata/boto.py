# What programs do with boto3, on the endpoint argv[1]; argv[2] is a large file.
import hashlib
import io
import sys
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

url, large = sys.argv[1:]
BUCKET = "media"


def client(**config):
    return boto3.client("s3", endpoint_url=url, config=Config(retries={"max_attempts": 1}, **config))


def code(f, **args):
    try:
        f(**args)
    except ClientError as e:
        return e.response["Error"]["Code"]
    return "ok"


s3 = client()
v4 = client(signature_version="s3v4")  # by default boto3 presigns for other endpoints by version 2
assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == [BUCKET]
s3.head_bucket(Bucket=BUCKET)

# every checksum, and bodies that can and cannot be read twice
for algorithm in ["CRC32", "SHA1", "SHA256"]:
    s3.put_object(Bucket=BUCKET, Key="sum", Body=b"hello", ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=BUCKET, Key="sum", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"hello" and got["Checksum" + algorithm], got
assert code(s3.put_object, Bucket=BUCKET, Key="sum", Body=b"hello", ChecksumSHA256="A" * 43 + "=") == "BadDigest"

# keys as they are
keys = ["a", "a b", "a+b", "a//b", "é/日本", "%2F", "..", "a/", "tab\tkey", "line\nkey", "<&>\"'"]
for k in keys:
    s3.put_object(Bucket=BUCKET, Key="keys/" + k, Body=k.encode(), Metadata={"len": str(len(k))})
listed = [o["Key"] for p in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="keys/", PaginationConfig={"PageSize": 3}) for o in p["Contents"]]
assert listed == sorted("keys/" + k for k in keys) or sorted(listed) == sorted("keys/" + k for k in keys), listed
listed = [o["Key"] for p in s3.get_paginator("list_objects").paginate(Bucket=BUCKET, Prefix="keys/", PaginationConfig={"PageSize": 3}) for o in p["Contents"]]
assert sorted(listed) == sorted("keys/" + k for k in keys), listed
for k in keys:
    got = s3.get_object(Bucket=BUCKET, Key="keys/" + k)
    assert got["Body"].read() == k.encode() and got["Metadata"] == {"len": str(len(k))}, got
    s3.copy_object(Bucket=BUCKET, Key="copy/" + k, CopySource={"Bucket": BUCKET, "Key": "keys/" + k})
    assert s3.get_object(Bucket=BUCKET, Key="copy/" + k)["Body"].read() == k.encode()
    for c in [s3, v4]:
        with urllib.request.urlopen(c.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "keys/" + k})) as r:
            assert r.read() == k.encode()
pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Delimiter="/", PaginationConfig={"PageSize": 1}))
assert [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])] == ["copy/", "keys/"], pages
out = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "copy/" + k} for k in keys]})
assert len(out["Deleted"]) == len(keys) and "Errors" not in out, out

# URLs that live for a week at most, by either way of signing; and writing by URL
for c in [s3, v4]:
    with urllib.request.urlopen(c.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "keys/é/日本", "ResponseContentType": "text/x"}, ExpiresIn=600)) as r:
        assert r.read() == "é/日本".encode() and r.headers["content-type"] == "text/x"
    req = urllib.request.Request(c.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "by url"}), data=b"put by url", method="PUT")
    req.add_unredirected_header("Content-Type", "")
    with urllib.request.urlopen(req) as r:
        assert r.status == 200
    assert s3.get_object(Bucket=BUCKET, Key="by url")["Body"].read() == b"put by url"
    s3.delete_object(Bucket=BUCKET, Key="by url")
    for bad in [c.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "sum"}, ExpiresIn=-1), c.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "sum"}).replace("sum", "cond")]:
        try:
            urllib.request.urlopen(bad)
            raise SystemExit("taken: " + bad)
        except urllib.error.HTTPError as e:
            assert e.code in (400, 403), e

# conditions
e = s3.put_object(Bucket=BUCKET, Key="cond", Body=b"1", IfNoneMatch="*")["ETag"]
assert code(s3.put_object, Bucket=BUCKET, Key="cond", Body=b"2", IfNoneMatch="*") == "PreconditionFailed"
assert code(s3.put_object, Bucket=BUCKET, Key="cond", Body=b"2", IfMatch='"x"') == "PreconditionFailed"
assert code(s3.put_object, Bucket=BUCKET, Key="cond", Body=b"2", IfMatch=e) == "ok"
assert code(s3.get_object, Bucket=BUCKET, Key="cond", IfMatch=e) == "PreconditionFailed"
assert code(s3.get_object, Bucket=BUCKET, Key="none") == "NoSuchKey"
assert code(s3.head_object, Bucket=BUCKET, Key="none") == "404"
assert code(s3.get_bucket_lifecycle_configuration, Bucket=BUCKET) == "NotImplemented"

# managed transfers in parts, with the checksums that parts can have
data = open(large, "rb").read()
for extra in [{}, {"ChecksumAlgorithm": "SHA256"}, {"ChecksumAlgorithm": "CRC32"}]:
    s3.upload_file(large, BUCKET, "large", ExtraArgs=extra, Config=TransferConfig(multipart_chunksize=5 << 20))
    s3.upload_fileobj(io.BytesIO(data), BUCKET, "large2", ExtraArgs=extra)
    for k in ["large", "large2"]:
        buf = io.BytesIO()
        s3.download_fileobj(BUCKET, k, buf)
        assert hashlib.sha256(buf.getvalue()).digest() == hashlib.sha256(data).digest(), k
boto3.resource("s3", endpoint_url=url).Bucket(BUCKET).copy({"Bucket": BUCKET, "Key": "large"}, "large3", Config=TransferConfig(multipart_threshold=1, multipart_chunksize=6 << 20))
assert s3.get_object(Bucket=BUCKET, Key="large3")["Body"].read() == data
assert s3.get_object(Bucket=BUCKET, Key="large3", Range="bytes=-7")["Body"].read() == data[-7:]

# the whole object's checksum, declared at the end of an upload in parts
up = s3.create_multipart_upload(Bucket=BUCKET, Key="whole", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")["UploadId"]
import base64, zlib
pieces = [data[:6 << 20], data[6 << 20:13 << 20], data[13 << 20:]]
parts = []
for n, piece in enumerate(pieces, 1):
    p = s3.upload_part(Bucket=BUCKET, Key="whole", UploadId=up, PartNumber=n, Body=piece, ChecksumAlgorithm="CRC32")
    parts.append({"PartNumber": n, "ETag": p["ETag"], "ChecksumCRC32": p["ChecksumCRC32"]})
right = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
wrong = base64.b64encode(zlib.crc32(data[1:]).to_bytes(4, "big")).decode()
end = dict(Bucket=BUCKET, Key="whole", UploadId=up, MultipartUpload={"Parts": parts}, ChecksumType="FULL_OBJECT")
assert code(s3.complete_multipart_upload, ChecksumCRC32=wrong, **end) == "BadDigest"
assert code(s3.head_object, Bucket=BUCKET, Key="whole") == "404"
assert code(s3.complete_multipart_upload, ChecksumCRC32=right, MpuObjectSize=len(data) - 1, **end) == "InvalidRequest"
assert s3.complete_multipart_upload(ChecksumCRC32=right, MpuObjectSize=len(data), **end)["ChecksumCRC32"] == right
assert s3.get_object(Bucket=BUCKET, Key="whole")["Body"].read() == data
print("boto3", boto3.__version__)
