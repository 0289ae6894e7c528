"""A recorder for pipelines in Python: what is recorded reaches a Postgres ledger once, and no pipeline waits for it.

    recorder = Recorder.from_env("enrichment.jsonl")
    run = recorder.start_run("enrichment")
    recorder.record_call(run, provider="openai", model="gpt-4o", usage=openai_usage(answer["usage"]))
    recorder.finish_run(run, "succeeded")
    recorder.close()

Nothing here raises into the pipeline or waits for the network. A thread delivers what is recorded, in batches, through
the ledger's SQL functions. What the ledger does not take goes to a file, synced, a native JSON line an event; it is
delivered by the next recorder that opens that file, or by `asmm import jsonl FILE`. Every event has an id that is made
here, once, so that a second delivery changes nothing. What the ledger refuses is set aside in FILE.refused, with its
reason, and holds up nothing.

Needs psycopg 3, and a user with the role asmm_writer. One process at a time may use a file.
"""

from __future__ import annotations

import datetime
import itertools
import json
import logging
import os
import queue
import threading
import time
import uuid
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

Event = dict[str, Any]

QUEUE_EVENTS = 10_000
MAX_FILE_BYTES = 256 << 20
BATCH_EVENTS = 1_000
# How long an event waits for others, and how long after a failure the ledger is asked again.
BATCH_SECONDS = 0.2
RETRY_SECONDS = 5.0

# Which function records what.
KINDS = {"run": "start_run", "step": "start_step", "call": "record_calls", "finish_step": "finish_step",
         "finish": "finish_run"}

log = logging.getLogger("asmm")


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def anthropic_usage(usage: dict[str, Any]) -> dict[str, int]:
    """Anthropic's counts are disjoint, as the ledger's are."""
    written = usage.get("cache_creation_input_tokens") or 0
    long = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    return {"input": usage["input_tokens"], "cache_read": usage.get("cache_read_input_tokens") or 0,
            "cache_write": written - long, "cache_write_long": long, "output": usage["output_tokens"]}


def openai_usage(usage: dict[str, Any]) -> dict[str, int]:
    """OpenAI counts cached tokens inside the prompt, and reasoning inside the completion."""
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {"input": usage["prompt_tokens"] - cached, "cache_read": cached,
            "output": usage["completion_tokens"] - reasoning, "reasoning": reasoning}


