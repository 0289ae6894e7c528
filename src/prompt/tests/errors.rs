//! Each kind of bad file: what is said of it, and that line and column are right.

use super::{GOOD, said};
use crate::prompt::parse_file;
use insta::assert_snapshot;

/// What is said of `bytes`.
fn refused(bytes: impl AsRef<[u8]>) -> String {
    said(&parse_file("p.yaml", bytes.as_ref()).expect_err("it is refused"))
}

/// What is said of the good file with `from` replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    refused(GOOD.replacen(from, to, 1))
}

/// What is said of a file with these messages, and variables before them.
fn with(rest: &str) -> String {
    refused(format!("schema: asmm.prompt/v1\nname: a\nengine: subst/1\n{rest}"))
}

#[test]
fn names_an_unknown_field() {
    assert_snapshot!(changed("engine: subst/1", "engine: subst/1\nmodle: 3"), @r#"
    p.yaml:5:1: unknown field `modle`
    hint: known are `schema`, `name`, `description`, `engine`, `model`, `variables`, `messages`
    "#);
    assert_snapshot!(changed("max_bytes: 20000", "max_byte: 20000"), @r#"
    p.yaml:8:50: unknown field `max_byte` in `variables.notes`
    hint: known are `type`, `sensitivity`, `max_bytes`, `values`, `default`, `allow_raw`, `raw_reason`, `expires`, `on_secret`
    "#);
    assert_snapshot!(changed("- role: user", "- name: x\n    role: user"), @r#"
    p.yaml:13:5: unknown field `name` in `messages[1]`
    hint: known are `role`, `content`
    "#);
    assert_snapshot!(changed("{temperature: 0.0, max_tokens: 512}", "{}, top_p: 1"), @r#"
    p.yaml:5:44: unknown field `top_p` in `model`
    hint: known are `id`, `params`
    "#);
    assert_snapshot!(changed("max_bytes: 20000", "allow: true"), @r#"
    p.yaml:8:50: unknown field `allow` in `variables.notes`
    hint: known are `type`, `sensitivity`, `max_bytes`, `values`, `default`, `allow_raw`, `raw_reason`, `expires`, `on_secret`
    "#);
}

#[test]
fn names_a_missing_field() {
    assert_snapshot!(changed("schema: asmm.prompt/v1\n", ""), @r#"
    p.yaml:1:1: the prompt has no `schema`
    hint: add `schema: asmm.prompt/v1`
    "#);
    assert_snapshot!(changed("name: enrichment/company-summary ", ""), @r#"
    p.yaml:1:1: the prompt has no `name`
    hint: add `name:`
    "#);
    assert_snapshot!(changed("id: claude-sonnet-4-6, ", ""), @r#"
    p.yaml:5:8: `model` has no `id`
    hint: add `id:`
    "#);
    assert_snapshot!(changed("{type: string, sensitivity: public}", "{}"), @r#"
    p.yaml:7:12: `variables.company` has no `type`
    hint: add `type:`
    "#);
    assert_snapshot!(changed("  - role: user\n    content", "  - content"), @r#"
    p.yaml:13:5: `messages[1]` has no `role`
    hint: add `role:`
    "#);
    assert_snapshot!(refused(""), @r#"
    p.yaml:1:1: the file is empty; expected a mapping
    hint: a prompt begins with `schema: asmm.prompt/v1`
    "#);
    assert_snapshot!(refused("# nothing\n"), @r#"
    p.yaml:2:1: the file is empty; expected a mapping
    hint: a prompt begins with `schema: asmm.prompt/v1`
    "#);
}

#[test]
fn names_a_wrong_type() {
    assert_snapshot!(changed("Summarise a company", "[a]"), @r#"p.yaml:3:14: `description` is a list; expected text"#);
    assert_snapshot!(changed("Summarise a company", "12"), @r#"
    p.yaml:3:14: `description` is a number; expected text
    hint: put it in quotes if it is meant as text
    "#);
    assert_snapshot!(changed("Summarise a company", ""), @r#"
    p.yaml:3:13: `description` is empty; expected text
    hint: give it a value, or leave it out
    "#);
    assert_snapshot!(changed("max_bytes: 20000", "max_bytes: many"), @r#"p.yaml:8:61: `variables.notes.max_bytes` is text; expected a whole number of bytes from 1 to 4194304"#);
    assert_snapshot!(changed("max_bytes: 20000", "max_bytes: 0"), @r#"p.yaml:8:61: `variables.notes.max_bytes` is a number; expected a whole number of bytes from 1 to 4194304"#);
    assert_snapshot!(changed("max_bytes: 20000", "max_bytes: 4194305"), @r#"p.yaml:8:61: `variables.notes.max_bytes` is a number; expected a whole number of bytes from 1 to 4194304"#);
    assert_snapshot!(changed("[plain, formal]", "plain"), @r#"p.yaml:9:33: `variables.tone.values` is text; expected a list"#);
    assert_snapshot!(changed("[plain, formal]", "[plain, 2]"), @r#"
    p.yaml:9:41: `variables.tone.values[1]` is a number; expected text
    hint: put it in quotes if it is meant as text
    "#);
    assert_snapshot!(changed("{temperature: 0.0, max_tokens: 512}", "[]"), @r#"p.yaml:5:40: `model.params` is a list; expected a mapping"#);
    assert_snapshot!(refused("- a\n"), @r#"
    p.yaml:1:1: the file is a list; expected a mapping
    hint: a prompt begins with `schema: asmm.prompt/v1`
    "#);
    assert_snapshot!(refused("just text\n"), @r#"
    p.yaml:1:1: the file is text; expected a mapping
    hint: a prompt begins with `schema: asmm.prompt/v1`
    "#);
    assert_snapshot!(with("messages: {role: user}\n"), @r#"p.yaml:4:11: `messages` is a mapping; expected a list"#);
    assert_snapshot!(with("messages: [hello]\n"), @r#"p.yaml:4:12: `messages[0]` is text; expected a mapping"#);
    assert_snapshot!(with("messages: []\n"), @r#"p.yaml:4:11: a prompt has 1 to 1000 messages, not 0"#);
    assert_snapshot!(with("variables: [a]\nmessages: []\n"), @r#"p.yaml:4:12: `variables` is a list; expected a mapping"#);
}

#[test]
fn names_an_unknown_word() {
    assert_snapshot!(changed("asmm.prompt/v1", "asmm.prompt/v2"), @r#"
    p.yaml:1:9: unknown schema `asmm.prompt/v2`
    hint: this program reads `schema: asmm.prompt/v1`
    "#);
    assert_snapshot!(changed("subst/1", "jinja2"), @r#"
    p.yaml:4:9: unknown engine `jinja2`
    hint: the engine this program has is `subst/1`
    "#);
    assert_snapshot!(changed("role: user", "role: human"), @r#"
    p.yaml:13:11: unknown role `human`
    hint: it is one of `system`, `developer`, `user`, `assistant`
    "#);
    assert_snapshot!(changed("sensitivity: personal", "sensitivity: private"), @r#"
    p.yaml:8:40: unknown sensitivity `private`
    hint: it is one of `public`, `personal`, `secret`
    "#);
    assert_snapshot!(changed("type: enum", "type: choice"), @r#"
    p.yaml:9:19: unknown type `choice`
    hint: it is one of `string`, `integer`, `number`, `boolean`, `enum`
    "#);
}

#[test]
fn names_a_bad_name() {
    assert_snapshot!(changed("enrichment/company-summary ", "enrichment//summary "), @r#"
    p.yaml:2:7: `enrichment//summary` is no name for a prompt
    hint: a name is ASCII letters, digits, `.`, `_` and `-`, in parts with `/` between, not only digits, at most 200 characters: `enrichment/summariser`
    "#);
    assert_snapshot!(changed("enrichment/company-summary ", "'7' "), @r#"
    p.yaml:2:7: `7` is no name for a prompt
    hint: a name is ASCII letters, digits, `.`, `_` and `-`, in parts with `/` between, not only digits, at most 200 characters: `enrichment/summariser`
    "#);
    assert_snapshot!(changed("enrichment/company-summary ", "a name "), @r#"
    p.yaml:2:7: `a name` is no name for a prompt
    hint: a name is ASCII letters, digits, `.`, `_` and `-`, in parts with `/` between, not only digits, at most 200 characters: `enrichment/summariser`
    "#);
    assert_snapshot!(changed("  notes:  ", "  no-tes: "), @r#"
    p.yaml:8:3: `no-tes` is no name for a variable
    hint: a name is ASCII letters, digits and `_`, does not begin with a digit, and has at most 100 characters
    "#);
    assert_snapshot!(changed("id: claude-sonnet-4-6", "id: \"\""), @r#"
    p.yaml:5:13: `model.id` is empty
    hint: give `model.id` a name
    "#);
}

#[test]
fn names_a_variable_that_is_not_declared_or_not_used() {
    assert_snapshot!(changed("  notes:   {type: string, sensitivity: personal, max_bytes: 20000}\n", ""), @r#"
    p.yaml:15:14: variable `notes` is used but not declared
    hint: add it under `variables:`, with a `sensitivity`
    "#);
    assert_snapshot!(changed("Notes: {{ notes }}", "Notes: none"), @r#"
    p.yaml:8:3: variable `notes` is declared but not used
    hint: use it in a message as `{{notes}}`, or delete it
    "#);
    assert_snapshot!(changed("Tone: {{tone}}.'", "Tone: {{tone}}, {{mood}}.'"), @r#"
    p.yaml:12:73: variable `mood` is used but not declared
    hint: add it under `variables:`, with a `sensitivity`
    "#);
}

#[test]
fn names_braces_that_open_nothing() {
    assert_snapshot!(changed("{{company}}", "{{company}"), @r#"
    p.yaml:15:16: `{{` opens no variable
    hint: a variable is `{{name}}`: ASCII letters, digits and `_`; write `{{{{` for two literal braces
    "#);
    assert_snapshot!(changed("{{company}}", "{{{{ ok }} {{not ok}}"), @r#"
    p.yaml:15:27: `{{` opens no variable
    hint: a variable is `{{name}}`: ASCII letters, digits and `_`; write `{{{{` for two literal braces
    "#);
    assert_snapshot!(changed("{{company}}", "{{}}"), @r#"
    p.yaml:15:16: `{{` opens no variable
    hint: a variable is `{{name}}`: ASCII letters, digits and `_`; write `{{{{` for two literal braces
    "#);
    assert_snapshot!(changed("Tone: {{tone}}.'", "Tone:\n\n      {{tone}} and\n      {{to ne}}.'"), @r#"
    p.yaml:15:7: `{{` opens no variable
    hint: a variable is `{{name}}`: ASCII letters, digits and `_`; write `{{{{` for two literal braces
    "#);
    assert_snapshot!(with("messages:\n- role: user\n  content: >- # {{here}}\n    {folded\n    lines} {{x y}}\n"), @r#"
    p.yaml:8:12: `{{` opens no variable
    hint: a variable is `{{name}}`: ASCII letters, digits and `_`; write `{{{{` for two literal braces
    "#);
    assert_snapshot!(with("messages: [{role: user, content: \"\\x7b\\x7bx\"}]\n"), @r#"
    p.yaml:4:34: `{{` opens no variable
    hint: a variable is `{{name}}`: ASCII letters, digits and `_`; write `{{{{` for two literal braces
    "#);
    assert_snapshot!(with("messages: [{role: user, content: \"é😀 {{1}}\"}]\n"), @r#"
    p.yaml:4:38: `{{` opens no variable
    hint: a variable is `{{name}}`: ASCII letters, digits and `_`; write `{{{{` for two literal braces
    "#);
}

#[test]
fn names_an_enum_or_default_that_makes_no_sense() {
    assert_snapshot!(changed(", values: [plain, formal]", ""), @r#"
    p.yaml:9:12: variable `tone` is an enum without `values`
    hint: list its texts: `values: [plain, formal]`
    "#);
    assert_snapshot!(changed("[plain, formal]", "[]"), @r#"p.yaml:9:33: an enum has 1 to 1000 values, not 0"#);
    assert_snapshot!(changed("[plain, formal]", "[plain, plain]"), @r#"p.yaml:9:41: the value `plain` comes twice"#);
    assert_snapshot!(changed("[plain, formal]", "[plain, '']"), @r#"
    p.yaml:9:41: a value of an enum is empty
    hint: give the empty choice a name: `none`
    "#);
    assert_snapshot!(changed("default: plain", "default: loud"), @r#"
    p.yaml:9:59: default of variable `tone` is none of its values
    hint: it is one of `plain`, `formal`
    "#);
    assert_snapshot!(changed("sensitivity: personal", "sensitivity: personal, values: [a]"), @r#"
    p.yaml:8:50: variable `notes` has `values` but is of type string
    hint: make it `type: enum`, or leave `values` out
    "#);
    assert_snapshot!(changed("sensitivity: personal, max_bytes: 20000", "sensitivity: personal, max_bytes: 3, default: abcd"), @r#"
    p.yaml:8:73: default of variable `notes` is 4 bytes long; its limit is 3
    hint: shorten it, or raise the variable's `max_bytes`
    "#);
    assert_snapshot!(changed("sensitivity: personal", "sensitivity: secret, default: x"), @r#"
    p.yaml:8:48: variable `notes` is secret and has a `default`
    hint: a prompt's file is no place for a secret; leave the default out
    "#);
    assert_snapshot!(changed("{type: string, sensitivity: public}", "{type: integer, default: 1.5}"), @r#"p.yaml:7:37: default of variable `company` is a fraction; expected a whole number"#);
    assert_snapshot!(changed("{type: string, sensitivity: public}", "{type: boolean, default: 'yes'}"), @r#"
    p.yaml:7:37: default of variable `company` is text; expected `true` or `false`
    hint: variable `company` is of type boolean
    "#);
    assert_snapshot!(changed("{type: string, sensitivity: public}", "{type: string, default: 7}"), @r#"
    p.yaml:7:36: default of variable `company` is a number; expected text
    hint: variable `company` is of type string
    "#);
}

#[test]
fn names_numbers_that_programs_read_differently() {
    assert_snapshot!(changed("temperature: 0.0", "seed: 9007199254740993"), @r#"
    p.yaml:5:47: the number 9007199254740993 does not survive every program
    hint: use a whole number below 2^53 or at most 15 digits, or write it as text
    "#);
    assert_snapshot!(changed("temperature: 0.0", "seed: 99999999999999999999999"), @r#"
    p.yaml:5:47: the number is out of range
    hint: write it as text, in quotes
    "#);
    assert_snapshot!(changed("temperature: 0.0", "deep: [1, {a: .nan}]"), @r#"
    p.yaml:5:55: the number is out of range
    hint: write it as text, in quotes
    "#);
    assert_snapshot!(changed("temperature: 0.0", "deep: [1, {a: 0.12345678901234567}]"), @r#"
    p.yaml:5:55: the number 0.12345678901234566 does not survive every program
    hint: use a whole number below 2^53 or at most 15 digits, or write it as text
    "#);
}

#[test]
fn names_a_key_twice() {
    assert_snapshot!(changed("engine: subst/1", "engine: subst/1\nengine: subst/1"), @r#"
    p.yaml:5:1: duplicate key `engine`
    hint: keep one of them
    "#);
    assert_snapshot!(changed("  tone:", "  company: {type: string}\n  tone:"), @r#"
    p.yaml:9:3: duplicate key `company`
    hint: keep one of them
    "#);
    assert_snapshot!(changed("temperature: 0.0", "temperature: 0, temperature: 1"), @r#"
    p.yaml:5:57: duplicate key `temperature`
    hint: keep one of them
    "#);
}

#[test]
fn names_a_file_that_is_not_yaml() {
    assert_snapshot!(changed("'You write two-sentence company summaries. Tone: {{tone}}.'", "You write summaries. Tone: {{tone}}."), @r#"
    p.yaml:12:39: not YAML: mapping values are not allowed in this context
    hint: a text with `: ` in it needs quotes, or `|-` and lines of its own
    "#);
    assert_snapshot!(changed("'You write two-sentence company summaries. Tone: {{tone}}.'", "{{tone}}"), @r#"
    p.yaml:12:15: a key must be text
    hint: put a text that begins with `{` or `[` in quotes, or after `|-`
    "#);
    assert_snapshot!(changed("'You write two-sentence company summaries. Tone: {{tone}}.'", "{{tone}} is it"), @r#"
    p.yaml:12:15: a key must be text
    hint: put a text that begins with `{` or `[` in quotes, or after `|-`
    "#);
    assert_snapshot!(changed("  notes:", "\tnotes:"), @r#"
    p.yaml:8:1: not YAML: found character that cannot start any token
    hint: indent with spaces; put a text that begins with a sign in quotes
    "#);
    assert_snapshot!(changed("Summarise a company", "*nobody"), @r#"p.yaml:3:14: not YAML: unknown anchor"#);
    assert_snapshot!(changed("Summarise a company", "!secret x"), @r#"p.yaml:3:14: a tag (`!…`) has no meaning here"#);
    assert_snapshot!(changed("Summarise a company", "@x"), @r#"
    p.yaml:3:14: not YAML: found character that cannot start any token
    hint: indent with spaces; put a text that begins with a sign in quotes
    "#);
    assert_snapshot!(changed("[plain, formal]", "[plain, formal"), @r#"
    p.yaml:9:63: not YAML: did not find expected ',' or ']'
    hint: a bracket or quote before it is not closed, or the indentation is off
    "#);
    assert_snapshot!(refused(format!("{GOOD}---\n{GOOD}")), @r#"
    p.yaml:17:1: a second document
    hint: put each prompt in a file of its own
    "#);
    assert_snapshot!(refused(format!("---\n{GOOD}...\n---\na: 1\n")), @r#"
    p.yaml:18:1: a second document
    hint: put each prompt in a file of its own
    "#);
}

#[test]
fn names_bytes_that_are_not_text() {
    assert_snapshot!(refused(b"schema: asmm.prompt/v1\nname: \xff\n"), @r#"
    p.yaml:2:7: the byte 0xff is not UTF-8
    hint: save the file as UTF-8
    "#);
    assert_snapshot!(refused("schema: asmm.prompt/v1\r\ndescription: \u{e9}\u{7}\r\n"), @r#"
    p.yaml:2:15: the character U+0007 may not stand in YAML
    hint: delete it; if it is meant, write it as `\u…` in double quotes
    "#);
    assert_snapshot!(refused("\u{feff}schema: 1\n"), @r#"
    p.yaml:1:9: `schema` is a number; expected text
    hint: put it in quotes if it is meant as text
    "#);
    assert_snapshot!(with("messages: [{role: user, content: \"a\\0b\"}]\n"), @r#"
    p.yaml:4:34: the text holds the character U+0000
    hint: leave it out: not every database can store it
    "#);
    assert_snapshot!(changed("Summarise a company", "\"a\\0b\""), @r#"
    p.yaml:3:14: `description` holds the character U+0000
    hint: leave it out: not every database can store it
    "#);
    assert_snapshot!(refused(vec![b'a'; (1 << 20) + 1]), @r#"
    p.yaml: 1048577 bytes; a prompt's file has at most 1048576
    hint: long material belongs into an input, not into the prompt
    "#);
}
