//! Digests are what the documentation says: an implementation that shares nothing with ours computes the same.

use crate::cli::json;
use crate::support::Sandbox;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};
use serde_json::{Map, Value};
use std::io::Write;
use std::process::{Command, Stdio};

const CASES: usize = 300;

/// The digests of `prompts/digest.py`, a line of JSON for each.
fn by_python(lines: &[Value]) -> Vec<String> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/prompts/digest.py");
    let mut python = Command::new("python3")
        .arg(program)
        .env("PYTHONUTF8", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is not here: install it, the digests are checked against its");
    let mut stdin = python.stdin.take().unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn text() -> impl Strategy<Value = String> {
    // Braces would be templates: they are put in as variables below.
    "[^\\x00{}]{0,40}".prop_map(|text| text)
}

fn param() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..9_007_199_254_740_992).prop_map(Value::from),
        (-99_999_999_i64..99_999_999, 0_u32..9).prop_map(|(digits, places)| {
            let text = format!("{digits}e-{places}");
            Value::from(text.parse::<f64>().unwrap())
        }),
        Just(Value::from(-0.0)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z\u{e9}\u{ffff}\u{10000}-\u{10010}]{1,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A prompt file as JSON.
fn prompt() -> impl Strategy<Value = Value> {
    let variable = prop_oneof![
        Just(serde_json::json!({"type": "string"})),
        (text(), 100_u32..5000).prop_map(|(default, max)| {
            serde_json::json!({"type": "string", "sensitivity": "personal", "max_bytes": max, "default": default})
        }),
        Just(serde_json::json!({"type": "enum", "values": ["plain", "förmlich"], "default": "plain"})),
        (-1000_i64..1000).prop_map(|n| serde_json::json!({"type": "integer", "default": n})),
    ];
    let variables = prop::collection::btree_map("[a-z_][a-z0-9_]{0,6}", variable, 0..4);
    let model = prop::option::of(prop::collection::btree_map("[a-z]{1,6}", param(), 0..4));
    (text(), variables, model, prop::collection::vec((0..4_usize, text()), 1..4)).prop_map(
        |(description, variables, model, messages)| {
            let mut messages: Vec<Value> = messages
                .into_iter()
                .map(|(role, content)| {
                    let role = ["system", "developer", "user", "assistant"][role];
                    serde_json::json!({"role": role, "content": content})
                })
                .collect();
            let uses: String = variables.keys().map(|name| format!("{{{{ {name} }}}}{{{{{{{{")).collect();
            messages.push(serde_json::json!({"role": "user", "content": uses}));
            let mut prompt = serde_json::json!({
                "schema": "asmm.prompt/v1", "engine": "subst/1", "description": description, "messages": messages,
            });
            let fields = prompt.as_object_mut().unwrap();
            if !variables.is_empty() {
                fields.insert("variables".into(), Value::Object(variables.into_iter().collect()));
            }
            if let Some(params) = model {
                let params: Map<String, Value> = params.into_iter().collect();
                fields.insert("model".into(), serde_json::json!({"id": "gpt-5-mini", "params": params}));
            }
            prompt
        },
    )
}

fn drawn<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// JSON as YAML takes it: some characters only escaped.
fn as_yaml(prompt: &Value) -> String {
    let escaped = |c: char| {
        matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    let each = |c: char| if escaped(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    prompt.to_string().chars().map(each).collect()
}

#[test]
fn a_version_has_the_digest_that_python_computes() {
    let sandbox = Sandbox::new();
    let mut prompts = drawn(&prompt(), CASES);
    for (number, prompt) in prompts.iter_mut().enumerate() {
        prompt["name"] = format!("random/p{number:03}").into();
        sandbox.file(&format!("prompts/p{number:03}.yaml"), &as_yaml(prompt));
    }
    let checked = json(sandbox.run(&["prompts", "check", "--offline", "--format", "json"]));
    let rows = checked["rows"].as_array().unwrap();
    assert_eq!(rows.len(), CASES);
    let lines: Vec<Value> = prompts.iter().map(|prompt| serde_json::json!({ "prompt": prompt })).collect();
    for ((row, digest), prompt) in rows.iter().zip(by_python(&lines)).zip(&prompts) {
        assert_eq!(row["prompt"], prompt["name"]);
        assert_eq!(row["digest"], digest.as_str(), "{prompt}");
    }
}

#[test]
fn a_text_has_the_digest_that_python_computes() {
    let sandbox = Sandbox::new();
    let yaml = "schema: asmm.prompt/v1\nname: echo\nengine: subst/1\nvariables: {a: {type: string}, b: {type: number}}\n\
                messages: [{role: system, content: \"{{a}}{{{{{{b}}\\u001f\\r\\n\"}, {role: user, content: '{{a}}'}]\n";
    sandbox.file("prompts/echo.yaml", yaml);
    assert_eq!(sandbox.run(&["prompts", "push"]).code, 0);
    let mut lines = Vec::new();
    let mut ours = Vec::new();
    for (a, b) in [
        ("", "0.10"),
        ("{{b}}\u{1}\u{7f}\"\\", "-0"),
        ("e\u{301}\u{10348}\r\n\n", "1e3"),
        ("\u{2028}</", "1.5e-7"),
    ] {
        let inputs = [format!("a={a}"), format!("b={b}")];
        let rendered = json(sandbox.run(&[
            "prompts", "render", "echo", "--input", &inputs[0], "--input", &inputs[1], "--format", "json",
        ]));
        ours.push(rendered["text_sha256"].as_str().unwrap().to_owned());
        lines.push(serde_json::json!({ "messages": rendered["messages"] }));
    }
    assert_eq!(ours, by_python(&lines));
}
