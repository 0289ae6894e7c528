//! The names that a reported model name may stand for once its wrapping is taken off.
//!
//! Only wrapping: a provider path, a region, a date, `-latest` and a version behind `@` or `:`. Whatever
//! else a name holds (`-mini`, `:free`, `-0125`) tells models apart and stays.

/// The regions that Bedrock's inference profiles put before a model's id.
const REGIONS: [&str; 11] =
    ["us.", "eu.", "apac.", "global.", "us-gov.", "jp.", "au.", "ca.", "sa.", "me.", "af."];

/// `model` as reported, then with less and less wrapping; without repetitions.
pub(super) fn candidates(model: &str) -> Vec<String> {
    let mut plain = vec![model];
    plain.extend(model.match_indices('/').map(|(at, _)| &model[at + 1..]));
    let regionless: Vec<&str> = plain.iter().filter_map(|name| without_region(name)).collect();
    plain.extend(regionless);
    let mut names: Vec<&str> = Vec::new();
    let mut add = |name| {
        if !str::is_empty(name) && !names.contains(&name) {
            names.push(name);
        }
    };
    plain.iter().copied().for_each(&mut add);
    for name in plain {
        let mut rest = name;
        while let Some(shorter) = without_suffix(rest) {
            add(shorter);
            rest = shorter;
        }
    }
    names.into_iter().map(str::to_owned).collect()
}

fn without_region(name: &str) -> Option<&str> {
    REGIONS.iter().find_map(|region| name.strip_prefix(region))
}

/// `name` without a date, `-latest`, `@version` or `:version` at its end.
fn without_suffix(name: &str) -> Option<&str> {
    if let Some(rest) = name.strip_suffix("-latest") {
        return Some(rest);
    }
    if let Some((rest, version)) = name.rsplit_once(['@', ':'])
        && is_version(version)
    {
        return Some(rest);
    }
    for length in [8, 10] {
        if let Some(at) = name.len().checked_sub(length + 1)
            && let Some(tail) = name.get(at..)
            && tail.strip_prefix('-').is_some_and(is_date)
        {
            return name.get(..at);
        }
    }
    None
}

/// `001`, `v2`, `20240620`, `2024-06-20`, `default`, `latest`: what names a version and not a model.
fn is_version(text: &str) -> bool {
    let number = text.strip_prefix('v').unwrap_or(text);
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number || is_date(text) || matches!(text, "default" | "latest")
}

/// Whether `text` is a day of this century, as `20251211` or `2025-12-11`.
fn is_date(text: &str) -> bool {
    let format = if text.len() == 8 { "%Y%m%d" } else { "%Y-%m-%d" };
    let shape = |at: usize, b: u8| {
        if text.len() == 10 && (at == 4 || at == 7) { b == b'-' } else { b.is_ascii_digit() }
    };
    matches!(text.len(), 8 | 10)
        && text.starts_with("20")
        && text.bytes().enumerate().all(|(at, b)| shape(at, b))
        && chrono::NaiveDate::parse_from_str(text, format).is_ok()
}

/// `name` with its first compact date written out: `x-20251211` is `x-2025-12-11`.
pub(super) fn with_written_date(name: &str) -> Option<String> {
    name.match_indices('-').find_map(|(at, _)| {
        let date = name.get(at + 1..at + 9).filter(|text| is_date(text))?;
        let after = &name[at + 9..];
        let ends = !after.starts_with(|c: char| c.is_ascii_digit());
        ends.then(|| format!("{}-{}-{}-{}{after}", &name[..at], &date[..4], &date[4..6], &date[6..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wrapping_comes_off() {
        assert_eq!(candidates("gemini/gemini-2.5-flash"), ["gemini/gemini-2.5-flash", "gemini-2.5-flash"]);
        assert_eq!(candidates("us.anthropic.x"), ["us.anthropic.x", "anthropic.x"]);
        assert_eq!(candidates("x-20250514"), ["x-20250514", "x"]);
        assert_eq!(candidates("x-2025-05-14"), ["x-2025-05-14", "x"]);
        assert_eq!(candidates("x@20250514"), ["x@20250514", "x"]);
        assert_eq!(candidates("x-v1:0"), ["x-v1:0", "x-v1"]);
        assert_eq!(candidates("x-latest"), ["x-latest", "x"]);
        for whole in [
            "x-mini",
            "x:free",
            "x-0125",
            "x-2508",
            "x-20259999",
            "ft:x:org::7ab",
            "x-v2",
            "x:7b",
            "é-20x51211",
        ] {
            assert_eq!(candidates(whole), [whole], "{whole}");
        }
    }

    #[test]
    fn compact_dates_are_written_out() {
        assert_eq!(with_written_date("x-20251211").as_deref(), Some("x-2025-12-11"));
        assert_eq!(with_written_date("x-20251211-v1").as_deref(), Some("x-2025-12-11-v1"));
        assert_eq!(with_written_date("x-202512110"), None);
        assert_eq!(with_written_date("x-1211"), None);
    }
}
