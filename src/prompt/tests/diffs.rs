//! Diffs as people read them.

use super::{GOOD, parse};
use crate::prompt::{Change, RenderedMessage, Role, diff, text_diff};
use insta::assert_snapshot;

fn changed(replacements: &[(&str, &str)]) -> String {
    let mut yaml = GOOD.to_owned();
    for (from, to) in replacements {
        assert!(yaml.contains(from), "{from}");
        yaml = yaml.replacen(from, to, 1);
    }
    let lines = diff(&parse(GOOD).content, &parse(&yaml).content);
    lines.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect()
}

fn texts(old: &str, new: &str) -> String {
    let message = |content: &str| [RenderedMessage { role: Role::User, content: content.to_owned() }];
    text_diff(&message(old), &message(new)).iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn is_empty_for_what_is_equal() {
    assert_eq!(changed(&[]), "");
    assert_eq!(changed(&[("Summarise a company", "Another description"), ("0.0", "0")]), "");
    assert_eq!(texts("a\n", "a\n"), "");
    assert_eq!(texts("", ""), "");
}

#[test]
fn shows_model_params_and_variables() {
    assert_snapshot!(changed(&[("sonnet-4-6", "haiku-4-5"), ("512", "1024"), ("default: plain", "max_bytes: 9")]), @r#"
    -model: claude-sonnet-4-6
    -  max_tokens: 512
    +model: claude-haiku-4-5
    +  max_tokens: 1024
       temperature: 0
     variables:
       company: string, public
       notes: string, personal, at most 20000 bytes
    -  tone: enum, public, values ["plain","formal"], default "plain"
    +  tone: enum, public, at most 9 bytes, values ["plain","formal"]
     message 1 (system):
       You write two-sentence company summaries. Tone: {{tone}}.
     message 2 (user):
     … 2 lines the same
    "#);
    assert_snapshot!(changed(&[("model: {id: claude-sonnet-4-6, params: {temperature: 0.0, max_tokens: 512}}\n", "")]), @r#"
    -model: claude-sonnet-4-6
    -  max_tokens: 512
    -  temperature: 0
     variables:
       company: string, public
       notes: string, personal, at most 20000 bytes
     … 6 lines the same
    "#);
}

#[test]
fn shows_messages() {
    assert_snapshot!(changed(&[("two-sentence", "short"), ("role: user", "role: developer")]), @r#"
     … 5 lines the same
       notes: string, personal, at most 20000 bytes
       tone: enum, public, values ["plain","formal"], default "plain"
     message 1 (system):
    -  You write two-sentence company summaries. Tone: {{tone}}.
    -message 2 (user):
    +  You write short company summaries. Tone: {{tone}}.
    +message 2 (developer):
       Company: {{company}}
       Notes: {{ notes }}
    "#);
    assert_snapshot!(changed(&[("Company: {{company}}", "Company: {{company}}\n\n      Be brief.")]), @r#"
     … 8 lines the same
       You write two-sentence company summaries. Tone: {{tone}}.
     message 2 (user):
       Company: {{company}}
    +
    +  Be brief.
       Notes: {{ notes }}
    "#);
}

#[test]
fn shows_white_space_at_line_ends() {
    assert_snapshot!(changed(&[("content: |-", "content: |")]), @r#"
     … 8 lines the same
       You write two-sentence company summaries. Tone: {{tone}}.
     message 2 (user):
       Company: {{company}}
    -  Notes: {{ notes }}⏎ no newline at end
    +  Notes: {{ notes }}
    "#);
    assert_snapshot!(texts("a\nb", "a \nb\t\n"), @r#"
     message 1 (user):
    -  a
    -  b⏎ no newline at end
    +  a·
    +  b⇥
    "#);
    assert_snapshot!(texts("a\r\nb\r\n", "a\nb\n"), @r#"
     message 1 (user):
    -  a␍
    -  b␍
    +  a
    +  b
    "#);
    assert_snapshot!(texts("a", "a\n\n"), @r#"
     message 1 (user):
    -  a⏎ no newline at end
    +  a
    +
    "#);
    assert_snapshot!(texts("", "\n"), @r#"
     message 1 (user):
    -  ⏎ no newline at end
    +
    "#);
    assert_snapshot!(texts("a\u{a0}", "a\u{1b}[31m"), @r#"
     message 1 (user):
    -  a<U+00A0>
    +  a<U+001B>[31m
    "#);
}

#[test]
fn leaves_out_long_equal_stretches() {
    let many: String = (0..40).map(|n| format!("line {n}\n")).collect();
    assert_snapshot!(texts(&many, &many.replace("line 10\n", "LINE 10\n").replace("line 30\n", "")), @r#"
     … 8 lines the same
       line 7
       line 8
       line 9
    -  line 10
    +  LINE 10
       line 11
       line 12
       line 13
     … 13 lines the same
       line 27
       line 28
       line 29
    -  line 30
       line 31
       line 32
       line 33
     … 6 lines the same
    "#);
}

#[test]
fn is_quick_and_whole_for_long_texts() {
    let old: String = (0..200_000).map(|n| format!("{n}\n")).collect();
    let new = old.replace("\n100\n", "\nx\n").replace("\n199000\n", "\ny\n");
    let lines = text_diff(
        &[RenderedMessage { role: Role::User, content: old }],
        &[RenderedMessage { role: Role::User, content: new }],
    );
    let count = |change: Change| lines.iter().filter(|line| line.change == change).count();
    assert_eq!((count(Change::Removed), count(Change::Added)), (198_901, 198_901));
}
