#!/usr/bin/env python3
"""A pipeline with OpenAI's SDK and OpenTelemetry, which knows nothing of asmm.

    pip install -r examples/otel/python/requirements.txt && python3 examples/otel/python/shop.py

Where the models are says OPENAI_BASE_URL, where spans go OTEL_EXPORTER_OTLP_ENDPOINT.
"""

from openai import OpenAI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument()

client = OpenAI()
tracer = trace.get_tracer("shop")


def agent(name):
    """Calls inside of this are this agent's."""
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
    return tracer.start_as_current_span(f"invoke_agent {name}", attributes=attributes)


def ask(question, **more):
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(model="gpt-4o-mini", messages=messages, **more)


with tracer.start_as_current_span("order"):
    with agent("buyer"):
        print(ask("What is in stock?").choices[0].message.content)
        # A stream tells what it used only when asked to.
        for part in ask("And tomorrow?", stream=True, stream_options={"include_usage": True}):
            print(part.choices[0].delta.content or "" if part.choices else "", end="")
        print()
    with agent("searcher"):
        client.embeddings.create(model="text-embedding-3-small", input=["screws", "nails"])
provider.shutdown()
