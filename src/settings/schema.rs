//! What `asmm.yaml` may hold, as a JSON Schema: for editors, and for `asmm config show`. A test holds it against the structs.

use serde_json::Value;

/// The schema's text.
pub(crate) const TEXT: &str = include_str!("schema.json");

/// A setting of `asmm.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its keys from the top, with dots: `recorder.level`.
    pub path: String,
    /// What it is when nobody says.
    pub default: Option<Value>,
    /// The flag that wins over it.
    pub flag: Option<String>,
    /// The variable that wins over the file.
    pub environment: Option<String>,
}

/// All settings, in the order of their names; sections are gone into.
pub(crate) fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    add_keys("", &root(), &mut keys);
    keys
}

fn root() -> Value {
    serde_json::from_str(TEXT).expect("the embedded schema is JSON")
}

fn add_keys(above: &str, node: &Value, keys: &mut Vec<Key>) {
    for (name, inner) in node["properties"].as_object().into_iter().flatten() {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if inner["properties"].is_object() {
            add_keys(&path, inner, keys);
            continue;
        }
        let word = |key: &str| inner[key].as_str().map(str::to_owned);
        keys.push(Key {
            path,
            default: inner.get("default").cloned(),
            flag: word("x-flag"),
            environment: word("x-environment"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{keys, root};
    use crate::settings::ConfigFile;
    use serde_json::{Value, json};

    /// `value` under the keys of `path`, as a whole file.
    fn file(path: &[&str], value: Value) -> String {
        let value = path.iter().rev().fold(value, |inner, key| json!({ *key: inner }));
        serde_yaml::to_string(&value).unwrap()
    }

    fn parse(path: &[&str], value: Value) -> Result<ConfigFile, String> {
        serde_yaml::from_str(&file(path, value)).map_err(|error| error.to_string())
    }

    /// The names in backticks after `expected`, in which a struct says what it takes.
    fn expected(message: &str) -> Vec<&str> {
        let (_, list) = message.split_once("expected").expect("serde says what it expects");
        let mut names: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        names.sort_unstable();
        names
    }

    fn check(path: &[&str], node: &Value) {
        let shown = path.join(".");
        assert!(path.is_empty() || node["description"].is_string(), "`{shown}` has no description");
        if let Some(properties) = node["properties"].as_object() {
            assert_eq!(node["additionalProperties"], json!(false), "`{shown}`: unknown keys are errors");
            let said =
                parse(&[path, &["no_such_key"]].concat(), json!(1)).expect_err("an unknown key is refused");
            let described: Vec<&str> = properties.keys().map(String::as_str).collect();
            assert_eq!(described, expected(&said), "`{shown}`: the schema and the struct differ");
            for (name, inner) in properties {
                check(&[path, &[name]].concat(), inner);
            }
            return;
        }
        let values = |key: &str| node[key].as_array().cloned().unwrap_or_default();
        let mut good = [values("examples"), values("enum")].concat();
        good.extend(node.get("default").cloned());
        assert!(!good.is_empty(), "`{shown}` has neither examples nor a default");
        for value in good {
            parse(path, value.clone()).unwrap_or_else(|error| panic!("`{shown}`: {value}: {error}"));
        }
        let is_text = node["type"] == "string";
        let wrong = if is_text { json!(["a list"]) } else { json!("no such value") };
        let said = parse(path, wrong).expect_err(&shown);
        if node["enum"].is_array() {
            let mut described: Vec<String> =
                values("enum").iter().map(|word| word.as_str().unwrap().to_owned()).collect();
            described.sort_unstable();
            assert_eq!(described, expected(&said), "`{shown}`: the schema and the enum differ");
        }
    }

    #[test]
    fn the_schema_describes_what_is_read() {
        check(&[], &root());
    }

    #[test]
    fn its_defaults_are_those_in_force() {
        let of = |path: &str| {
            let key = keys().into_iter().find(|key| key.path == path);
            key.unwrap_or_else(|| panic!("no key `{path}`")).default.expect("it has a default")
        };
        let policy = serde_json::to_value(crate::guard::Policy::default()).unwrap();
        for name in ["on_secret", "national_ids", "soft", "kinds"] {
            assert_eq!(of(&format!("guard.{name}")), policy[name], "{name}");
        }
        assert_eq!(of("recorder.level"), crate::recorder::Level::default().code());
        assert_eq!(of("recorder.spool_max_bytes"), crate::recorder::spool::MAX_BYTES);
    }

    /// The example that people start from names every setting, and holds.
    #[test]
    fn the_example_is_whole_and_right() {
        let text = include_str!("../../examples/settings/asmm.yaml");
        let file: ConfigFile = serde_yaml::from_str(text).unwrap();
        let value: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
        assert_eq!(file.schema.as_deref(), Some("asmm"));
        for key in keys() {
            let inner = key.path.split('.').try_fold(&value, |inner, name| inner.get(name));
            assert!(inner.is_some(), "the example does not name `{}`", key.path);
        }
    }

    #[test]
    fn the_runbook_names_every_setting() {
        let runbook = include_str!("../../RUNBOOK.md");
        let (_, section) = runbook.split_once("\n## Configuration\n").expect("there is a section");
        let section = section.split("\n## ").next().unwrap();
        for key in keys() {
            assert!(section.contains(&format!("`{}`", key.path)), "it does not name `{}`", key.path);
        }
    }
}
