//! Ten thousand random prompts and inputs: the same text and digest on either database, and in a new process.

use super::{replayed, version_of};
use crate::support::{TestDb, block_on};
use crate::writing::{now, open, run_id, start};
use asmm::domain::{CallPrompt, SentPrompt};
use asmm::prompt::parse_file;
use serde_json::{Map, Value};
use std::fmt::Write;

const PROMPTS: usize = 100;
const INPUTS: usize = 100;

/// A small generator of numbers, the same in every run of the tests.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn text(&mut self, pieces: &[&str]) -> String {
        (0..self.below(8)).map(|_| pieces[self.below(pieces.len())]).collect()
    }
}

const WORDS: [&str; 14] =
    ["a", " ", "\n", "\r\n", "\t", "e\u{301}", "\u{10348}", "{", "}", "\"", "\\", "\u{2028}", "日本", "."];
const VALUES: [&str; 10] =
    ["{{", "}}", "{{a}}", "{{{{", "\u{0}x", "\u{1f}", "é", "\r\n", "plain", "\u{feff}"];

/// A prompt of three variables, as JSON, which is YAML.
fn prompt(random: &mut Random, number: usize) -> String {
    let mut content = String::new();
    for name in ["a", "b", "c"] {
        // A brace of the text's own must not open a variable.
        let text = random.text(&WORDS).replace('{', "{{{{");
        write!(content, "{text}{{{{{}{name}}}}}", " ".repeat(random.below(2))).unwrap();
    }
    serde_json::json!({
        "schema": "asmm.prompt/v1", "name": format!("random/p{number}"), "engine": "subst/1",
        "variables": {"a": {"type": "string"}, "b": {"type": "string", "default": "x"}, "c": {"type": "number"}},
        "messages": [{"role": "system", "content": random.text(&WORDS).replace('{', "(")}, {"role": "user", "content": content}],
    })
    .to_string()
}

fn inputs(random: &mut Random) -> Map<String, Value> {
    let mut inputs = Map::new();
    inputs.insert("a".into(), random.text(&VALUES).replace('\0', "").into());
    if random.below(2) == 0 {
        inputs.insert("b".into(), random.text(&VALUES).replace('\0', "").into());
    }
    let number = f64::from(u32::try_from(random.below(1_000_000)).unwrap()) / 1000.0;
    inputs.insert("c".into(), number.into());
    inputs
}

#[test]
fn are_the_same_everywhere_and_afterwards() {
    let mut random = Random(7);
    let yamls: Vec<String> = (0..PROMPTS).map(|number| prompt(&mut random, number)).collect();
    let mut all: Vec<SentPrompt> = Vec::new();
    let mut expected = Vec::new();
    for (number, yaml) in yamls.iter().enumerate() {
        let content = parse_file("random.yaml", yaml.as_bytes()).unwrap().content;
        for _ in 0..INPUTS {
            let inputs = inputs(&mut random);
            let rendered = content.render(&inputs).unwrap();
            expected.push((rendered.to_values(), rendered.digest().unwrap()));
            let prompt = CallPrompt {
                version: Some(format!("random/p{number}@1")),
                inputs: Some(inputs),
                ..CallPrompt::default()
            };
            let call_id = super::call_id(u128::try_from(all.len()).unwrap() + 1);
            all.push(SentPrompt { run_id: run_id(1), call_id, step_id: None, sent_at: now(), prompt });
        }
    }
    for db in [TestDb::sqlite(), TestDb::postgres()] {
        block_on(async {
            let store = open(&db).await;
            let versions: Vec<_> = yamls.iter().map(|yaml| version_of(yaml)).collect();
            store.push_prompts(&versions, None, None).await.unwrap();
            store.start_run(&start(1)).await.unwrap();
            for part in all.chunks(1000) {
                store.record_prompts(part).await.unwrap();
            }
            store.close().await;
        });
        // Another process would find just this: the ledger, and nothing in memory.
        block_on(async {
            let calls = replayed(&open(&db).await).await;
            assert_eq!(calls.len(), PROMPTS * INPUTS);
            for (call, (messages, digest)) in calls.iter().zip(&expected) {
                assert!(call.verdict.is_verified(), "{}: {}", call.call_id, call.verdict);
                assert_eq!(call.text_sha256, Some(*digest));
                assert_eq!(call.messages.as_ref(), Some(messages));
            }
        });
    }
}
