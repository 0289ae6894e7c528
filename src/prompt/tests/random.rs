//! Laws that hold for every template, value and file.

use crate::prompt::{
    Content, Kind, Message, Model, Part, Role, Sensitivity, Template, Variable, diff, parse_file, quote,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Text with many braces, ends of lines and characters of several bytes.
fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{", "{{", "}", "}}", "{{a}}", "a", " ", "\n", "\r\n", "\t", "é", "e\u{301}", "😀", "\"", "\\",
        "\u{1}",
    ]);
    prop_oneof![prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat()), "[^\0]{0,8}"]
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z_][A-Za-z0-9_]{0,6}"
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    prop::collection::vec(prop_oneof![text().prop_map(Part::Literal), name().prop_map(Part::Variable)], 0..8)
}

fn merged(parts: &[Part]) -> Vec<Part> {
    let mut merged: Vec<Part> = Vec::new();
    for part in parts {
        match (merged.last_mut(), part) {
            (_, Part::Literal(text)) if text.is_empty() => {}
            (Some(Part::Literal(before)), Part::Literal(text)) => before.push_str(text),
            _ => merged.push(part.clone()),
        }
    }
    merged
}

/// A variable and a value of it. Numbers are of few digits: canonical JSON takes no others.
fn variable() -> impl Strategy<Value = (Variable, Value)> {
    let sensitivity = prop::sample::select(vec![Sensitivity::Public, Sensitivity::Personal]);
    let value = prop_oneof![
        text().prop_map(|text| (Kind::String, json!(text))),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(|n| (Kind::Integer, json!(n))),
        (-99_999_999_i32..=99_999_999, 0_u8..6)
            .prop_map(|(n, digits)| (Kind::Number, json!(f64::from(n) / 10_f64.powi(i32::from(digits))))),
        any::<bool>().prop_map(|value| (Kind::Boolean, json!(value))),
        text().prop_map(|text| (Kind::Enum, json!(format!("{text}.")))),
    ];
    (sensitivity, value, any::<bool>(), any::<bool>()).prop_map(
        |(sensitivity, (kind, value), limit, default)| {
            let values = match (kind, &value) {
                (Kind::Enum, Value::String(text)) => vec!["other".to_owned(), text.clone()],
                _ => Vec::new(),
            };
            let canonical = crate::domain::canonical_json(&value).unwrap();
            let default = default.then(|| serde_json::from_str(&canonical).unwrap());
            let max_bytes = limit.then_some(100);
            let variable =
                Variable { kind, sensitivity, max_bytes, values, default, allow_raw: None, on_secret: None };
            (variable, value)
        },
    )
}

/// A content and inputs for it.
fn content() -> impl Strategy<Value = (Content, Map<String, Value>)> {
    let variables = prop::collection::btree_map(name(), variable(), 0..4);
    let texts = prop::collection::vec((prop::sample::select(Role::ALL.to_vec()), text()), 1..4);
    let param =
        prop_oneof![Just(json!(null)), any::<i32>().prop_map(|n| json!(n)), text().prop_map(|t| json!([t]))];
    let model = prop::option::of(("[a-z]{1,8}", prop::collection::btree_map("[a-z]{0,4}", param, 0..3)));
    (variables, texts, model).prop_map(|(variables, texts, model)| {
        let used: Vec<Part> = variables.keys().cloned().map(Part::Variable).collect();
        let messages = texts.iter().enumerate().map(|(place, (role, text))| {
            let mut parts = vec![Part::Literal(text.clone())];
            parts.extend(used.iter().skip(if place == 0 { 0 } else { place }).cloned());
            Message { role: *role, content: Template::from_parts(&parts).unwrap() }
        });
        let content = Content {
            model: model.map(|(id, params)| Model { id, params: params.into_iter().collect() }),
            messages: messages.collect(),
            variables: variables
                .iter()
                .map(|(name, (variable, _))| (name.clone(), variable.clone()))
                .collect(),
        };
        (content, variables.into_iter().map(|(name, (_, value))| (name, value)).collect())
    })
}

