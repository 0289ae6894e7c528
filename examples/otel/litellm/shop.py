#!/usr/bin/env python3
"""A pipeline with LiteLLM's SDK and its OpenTelemetry callback. Its proxy is pointed at asmm by the same variables.

    pip install -r examples/otel/litellm/requirements.txt && python3 examples/otel/litellm/shop.py

Where the models are says OPENAI_BASE_URL, where spans go OTEL_EXPORTER_OTLP_ENDPOINT.
"""

import os

# A span for each call: otherwise LiteLLM writes what it knows onto the span that is open, where the next call covers it.
os.environ["USE_OTEL_LITELLM_REQUEST_SPAN"] = "true"

import litellm  # noqa: E402
from opentelemetry import trace  # noqa: E402
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: E402

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
litellm.callbacks = ["otel"]

agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "buyer"}
with trace.get_tracer("shop").start_as_current_span("invoke_agent buyer", attributes=agent):
    for question in ("What is in stock?", "And tomorrow?"):
        messages = [{"role": "user", "content": question}]
        print(litellm.completion(model="openai/gpt-4o-mini", messages=messages).choices[0].message.content)
    litellm.embedding(model="openai/text-embedding-3-small", input=["screws", "nails"])
# LiteLLM tells of calls from a thread of its own, which ends with this.
litellm.utils.executor.shutdown()
provider.shutdown()
