//! JSON objects in a stream: one a line, or those of an array, or one after the other, however they are laid out.

use super::Complaints;
use super::lines::{Lines, MAX_LINE_BYTES};
use crate::error::{Error, Result};
use std::io::Read;

/// What is known of the object that is being read.
#[derive(Default)]
struct Open {
    text: String,
    line: u64,
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
}

/// Gives each object to `give`, with the number of the line that it begins on. One that is cut off or too long is a
/// complaint, and the next one is found again. Answers how many lines there were.
///
/// # Errors
/// When the stream cannot be read, or `give` fails.
pub(super) fn each<R: Read>(
    file: &str,
    lines: &mut Lines<R>,
    complaints: &mut Complaints,
    mut give: impl FnMut(u64, &str, &mut Complaints) -> Result<()>,
) -> Result<u64> {
    let mut open: Option<Open> = None;
    let mut is_array = None;
    let mut count = 0;
    let failed = |error| Error::io(format!("`{file}` cannot be read"), error);
    while let Some(line) = lines.next_line().map_err(failed)? {
        count = line.number;
        let text = match line.text {
            Ok(text) => text,
            Err(bad) => {
                complaints.add(file, line.number, bad);
                open = None;
                continue;
            }
        };
        let first = text.trim_start().bytes().next();
        let is_array = *is_array.get_or_insert(first == Some(b'['));
        // An object that begins a line, while another one is open: that one was cut off.
        if !is_array
            && text.starts_with('{')
            && let Some(cut) = open.take()
        {
            complaints.add(file, cut.line, "the object is cut off");
        }
        let mut rest = text;
        loop {
            let Some(current) = open.as_mut() else {
                let Some(start) = rest.find(|c: char| !c.is_whitespace() && !matches!(c, ',' | '[' | ']'))
                else {
                    break;
                };
                rest = &rest[start..];
                if !rest.starts_with('{') {
                    complaints.add(file, line.number, "what is there is not a JSON object");
                    break;
                }
                open = Some(Open { line: line.number, ..Open::default() });
                continue;
            };
            let Some(end) = current.end_in(rest) else {
                if current.text.len() + rest.len() <= MAX_LINE_BYTES {
                    current.text.push_str(rest);
                    current.text.push('\n');
                } else {
                    complaints.add(
                        file,
                        current.line,
                        format_args!("the object is longer than {MAX_LINE_BYTES} bytes"),
                    );
                    // Its end is still to be found, without what it holds.
                    current.text.clear();
                    current.line = 0;
                }
                break;
            };
            let last = &rest[..end];
            rest = &rest[end..];
            let Some(done) = open.take() else { break };
            if done.text.is_empty() && done.line > 0 {
                give(done.line, last, complaints)?;
            } else if done.line > 0 {
                let whole = done.text + last;
                give(done.line, &whole, complaints)?;
            }
        }
    }
    if let Some(cut) = open.filter(|open| open.line > 0) {
        complaints.add(file, cut.line, "the object is cut off");
    }
    Ok(count)
}

impl Open {
    /// The place after the object's end, if it ends in `text`.
    fn end_in(&mut self, text: &str) -> Option<usize> {
        for (place, byte) in text.bytes().enumerate() {
            if self.is_in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.is_in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.is_in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(place + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(u64, String)>, Vec<String>) {
        let (mut found, mut complaints) = (Vec::new(), Complaints::default());
        let mut lines = Lines::new(text.as_bytes()).unwrap();
        each("f", &mut lines, &mut complaints, |line, object, _| {
            found.push((line, object.split_whitespace().collect()));
            Ok(())
        })
        .unwrap();
        (found, complaints.first().to_vec())
    }

    #[test]
    fn objects_are_found_however_they_are_laid_out() {
        let two = vec![r#"{"a":"}]\"{"}"#.to_owned(), r#"{"b":[{"c":1}]}"#.to_owned()];
        for text in [
            "{\"a\":\"}]\\\"{\"}\n{\"b\":[{\"c\":1}]}\n",
            "[{\"a\":\"}]\\\"{\"},{\"b\":[{\"c\":1}]}]",
            "[\n  {\n    \"a\": \"}]\\\"{\"\n  },\n  {\n    \"b\": [ {\"c\": 1} ]\n  }\n]\n",
            "\n\n{\"a\":\"}]\\\"{\"} {\"b\":[{\"c\":1}]}",
        ] {
            let (found, complaints) = read(text);
            assert_eq!(found.into_iter().map(|(_, object)| object).collect::<Vec<_>>(), two, "{text}");
            assert_eq!(complaints, [""; 0], "{text}");
        }
    }

    #[test]
    fn what_is_cut_off_costs_itself_alone() {
        let (found, complaints) = read("{\"a\":1}\n{\"b\": {\"c\n{\"d\":2}\n7\n{\"e\":");
        assert_eq!(found, [(1, "{\"a\":1}".to_owned()), (3, "{\"d\":2}".to_owned())]);
        assert_eq!(
            complaints,
            [
                "f:2: the object is cut off",
                "f:4: what is there is not a JSON object",
                "f:5: the object is cut off"
            ]
        );
    }
}
