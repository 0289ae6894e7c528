//! Prompts and answers in spans.

use super::{body, expected, now, of_spans};
use crate::domain::{CallPrompt, Sanitisation, Span};
use crate::intake::otlp::{Encoding, Signal, Texts, read};
use serde_json::{Value, json};

fn kept(body: &Value) -> Vec<Span> {
    read(body.to_string().as_bytes(), (Signal::Traces, Encoding::Json), Texts::Keep, now()).unwrap().spans
}

fn prompt(span: &Span) -> Option<&CallPrompt> {
    span.report.as_ref()?.prompt.as_deref()
}

/// What is kept of a call with these attributes, and with whatever else is set.
fn of_call(attributes: &Value, more: &Value) -> Option<CallPrompt> {
    let mut attributes = attributes.clone();
    attributes["gen_ai.operation.name"] = "chat".into();
    attributes["gen_ai.request.model"] = "gpt-4o".into();
    let mut set = json!({"attributes": attributes});
    for (key, value) in more.as_object().into_iter().flatten() {
        set[key] = value.clone();
    }
    prompt(&kept(&of_spans(&[set]))[0]).cloned()
}

/// Of every recorded body with a text the calls say what was sent and answered; the requests of all of them were alike.
#[test]
fn recorded_bodies_say_what_was_sent() {
    let mut told = 0;
    for name in expected().keys() {
        let mut of_both = Vec::new();
        for (file, encoding) in
            [(format!("{name}.bin"), Encoding::Protobuf), (format!("{name}.json"), Encoding::Json)]
        {
            let dropped = read(&body(&file), (Signal::Traces, encoding), Texts::Drop, now()).unwrap().spans;
            assert!(dropped.iter().all(|span| prompt(span).is_none()), "{file}");
            let spans = read(&body(&file), (Signal::Traces, encoding), Texts::Keep, now()).unwrap().spans;
            let without: Vec<Span> = spans
                .iter()
                .cloned()
                .map(|mut span| {
                    if let Some(report) = &mut span.report {
                        report.prompt = None;
                    }
                    span
                })
                .collect();
            assert_eq!(without, dropped, "{file}");
            let mut calls = super::calls(&spans);
            for call in &mut calls {
                call.prompt = None;
            }
            assert_eq!(calls, super::calls(&dropped), "{file}");
            of_both.push(spans);
        }
        assert_eq!(of_both[0], of_both[1], "{name}");
        for prompt in of_both[0].iter().filter_map(prompt) {
            assert_eq!(prompt.sanitisation, Sanitisation::Unscanned);
            let messages = prompt.messages.as_deref().unwrap_or_default();
            if name.contains("embeddings") {
                assert!(!messages.is_empty() && prompt.output.is_none(), "{name}: {prompt:?}");
                continue;
            }
            let first = messages.iter().find(|message| message["role"] == "user");
            let content = first.map_or(&Value::Null, |message| &message["content"]);
            let said = content.as_str().or_else(|| content[0]["text"].as_str());
            let is_sent = said.is_some_and(|said| ["hi", "say hello"].contains(&said));
            assert!(is_sent, "{name}: {messages:?}");
            for answer in prompt.output.iter().flatten() {
                assert_eq!(answer["role"], "assistant", "{name}: {answer}");
                let content = &answer["content"];
                let said = content.as_str().or_else(|| content[0]["text"].as_str());
                assert!(
                    said.is_some_and(|said| ["Hello, world.", "hello there"].contains(&said))
                        || answer.get("tool_calls").is_some(),
                    "{name}: {answer}"
                );
                told += 1;
            }
        }
    }
    assert!(told >= 30, "{told}");
}

