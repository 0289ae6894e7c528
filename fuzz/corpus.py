#!/usr/bin/env python3
"""Writes the recorded bodies as the corpus of `intake`: in every way that they are sent."""

import gzip
import pathlib

FOLDER = pathlib.Path(__file__).parent
CORPUS = FOLDER / "corpus" / "intake"
PROTOBUF, JSON, LOGS, GZIP, TEXTS = 0, 1, 2, 4, 8

CORPUS.mkdir(parents=True, exist_ok=True)
for path in sorted((FOLDER.parent / "tests" / "data" / "otlp").glob("*.*")):
    if path.suffix not in (".bin", ".json") or path.name == "expected.json":
        continue
    body = path.read_bytes()
    body = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
    how = (PROTOBUF if path.suffix == ".bin" else JSON) | (LOGS if ".logs." in path.name else 0)
    (CORPUS / path.name).write_bytes(bytes([how]) + body)
    (CORPUS / f"{path.name}.texts").write_bytes(bytes([how | TEXTS]) + body)
    (CORPUS / f"{path.name}.gz").write_bytes(bytes([how | GZIP]) + gzip.compress(body, mtime=0))
