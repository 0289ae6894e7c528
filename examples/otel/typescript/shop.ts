// A pipeline with OpenAI's SDK. Where the models are says OPENAI_BASE_URL, where spans go OTEL_EXPORTER_OTLP_ENDPOINT:
//
//     cd examples/otel/typescript && npm install --no-package-lock && npm start
import { sdk } from './tracing';
import { trace } from '@opentelemetry/api';
import OpenAI from 'openai';

const client = new OpenAI();
const tracer = trace.getTracer('shop');

/** Calls inside of this are this agent's. */
function agent(name: string, work: () => Promise<void>): Promise<void> {
  const attributes = { 'gen_ai.operation.name': 'invoke_agent', 'gen_ai.agent.name': name };
  return tracer.startActiveSpan(`invoke_agent ${name}`, { attributes }, (span) => work().finally(() => span.end()));
}

async function buy(): Promise<void> {
  const question = { model: 'gpt-4o-mini', messages: [{ role: 'user' as const, content: 'What is in stock?' }] };
  const answer = await client.chat.completions.create(question);
  console.log(answer.choices[0].message.content);
  // A stream tells what it used only when asked to.
  const stream = await client.chat.completions.create({
    ...question,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const part of stream) process.stdout.write(part.choices[0]?.delta.content ?? '');
  console.log();
}

agent('buyer', buy).finally(() => sdk.shutdown());
