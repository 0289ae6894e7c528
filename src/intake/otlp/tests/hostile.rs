//! Values inside of each other, and more of them than anybody sends.

use super::{now, of_spans, traces};
use crate::intake::otlp::{Encoding, Signal, Texts, proto, read};
use prost::Message as _;
use serde_json::{Value, json};

/// A text inside of that many arrays and maps in turn.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!({"stringValue": "x"}), |inner, level| {
        if level % 2 == 0 {
            json!({"arrayValue": {"values": [inner]}})
        } else {
            json!({"kvlistValue": {"values": [{"key": "k", "value": inner}]}})
        }
    })
}

/// The same as protobuf: a body with one span that has one such attribute.
fn nested_protobuf(depth: usize) -> Vec<u8> {
    let field = |number: u8, held: &[u8]| {
        let mut bytes = vec![number << 3 | 2];
        prost::encode_length_delimiter(held.len(), &mut bytes).unwrap();
        bytes.extend_from_slice(held);
        bytes
    };
    let mut value = field(1, b"x");
    for level in 0..depth {
        value = if level % 2 == 0 {
            field(5, &field(1, &value))
        } else {
            field(6, &field(1, &[field(1, b"k"), field(2, &value)].concat()))
        };
    }
    let attribute = field(9, &[field(1, b"deep"), field(2, &value)].concat());
    let span = proto::Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        start_time_unix_nano: 1_795_370_000_000_000_000,
        ..proto::Span::default()
    };
    let span = [span.encode_to_vec(), attribute].concat();
    field(1, &field(2, &field(2, &span)))
}

#[test]
fn values_inside_of_each_other_are_read_or_refused() {
    for depth in [1, 10] {
        let body = of_spans(&[json!({"attributes": {"deep": nested(depth)}})]);
        assert_eq!(traces(&body).spans.len(), 1, "{depth}");
        let read =
            read(&nested_protobuf(depth), (Signal::Traces, Encoding::Protobuf), Texts::Drop, now()).unwrap();
        assert_eq!((read.spans.len(), read.refused), (1, 0), "{depth}");
    }
    // Deeper than a stack.
    for depth in [200, 5000] {
        let error = read(&nested_protobuf(depth), (Signal::Traces, Encoding::Protobuf), Texts::Drop, now())
            .unwrap_err();
        assert!(error.to_string().contains("the body is no protobuf"), "{error}");
        let body = of_spans(&[json!({"attributes": {"deep": "HERE"}})]).to_string();
        let arrays = "{\"arrayValue\":{\"values\":[".repeat(depth) + &"]}}".repeat(depth);
        let deep = body.replace("{\"stringValue\":\"HERE\"}", &arrays);
        let error = read(deep.as_bytes(), (Signal::Traces, Encoding::Json), Texts::Drop, now()).unwrap_err();
        assert!(error.to_string().contains("the body is no JSON"), "{error}");
    }
}

/// What is not read is passed over without a stack of its own, however deep it is: a field that is not known, wherever it is.
#[test]
fn what_is_passed_over_may_be_deep() {
    let depth = 1_000_000;
    let deep = "[".repeat(depth) + &"]".repeat(depth);
    let body = of_spans(&[json!({"attributes": {"a": "HERE"}})]).to_string();
    let in_value =
        body.replace("{\"stringValue\":\"HERE\"}", &format!("{{\"stringValue\":\"x\",\"other\":{deep}}}"));
    let beside = body.replacen('{', &format!("{{\"other\":{deep},"), 1);
    for body in [in_value, beside] {
        assert!(body.len() > 2 * depth, "it is in there");
        let read = read(body.as_bytes(), (Signal::Traces, Encoding::Json), Texts::Drop, now()).unwrap();
        assert_eq!((read.spans.len(), read.refused), (1, 0));
    }
}

/// Attributes with something in them are sent and held at about the same price; which of a name counts is the last.
#[test]
fn a_hundred_thousand_attributes_of_a_span_are_read() {
    let attributes: serde_json::Map<String, Value> = (0..100_000)
        .map(|number| (format!("some.attribute.of.mine.{number}"), json!("with a text as long as they are")))
        .chain([
            ("gen_ai.operation.name".to_owned(), json!("chat")),
            ("gen_ai.request.model".to_owned(), json!("m")),
        ])
        .collect();
    let body = of_spans(&[json!({"attributes": attributes})]);
    let read = traces(&body);
    assert_eq!(read.spans.len(), 1);
    assert_eq!(read.spans[0].report.as_ref().unwrap().asked_model, "m");
}
