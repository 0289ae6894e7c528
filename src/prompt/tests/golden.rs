//! `subst/1` is frozen: these are its bytes. A test that fails here is a change of the language, so `subst/2`.

use super::parse;
use crate::prompt::{Part, Template};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    template: String,
    #[serde(default)]
    inputs: Map<String, Value>,
    /// The exact text, or none if the template is refused.
    text: Option<String>,
    /// The byte at which it is refused.
    error_at: Option<usize>,
}

#[test]
fn renders_every_vector_byte_for_byte() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../golden.json")).expect("vectors");
    assert!(vectors.len() > 50);
    for vector in vectors {
        let template = Template::read(&vector.template);
        match (&vector.text, template) {
            (Some(text), Ok(template)) => {
                let mut rendered = String::new();
                for part in template.parts() {
                    rendered.push_str(match part {
                        Part::Literal(text) => text,
                        Part::Variable(name) => vector.inputs[name].as_str().expect("text"),
                    });
                }
                assert_eq!(rendered.as_bytes(), text.as_bytes(), "{}", vector.name);
                through_a_prompt(&vector, text);
            }
            (None, Err(error)) => assert_eq!(Some(error.at), vector.error_at, "{}", vector.name),
            (_, other) => panic!("{}: {other:?}", vector.name),
        }
    }
}

fn through_a_prompt(vector: &Vector, text: &str) {
    let string = serde_json::json!({"type": "string"});
    let variables: Map<String, Value> =
        vector.inputs.keys().map(|name| (name.clone(), string.clone())).collect();
    let document = serde_json::json!({
        "schema": "asmm.prompt/v1", "name": "a", "engine": "subst/1", "variables": variables,
        "messages": [{"role": "user", "content": vector.template}],
    });
    // U+007F and the like are written escaped: YAML does not take them as they are.
    let yaml = document.to_string().replace('\u{7f}', "\\u007f");
    let content = parse(&yaml).content;
    let rendered = content.render(&vector.inputs).expect("rendered");
    assert_eq!(rendered.messages[0].content.as_bytes(), text.as_bytes(), "{}", vector.name);
}
