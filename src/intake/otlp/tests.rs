mod emitters;
mod hostile;
mod texts;

use super::*;
use crate::domain::{Call, Outcome, resolve};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

fn now() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/otlp")
}

fn expected() -> BTreeMap<String, Value> {
    serde_json::from_slice(&std::fs::read(folder().join("expected.json")).unwrap()).unwrap()
}

fn body(file: &str) -> Vec<u8> {
    let bytes = std::fs::read(folder().join(file)).unwrap();
    if !file.contains("gzip") || !file.ends_with("bin") {
        return bytes;
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
    plain
}

fn calls(spans: &[Span]) -> Vec<Call> {
    resolve(spans).calls.into_values().collect()
}

fn traces(body: &Value) -> Spans {
    read(body.to_string().as_bytes(), (Signal::Traces, Encoding::Json), Texts::Drop, now()).unwrap()
}

/// A body of spans; each is changed by what is given for it.
fn of_spans(spans: &[Value]) -> Value {
    let spans: Vec<Value> = spans
        .iter()
        .enumerate()
        .map(|(number, set)| {
            let start = 1_795_370_000_000_000_000_u64;
            let mut span = json!({
                "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": format!("{:016x}", number + 1),
                "name": "x", "startTimeUnixNano": start.to_string(),
                "endTimeUnixNano": (start + 1_000_000_000).to_string(),
            });
            for (key, value) in set.as_object().unwrap() {
                if key == "attributes" {
                    let attributes: Vec<Value> = value
                        .as_object()
                        .unwrap()
                        .iter()
                        .map(|(key, value)| {
                            let value = match value {
                                Value::String(text) => json!({"stringValue": text}),
                                Value::Number(number) => json!({"intValue": number.to_string()}),
                                other => other.clone(),
                            };
                            json!({"key": key, "value": value})
                        })
                        .collect();
                    span["attributes"] = attributes.into();
                } else {
                    span[key] = value.clone();
                }
            }
            span
        })
        .collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeSpans": [{"scope": {"name": "test"}, "spans": spans}],
    }]})
}

#[test]
fn every_recorded_body_gives_its_calls() {
    let expected = expected();
    assert_eq!(expected.len(), 55);
    for (name, truth) in expected {
        for (file, encoding) in
            [(format!("{name}.bin"), Encoding::Protobuf), (format!("{name}.json"), Encoding::Json)]
        {
            let spans = read(&body(&file), (Signal::Traces, encoding), Texts::Drop, now()).unwrap();
            assert_eq!((spans.refused, spans.unknown_usage), (0, 0), "{file}");
            assert_eq!(spans.spans.len() as u64, truth["spans"].as_u64().unwrap(), "{file}");
            let calls = calls(&spans.spans);
            assert_eq!(calls.len() as u64, truth["http_calls"].as_u64().unwrap(), "{file}: {calls:#?}");
            let failed = calls.iter().filter(|call| call.outcome == Outcome::Error).count();
            assert_eq!(failed as u64, truth["failed"].as_u64().unwrap(), "{file}");
            for call in &calls {
                assert_eq!(call.usage.is_some(), truth["usage_known"] == true, "{file}");
                let (Some(usage), Some(of)) = (call.usage, truth.get("per_call")) else { continue };
                // Some instrumentations say nothing of caches and reasoning: the truth is then not to be known.
                let said = String::from_utf8(body(&format!("{name}.json"))).unwrap();
                let is_said = |key: &str| {
                    truth["told"] == true
                        || !key.starts_with("cache") && key != "reasoning"
                        || said.contains(key.trim_end_matches("_1h"))
                };
                let count =
                    |key: &str| of.get(key).and_then(Value::as_u64).filter(|_| is_said(key)).unwrap_or(0);
                assert_eq!(call.provider, of["provider"], "{file}");
                assert_eq!(call.model, of["model"], "{file}");
                assert_eq!(usage.whole_input() + usage.embedding, count("input_total"), "{file}");
                assert_eq!(usage.cache_read, count("cache_read"), "{file}");
                assert_eq!(usage.cache_write + usage.cache_write_long, count("cache_write"), "{file}");
                assert_eq!(usage.cache_write_long, count("cache_write_1h"), "{file}");
                assert_eq!(usage.whole_output(), count("output"), "{file}");
                assert_eq!(usage.reasoning, count("reasoning"), "{file}");
            }
            let agent = truth.get("agent").and_then(Value::as_str);
            let agent = agent.or_else(|| name.contains("agent3").then_some("planner"));
            assert!(
                calls.iter().all(|call| agent.is_none_or(|agent| call.agent == agent)),
                "{file}: {calls:#?}"
            );
        }
    }
}