#[test]
fn every_dialect_becomes_messages_of_a_chat() {
    let cases = [
        // OpenTelemetry.
        (
            json!({
                "gen_ai.system_instructions": r#"[{"type":"text","content":"Be brief."}]"#,
                "gen_ai.input.messages": r#"[{"role":"user","name":null,"parts":[{"type":"text","content":"a"},{"type":"blob","content":"b"}]},
                    {"role":"assistant","parts":[{"type":"tool_call","id":"c1","name":"w","arguments":{"q":1}}]},
                    {"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":"sunny"}]}]"#,
                "gen_ai.output.messages":
                    r#"[{"role":"assistant","parts":[{"type":"text","content":"It is."}],"finish_reason":"stop"}]"#,
            }),
            json!([
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "blob", "content": "b"}]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{\"q\":1}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
            ]),
            json!([{"role": "assistant", "content": "It is."}]),
        ),
        // Traceloop of old.
        (
            json!({
                "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "Be brief.",
                "gen_ai.prompt.1.role": "user", "gen_ai.prompt.1.content": "{\"not\": \"parsed\"}",
                "gen_ai.prompt.10.role": "user", "gen_ai.prompt.10.content": "last",
                "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "yes",
                "gen_ai.completion.0.tool_calls.0.id": "c1", "gen_ai.completion.0.tool_calls.0.name": "w",
                "gen_ai.completion.0.tool_calls.0.arguments": "{}",
            }),
            json!([
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "{\"not\": \"parsed\"}"},
                {"role": "user", "content": "last"},
            ]),
            json!([{"role": "assistant", "content": "yes", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{}"}}]}]),
        ),
        // OpenInference.
        (
            json!({
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.contents.0.message_content.type": "text",
                "llm.input_messages.0.message.contents.0.message_content.text": "a",
                "llm.output_messages.0.message.role": "assistant",
                "llm.output_messages.0.message.content": "b",
            }),
            json!([{"role": "user", "content": [{"type": "text", "text": "a"}]}]),
            json!([{"role": "assistant", "content": "b"}]),
        ),
        (
            json!({"llm.prompts.0.prompt.text": "a", "llm.completions.0.completion.text": "b"}),
            json!([{"role": "user", "content": "a"}]),
            json!([{"role": "assistant", "content": "b"}]),
        ),
        // Vercel.
        (
            json!({
                "ai.prompt.messages": r#"[{"role":"user","content":[{"type":"text","text":"a"}]}]"#,
                "ai.response.text": "[1, 2]",
                "ai.response.toolCalls": r#"[{"toolCallId":"c1","toolName":"w","input":{"q":1}}]"#,
            }),
            json!([{"role": "user", "content": [{"type": "text", "text": "a"}]}]),
            json!([{"role": "assistant", "content": "[1, 2]", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{\"q\":1}"}}]}]),
        ),
        (
            json!({"ai.prompt": r#"{"prompt":"a"}"#, "ai.response.object": r#"{"b":1}"#}),
            json!([{"role": "user", "content": "a"}]),
            json!([{"role": "assistant", "content": "{\"b\":1}"}]),
        ),
        // Langfuse and MLflow.
        (
            json!({
                "langfuse.observation.input": r#"[{"role":"user","content":"a"}]"#,
                "langfuse.observation.output": r#"{"role":"assistant","content":"b"}"#,
            }),
            json!([{"role": "user", "content": "a"}]),
            json!([{"role": "assistant", "content": "b"}]),
        ),
        (
            json!({
                "mlflow.spanInputs": r#"{"messages":[{"role":"user","content":"a"}],"temperature":0}"#,
                "mlflow.spanOutputs": "\"b\"",
            }),
            json!([{"role": "user", "content": "a"}]),
            json!([{"role": "assistant", "content": "\"b\""}]),
        ),
    ];
    for (attributes, messages, output) in cases {
        let kept = of_call(&attributes, &Value::Null).unwrap();
        assert_eq!((json!(kept.messages), json!(kept.output)), (messages, output), "{attributes}");
        // The digests are those of what is stored.
        kept.check(now()).unwrap();
        assert!(kept.text_sha256.is_some() && kept.output_sha256.is_some());
    }
}

#[test]
fn events_of_a_span_tell_texts_too() {
    let event = |name: &str, attributes: Value| {
        let attributes: Vec<Value> = attributes
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
            .collect();
        json!({"name": name, "timeUnixNano": "1795370000000000000", "attributes": attributes})
    };
    let (asked, answered) =
        (json!([{"role": "user", "content": "a"}]), json!([{"role": "assistant", "content": "b"}]));
    let of_old = json!([
        event("gen_ai.user.message", json!({"content": "a"})),
        event(
            "gen_ai.choice",
            json!({"index": "0", "finish_reason": "stop", "message": "{\"content\":\"b\"}"})
        ),
        event("exception", json!({"exception.message": "c"})),
    ]);
    let whole = json!([
        event("gen_ai.content.prompt", json!({"gen_ai.prompt": asked.to_string()})),
        event("gen_ai.content.completion", json!({"gen_ai.completion": answered.to_string()})),
    ]);
    let details = json!([event(
        "gen_ai.client.inference.operation.details",
        json!({
            "gen_ai.input.messages": "[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"a\"}]}]",
            "gen_ai.output.messages": "[{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\",\"content\":\"b\"}]}]",
        })
    )]);
    for events in [of_old, whole, details] {
        let kept = of_call(&json!({}), &json!({"events": events})).unwrap();
        assert_eq!((json!(kept.messages), json!(kept.output)), (asked.clone(), answered.clone()), "{events}");
    }
}

fn of_log(attributes: &Value, more: &Value, texts: Texts) -> Vec<Span> {
    let attributes: Vec<Value> = attributes
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
        .collect();
    let mut record = json!({
        "timeUnixNano": "1795370000500000000",
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "0000000000000001",
        "attributes": attributes,
    });
    for (key, value) in more.as_object().unwrap() {
        record[key] = value.clone();
    }
    let body =
        json!({"resourceLogs": [{"scopeLogs": [{"scope": {"name": "test"}, "logRecords": [record]}]}]});
    read(body.to_string().as_bytes(), (Signal::Logs, Encoding::Json), texts, now()).unwrap().spans
}

