//! Examples of the rules, and what holds for every text.

use super::expand::{base64, expand};
use super::redact::sanitise;
use super::*;
use crate::domain::Decision;
use proptest::prelude::*;
use std::sync::LazyLock;

fn tokens() -> Tokens {
    Tokens::new(Fingerprinter::new([7; 32]))
}

static ALL: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(&Options::all()));

fn found(text: &str) -> Vec<(&'static str, &str)> {
    let findings = ALL.scan(text).expect("short enough");
    findings.iter().map(|finding| (finding.detector, finding.value(text))).collect()
}

fn has(rule: &rules::Rule, text: &str) -> bool {
    let findings = ALL.scan(text).expect("short enough");
    findings.iter().any(|finding| finding.detector == rule.id)
}

#[test]
fn every_rule_compiles_and_is_complete() {
    let mut ids: Vec<_> = rules::rules().map(|rule| rule.id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "two rules have one id");
    for rule in rules::table() {
        assert!(rule.regex.is_none() || rule.expression().is_some(), "{}: expression", rule.id);
        let bare_label = rule.token_label().bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        assert!(bare_label, "{}: label", rule.id);
        assert!(!rule.description.is_empty() && !rule.source.is_empty(), "{}", rule.id);
    }
    let secrets = rules::rules().filter(|rule| rule.group == Group::Secret).count();
    let personal = rules::rules().filter(|rule| matches!(rule.group, Group::Pii | Group::PiiId)).count();
    assert!(secrets >= 60 && personal >= 12, "{secrets} {personal}");
}

