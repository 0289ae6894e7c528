//! SARIF 2.1.0 (OASIS standard), as code hosts take it.

use super::scan::Found;
use crate::guard::{RuleInfo, rule_info};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The log of one scan: the rules that found something, and what they found. No value is in it.
pub(super) fn log(found: &[Found]) -> Value {
    let mut rules: BTreeMap<&str, Option<RuleInfo>> = BTreeMap::new();
    for found in found {
        rules.entry(found.detector).or_insert_with(|| rule_info(found.detector));
    }
    let places: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(place, id)| (*id, place)).collect();
    let results: Vec<Value> = found.iter().map(|found| result(found, places.get(found.detector))).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "asmm guard",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules.values().flatten().map(rule).collect::<Vec<_>>(),
            }},
            // Columns are counted in characters.
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(rule: &RuleInfo) -> Value {
    json!({
        "id": rule.id,
        "name": rule.id,
        "shortDescription": {"text": rule.description},
        "defaultConfiguration": {"level": level(rule.severity.as_str())},
        "properties": {
            "tags": ["security", rule.group.as_str(), rule.tier.as_str()],
            "security-severity": score(rule.severity.as_str()),
        },
    })
}

fn result(found: &Found, place: Option<&usize>) -> Value {
    let what = rule_info(found.detector).map_or("something to hide", |rule| rule.description);
    let uri = found.file.as_deref().map_or_else(|| "stdin".to_owned(), uri);
    json!({
        "ruleId": found.detector,
        "ruleIndex": place,
        "level": if found.tier == "suspicion" { "note" } else { level(found.severity) },
        "message": {"text": format!("{what}; found by `{}`, {}", found.detector, found.tier)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri},
            "region": {
                "startLine": found.line,
                "startColumn": found.column,
                "endLine": found.until.0,
                "endColumn": found.until.1,
                "byteOffset": found.start,
                "byteLength": found.end - found.start,
            },
        }}],
    })
}

/// A path as a relative reference: its characters outside RFC 3986's path are escaped.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.trim_start_matches("./").bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

fn level(severity: &str) -> &'static str {
    match severity {
        "critical" | "high" => "error",
        "medium" => "warning",
        _ => "note",
    }
}

/// The number that code hosts sort by, from 0 to 10.
fn score(severity: &str) -> &'static str {
    match severity {
        "critical" => "9.5",
        "high" => "8.0",
        "medium" => "5.0",
        _ => "2.0",
    }
}
