//! A body as `asmm serve` gets it: unpacked, read, checked and resolved. The first byte says how it is sent.
#![no_main]

use asmm::domain::{Span, Timestamp, resolve};
use asmm::intake::Complaints;
use asmm::intake::otlp::{self, Encoding, Signal, Texts};
use libfuzzer_sys::fuzz_target;
use std::io::Read;

/// The most that is unpacked: what is larger finds nothing new, and takes its time.
const MAX_UNPACKED: u64 = 1 << 20;

fuzz_target!(|sent: &[u8]| {
    let Some((how, body)) = sent.split_first() else { return };
    let now: Timestamp = "2026-11-30T12:00:00Z".parse().expect("it is a time");
    let mut unpacked = Vec::new();
    let body = if how & 4 == 0 {
        body
    } else {
        let mut packed = flate2::read::MultiGzDecoder::new(body).take(MAX_UNPACKED);
        if packed.read_to_end(&mut unpacked).is_err() {
            return;
        }
        &unpacked
    };
    let encoding = if how & 1 == 0 { Encoding::Protobuf } else { Encoding::Json };
    let signal = if how & 2 == 0 { Signal::Traces } else { Signal::Logs };
    let texts = if how & 8 == 0 { Texts::Drop } else { Texts::Keep };
    if let Ok(read) = otlp::read(body, (signal, encoding), texts, now) {
        check(&read.spans, now);
        assert!(read.spans.len() as u64 + read.refused <= body.len() as u64);
    }
    // And as a file, which tells by itself what it is.
    let mut spans = Vec::new();
    let mut complaints = Complaints::default();
    let _ = otlp::read_file("body", &mut &*body, (texts, now), &mut complaints, |_, span| {
        spans.push(span);
        Ok(())
    });
    check(&spans, now);
});

/// What the ledger relies on of whatever was read.
fn check(spans: &[Span], now: Timestamp) {
    for span in spans {
        span.check(now).expect("what is read is checked");
    }
    let resolved = resolve(spans);
    assert!(resolved.calls.len() <= spans.len());
    assert!(resolved.calls.keys().all(|(run_id, _)| resolved.runs.contains_key(run_id)));
    // The order in which they came changes nothing: but of two with one id the first counts.
    let mut ids: Vec<_> = spans.iter().map(|span| (span.trace_id, span.span_id)).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() == spans.len() {
        assert!(resolve(spans.iter().rev()) == resolved, "another order gives other calls");
    }
    // What is in the spool meanwhile is the same.
    for span in spans {
        let line = serde_json::to_string(span).expect("a span is written");
        assert!(serde_json::from_str::<Span>(&line).expect("a span is read again") == *span);
    }
}