#[test]
fn every_source_of_a_rule_is_explained() {
    let sources = include_str!("rules-sources.md");
    let missing: Vec<_> =
        rules::rules().filter(|rule| !sources.contains(&format!("- `{}`: ", rule.source))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_anchor_is_long_enough_for_the_prefilter() {
    for rule in rules::table() {
        let short: Vec<_> = rule.keywords.iter().filter(|word| word.len() == 2 || word.is_empty()).collect();
        assert!(short.is_empty(), "{}: {short:?}", rule.id);
    }
}

#[test]
fn every_example_of_every_rule_holds() {
    let mut wrong = Vec::new();
    for rule in rules::table() {
        for example in &rule.matches {
            let text = expand(example, &rule.id);
            if !has(rule, &text) {
                wrong.push(format!("{}: not found in `{example}`; found {:?}", rule.id, ids(&text)));
            }
        }
        for example in &rule.not {
            let text = expand(example, &rule.id);
            if has(rule, &text) {
                wrong.push(format!("{}: found in `{example}`", rule.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn ids(text: &str) -> Vec<&'static str> {
    found(text).into_iter().map(|(id, _)| id).collect()
}

#[test]
fn what_is_hidden_is_found_where_it_stands() {
    let token = expand("${github:ghp_}", "hidden");
    let (head, tail) = token.split_at(9);
    let parted = format!("t {head}\u{200b}{tail} end");
    assert_eq!(found(&parted), [("github_token", &*format!("{head}\u{200b}{tail}"))]);
    assert_eq!(found("an jane.doe%40kestrel.org."), [("email", "jane.doe%40kestrel.org")]);
    let wide: String = "ｊａｎｅ＠ｋｅｓｔｒｅｌ．ｏｒｇ".to_owned();
    assert_eq!(found(&format!("é {wide} é")), [("email", wide.as_str())]);
    let encoded = base64(format!("use {token} now").as_bytes());
    assert_eq!(found(&format!("data: {encoded} .")), [("github_token", encoded.as_str())]);
}

#[test]
fn a_text_too_long_is_an_error() {
    let text = " ".repeat(MAX_TEXT_BYTES + 1);
    let error = ALL.scan(&text).expect_err("too long");
    assert!(error.to_string().contains("4194305") && error.next_step().is_some());
    assert!(ALL.scan(&text[1..]).expect("fits").is_empty());
}

#[test]
fn nothing_shows_a_value() {
    let secret = expand("${github:ghp_}", "shown");
    let text = format!("token {secret}, jane.doe@kestrel.org");
    let mut tokens = tokens();
    let policy = Policy::default();
    let (clean, outcomes) =
        sanitise(&ALL, &text, &mut tokens, |finding| policy.ruling(finding)).expect("short");
    let fingerprint = Fingerprinter::new([7; 32]).fingerprint("github_token", &secret);
    let shown =
        format!("{tokens:?} {outcomes:?} {fingerprint:?} {:?} {:?} {policy:?}", ALL.scan(&text), *ALL);
    assert!(!shown.contains(&secret) && !shown.contains("kestrel"), "{shown}");
    assert_eq!(
        outcomes.iter().map(|o| o.ruling.decision).collect::<Vec<_>>(),
        [Decision::Block, Decision::Redact]
    );
    assert_eq!(clean, "token [SECRET_1], [EMAIL_1]");
}

#[test]
fn the_same_value_gets_the_same_token() {
    let text = "a@kestrel.org, b@kestrel.org and a@kestrel.org";
    let mut tokens = tokens();
    let redacted = redact(text, &ALL.scan(text).expect("short"), &mut tokens);
    assert_eq!(redacted, "[EMAIL_1], [EMAIL_2] and [EMAIL_1]");
    let more = "b@kestrel.org";
    assert_eq!(redact(more, &ALL.scan(more).expect("short"), &mut tokens), "[EMAIL_2]");
    assert_eq!(tokens.len(), 2);
}

#[test]
fn places_are_counted_from_one() {
    let text = "é\nab x@kestrel.org";
    let findings = ALL.scan(text).expect("short");
    assert_eq!(findings[0].line_column(text), (2, 4));
}

/// Pieces from which texts are made that are dense with what the rules look for.
fn dense() -> impl Strategy<Value = String> {
    let pieces: Vec<String> = rules::table()
        .iter()
        .flat_map(|rule| rule.matches.iter().chain(&rule.not).map(|example| expand(example, &rule.id)))
        .chain(rules::table().iter().flat_map(|rule| rule.keywords.clone()))
        .collect();
    let piece = prop_oneof![
        4 => prop::sample::select(pieces),
        2 => "[ -~]{0,12}",
        1 => "\\PC{0,6}",
        1 => prop::sample::select(vec![" ".to_owned(), "\n".to_owned(), ": ".into(), "=".into(), "\u{200b}".into(), "[EMAIL_1]".into(), "+".into()]),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn findings_are_sorted_whole_and_the_same_each_time(text in dense()) {
        let findings = ALL.scan(&text).expect("short");
        let mut end = 0;
        for finding in &findings {
            prop_assert!(finding.range.start >= end && finding.range.end > finding.range.start);
            prop_assert!(text.get(finding.range.clone()).is_some());
            end = finding.range.end;
        }
        prop_assert_eq!(findings, ALL.scan(&text).expect("short"));
    }

    #[test]
    fn redaction_leaves_nothing_to_redact(text in dense()) {
        let policy = Policy::default();
        let mut tokens = tokens();
        let (clean, _) = sanitise(&ALL, &text, &mut tokens, |f| policy.ruling(f)).expect("rounds suffice");
        let left: Vec<_> = ALL.scan(&clean).expect("short").into_iter().filter(|f| policy.decide(f).hides()).collect();
        prop_assert!(left.is_empty(), "{:?}", left);
        let (again, _) = sanitise(&ALL, &clean, &mut tokens, |f| policy.ruling(f)).expect("rounds suffice");
        prop_assert_eq!(&again, &clean);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<char>(), 0..80)) {
        ALL.scan(&text).expect("short");
        ALL.scan(&bytes.into_iter().collect::<String>()).expect("short");
    }
}

/// What was sent is looked at in a time that its length bounds: one value however often, and not any number of values.
#[test]
fn a_list_of_values_is_refused_and_one_value_a_thousand_times_is_not() {
    use crate::domain::CallPrompt;
    let guard = Guard::new(Policy::default(), Fingerprinter::new([7; 32]));
    let examine = |text: String| {
        let messages = Some(vec![serde_json::json!({"role": "user", "content": text})]);
        let prompt = CallPrompt { messages, ..CallPrompt::default() };
        guard.examine(&prompt, None, chrono::NaiveDate::default())
    };
    let mails = |count: usize| {
        let mails: Vec<String> = (0..count).map(|n| format!("person{n}@kestrelmail.org ")).collect();
        mails.concat()
    };
    let examined = examine(mails(1).repeat(5000)).unwrap();
    assert_eq!(examined.decisions.all().len(), 1);
    assert_eq!(examined.decisions.all()[0].findings, 5000);
    assert_eq!(examine(mails(1500)).unwrap().decisions.all().len(), 1500);
    let error = examine(mails(2500)).unwrap_err().to_string();
    assert!(error.contains("more than 2000 different values"), "{error}");
}
