#!/usr/bin/env python3
"""Imports a tree of Claude Code logs into a new ledger, beside ccusage's report on the same tree.

    benches/ccusage.py ASMM TREE CCUSAGE [ROUNDS]

ASMM is the release binary, TREE a folder that holds `projects`, CCUSAGE the native program of the npm package of that
name. The two take turns; shown are medians, peak memory, and the tokens that each counted. The first round warms the
files up and does not count. Times are of whole processes; asmm's ends when the ledger is on disk.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time


def run(command, env):
    """The seconds and the peak megabytes of one process, and what it printed."""
    before = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate()
    seconds = time.perf_counter() - before
    if process.returncode != 0:
        sys.exit(f"{command}: exit code {process.returncode}\n{err.decode()}")
    return seconds, out


def peak(command, env):
    """The peak megabytes of one process: a child alone in a child of its own, for the kernel keeps the largest."""
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)\n"
    )
    out = subprocess.run([sys.executable, "-c", script, *command], env=env, stdout=subprocess.PIPE, check=True)
    return float(out.stdout)


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    asmm, tree, ccusage = (os.path.abspath(path) for path in sys.argv[1:4])
    rounds = int(sys.argv[4]) if len(sys.argv) == 5 else 5
    base = {"PATH": os.environ["PATH"], "HOME": tempfile.mkdtemp(), "TZ": "UTC"}
    theirs = [ccusage, "daily", "--json", "--offline"], {**base, "CLAUDE_CONFIG_DIR": tree}
    times = {"asmm": [], "ccusage": []}
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as folder:
        for number in range(rounds + 1):
            ledger = f"sqlite:{folder}/{number}.db"
            ours = [asmm, "import", "claude-code", tree], {**base, "ASMM_DATABASE_URL": ledger}
            took, _ = run(*ours)
            their_time, report = run(*theirs)
            if number > 0:
                times["asmm"].append(took)
                times["ccusage"].append(their_time)
        spend = ["spend", "daily", "--since", "2015-01-01", "--format", "json"]
        _, counted = run([asmm, *spend], ours[1])
        ours[1]["ASMM_DATABASE_URL"] = f"sqlite:{folder}/memory.db"
        memory = {"asmm": peak(*ours), "ccusage": peak(*theirs)}
    for name, samples in times.items():
        low, high = min(samples), max(samples)
        print(f"{name:8} {statistics.median(samples):6.2f} s ({low:.2f}–{high:.2f})  peak {memory[name]:6.1f} MB")
    time_ratio = statistics.median(times["asmm"]) / statistics.median(times["ccusage"])
    print(f"ratio    {time_ratio:6.2f}                   memory {memory['asmm'] / memory['ccusage']:.2f}")
    rows = json.loads(counted)["rows"]
    sums = {key: sum(int(row[key]) for row in rows) for key in (
        "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_long_tokens", "output_tokens")}
    found = (sums["input_tokens"], sums["cache_read_tokens"],
             sums["cache_write_tokens"] + sums["cache_write_long_tokens"], sums["output_tokens"])
    totals = json.loads(report)["totals"]
    expected = tuple(totals[key] for key in ("inputTokens", "cacheReadTokens", "cacheCreationTokens", "outputTokens"))
    print(f"tokens (input, cache read, cache written, output): asmm {found}, ccusage {expected}")
    print("the same" if found == expected else "NOT THE SAME")


main()
