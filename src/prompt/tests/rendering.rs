//! Contents and their digests, inputs, and what is made of them.

use super::{GOOD, inputs, one, parse, said};
use crate::domain::{Digest, MAX_TEXT_BYTES};
use crate::prompt::{Content, parse_file, quote};
use insta::assert_snapshot;
use serde_json::{Value, json};

fn refused(content: &Content, given: &str) -> String {
    said(&content.render(&inputs(given)).expect_err("it is refused"))
}

#[test]
fn has_one_canonical_text() {
    let prompt = parse(GOOD);
    assert_eq!(prompt.name, "enrichment/company-summary");
    assert_eq!(prompt.description, "Summarise a company");
    assert_eq!(prompt.source, GOOD);
    let canonical = prompt.content.canonical().unwrap();
    assert_snapshot!(canonical, @r#"{"engine":"subst/1","messages":[{"content":"You write two-sentence company summaries. Tone: {{tone}}.","role":"system"},{"content":"Company: {{company}}\nNotes: {{ notes }}","role":"user"}],"model":{"id":"claude-sonnet-4-6","params":{"max_tokens":512,"temperature":0}},"variables":{"company":{"sensitivity":"public","type":"string"},"notes":{"max_bytes":20000,"sensitivity":"personal","type":"string"},"tone":{"default":"plain","sensitivity":"public","type":"enum","values":["plain","formal"]}}}"#);
    assert_eq!(prompt.content.digest().unwrap(), Digest::of(&canonical));
    assert_eq!(Content::from_canonical(&canonical).unwrap(), prompt.content);
    assert_snapshot!(one("{}", "hello").canonical().unwrap(), @r#"{"engine":"subst/1","messages":[{"content":"hello","role":"user"}],"variables":{}}"#);
}

#[test]
fn is_the_same_content_however_the_file_is_written() {
    let digest = |yaml: &str| parse(yaml).content.digest().unwrap();
    let good = digest(GOOD);
    for (from, to) in [
        ("Summarise a company", "Something else"),
        ("enrichment/company-summary ", "another/name "),
        ("temperature: 0.0, max_tokens: 512", "max_tokens: 5.12e2, temperature: 0"),
        (
            "values: [plain, formal], default: plain",
            "sensitivity: public, default: 'plain', values: ['plain', \"formal\"]",
        ),
        ("max_bytes: 20000", "max_bytes: 0x4e20"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        assert_eq!(digest(&GOOD.replacen(from, to, 1)), good, "{to}");
    }
    for yaml in [format!("\u{feff}{GOOD}"), GOOD.replace('\n', "\r\n"), format!("---\n{GOOD}...\n")] {
        assert_eq!(digest(&yaml), good);
    }
    for (from, to) in [("|-", "|"), ("{{ notes }}", "{{notes}}"), ("[plain, formal]", "[formal, plain]")] {
        assert_ne!(digest(&GOOD.replacen(from, to, 1)), good, "{to}");
    }
}

#[test]
fn a_json_file_is_read_as_json() {
    let json = r#"{"schema":"asmm.prompt/v1","name":"a","engine":"subst/1","messages":[{"role":"user","content":"\ud83d\ude00 \u2028 b"}]}"#;
    assert_eq!(parse(json).content.messages[0].content.source(), "😀 \u{2028} b");
    let twice = json.replacen("\"name\"", "\"schema\":\"asmm.prompt/v1\",\"name\"", 1);
    assert_snapshot!(said(&parse_file("p.json", twice.replace("\\ud83d\\ude00", "").as_bytes()).unwrap_err()), @r#"
    p.json:1:28: duplicate key `schema`
    hint: keep one of them
    "#);
}

#[test]
fn refuses_a_content_that_was_changed() {
    let canonical = parse(GOOD).content.canonical().unwrap();
    for (from, to) in
        [(",", ", "), ("subst/1", "subst/2"), ("{{company}}", "{{city}}"), ("}", ""), ("512", "512.0")]
    {
        assert!(Content::from_canonical(&canonical.replacen(from, to, 1)).is_err(), "{to}");
    }
    assert!(Content::from_canonical("").is_err());
    let with_name = canonical.replacen("\"engine\"", "\"description\":\"\",\"engine\"", 1);
    assert_snapshot!(said(&Content::from_canonical(&with_name).unwrap_err()), @r#"
    the content of the prompt: unknown field `description`
    hint: known are `engine`, `model`, `variables`, `messages`
    "#);
}

#[test]
fn puts_values_in() {
    let rendered =
        parse(GOOD).content.render(&inputs(r#"{"company": "Acme {{tone}}", "notes": " n\n"}"#)).unwrap();
    assert_eq!(
        rendered.to_values(),
        [
            json!({"role": "system", "content": "You write two-sentence company summaries. Tone: plain."}),
            json!({"role": "user", "content": "Company: Acme {{tone}}\nNotes:  n\n"}),
        ]
    );
    let canonical = rendered.canonical().unwrap();
    assert_snapshot!(canonical, @r#"[{"content":"You write two-sentence company summaries. Tone: plain.","role":"system"},{"content":"Company: Acme {{tone}}\nNotes:  n\n","role":"user"}]"#);
    assert_eq!(rendered.digest().unwrap(), Digest::of(&canonical));
    assert_eq!(serde_json::to_value(&rendered.messages).unwrap(), Value::from(rendered.to_values()));
}

#[test]
fn writes_each_type_in_one_way() {
    let types =
        "{i: {type: integer}, n: {type: number}, b: {type: boolean}, d: {type: number, default: 1.50}}";
    let content = one(types, "{{i}} {{n}} {{b}} {{d}}");
    let text = |given: &str| content.render(&inputs(given)).unwrap().messages[0].content.clone();
    assert_eq!(text(r#"{"i": -7, "n": 0.10, "b": true}"#), "-7 0.1 true 1.5");
    assert_eq!(text(r#"{"i": 1e3, "n": -0.0, "b": false, "d": 1.5e-7}"#), "1000 0 false 0.00000015");
}

#[test]
fn names_the_variable_of_a_wrong_input() {
    let good = parse(GOOD).content;
    assert_snapshot!(refused(&good, "{}"), @r#"
    input `company` is missing
    hint: give it (string), or give the variable a `default`
    "#);
    assert_snapshot!(refused(&good, r#"{"company": "a", "notes": "b", "city": "c"}"#), @r#"
    the prompt has no variable `city`
    hint: it has `company`, `notes`, `tone`
    "#);
    assert_snapshot!(refused(&good, r#"{"company": 1, "notes": "b"}"#), @r#"
    input `company` is a number; expected text
    hint: variable `company` is of type string
    "#);
    assert_snapshot!(refused(&good, r#"{"company": "a", "notes": "b", "tone": "loud"}"#), @r#"
    input `tone` is none of its values
    hint: it is one of `plain`, `formal`
    "#);
    assert_snapshot!(refused(&good, r#"{"company": "a\u0000", "notes": "b"}"#), @r#"
    input `company` holds the character U+0000
    hint: leave it out: not every database can store it
    "#);
    let long = json!({"company": "a", "notes": "é".repeat(10_001)}).to_string();
    assert_snapshot!(refused(&good, &long), @r#"
    input `notes` is 20002 bytes long; its limit is 20000
    hint: shorten it, or raise the variable's `max_bytes`
    "#);
    let typed = one("{i: {type: integer}, b: {type: boolean}}", "{{i}}{{b}}");
    assert_snapshot!(refused(&typed, r#"{"i": 1.5, "b": true}"#), @r#"input `i` is a fraction; expected a whole number"#);
    assert_snapshot!(refused(&typed, r#"{"i": 9007199254740992, "b": true}"#), @r#"
    input `i` is a number that does not survive every program
    hint: use a whole number below 2^53 or at most 15 digits, or make the variable a string
    "#);
    assert_snapshot!(refused(&typed, r#"{"i": 1, "b": "true"}"#), @r#"
    input `b` is text; expected `true` or `false`
    hint: variable `b` is of type boolean
    "#);
    assert_snapshot!(refused(&one("{}", "a"), r#"{"x": 1}"#), @r#"
    the prompt has no variable `x`
    hint: it takes no inputs
    "#);
    let secret = one("{key: {type: string, sensitivity: secret}}", "{{key}}");
    assert_snapshot!(refused(&secret, r#"{"key": "hunter2"}"#), @r#"
    variable `key` is secret and may never be rendered
    hint: give secrets to the program that sends the prompt, not to the prompt
    "#);
}

#[test]
fn refuses_more_than_a_call_can_record() {
    let content = one("{x: {type: string}}", "{{x}}{{x}}");
    let bytes = |text: &str, n: usize| json!({"x": text.repeat(n)}).to_string();
    // `[{"content":"","role":"user"}]` is 30 bytes.
    assert!(content.render(&inputs(&bytes("a", MAX_TEXT_BYTES / 2 - 15))).is_ok());
    assert_snapshot!(refused(&content, &bytes("a", MAX_TEXT_BYTES / 2 - 14)), @r#"
    the rendered messages are longer than 4194304 bytes
    hint: give shorter inputs; `max_bytes` holds a variable to a length
    "#);
    assert!(content.render(&inputs(&bytes("\n", MAX_TEXT_BYTES / 3))).is_err(), "two bytes each in JSON");
    assert!(content.render(&inputs(&bytes("a", MAX_TEXT_BYTES))).is_err());
}

#[test]
fn reads_inputs_of_a_command_line() {
    let types = "{s: {type: string}, i: {type: integer}, n: {type: number}, b: {type: boolean}, e: {type: enum, values: [x]}}";
    let content = one(types, "{{s}}{{i}}{{n}}{{b}}{{e}}");
    let cases = [
        ("s", " 7 ", json!(" 7 ")),
        ("i", "7", json!(7)),
        ("n", "1.5", json!(1.5)),
        ("b", "true", json!(true)),
        ("e", "x", json!("x")),
    ];
    for (name, text, value) in cases {
        assert_eq!(content.parse_input(name, text).unwrap(), value, "{name}");
    }
    for (name, text) in
        [("i", "1.5"), ("i", "seven"), ("i", "true"), ("n", "NaN"), ("b", "yes"), ("e", "y"), ("z", "")]
    {
        assert!(content.parse_input(name, text).is_err(), "{name}={text}");
    }
    assert_snapshot!(said(&content.parse_input("i", "seven").unwrap_err()), @r#"
    input `i` is not a whole number
    hint: variable `i` is of type integer
    "#);
}

#[test]
fn quotes_a_text() {
    assert_eq!(quote("{ {{ {{{ {{{{"), "{ {{{{ {{{{{ {{{{{{{{");
}
