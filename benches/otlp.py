#!/usr/bin/env python3
"""Loads `asmm serve` with spans, beside reference servers that do less, in one run.

    benches/otlp.py ASMM LOAD SINK [--spans N] [--rounds N] [--postgres URL]

ASMM is the release binary. LOAD and SINK are any generator and reference servers with the flags used below: LOAD sends seeded
spans to --url, --batch a request over --conns connections, prints one JSON line with `spans_per_s` and `spans_acked`, and writes the
totals that a ledger must show to --expect; SINK --mode decode reads each body and drops it, --mode sqlite also inserts each span
into one bare table and commits before it answers.

The servers take turns; shown are the medians of spans a second until they are answered, the ratio to the bare table, and the peak
memory. Of asmm it is until all are in the ledger; beside it stands how many a second were answered, which under load are
on disk first. After each load, calls and tokens by day and by agent are compared with the answer
sheet: one that differs ends the run.
"""
import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid

PORT = 4391
SHAPES = [
    ("100 spans a request", ["--batch", "100"]),
    ("512 spans a request", ["--batch", "512"]),
    ("agents, split and doubled", ["--batch", "7", "--mix", "agent", "--root-tokens", "--dup-every", "10"]),
]


def until_it_answers(process, path):
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=1).close()
            return
        except OSError:
            if process.poll() is not None:
                sys.exit(f"the server ended: {process.args}")
            time.sleep(0.05)
    sys.exit(f"the server does not answer: {process.args}")


def load(options, shape, spans, expect):
    command = [options.load, "--url", f"http://127.0.0.1:{PORT}/v1/traces", "--conns", "8", "--tries", "20",
               "--spans", str(spans), "--expect", expect, *shape]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    if answer["spans_acked"] < spans:
        sys.exit(f"spans without an answer: {answer}")
    return answer["spans_per_s"]


def until_it_is_recorded():
    """How long it takes until nothing is on its way into the ledger."""
    started = time.monotonic()
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        if "asmm_serve_spans_waiting 0" in lines:
            return time.monotonic() - started
        time.sleep(0.01)


def end(process):
    with open(f"/proc/{process.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    process.send_signal(signal.SIGTERM)
    if process.wait(60) not in (0, -signal.SIGTERM):
        sys.exit(f"the server ended with {process.returncode}: {process.args}")
    return peak / 1024


def compare(options, env, expect):
    """Calls and tokens by day and by agent, against the answer sheet."""
    with open(expect) as sheet:
        wanted = json.load(sheet)
    for report, dimension in (("daily", "day"), ("agent", "agent")):
        command = [options.asmm, "spend", report, "--since", "2026-01-01", "--tz", "UTC", "--format", "json"]
        out = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE).stdout
        found = {row[dimension]: tuple(int(row[key]) for key in ("llm_calls", "llm_tokens_input", "llm_tokens_output"))
                 for row in json.loads(out)["rows"]}
        sums = {name: (of["llm_spans"], of["input_tokens"], of["output_tokens"])
                for name, of in wanted[f"by_{dimension}"].items()}
        if found != sums:
            sys.exit(f"the ledger does not say what was sent, by {dimension}: {env['ASMM_DATABASE_URL'].split('@')[-1]}")


def through_asmm(options, shape, url):
    folder = tempfile.mkdtemp(dir=os.getcwd())
    env = {"PATH": os.environ["PATH"], "HOME": folder, "ASMM_DATABASE_URL": url or f"sqlite:{folder}/ledger.db",
           "ASMM_SCHEMA": f"bench_{uuid.uuid4().hex[:12]}"}
    quiet = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        subprocess.run([options.asmm, "migrate"], check=True, **quiet)
        server = subprocess.Popen([options.asmm, "serve", "--listen", f"127.0.0.1:{PORT}"], **quiet)
        until_it_answers(server, "/readyz")
        answered = load(options, shape, options.spans, f"{folder}/expect.json")
        rate = options.spans / (options.spans / answered + until_it_is_recorded())
        peak = end(server)
        compare(options, env, f"{folder}/expect.json")
        return rate, peak, answered
    finally:
        shutil.rmtree(folder)


def through_sink(options, shape, mode):
    folder = tempfile.mkdtemp(dir=os.getcwd())
    try:
        server = subprocess.Popen(
            [options.sink, "--mode", mode, "--port", str(PORT), "--db", f"{folder}/sink.db", "--sync", "FULL"])
        until_it_answers(server, "/stats")
        rate = load(options, shape, options.spans, f"{folder}/expect.json")
        return rate, end(server), rate
    finally:
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("asmm", "load", "sink"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgres", metavar="URL")
    options = parser.parse_args()
    servers = {"sink, decode": lambda shape: through_sink(options, shape, "decode"),
               "sink, sqlite": lambda shape: through_sink(options, shape, "sqlite"),
               "asmm, SQLite": lambda shape: through_asmm(options, shape, None)}
    if options.postgres:
        servers["asmm, Postgres"] = lambda shape: through_asmm(options, shape, options.postgres)
    for name, shape in SHAPES:
        print(f"{name} ({options.spans} spans, 8 connections)")
        rates, peaks, answers = ({of: [] for of in servers} for _ in range(3))
        for _ in range(options.rounds):
            for of, run in servers.items():
                rate, peak, answered = run(shape)
                rates[of].append(rate)
                peaks[of].append(peak)
                answers[of].append(answered)
        bare = statistics.median(rates["sink, sqlite"])
        for of, found in rates.items():
            middle = statistics.median(found)
            print(f"  {of:15} {middle:9,.0f} spans/s ({min(found):,.0f}–{max(found):,.0f})  {middle / bare:5.2f} ×"
                  f"  peak {max(peaks[of]):6.1f} MB  answered {statistics.median(answers[of]):9,.0f}/s", flush=True)


main()
