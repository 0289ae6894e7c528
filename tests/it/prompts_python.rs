//! One value, many spellings: whatever way a file writes its numbers, texts and fields, its digest is the one that
//! `prompts/digest.py` computes. `prompts/python.rs` draws the documents; this draws how they are written.

use crate::cli::json;
use crate::support::Sandbox;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

const CASES: usize = 300;
const RENDERED: usize = 12;

/// The digests of `prompts/digest.py`, a line of JSON for each.
fn by_python(lines: &str) -> Vec<String> {
    let mut python = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/prompts/digest.py"))
        // Lines are UTF-8 whatever the locale says.
        .env("PYTHONIOENCODING", "latin-1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 cannot be started: install python3, digests are held against its");
    let mut stdin = python.stdin.take().unwrap();
    let text = lines.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// `SplitMix64`: the same numbers for the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap() % n
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn text(&mut self) -> String {
        let pieces = [
            "plain",
            " ",
            "\n",
            "\r\n",
            "\t",
            "\u{1}",
            "\u{1f}",
            "\u{7f}",
            "\u{85}",
            "\"",
            "\\",
            "/",
            "é",
            "e\u{301}",
            "\u{2028}",
            "\u{feff}",
            "\u{ffff}",
            "\u{10000}",
            "😀",
            "{",
            "}",
            "}}",
            ": ",
            "#",
            "</",
        ];
        (0..self.below(9)).map(|_| self.of(&pieces)).collect()
    }

    /// A text as JSON writes it, some characters escaped that need not be.
    fn spelled(&mut self, text: &str) -> String {
        let mut out = String::from("\"");
        for c in text.chars() {
            if c == '/' && self.coin() {
                out.push_str("\\/");
            } else if !c.is_ascii_graphic() || matches!(c, '"' | '\\') || self.below(8) == 0 {
                let must = c.is_control() || matches!(c, '"' | '\\' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
                if must || self.coin() {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(out, "\\u{unit:04X}").unwrap();
                    }
                } else {
                    out.push(c);
                }
            } else {
                out.push(c);
            }
        }
        out + "\""
    }

    /// A whole number, in one of its spellings.
    fn whole(&mut self) -> String {
        let n = self.below(1_000_000);
        let sign = self.of(&["", "-"]);
        let form = self.below(5);
        match form {
            0 => format!("{sign}{n}"),
            1 => format!("{sign}{n}.0"),
            2 => format!("{sign}{n}e3"),
            3 => format!("{sign}{n}00.00E-2"),
            _ => self.of(&["0", "-0", "-0.0", "0e9", "9007199254740991", "-9007199254740991.0"]).to_owned(),
        }
    }

    /// A number, in one of its spellings; some with more digits than a double holds.
    fn number(&mut self) -> String {
        if self.coin() {
            return self.whole();
        }
        let (n, places) = (self.below(1_000_000_000), self.below(12));
        let form = self.below(5);
        match form {
            0 => format!("{n}e-{places}"),
            1 => format!("-0.{n:0>9}"),
            2 => format!("{}.{:03}000", n % 1000, places),
            3 => format!("0.{n:0>9}00000000000000000001"),
            _ => self
                .of(&["0.1000000000000000055511151231257827", "1.5e-7", "1e-30", "0.123456789012345"])
                .to_owned(),
        }
    }

    /// Anything that params may hold.
    fn any(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => self.of(&["null", "true", "false", "[]", "{}"]).to_owned(),
            1 => {
                let text = self.text();
                self.spelled(&text)
            }
            2 | 3 => self.number(),
            4 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.any(depth - 1)).collect();
                format!("[{}]", items.join(" , "))
            }
            _ => {
                // Astral keys sort after U+FFFF by code point, before it by UTF-16 unit.
                let keys = ["a", "A", "", "\u{e9}", "\u{ffff}", "\u{10000}", "😀", "\u{1}\"", "a.b"];
                let fields = (0..keys.len()).filter(|_| self.below(3) == 0).collect::<Vec<_>>();
                let fields = fields.into_iter().map(|k| (keys[k], self.any(depth - 1))).collect();
                self.object(fields)
            }
        }
    }

    /// An object, its keys in any order and any spelling.
    fn object(&mut self, mut fields: Vec<(&str, String)>) -> String {
        for last in (1..fields.len()).rev() {
            fields.swap(last, self.below(last + 1));
        }
        let pairs: Vec<String> =
            fields.into_iter().map(|(key, value)| format!("{}: {value}", self.spelled(key))).collect();
        format!("{{{}}}", pairs.join(", "))
    }

    /// A variable, and a value for it.
    fn variable(&mut self) -> (String, String) {
        let kind = self.of(&["string", "integer", "number", "boolean", "enum"]);
        let mut value = || match kind {
            "string" => {
                let text = self.text();
                self.spelled(&text)
            }
            "integer" => self.whole(),
            "number" => self.number(),
            "boolean" => self.of(&["true", "false"]).to_owned(),
            _ => self.of(&[r#""plain""#, r#""f\u00f6rmlich""#, r#""😀""#]).to_owned(),
        };
        let (default, input) = (value(), value());
        let mut fields = vec![("type", self.spelled(kind))];
        if kind == "enum" {
            fields.push(("values", r#"["plain", "förmlich", "\ud83d\ude00"]"#.to_owned()));
        }
        if self.coin() {
            fields.push(("sensitivity", self.of(&[r#""public""#, r#""personal""#]).to_owned()));
        }
        if self.coin() {
            fields.push(("max_bytes", (200 + self.below(5000)).to_string()));
        }
        if self.coin() {
            fields.push(("default", default));
        }
        (self.object(fields), input)
    }

    /// A prompt's file and inputs for it, both as JSON.
    fn prompt(&mut self, name: &str) -> (String, String) {
        let names = ["a", "_", "B2", "long_name"];
        let names = &names[..self.below(names.len() + 1)];
        let (mut variables, mut inputs) = (Vec::new(), Vec::new());
        for name in names {
            let (variable, input) = self.variable();
            variables.push((*name, variable));
            inputs.push((*name, input));
        }
        let mut messages = Vec::new();
        for used in std::iter::once(names).chain((0..self.below(3)).map(|_| &names[..0])) {
            // A brace before a variable is literal; two are written as four.
            let mut content = self.text().replace("{{", "{{{{");
            for name in used {
                let tag = self.of(&[
                    "{{NAME}}",
                    "{{  NAME }}",
                    "{{{NAME}}}",
                    "{{{{{{NAME}}",
                    "{{{{NAME}}}}{{NAME}}",
                ]);
                content.push(' ');
                content.push_str(&tag.replace("NAME", name));
                content.push(' ');
                content.push_str(&self.text().replace("{{", "{{{{"));
            }
            let role = self.of(&["system", "developer", "user", "assistant"]);
            let fields = vec![("role", self.spelled(role)), ("content", self.spelled(&content))];
            messages.push(self.object(fields));
        }
        let description = self.text();
        let mut fields = vec![
            ("schema", r#""asmm.prompt/v1""#.to_owned()),
            ("engine", r#""subst\/1""#.to_owned()),
            ("name", self.spelled(name)),
            ("description", self.spelled(&description)),
            ("messages", format!("[{}]", messages.join(","))),
        ];
        if !variables.is_empty() || self.coin() {
            fields.push(("variables", self.object(variables)));
        }
        if self.coin() {
            let mut model = vec![("id", r#""gpt-5-mini""#.to_owned())];
            if self.coin() {
                let params = vec![("temperature", self.number()), ("x", self.any(3))];
                model.push(("params", self.object(params)));
            }
            fields.push(("model", self.object(model)));
        }
        (self.object(fields), self.object(inputs))
    }
}

#[test]
fn a_version_has_the_digest_that_python_computes_however_it_is_written() {
    let sandbox = Sandbox::new();
    let mut dice = Dice(1);
    let mut lines = String::new();
    for number in 0..CASES {
        let (prompt, _) = dice.prompt(&format!("spelled/p{number:03}"));
        sandbox.file(&format!("prompts/p{number:03}.yaml"), &prompt);
        writeln!(lines, "{{\"prompt\": {prompt}}}").unwrap();
    }
    let checked = json(sandbox.run(&["prompts", "check", "--offline", "--format", "json"]));
    let rows = checked["rows"].as_array().unwrap();
    let digests = by_python(&lines);
    assert_eq!((rows.len(), digests.len()), (CASES, CASES));
    for ((row, digest), line) in rows.iter().zip(&digests).zip(lines.lines()) {
        assert_eq!(row["digest"], digest.as_str(), "{}: {line}", row["prompt"]);
    }
}

#[test]
fn what_random_prompts_render_has_the_digest_that_python_computes() {
    let sandbox = Sandbox::new();
    let mut dice = Dice(2);
    for number in 0..RENDERED {
        let (prompt, inputs) = dice.prompt(&format!("spelled/p{number:03}"));
        sandbox.file(&format!("prompts/p{number:03}.yaml"), &prompt);
        sandbox.file(&format!("inputs/p{number:03}.json"), &inputs);
    }
    sandbox.run(&["prompts", "push"]).success();
    let (mut ours, mut lines) = (Vec::new(), String::new());
    for number in 0..RENDERED {
        let (name, inputs) = (format!("spelled/p{number:03}"), format!("inputs/p{number:03}.json"));
        let rendered =
            json(sandbox.run(&["prompts", "render", &name, "--inputs", &inputs, "--format", "json"]));
        ours.push(rendered["text_sha256"].as_str().unwrap().to_owned());
        writeln!(lines, "{}", json!({ "messages": rendered["messages"] })).unwrap();
    }
    assert_eq!(ours, by_python(&lines));
}

#[test]
fn the_readme_says_what_changes_a_digest() {
    let sandbox = Sandbox::new();
    let plain: Value = json!({
        "schema": "asmm.prompt/v1", "name": "p", "engine": "subst/1", "model": {"id": "m", "params": {"t": 1}},
        "variables": {"who": {"type": "string"}, "how": {"type": "enum", "values": ["x", "y"]}},
        "messages": [{"role": "system", "content": "{{how}}"}, {"role": "user", "content": "{{who}}"}],
    });
    let digest = |text: &str| {
        sandbox.file("p.yaml", text);
        let checked = json(sandbox.run(&["prompts", "check", "p.yaml", "--offline", "--format", "json"]));
        checked["rows"][0]["digest"].as_str().unwrap().to_owned()
    };
    let text = plain.to_string();
    let before = digest(&text);
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in {text}");
        digest(&text.replacen(from, to, 1))
    };
    for (from, to) in [
        (r#""name":"p""#, r#""name":"q""#),
        (r#""name":"p""#, r#""name":"p","description":"Greets""#),
        (r#""type":"string""#, r#""sensitivity":"public","type":"string""#),
        (r#""{{who}}""#, "'{{who}}' # a comment\n"),
        (r#""{{who}}""#, r#""{\u007bwho}}""#),
        (r#""t":1"#, r#""t":1.0"#),
        (r#""t":1"#, r#""t":1e0"#),
    ] {
        assert_eq!(changed(from, to), before, "{from} → {to}");
    }
    for (from, to) in [
        ("{{who}}", "{{ who }}"),
        ("{{who}}", "{{who}}\\n"),
        (r#"["x","y"]"#, r#"["y","x"]"#),
        (r#""type":"string""#, r#""type":"string","sensitivity":"personal""#),
        (r#""type":"string""#, r#""type":"string","max_bytes":9"#),
        (r#""type":"string""#, r#""type":"string","default":"""#),
        (r#""type":"string""#, r#""type":"number""#),
        (r#""id":"m""#, r#""id":"n""#),
        (r#""t":1"#, r#""t":2"#),
    ] {
        assert_ne!(changed(from, to), before, "{from} → {to}");
    }
}