class Recorder:
    """Records runs, steps and calls. Safe to use from several threads."""

    def __init__(self, url: str, path: str, schema: str = "asmm") -> None:
        self._url, self._path, self._schema = url, path, schema
        self._queue: queue.Queue[Event] = queue.Queue(QUEUE_EVENTS)
        self._ledger: psycopg.Connection | None = None
        self._closing = threading.Event()
        self.lost = 0
        self._thread = threading.Thread(target=self._work, name="asmm-recorder", daemon=True)
        self._thread.start()

    @classmethod
    def from_env(cls, path: str) -> Recorder:
        """The ledger that ASMM_DATABASE_URL and ASMM_SCHEMA name."""
        return cls(os.environ.get("ASMM_DATABASE_URL", ""), path, os.environ.get("ASMM_SCHEMA") or "asmm")

    # ---- what a pipeline calls ------------------------------------------------------------------------------

    def start_run(self, pipeline: str, **labels: str) -> str:
        run_id = str(uuid.uuid4())
        self._put({"type": "run", "run_id": run_id, "pipeline": pipeline, "started_at": now(), "labels": labels})
        return run_id

    def start_step(self, run_id: str, step: str, agent: str = "", prompt_version: str | None = None) -> str:
        event = {"type": "step", "run_id": run_id, "step_id": str(uuid.uuid4()), "step": step, "agent": agent,
                 "started_at": now()}
        if prompt_version:
            event["prompt_version"] = prompt_version
        self._put(event)
        return event["step_id"]

    def record_call(self, run_id: str, *, provider: str, model: str, usage: dict[str, int] | None,
                    step_id: str | None = None, **rest: Any) -> str:
        """Usage that is not known is None, which is not zero. `rest`: latency_ms, response_id, outcome, …"""
        event = {"type": "call", "run_id": run_id, "call_id": str(uuid.uuid4()), "provider": provider,
                 "model": model, "called_at": now(), "usage": usage, **rest}
        if step_id:
            event["step_id"] = step_id
        self._put(event)
        return event["call_id"]

    def finish_step(self, run_id: str, step_id: str, status: str) -> None:
        self._put({"type": "finish_step", "run_id": run_id, "step_id": step_id, "status": status,
                   "completed_at": now()})

    def finish_run(self, run_id: str, status: str) -> None:
        self._put({"type": "finish", "run_id": run_id, "status": status, "completed_at": now()})

    def close(self, seconds: float = 10.0) -> None:
        """Delivers what is left, or leaves it in the file."""
        self._closing.set()
        self._thread.join(seconds)
        if self.lost:
            log.warning("%d events are lost: neither memory, file nor ledger took them", self.lost)

    # ---- the thread -----------------------------------------------------------------------------------------

    def _put(self, event: Event) -> None:
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.lost += 1

    def _work(self) -> None:
        next_attempt = 0.0
        while True:
            is_last = self._closing.is_set()
            batch = self._take(0 if is_last else BATCH_SECONDS)
            # What waits goes first; what comes meanwhile waits behind it, in the file.
            may_try = is_last or time.monotonic() >= next_attempt
            waits = os.path.exists(self._path)
            delivered = False
            if may_try and waits:
                delivered = self._deliver_file()
                waits = not delivered
            if batch and may_try and not waits:
                delivered = self._deliver(batch)
                batch = [] if delivered else batch
            if batch:
                self._keep(batch)
            if may_try and not delivered and (batch or waits):
                next_attempt = time.monotonic() + RETRY_SECONDS
            if is_last and self._queue.empty():
                return

    def _take(self, seconds: float) -> list[Event]:
        events: list[Event] = []
        try:
            while len(events) < BATCH_EVENTS:
                events.append(self._queue.get(timeout=seconds) if seconds else self._queue.get_nowait())
        except queue.Empty:
            pass
        return events

    def _deliver(self, events: list[Event]) -> bool:
        """Whether the ledger has taken or refused each of them."""
        try:
            if self._ledger is None or self._ledger.closed:
                # autocommit: each statement is a transaction, and a failed one does not spoil the next.
                self._ledger = psycopg.connect(self._url, autocommit=True, connect_timeout=5,
                                               options=f"-c search_path={self._schema} -c statement_timeout=30s")
            calls: list[Event] = []
            for event in events:
                if event["type"] == "call":
                    calls.append(event)
                    continue
                self._record(calls)
                calls = []
                self._tell(event)
            self._record(calls)
            return True
        except psycopg.Error as error:
            log.warning("the ledger cannot be reached: %s; what is recorded waits in %s", str(error).strip(), self._path)
            return False

    def _record(self, calls: list[Event]) -> None:
        """Calls in one batch; if one of them is refused, each by itself."""
        for start in range(0, len(calls), BATCH_EVENTS):
            batch = calls[start:start + BATCH_EVENTS]
            try:
                plain = [{key: value for key, value in call.items() if key != "type"} for call in batch]
                answer = self._ledger.execute("select record_calls(%s)", [Jsonb(plain)]).fetchone()[0]
                clashes = {clash["call_id"] for clash in answer["conflict"]}
                for call in batch:
                    if call["call_id"] in clashes:
                        self._set_aside(call, "another call is recorded under this id")
            except psycopg.Error as error:
                if not is_refusal(error):
                    raise
                if len(batch) == 1:
                    self._set_aside(batch[0], str(error).strip())
                else:
                    for call in batch:
                        self._record([call])

    def _tell(self, event: Event) -> None:
        """A start or an end: the function's parameters are the event's keys."""
        keys = [key for key in event if key != "type"]
        values = [Jsonb(event[key]) if isinstance(event[key], dict) else event[key] for key in keys]
        casts = {"started_at": "::timestamptz", "completed_at": "::timestamptz", "run_id": "::uuid", "step_id": "::uuid"}
        given = ", ".join(f"{key} => %s{casts.get(key, '')}" for key in keys)
        try:
            self._ledger.execute(f"select {KINDS[event['type']]}({given})", values)
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
            self._set_aside(event, str(error).strip())

    # ---- the file -------------------------------------------------------------------------------------------

    def _keep(self, events: list[Event]) -> None:
        try:
            if os.path.exists(self._path) and os.path.getsize(self._path) > MAX_FILE_BYTES:
                raise OSError("it is full")
            self._append(self._path, events)
        except OSError as error:
            self.lost += len(events)
            log.warning("%s cannot be written: %s", self._path, error)

    def _set_aside(self, event: Event, reason: str) -> None:
        log.warning("the ledger refuses an event, which is set aside in %s.refused: %s", self._path, reason)
        try:
            self._append(f"{self._path}.refused", [{"reason": reason, "event": event}])
        except OSError as error:
            self.lost += 1
            log.warning("%s.refused cannot be written: %s", self._path, error)

    @staticmethod
    def _append(path: str, lines: list[Event]) -> None:
        with open(path, "a+b", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            # A process that died while it wrote has left a part of a line, which must not spoil the next one.
            if file.seek(0, os.SEEK_END) and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                file.write(b"\n")
            file.writelines(json.dumps(line).encode() + b"\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())

    def _deliver_file(self) -> bool:
        """Delivers what waits, from the first line on, and removes the file. A second delivery changes nothing."""
        try:
            with open(self._path, encoding="utf-8", errors="replace") as file:
                while lines := list(itertools.islice(file, BATCH_EVENTS)):
                    if not self._deliver([event for event in map(self._event, lines) if event]):
                        return False
            os.remove(self._path)
            return True
        except OSError as error:
            log.warning("%s cannot be read or removed: %s", self._path, error)
            return False

    def _event(self, line: str) -> Event | None:
        try:
            event = json.loads(line)
            if isinstance(event, dict) and event.get("type") in KINDS:
                return event
        except ValueError:
            pass
        if line.strip():
            self._set_aside({"line": line}, "the line is no event")
        return None


def is_refusal(error: psycopg.Error) -> bool:
    """Whether the ledger does not take the value, rather than cannot be reached (SQLSTATE AS4xx, see RUNBOOK.md)."""
    return (error.sqlstate or "").startswith("AS4")
