// A pipeline with the Vercel AI SDK. Where the models are says OPENAI_BASE_URL, where spans go OTEL_EXPORTER_OTLP_ENDPOINT:
//
//     cd examples/otel/vercel-ai && npm install --no-package-lock && npm start
import { openai } from '@ai-sdk/openai';
import { OpenTelemetry } from '@ai-sdk/otel';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { embedMany, generateText, isStepCount, registerTelemetry, streamText, tool } from 'ai';
import { z } from 'zod';

const sdk = new NodeSDK({ traceExporter: new OTLPTraceExporter() });
sdk.start();
registerTelemetry(new OpenTelemetry());

// The function's id is the agent.
const telemetry = { functionId: 'buyer' };
const stock = tool({ description: 'What is in stock', inputSchema: z.object({}), execute: () => ['screws'] });

// Two calls: one asks for the tool, one answers.
const bought = await generateText({
  model: openai('gpt-4o-mini'),
  prompt: 'Buy what is in stock.',
  tools: { stock },
  stopWhen: isStepCount(3),
  telemetry,
});
console.log(bought.text);

const told = streamText({ model: openai('gpt-4o-mini'), prompt: 'And tomorrow?', telemetry });
for await (const part of told.textStream) process.stdout.write(part);
console.log();

await embedMany({ model: openai.embedding('text-embedding-3-small'), values: ['screws', 'nails'] });
await sdk.shutdown();
