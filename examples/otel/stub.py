#!/usr/bin/env python3
"""A stand-in for OpenAI's and Anthropic's APIs, so that the examples beside it run without a key.

    python3 examples/otel/stub.py 8099
    export OPENAI_BASE_URL=http://127.0.0.1:8099/v1 OPENAI_API_KEY=none

Every answer used the same: 1,200 tokens in, of them 1,024 from the cache, and 80 out, of them 16 for reasoning. Claude's wrote
2,000 tokens to its cache as well, 500 of them for an hour, and read 50,000. The model `no-such-model` is refused.
"""

import http.server
import itertools
import json
import sys
import threading

NUMBERS = itertools.count(1)
WORDS = ["Hello", ", ", "world", "."]
OPENAI_USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 80,
    "total_tokens": 1280,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 16,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
RESPONSES_USAGE = {
    "input_tokens": 1200,
    "input_tokens_details": {"cached_tokens": 1024},
    "output_tokens": 80,
    "output_tokens_details": {"reasoning_tokens": 16},
    "total_tokens": 1280,
}
ANTHROPIC_USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 2000,
    "cache_read_input_tokens": 50000,
    "cache_creation": {"ephemeral_5m_input_tokens": 1500, "ephemeral_1h_input_tokens": 500},
    "output_tokens": 300,
    "service_tier": "standard",
}


def chat(asked):
    """The answer to a request for a chat completion, and its parts when it is streamed."""
    answer = {
        "id": f"chatcmpl-{next(NUMBERS)}",
        "object": "chat.completion",
        "created": 1795370000,
        "model": asked["model"] + "-2024-07-18" if asked["model"] == "gpt-4o-mini" else asked["model"],
        "service_tier": "default",
    }
    message = {"role": "assistant", "content": "".join(WORDS), "refusal": None}
    reason = "stop"
    wants_tool = asked.get("tools") and not any(said["role"] == "tool" for said in asked["messages"])
    if wants_tool:
        name = asked["tools"][0]["function"]["name"]
        call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": "{}"}}
        message, reason = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    whole = {
        **answer,
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": OPENAI_USAGE,
    }
    part = {**answer, "object": "chat.completion.chunk"}
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in WORDS)]
    if wants_tool:
        deltas = [{"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call}]}]
    parts = [{**part, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    parts.append({**part, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    if asked.get("stream_options", {}).get("include_usage"):
        parts.append({**part, "choices": [], "usage": OPENAI_USAGE})
    return whole, [(None, part) for part in parts]


def responses(asked):
    number = next(NUMBERS)
    text = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
    item = {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    said = asked.get("input")
    has_result = isinstance(said, list) and any(one.get("type") == "function_call_output" for one in said)
    tools = [tool for tool in asked.get("tools") or [] if tool.get("type") == "function"]
    if tools and not has_result:
        item = {"id": f"fc_{number}", "type": "function_call", "call_id": "call_1", "status": "completed"}
        item |= {"name": tools[0]["name"], "arguments": "{}"}
    whole = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1795370000,
        "status": "completed",
        "model": asked["model"] + "-2024-07-18" if asked["model"] == "gpt-4o-mini" else asked["model"],
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1,
        "top_p": 1,
        "service_tier": "default",
        "usage": RESPONSES_USAGE,
    }
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    place = {"output_index": 0}
    parts = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", **place, "item": {**item, "status": "in_progress"}},
    ]
    if item["type"] == "message":
        parts[-1]["item"]["content"] = []
        place |= {"item_id": item["id"], "content_index": 0}
        parts.append({"type": "response.content_part.added", **place, "part": {**text, "text": ""}})
        parts += [{"type": "response.output_text.delta", **place, "delta": word, "logprobs": []} for word in WORDS]
        parts.append({"type": "response.output_text.done", **place, "text": text["text"], "logprobs": []})
        parts.append({"type": "response.content_part.done", **place, "part": text})
    parts.append({"type": "response.output_item.done", "output_index": 0, "item": item})
    parts.append({"type": "response.completed", "response": whole})
    return whole, [(part["type"], {**part, "sequence_number": number}) for number, part in enumerate(parts)]


def embeddings(asked):
    asked_for = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    data = [{"object": "embedding", "index": index, "embedding": [0.5, 0.25]} for index, _ in enumerate(asked_for)]
    usage = {"prompt_tokens": 42, "total_tokens": 42}
    return {"object": "list", "data": data, "model": asked["model"], "usage": usage}, []


def messages(asked):
    text = {"type": "text", "text": "".join(WORDS)}
    whole = {
        "id": f"msg_{next(NUMBERS)}",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": [text],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": ANTHROPIC_USAGE,
    }
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**ANTHROPIC_USAGE, "output_tokens": 1}}
    counts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    parts = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {**text, "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in WORDS),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {count: ANTHROPIC_USAGE[count] for count in counts},
        },
        {"type": "message_stop"},
    ]
    return whole, [(part["type"], part) for part in parts]


ANSWERS = {
    "/chat/completions": chat,
    "/responses": responses,
    "/embeddings": embeddings,
    "/messages": messages,
}


class Stub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path = self.path.split("?")[0].removeprefix("/v1")
        if path not in ANSWERS:
            return self.answer(404, json.dumps({"error": {"message": f"there is no {path}"}}))
        if asked["model"] == "no-such-model":
            error = {"type": "invalid_request_error", "code": "model_not_found", "message": "there is no such model"}
            return self.answer(404, json.dumps({"type": "error", "error": error}))
        whole, parts = ANSWERS[path](asked)
        if not asked.get("stream"):
            return self.answer(200, json.dumps(whole))
        lines = [f"event: {event}\n" * bool(event) + f"data: {json.dumps(part)}\n\n" for event, part in parts]
        if path == "/chat/completions":
            lines.append("data: [DONE]\n\n")
        return self.answer(200, "".join(lines), "text/event-stream")

    def answer(self, status, text, kind="application/json"):
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing."""


def start(port=0):
    """Serves in the background; the server, whose `server_port` says where."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Stub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    server = start(int(sys.argv[1]) if len(sys.argv) > 1 else 8099)
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    threading.Event().wait()