/// What is counted, and under which id, does not depend on whether texts are kept.
#[test]
fn texts_of_log_events_change_no_call() {
    let event = json!({"eventName": "gen_ai.client.inference.operation.details"});
    let mut attributes = json!({
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.input.messages": "[{\"role\":\"user\",\"content\":\"a\"}]",
    });
    // Without usage it is no report of a call, also if it has texts.
    for texts in [Texts::Drop, Texts::Keep] {
        assert_eq!(of_log(&attributes, &event, texts), []);
    }
    attributes["gen_ai.usage.input_tokens"] = "5".into();
    let dropped = of_log(&attributes, &event, Texts::Drop);
    let kept = of_log(&attributes, &event, Texts::Keep);
    // The id that it had before there were texts, so that nothing is counted again.
    assert_eq!(dropped[0].span_id.to_string(), "dfb068c1bb902bc4");
    assert_eq!(kept[0].span_id, dropped[0].span_id);
    assert_eq!(json!(prompt(&kept[0]).unwrap().messages), json!([{"role": "user", "content": "a"}]));
}

/// A body may be any text: it names no span.
#[test]
fn the_body_of_a_log_event_is_not_kept() {
    let attributes = json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": "5"});
    let spans = of_log(&attributes, &json!({"body": {"stringValue": "my password is hunter2"}}), Texts::Keep);
    assert_eq!((spans.len(), spans[0].name.as_str()), (1, ""));
}

/// What was sent may be told by one report of a call, and what was answered by another.
#[test]
fn each_side_is_taken_from_whoever_tells_it() {
    let call = |more: Value| {
        let mut attributes = json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m",
            "gen_ai.response.id": "r1", "gen_ai.usage.input_tokens": 5});
        attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        attributes
    };
    let outer = json!({"attributes": call(json!({"gen_ai.input.messages": "[{\"role\":\"user\",\"content\":\"a\"}]"}))});
    let inner = json!({"parentSpanId": "0000000000000001",
        "attributes": call(json!({"gen_ai.output.messages": "[{\"role\":\"assistant\",\"content\":\"b\"}]"}))});
    let calls = super::calls(&kept(&of_spans(&[outer, inner])));
    assert_eq!(calls.len(), 1);
    let prompt = calls[0].prompt.as_ref().unwrap();
    assert_eq!(json!(prompt.messages), json!([{"role": "user", "content": "a"}]));
    assert_eq!(json!(prompt.output), json!([{"role": "assistant", "content": "b"}]));
}

/// A text keeps every character, whatever it looks like.
#[test]
fn what_only_looks_like_json_stays_as_it_is() {
    let whole = |attributes: Value| json!(of_call(&attributes, &Value::Null).unwrap().messages);
    for text in [
        r#"{ "b": 1.50,  "a": 2 }"#,
        // No two programs agree on this number.
        r#"[{"role": "user", "content": 0.30000000000000004}]"#,
        "[1, 2]",
        &format!("[{}0]", "0,".repeat(1 << 20)),
    ] {
        assert_eq!(whole(json!({"input.value": text})), json!([{"role": "user", "content": text}]));
    }
    let event = json!([{"name": "gen_ai.user.message", "attributes": [
        {"key": "content", "value": {"stringValue": "{\"b\":  1}"}}]}]);
    let kept = of_call(&json!({}), &json!({"events": event})).unwrap();
    assert_eq!(json!(kept.messages), json!([{"role": "user", "content": "{\"b\":  1}"}]));
}

#[test]
fn what_is_no_text_or_too_large_leaves_the_call_alone() {
    let none = [
        json!({}),
        json!({"gen_ai.input.messages": "[]", "gen_ai.prompt.x": "y", "gen_ai.prompt.1": "z", "input.value": ""}),
        json!({"gen_ai.input.messages": {"arrayValue": {}}}),
        json!({"ai.prompt.messages": {"bytesValue": "AAAA"}}),
    ];
    for attributes in none {
        assert!(of_call(&attributes, &Value::Null).is_none());
    }
    // Of what cannot be stored the digest says that there was something; the other side is kept.
    for text in ["x".repeat(5 << 20), "a\u{0}b".to_owned()] {
        let kept = of_call(&json!({"input.value": text, "output.value": "b"}), &Value::Null).unwrap();
        assert!(kept.messages.is_none() && kept.text_sha256.is_some());
        assert_eq!(json!(kept.output), json!([{"role": "assistant", "content": "b"}]));
        kept.check(now()).unwrap();
    }
    // Paths that contradict each other, and deep ones.
    let path = format!("gen_ai.prompt.0.{}", "a.".repeat(5000));
    let kept = of_call(
        &json!({"gen_ai.prompt.0.content": "a", "gen_ai.prompt.0.content.b": "c", "gen_ai.prompt.0.role": "user", path: "d"}),
        &Value::Null,
    );
    assert_eq!(kept.unwrap().messages.unwrap()[0]["content"], "a");
    // No JSON, but a text all the same.
    let kept = of_call(&json!({"input.value": "[not json"}), &Value::Null).unwrap();
    assert_eq!(json!(kept.messages), json!([{"role": "user", "content": "[not json"}]));
}