/// A file of this content.
fn file(content: &Content) -> String {
    let mut document: Value = serde_json::from_str(&content.canonical().unwrap()).unwrap();
    document["schema"] = json!("asmm.prompt/v1");
    document["name"] = json!("a");
    document.to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_template_is_what_it_prints(parts in parts()) {
        let template = Template::from_parts(&parts).unwrap();
        prop_assert_eq!(template.parts().cloned().collect::<Vec<_>>(), merged(&parts));
        let again = Template::parse(&template.to_string()).unwrap();
        prop_assert_eq!(&again, &template);
    }

    #[test]
    fn a_source_prints_itself(source in text()) {
        if let Ok(template) = Template::parse(&source) {
            prop_assert_eq!(template.to_string(), source.clone());
            let parts: Vec<Part> = template.parts().cloned().collect();
            let printed = Template::from_parts(&parts).unwrap();
            prop_assert_eq!(printed.parts().cloned().collect::<Vec<_>>(), parts);
        }
        prop_assert!(Template::parse(&quote(&source)).is_ok());
    }

    #[test]
    fn values_never_change_meaning(before in text(), x in text(), between in text(), y in text(), after in text()) {
        let source = format!("{}{{{{x}}}}{}{{{{ y }}}}{}", quote(&before), quote(&between), quote(&after));
        let content = super::one("{x: {type: string}, y: {type: string}}", "{{x}}{{y}}");
        let content = Content { messages: vec![Message { role: Role::User, content: Template::parse(&source).unwrap() }], ..content };
        let inputs = Map::from_iter([("x".to_owned(), json!(x)), ("y".to_owned(), json!(y))]);
        prop_assert_eq!(&content.render(&inputs).unwrap().messages[0].content, &format!("{before}{x}{between}{y}{after}"));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_file("p.yaml", &bytes);
    }

    #[test]
    fn no_change_of_a_file_makes_it_panic(at in 0..super::GOOD.len(), length in 0_usize..9, piece in "[-{}\\[\\]:#&*!|>'\"%@`, \na0\u{feff}é~?]{0,6}") {
        let (head, tail) = (&super::GOOD[..at], super::GOOD.get(at + length..).unwrap_or_default());
        if let Err(error) = parse_file("p.yaml", format!("{head}{piece}{tail}").as_bytes()) {
            prop_assert!(error.to_string().starts_with("p.yaml:"), "{}", error);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_prompt_renders_and_digests_the_same_again((content, inputs) in content()) {
        let canonical = content.canonical().unwrap();
        let digest = content.digest().unwrap();
        let rendered = content.render(&inputs).unwrap();
        let stored = Content::from_canonical(&canonical).unwrap();
        prop_assert_eq!(&stored, &content);
        prop_assert_eq!(stored.digest().unwrap(), digest);
        for again in [content.render(&inputs).unwrap(), stored.render(&inputs).unwrap()] {
            prop_assert_eq!(again.digest().unwrap(), rendered.digest().unwrap());
            prop_assert_eq!(&again, &rendered);
        }
        let filed = parse_file("p.json", file(&content).replace('\u{7f}', "\\u007f").as_bytes());
        if let Ok(filed) = filed {
            prop_assert_eq!(filed.content.digest().unwrap(), digest);
        }
        prop_assert!(diff(&content, &stored).is_empty());
    }
}

#[test]
fn the_random_contents_are_varied() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..500 {
        let (content, _) = content().new_tree(&mut runner).unwrap().current();
        for variable in content.variables.values() {
            *kinds.entry(variable.kind.code()).or_default() += 1;
        }
    }
    assert!(
        Kind::ALL.iter().all(|kind| kinds.get(kind.code()).is_some_and(|count| *count > 50)),
        "{kinds:?}"
    );
}
