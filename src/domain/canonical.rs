//! Canonical JSON: one text for one value, so that a digest of it means the value.
//!
//! - No space outside strings; objects' keys sorted by code point; arrays in their order.
//! - Strings escape `"`, `\`, and the control characters below U+0020 (`\b \t \n \f \r`, else `\u00xx` in lower
//!   case), and nothing else. U+0000 is refused: Postgres cannot store it.
//! - A number is a whole number below 2^53 or a decimal fraction of at most 15 significant digits; written without
//!   exponent, without trailing zeros of a fraction, and without a sign on 0. Any other is refused, since programs
//!   disagree on its digits.
//! - At most 32 levels deep.
//!
//! Within these bounds it equals RFC 8785, except that RFC 8785 sorts keys by UTF-16 units; and it equals what
//! `canonical_json` of the Postgres schema makes of the same value.

use crate::error::{Error, Result};
use serde_json::{Number, Value};

/// The deepest nesting.
const MAX_DEPTH: usize = 32;
/// Whole numbers up to 2^53 - 1 are the same in every program.
const MAX_WHOLE: u64 = (1 << 53) - 1;
/// So many decimal digits survive the way through a double.
const MAX_DIGITS: usize = 15;

/// The canonical JSON of `value`.
///
/// # Errors
/// Of kind `Input` for a number, a character or a depth that it does not take.
pub fn canonical_json(value: &Value) -> Result<String> {
    let mut out = String::new();
    write_value(value, MAX_DEPTH, &mut out)?;
    Ok(out)
}

fn write_value(value: &Value, depth: usize, out: &mut String) -> Result<()> {
    if depth == 0 {
        return Err(Error::input(format!("the JSON is nested more than {MAX_DEPTH} deep")));
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&canonical_number(number)?),
        Value::String(text) => write_text(text, out)?,
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                out.push(if place == 0 { '[' } else { ',' });
                write_value(item, depth - 1, out)?;
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Object(entries) => {
            let mut keys: Vec<&String> = entries.keys().collect();
            keys.sort_unstable();
            for (place, key) in keys.into_iter().enumerate() {
                out.push(if place == 0 { '{' } else { ',' });
                write_text(key, out)?;
                out.push(':');
                write_value(&entries[key], depth - 1, out)?;
            }
            out.push_str(if entries.is_empty() { "{}" } else { "}" });
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut String) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::input("a text holds the character U+0000")
            .hint("leave it out: not every database can store it"));
    }
    // serde_json escapes exactly what is to be escaped, in the same way.
    let quoted = serde_json::to_string(text)
        .map_err(|e| Error::input(format!("a text cannot be written as JSON: {e}")))?;
    out.push_str(&quoted);
    Ok(())
}

/// A number in its one spelling.
fn canonical_number(number: &Number) -> Result<String> {
    let refused = || {
        Error::input(format!("the number {number} does not survive every program"))
            .hint("use a whole number below 2^53 or at most 15 digits, or write it as text")
    };
    if let Some(whole) = number.as_i64() {
        return if whole.unsigned_abs() <= MAX_WHOLE { Ok(whole.to_string()) } else { Err(refused()) };
    }
    let float = number.as_f64().filter(|f| !number.is_u64() && f.is_finite()).ok_or_else(refused)?;
    // The shortest digits that read back as the same double, never with an exponent.
    let text = float.to_string();
    let digits = text.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_whole = fraction.is_empty();
    let significant = format!("{whole}{fraction}").trim_start_matches('0').len();
    if is_whole && whole.parse::<u64>().is_ok_and(|n| n <= MAX_WHOLE) {
        return Ok(if digits == "0" { "0".to_owned() } else { text });
    }
    if is_whole || significant > MAX_DIGITS || digits.len() > 40 { Err(refused()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> Result<String> {
        canonical_json(&serde_json::from_str(json).expect("JSON"))
    }

    #[test]
    fn has_one_text_for_one_value() {
        let cases = [
            (r#"{ "b" : 1 , "a" : [ true , null ] }"#, r#"{"a":[true,null],"b":1}"#),
            ("{\"\u{1f600}\":1,\"\u{ffff}\":2,\"é\":3}", "{\"é\":3,\"\u{ffff}\":2,\"\u{1f600}\":1}"),
            (r#""\u00e9\u001f\b\/\u007f""#, "\"é\\u001f\\b/\u{7f}\""),
            ("[1.0, 1e3, -0, -0.0, 0.10, 1.5e-7]", "[1,1000,0,0,0.1,0.00000015]"),
            (
                "[9007199254740991, -9007199254740991, 0.123456789012345]",
                "[9007199254740991,-9007199254740991,0.123456789012345]",
            ),
            ("[[], {}, \"\"]", r#"[[],{},""]"#),
        ];
        for (json, expected) in cases {
            assert_eq!(canonical(json).expect("canonical"), expected);
        }
    }

    #[test]
    fn refuses_what_programs_read_differently() {
        for json in [
            "9007199254740992",
            "18446744073709551615",
            "1e300",
            "0.1234567890123456",
            "1e-300",
            r#""\u0000""#,
        ] {
            assert!(canonical(json).is_err(), "{json}");
        }
        assert!(canonical(&format!("{}1{}", "[".repeat(32), "]".repeat(32))).is_err());
        assert!(canonical(&format!("{}1{}", "[".repeat(31), "]".repeat(31))).is_ok());
    }
}
