use super::*;
use crate::domain::{
    Call, CallId, FinishRun, Outcome, RunId, StartRun, StartStep, Status, StepId, TokenUsage,
};
use proptest::prelude::*;
use uuid::Uuid;

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn complaint(text: &str) -> String {
    parse_line(text, now()).unwrap_err().to_string()
}

const RUN: &str = "0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60";

#[test]
fn errors_name_the_key() {
    let call = |rest: &str| {
        format!(
            r#"{{"type":"call","run_id":"{RUN}","call_id":"{RUN}","model":"m","called_at":"2026-01-01T00:00:00Z"{rest}}}"#
        )
    };
    assert!(parse_line(&call(""), now()).is_ok());
    for (text, expected) in [
        (call(r#","usage":{"input":"5"}"#), "key `usage.input`: invalid type: string, expected u64"),
        (call(r#","usage":7"#), "key `usage`: invalid type: integer `7`"),
        (call(r#","latency_ms":-1"#), "key `latency_ms`: invalid value: integer `-1`, expected u64"),
        (call(r#","modle":"x""#), "unknown key `modle`, expected one of `run_id`"),
        (call(r#","usage":{"inputs":1}"#), "unknown key `inputs`, expected one of `input`"),
        (call(r#","model":"x""#), "key `model` is there twice"),
        (call(r#","usage":{"input":2000000000}"#), "usage `input` is 2000000000"),
        (call(r#","agent":"a"#), "the JSON is broken: EOF while parsing"),
        (format!("{} x", call("")), "the JSON is broken: trailing characters"),
        (r#"{"type":"finish","run_id":"x","status":"failed"}"#.to_owned(), "key `run_id`: "),
        (format!(r#"{{"type":"finish","run_id":"{RUN}"}}"#), "key `status` is missing"),
        (format!(r#"{{"run_id":"{RUN}"}}"#), "key `type` is missing"),
        (format!(r#"{{"run_id":"{RUN}","type":5}}"#), "key `type`: invalid type: integer `5`"),
        (r#"{"type":"run","#.to_owned(), "the JSON is broken"),
        (r#"{"type":"price","#.to_owned(), "the JSON is broken"),
        ("[1]".to_owned(), "not a JSON object"),
    ] {
        let said = complaint(&text);
        assert!(said.contains(expected), "{text}\n{said}");
        assert!(!said.contains("line 1"), "{said}");
    }
}

#[test]
fn the_type_may_come_last_and_other_types_are_handed_on() {
    let finish = format!(r#" {{"run_id":"{RUN}","status":"failed","type":"finish"}}"#);
    assert!(matches!(parse_line(&finish, now()), Ok(Line::Event(Event::Finish(_)))));
    let json = r#"{"type":"price","model":"m"}"#;
    let other = Line::Other { kind: "price".to_owned(), json: json.to_owned() };
    assert_eq!(parse_line(json, now()).unwrap(), other);
}

#[test]
fn a_bad_line_is_reported_and_the_rest_is_read() {
    let text = format!("\n{{}}\nx\n{{\"type\":\"finish\",\"run_id\":\"{RUN}\",\"status\":\"failed\"}}\n\0\n");
    let mut complaints = Complaints::default();
    let mut seen = Vec::new();
    read("f.jsonl", &mut Lines::new(text.as_bytes()).unwrap(), now(), &mut complaints, |number, _| {
        seen.push(number);
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, [4]);
    assert_eq!(complaints.total(), 3);
    assert_eq!(complaints.first()[0], "f.jsonl:2: column 2: key `type` is missing");
    assert_eq!(complaints.first()[2], "f.jsonl:5: column 1: the line holds a NUL byte");
}

fn time() -> impl Strategy<Value = Timestamp> {
    (Timestamp::EARLIEST.micros()..now().micros()).prop_map(Timestamp::from_micros)
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 \"\\\\é漢/@-]{0,12}x"
}

fn run_id() -> impl Strategy<Value = RunId> {
    any::<u128>().prop_map(|bits| RunId(Uuid::from_u128(bits)))
}

fn step_id() -> impl Strategy<Value = StepId> {
    any::<u128>().prop_map(|bits| StepId(Uuid::from_u128(bits)))
}

fn usage() -> impl Strategy<Value = TokenUsage> {
    prop::array::uniform8(0_u64..=1_000_000_000).prop_map(|n| TokenUsage {
        input: n[0],
        cache_read: n[1],
        cache_write: n[2],
        cache_write_long: n[3],
        output: n[4],
        reasoning: n[5],
        embedding: n[6],
        web_searches: n[7],
    })
}

fn call() -> impl Strategy<Value = Event> {
    let ids = (run_id(), any::<u128>(), prop::option::of(step_id()), time(), prop::option::of(usage()));
    let words = (word(), word(), word(), prop::option::of(word()), prop::option::of(word()));
    (ids, words, prop::option::of(0_u64..1000), any::<bool>()).prop_map(|(ids, words, latency_ms, ok)| {
        Event::Call(Call {
            run_id: ids.0,
            call_id: CallId(Uuid::from_u128(ids.1)),
            step_id: ids.2,
            called_at: ids.3,
            usage: ids.4,
            agent: words.0,
            provider: String::new(),
            model: words.1,
            operation: "chat".to_owned(),
            service_tier: words.2,
            response_id: words.3,
            pipeline: words.4,
            prompt: None,
            latency_ms,
            outcome: if ok { Outcome::Ok } else { Outcome::Error },
        })
    })
}

fn event() -> impl Strategy<Value = Event> {
    let run = (run_id(), word(), time(), prop::collection::btree_map(word(), word(), 0..3)).prop_map(
        |(run_id, pipeline, started_at, labels)| {
            let (parent_run_id, replay_of) = (None, None);
            Event::Run(StartRun { run_id, pipeline, started_at, labels, parent_run_id, replay_of })
        },
    );
    let step = (run_id(), step_id(), word(), prop::option::of(time()), 1_u32..9).prop_map(
        |(run_id, step_id, step, started_at, attempt)| {
            Event::Step(StartStep {
                run_id,
                step_id,
                step,
                agent: String::new(),
                prompt_version: Some("name@7".to_owned()),
                attempt,
                started_at,
                status: started_at.map(|_| Status::Failed),
                completed_at: started_at,
            })
        },
    );
    let finish = (run_id(), prop::option::of(time())).prop_map(|(run_id, completed_at)| {
        Event::Finish(FinishRun { run_id, status: Status::Cancelled, completed_at })
    });
    prop_oneof![run, step, call(), finish]
}

proptest! {
    #[test]
    fn what_is_written_is_read(event in event()) {
        let mut line = Vec::new();
        write_event(&event, &mut line).unwrap();
        let text = std::str::from_utf8(&line).unwrap();
        prop_assert_eq!(text.find('\n'), Some(text.len() - 1));
        prop_assert_eq!(parse_line(text.trim_end(), now()).unwrap(), Line::Event(event));
    }
}
