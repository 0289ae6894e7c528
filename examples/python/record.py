"""Record a run and its calls in a Postgres ledger with plain SQL (psycopg 3).

    pip install "psycopg[binary]"
    asmm migrate
    ASMM_DATABASE_URL=postgres://recorder:secret@localhost/ops python3 examples/python/record.py

The user needs the role asmm_writer. Ids are made here, once, and kept for retries: sending the same call again
changes nothing. No failure of the ledger stops the pipeline: it is logged, and the work goes on. (What was not
taken is lost here. A pipeline that must not lose it writes the call as a line of JSON, for `asmm import jsonl`.)
"""

import datetime
import json
import logging
import os
import uuid

import psycopg


def usage_of(response):
    """Anthropic's counts are disjoint already. OpenAI counts cached tokens inside its input: subtract them."""
    usage = response["usage"]
    return {
        "input": usage["input_tokens"],
        "cache_read": usage["cache_read_input_tokens"],
        "cache_write": usage["cache_creation_input_tokens"],
        "output": usage["output_tokens"],
    }


def open_ledger():
    try:
        # autocommit: each statement is a transaction, and a failed one does not spoil the next.
        return psycopg.connect(os.environ["ASMM_DATABASE_URL"], autocommit=True, connect_timeout=5,
                               options="-c search_path=asmm")
    except psycopg.Error as error:
        logging.warning("the ledger cannot be reached: %s", error)


def tell(ledger, sql, *values):
    """Says something to the ledger, and goes on whatever becomes of it."""
    if ledger is None:
        return None
    try:
        return ledger.execute(sql, values).fetchone()[0]
    except psycopg.Error as error:
        logging.warning("the ledger did not take it: %s", error)


def main():
    ledger = open_ledger()
    run_id, step_id = uuid.uuid4(), uuid.uuid4()
    tell(ledger, "select start_run(run_id => %s, pipeline => %s)", run_id, "enrichment")
    tell(ledger, "select start_step(run_id => %s, step_id => %s, step => %s, agent => %s)",
         run_id, step_id, "summarise", "summariser")

    # Here the pipeline calls its model. This is what Anthropic's API answers.
    response = {"id": "msg_01", "model": "claude-haiku-4-5-20251001", "usage": {
        "input_tokens": 1200, "cache_read_input_tokens": 800, "cache_creation_input_tokens": 0, "output_tokens": 350}}
    call = {"run_id": str(run_id), "step_id": str(step_id), "call_id": str(uuid.uuid4()), "provider": "anthropic",
            "model": response["model"], "called_at": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "usage": usage_of(response), "response_id": response["id"]}

    print(tell(ledger, "select record_calls(%s)", json.dumps([call])))
    tell(ledger, "select finish_step(run_id => %s, step_id => %s, status => 'succeeded')", run_id, step_id)
    print(tell(ledger, "select finish_run(run_id => %s, status => 'succeeded')", run_id))


if __name__ == "__main__":
    main()
