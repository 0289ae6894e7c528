//! Files that are too large, too deep or grow: refused, soon, and with a place.

use super::said;
use crate::prompt::{MAX_FILE_BYTES, parse_file};
use insta::assert_snapshot;
use std::fmt::Write as _;

const HEAD: &str = "schema: asmm.prompt/v1\nname: a\nengine: subst/1\n";

fn refused(rest: &str) -> String {
    said(&parse_file("p.yaml", format!("{HEAD}{rest}").as_bytes()).expect_err("it is refused"))
}

fn taken(rest: &str) -> bool {
    parse_file("p.yaml", format!("{HEAD}{rest}").as_bytes()).is_ok()
}

#[test]
fn stops_an_expansion_of_anchors() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..30 {
        let before = n - 1;
        let _ = writeln!(bomb, "a{n}: &a{n} [{}]", vec![format!("*a{before}"); 9].join(", "));
    }
    assert_snapshot!(refused(&bomb), @r#"p.yaml:4:5: the document is too large once its anchors are expanded"#);
    let text = "x".repeat(500_000);
    let same = "- {role: user, content: *text}\n".repeat(8);
    assert_snapshot!(refused(&format!("messages:\n- {{role: user, content: &text {text}}}\n{same}")), @r#"p.yaml:5:25: the document is too large once its anchors are expanded"#);
    let few = "- {role: user, content: *text}\n".repeat(3);
    assert!(taken(&format!("messages:\n- {{role: user, content: &text {text}}}\n{few}")));
    assert_snapshot!(refused("model: &m {id: x, params: {a: *m}}\n"), @r#"p.yaml:4:27: the document is nested too deep"#);
}

#[test]
fn counts_messages_variables_and_values() {
    let messages = |n: usize| format!("messages:\n{}", "- {role: user, content: a}\n".repeat(n));
    assert!(taken(&messages(1000)));
    assert_snapshot!(refused(&messages(1001)), @r#"p.yaml:5:1: a prompt has 1 to 1000 messages, not 1001"#);
    let variables = |n: usize| {
        let names: Vec<String> = (0..n).map(|n| format!("v{n}")).collect();
        let declared: String = names.iter().map(|name| format!("  {name}: {{type: string}}\n")).collect();
        let used: String = names.iter().map(|name| format!("{{{{{name}}}}}")).collect();
        format!("variables:\n{declared}messages: [{{role: user, content: '{used}'}}]\n")
    };
    assert!(taken(&variables(200)));
    assert_snapshot!(refused(&variables(201)), @r#"p.yaml:5:3: 201 variables; a prompt has at most 200"#);
    let values = |n: usize| {
        let values: Vec<String> = (0..n).map(|n| format!("v{n}")).collect();
        format!(
            "variables: {{a: {{type: enum, values: [{}]}}}}\nmessages: [{{role: user, content: '{{{{a}}}}'}}]\n",
            values.join(", ")
        )
    };
    assert!(taken(&values(1000)));
    assert_snapshot!(refused(&values(1001)), @r#"p.yaml:4:37: an enum has 1 to 1000 values, not 1001"#);
    assert_snapshot!(refused(&format!("description: {}\n", "é".repeat(2001))), @r#"
    p.yaml:4:14: `description` is 2001 characters long; the limit is 2000
    hint: say it shorter, or in a comment
    "#);
}

#[test]
fn measures_params() {
    let params = |params: &str| {
        format!("model: {{id: m, params: {{{params}}}}}\nmessages: [{{role: user, content: a}}]\n")
    };
    let nested = |n: usize| params(&format!("a: {}1{}", "[".repeat(n), "]".repeat(n)));
    assert!(taken(&nested(14)));
    assert_snapshot!(refused(&nested(15)), @r#"p.yaml:4:43: `model.params.a[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]` is nested too deep"#);
    assert_snapshot!(refused(&nested(30)), @r#"p.yaml:4:49: the document is nested too deep"#);
    let listed = |n: usize| params(&format!("a: [{}]", vec!["1"; n].join(", ")));
    assert!(taken(&listed(998)));
    assert_snapshot!(refused(&listed(999)), @r#"p.yaml:4:3023: `model.params.a[998]` is one value too many"#);
    assert!(taken(&params(&format!("a: {}", "x".repeat(65_528)))));
    assert_snapshot!(refused(&params(&format!("a: {}", "x".repeat(65_529)))), @r#"
    p.yaml:4:24: `model.params` is 65537 bytes long; the limit is 65536
    hint: params are for settings; put text into messages
    "#);
}

#[test]
fn is_soon_done_with_what_is_nested_deep() {
    for text in
        ["[", "{a: ", "- ", "[[], ", "{? ", "- - ", "&a [", "\"", "? ", "a: |\n", "{{", "*a ", "!a ", "'"]
    {
        let file = text.repeat(MAX_FILE_BYTES / text.len());
        assert!(parse_file("p.yaml", file.as_bytes()).is_err(), "{text}");
    }
}