#[test]
fn agents_and_tools_that_repeat_usage_are_no_calls() {
    let usage = json!({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner", "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 300, "gen_ai.usage.output_tokens": 30});
    let chat = |id: &str| {
        json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.id": id, "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": "10"})
    };
    let body = of_spans(&[
        json!({"attributes": usage}),
        json!({"parentSpanId": format!("{:016x}", 1), "attributes": chat("a")}),
        json!({"parentSpanId": format!("{:016x}", 1), "attributes": chat("b")}),
        json!({"parentSpanId": format!("{:016x}", 1), "attributes": chat("c")}),
    ]);
    let calls = calls(&traces(&body).spans);
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call.agent == "planner" && !call.agent.is_empty()));
    assert_eq!(resolve(&traces(&body).spans).runs.values().next().unwrap().pipeline, "shop");
    assert_eq!(calls[0].run_id.to_string().replace('-', ""), "0af7651916cd43dd8448eb211c80319c");
}

#[test]
fn outer_spans_of_vercel_repeat_the_inner_ones() {
    let outer = json!({"attributes": {"ai.operationId": "ai.generateText", "ai.model.id": "gpt-4o", "ai.model.provider": "openai.responses",
        "ai.usage.promptTokens": 200, "ai.usage.completionTokens": 20, "ai.telemetry.functionId": "answer"}});
    let inner = |id: &str| {
        json!({"parentSpanId": format!("{:016x}", 1), "attributes": {
        "ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "openai.responses",
        "gen_ai.system": "openai.responses", "gen_ai.response.id": id, "gen_ai.response.model": "gpt-4o-2024-08-06",
        "ai.usage.promptTokens": 100, "ai.usage.completionTokens": 10, "ai.usage.cachedInputTokens": 50,
        "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}})
    };
    let calls = calls(&traces(&of_spans(&[outer.clone(), inner("a"), inner("b")])).spans);
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].provider.as_str(), calls[0].agent.as_str()), ("openai", "answer"));
    assert_eq!(calls[0].usage.unwrap().cache_read, 50);
    // Without the inner ones it is all there is to know.
    assert_eq!(super::tests::calls(&traces(&of_spans(&[outer])).spans).len(), 1);
}

#[test]
fn a_response_id_that_comes_again_later_is_another_call() {
    let chat = |start: u64| {
        json!({"startTimeUnixNano": (1_795_370_000 + start) * 1_000_000_000, "endTimeUnixNano": (1_795_370_001 + start) * 1_000_000_000,
        "attributes": {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m",
        "gen_ai.response.id": "chatcmpl-1", "gen_ai.usage.input_tokens": 1, "gen_ai.usage.output_tokens": 1}})
    };
    // One after the other, and at once: an instrumentation tells of a call once.
    assert_eq!(calls(&traces(&of_spans(&[chat(0), chat(5), chat(10)])).spans).len(), 3);
    assert_eq!(calls(&traces(&of_spans(&[chat(0), chat(0), chat(0)])).spans).len(), 3);
}

