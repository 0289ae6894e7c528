#!/usr/bin/env python3
"""The digests of prompts and of rendered messages, computed apart from asmm.

Reads one JSON object a line and prints one digest a line:

    {"prompt": {...}}       a prompt file as JSON (JSON is YAML): the digest of its version
    {"messages": [...]}     messages with role and content: the digest of the text that was sent

Usage, for a file that holds one prompt as JSON:

    python3 -c 'import json, sys; print(json.dumps({"prompt": json.load(sys.stdin)}))' <greet.json | python3 digest.py

Python 3, standard library only. prompts/README.md says in words what this does. What asmm refuses is not
refused here.
"""
import hashlib
import json
import sys
from decimal import Decimal


def number(value):
    """Plain digits: no exponent, no zeros at the end of a fraction, no sign on zero.

    A fraction is a double by now, and repr has the fewest digits that read back as the same one.
    """
    value = Decimal(repr(value))
    if value == 0:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def canonical(value):
    if isinstance(value, dict):
        pairs = (canonical(key) + ":" + canonical(value[key]) for key in sorted(value))
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return json.dumps(value, ensure_ascii=False)


def variable(given):
    content = {"type": given["type"], "sensitivity": given.get("sensitivity", "public")}
    optional = ("max_bytes", "values", "default", "raw_reason", "expires", "on_secret")
    content.update((key, given[key]) for key in optional if key in given)
    if "allow_raw" in given:
        content["allow_raw"] = sorted(set(given["allow_raw"]))
    return content


def content(prompt):
    """What makes a version: not its name, not its description."""
    parts = {
        "engine": prompt["engine"],
        "messages": [{"role": m["role"], "content": m["content"]} for m in prompt["messages"]],
        "variables": {name: variable(given) for name, given in (prompt.get("variables") or {}).items()},
    }
    if "model" in prompt:
        parts["model"] = {"id": prompt["model"]["id"], "params": prompt["model"].get("params") or {}}
    return parts


def main():
    for line in sys.stdin.buffer:  # bytes, so that the locale has no say in how they are read
        given = json.loads(line)
        meant = content(given["prompt"]) if "prompt" in given else given["messages"]
        print("sha256:" + hashlib.sha256(canonical(meant).encode("utf-8")).hexdigest())


if __name__ == "__main__":
    main()
