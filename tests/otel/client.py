#!/usr/bin/env python3
"""A client of asmm serve: OpenAI's SDK with OpenTelemetry's instrumentation, against the stand-in of examples/otel.

    client.py RUN_ID STEP_ID

Runs are named by an attribute and by baggage. tests/it/otlp/clients.rs knows what has to come of it.
"""

import concurrent.futures
import pathlib
import sys

from openai import NotFoundError, OpenAI
from opentelemetry import baggage, context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples" / "otel"))
import stub  # noqa: E402


class FromBaggage(SpanProcessor):
    """Copies baggage to spans, as opentelemetry-processor-baggage does."""

    def on_start(self, span, parent_context=None):
        span.set_attributes(baggage.get_all(parent_context))


run_id, step_id = sys.argv[1:]
server = stub.start()
client = OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none", max_retries=0)
provider = TracerProvider()
provider.add_span_processor(FromBaggage())
# Small batches: what is inside of an agent comes long before the agent.
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=50, max_export_batch_size=3))
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument()
tracer = trace.get_tracer("client")


def span(name, **attributes):
    return tracer.start_as_current_span(name, attributes=attributes)


def agent(name):
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
    return tracer.start_as_current_span(f"invoke_agent {name}", attributes=attributes)


def chat(model="gpt-4o-mini", **more):
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}], **more)


with agent("planner"):
    chat()
    client.responses.create(model="gpt-4o-mini", input="hello")
    provider.force_flush()
    with agent("streamer"):
        for _ in chat(stream=True, stream_options={"include_usage": True}):
            pass
        for _ in client.responses.create(model="gpt-4o-mini", input="hello", stream=True):
            pass
        # Nothing tells what this one used.
        for _ in chat(stream=True):
            pass
    client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    try:
        chat(model="no-such-model")
        sys.exit("the stand-in knows every model")
    except NotFoundError:
        pass

# Without anything around it.
chat()

with span("attributes", **{"asmm.run.id": run_id, "asmm.step.id": step_id}), agent("by-attribute"):
    chat()

token = context.attach(baggage.set_baggage("asmm.run.id", run_id))
here = context.get_current()


def in_thread(_):
    inner = context.attach(here)
    with agent("by-baggage"):
        chat()
    context.detach(inner)


with concurrent.futures.ThreadPoolExecutor(4) as pool:
    list(pool.map(in_thread, range(16)))
context.detach(token)
provider.shutdown()