#[test]
fn a_retry_is_two_calls() {
    let outer = json!({"attributes": {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "m",
        "gen_ai.response.id": "msg_1", "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 1}});
    let failed = json!({"parentSpanId": format!("{:016x}", 1), "status": {"code": 2},
        "attributes": {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "m"}});
    let answered = json!({"parentSpanId": format!("{:016x}", 1), "attributes": {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "m", "gen_ai.response.id": "msg_1", "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 1}});
    let calls = calls(&traces(&of_spans(&[outer, failed, answered])).spans);
    assert_eq!(calls.len(), 2);
    assert_eq!(calls.iter().filter(|call| call.usage.is_none()).count(), 1);
}

#[test]
fn the_run_and_step_that_are_named_are_taken() {
    let run = "0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60";
    let step = "0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f61";
    let body = of_spans(&[
        json!({"attributes": {"asmm.run.id": run, "asmm.step.id": step, "asmm.prompt.version": "greet@2"}}),
        json!({"parentSpanId": format!("{:016x}", 1), "attributes": {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}}),
    ]);
    let resolved = resolve(&traces(&body).spans);
    let call = resolved.calls.values().next().unwrap();
    assert_eq!(
        (call.run_id.to_string(), call.step_id.unwrap().to_string()),
        (run.to_owned(), step.to_owned())
    );
    assert_eq!(resolved.steps.values().next().unwrap().prompt_version.as_deref(), Some("greet@2"));
    assert_eq!(call.usage, None);
}

#[test]
fn log_events_of_agents_are_calls() {
    let record = |name: &str, attributes: Value| {
        let attributes: Vec<Value> = attributes
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
            .collect();
        json!({"timeUnixNano": "1795370000000000000", "body": {"stringValue": name}, "attributes": attributes})
    };
    let body = json!({"resourceLogs": [{"scopeLogs": [{"scope": {"name": "x"}, "logRecords": [
        record("codex.sse_event", json!({"event.name": "codex.sse_event", "event.kind": "response.created", "conversation.id": "c"})),
        record("codex.sse_event", json!({"event.name": "codex.sse_event", "event.kind": "response.completed", "conversation.id": "c", "model": "gpt-5-codex",
            "input_token_count": "1200", "cached_token_count": "1024", "output_token_count": "80", "reasoning_token_count": "16"})),
        record("claude_code.api_request", json!({"session.id": "s", "model": "claude-sonnet-4-5", "input_tokens": "10", "output_tokens": "300",
            "cache_read_tokens": "50000", "cache_creation_tokens": "2000", "duration_ms": "1500"})),
        record("claude_code.user_prompt", json!({"session.id": "s"})),
    ]}]}]});
    let spans =
        read(body.to_string().as_bytes(), (Signal::Logs, Encoding::Json), Texts::Drop, now()).unwrap();
    assert_eq!((spans.spans.len(), spans.refused), (2, 0));
    let calls = calls(&spans.spans);
    let usage: Vec<_> =
        calls.iter().map(|call| (call.model.as_str(), call.usage.unwrap().whole_input())).collect();
    assert!(
        usage.contains(&("gpt-5-codex", 1200)) && usage.contains(&("claude-sonnet-4-5", 52010)),
        "{usage:?}"
    );
    let again =
        read(body.to_string().as_bytes(), (Signal::Logs, Encoding::Json), Texts::Drop, now()).unwrap();
    assert_eq!(again, spans);
}

#[test]
fn what_is_no_body_is_refused_in_words() {
    for (bytes, encoding) in [
        (&b"\x0a\xff\xff\xff\xff\xff\xff"[..], Encoding::Protobuf),
        (b"{\"resourceSpans\": [{\"scopeSpans\": 7}]}", Encoding::Json),
        (b"", Encoding::Json),
        (b"{\"resourceSpans\": [{\"scopeSpans\": [{\"spans\": [{\"traceId\": \"zz\"}]}]}]}", Encoding::Json),
    ] {
        let error = read(bytes, (Signal::Traces, encoding), Texts::Drop, now()).unwrap_err();
        assert!(error.to_string().contains("the body is no"), "{error}");
    }
    // What takes little to send and much to hold.
    let bomb = |attributes: usize| {
        let span: Vec<u8> = [0x4a, 0x00].repeat(attributes);
        let field = |number: u8, held: &[u8]| {
            let mut bytes = vec![number << 3 | 2];
            prost::encode_length_delimiter(held.len(), &mut bytes).unwrap();
            bytes.extend_from_slice(held);
            bytes
        };
        field(1, &field(2, &field(2, &span)))
    };
    let error = read(&bomb(100_000), (Signal::Traces, Encoding::Protobuf), Texts::Drop, now()).unwrap_err();
    assert!(error.to_string().contains("more than 20000 attributes"), "{error}");
    assert_eq!(
        read(&bomb(10_000), (Signal::Traces, Encoding::Protobuf), Texts::Drop, now()).unwrap().refused,
        1
    );
    let empty = format!("{{\"resourceSpans\":[{}{{}}]}}", "{},".repeat(100_000));
    let error = read(empty.as_bytes(), (Signal::Traces, Encoding::Json), Texts::Drop, now()).unwrap_err();
    assert!(error.to_string().contains("nearly all of them empty"), "{error}");
    // A span without an id is counted, and the others are taken.
    let body = of_spans(&[json!({"spanId": ""}), json!({}), json!({"startTimeUnixNano": "0"})]);
    let read = traces(&body);
    assert_eq!((read.spans.len(), read.refused), (1, 2));
}

/// Bodies that are cut, flipped and mixed are read or refused, and never more than was sent.
#[test]
fn damaged_bodies_are_read_or_refused() {
    let mut state = 7_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % limit.max(1)
    };
    let (mut taken, mut refused) = (0, 0);
    for name in expected().keys() {
        for (file, encoding) in
            [(format!("{name}.bin"), Encoding::Protobuf), (format!("{name}.json"), Encoding::Json)]
        {
            let whole = body(&file);
            for round in 0..120 {
                let mut bytes = whole.clone();
                match round % 3 {
                    0 => bytes.truncate(below(whole.len())),
                    1 => {
                        for _ in 0..=below(8) {
                            let place = below(bytes.len());
                            bytes[place] ^= 1 << below(8);
                        }
                    }
                    _ => {
                        let (from, to) = (below(whole.len()), below(whole.len()));
                        let part = whole[from..(from + below(200)).min(whole.len())].to_vec();
                        bytes.splice(to..to, part);
                    }
                }
                for signal in [Signal::Traces, Signal::Logs] {
                    match read(&bytes, (signal, encoding), Texts::Keep, now()) {
                        Ok(spans) => {
                            taken += 1;
                            assert!(spans.spans.len() <= 20);
                            resolve(&spans.spans);
                        }
                        Err(error) => {
                            refused += 1;
                            assert!(error.to_string().contains("the body is no"), "{error}");
                        }
                    }
                }
            }
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} {refused}");
}
