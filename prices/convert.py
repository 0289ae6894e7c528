#!/usr/bin/env python3
"""Makes catalogue.json from a snapshot in the shape `asmm-prices/1`.

usage: convert.py SNAPSHOT VERSION > catalogue.json

The snapshot is one JSON document; the result holds the same prices with one model a line, so that a
refresh reads well as a diff, and

- with VERSION, the day that the prices were checked for;
- with two expressions rewritten that need a look-ahead, which the `regex` crate leaves out: the same
  names match, said with a `not` clause (an unknown third one is an error, not a guess);
- without the LiteLLM models whose provider and name genai-prices prices too: it is the base, an exact
  name is found there first, and the other row could never be used.

Counts go to stderr; README.md quotes them.
"""
import json
import sys

REWRITTEN = {
    r"^(?![^/]+/)(?:labs-)?(?:(?:mi|code|dev|magi|mini)stral|mixtral|pixtral|voxtral|open-(?:mistral|mixtral))": {
        "all": [
            {"regex": r"^(?:labs-)?(?:(?:mi|code|dev|magi|mini)stral|mixtral|pixtral|voxtral|open-(?:mistral|mixtral))"},
            {"not": {"contains": "/"}},
        ]
    },
    r"^(?!.*-[tT][tT][sS](?:$|-))": {"not": {"regex": r"-[tT][tT][sS](?:$|-)"}},
}


def clause(value):
    """A match clause without look-ahead."""
    if value is None:
        return None
    result = {}
    for key, inner in value.items():
        if key == "regex" and inner in REWRITTEN:
            return REWRITTEN[inner]
        if key == "regex" and "(?" in inner.replace("(?:", ""):
            sys.exit(f"an expression with look-around that REWRITTEN does not know: {inner}")
        result[key] = [clause(part) for part in inner] if isinstance(inner, list) else inner
    return result


def priced(model):
    return any(set(price) - {"from", "daily_utc"} for price in model["prices"])


def line(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def main():
    snapshot, version = sys.argv[1:]
    with open(snapshot, encoding="utf-8") as file:
        data = json.load(file)
    shadowed = models = 0
    out = ["{"]
    for key in ("schema", "unit"):
        out.append(f"{line(key)}:{line(data[key])},")
    out.append(f'"version":{line(version)},')
    out.append(f'"sources":{line(data["sources"])},')
    out.append('"providers":[')
    providers = []
    base = set()
    for provider in data["providers"]:
        lines = []
        for model in provider["models"]:
            model["match"] = clause(model["match"])
            model.pop("context", None)
            lines.append(line(model))
            if priced(model):
                base.add((provider["id"], model["id"]))
        models += len(lines)
        head = {key: provider[key] for key in ("id", "fallback")}
        head["match"], head["model_match"] = clause(provider["match"]), clause(provider["model_match"])
        providers.append(line(head)[:-1] + ',"models":[\n' + ",\n".join(lines) + "\n]}")
    out.append(",\n".join(providers) + "\n],")
    out.append('"litellm":{')
    groups = []
    others = 0
    for group, entries in data["litellm"].items():
        kept = [{"id": e["id"], "prices": e["prices"]} for e in entries if (group, e["id"]) not in base]
        assert all(e["match"] == {"eq": e["id"]} for e in entries)
        shadowed += len(entries) - len(kept)
        others += len(kept)
        if kept:
            groups.append(f"{line(group)}:[\n" + ",\n".join(map(line, kept)) + "\n]")
    out.append(",\n".join(groups) + "\n}")
    out.append("}")
    print("\n".join(out))
    print(f"{models} models of genai-prices, {others} of LiteLLM, {shadowed} shadowed left out", file=sys.stderr)


main()
