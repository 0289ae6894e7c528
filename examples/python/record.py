"""Record a run and its calls in a Postgres ledger from Python.

    pip install "psycopg[binary]"
    asmm migrate
    ASMM_DATABASE_URL=postgres://recorder:secret@localhost/ops python3 examples/python/record.py

The user needs the role asmm_writer. What the ledger does not take waits in waiting.jsonl.
"""

import logging

from asmm_recorder import Recorder, anthropic_usage, openai_usage


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    recorder = Recorder.from_env("waiting.jsonl")
    run = recorder.start_run("enrichment", team="data")
    step = recorder.start_step(run, "summarise", agent="summariser")

    # Here the pipeline calls its models. This is what Anthropic's and OpenAI's APIs answer.
    answer = {"id": "msg_01", "model": "claude-haiku-4-5-20251001", "usage": {
        "input_tokens": 1200, "cache_read_input_tokens": 800, "cache_creation_input_tokens": 0, "output_tokens": 350}}
    recorder.record_call(run, step_id=step, provider="anthropic", model=answer["model"],
                         usage=anthropic_usage(answer["usage"]), response_id=answer["id"])
    answer = {"id": "chatcmpl-01", "model": "gpt-4o-2024-08-06", "usage": {
        "prompt_tokens": 1000, "completion_tokens": 200, "prompt_tokens_details": {"cached_tokens": 600},
        "completion_tokens_details": {"reasoning_tokens": 50}}}
    recorder.record_call(run, step_id=step, provider="openai", model=answer["model"],
                         usage=openai_usage(answer["usage"]), response_id=answer["id"])

    recorder.finish_step(run, step, "succeeded")
    recorder.finish_run(run, "succeeded")
    recorder.close()
    print(f"recorded run {run}")


if __name__ == "__main__":
    main()
