//! Runs of digits: what their groups and separators look like, and the kinds that a checksum or a shape
//! tells apart: payment cards, US social security numbers, IBANs.

use super::allow::Words;
use super::validators::checksum::{iban_mod_97, luhn};
use std::ops::Range;
use std::sync::LazyLock;

/// How many groups are read.
const GROUPS: usize = 8;
/// How many digits are read.
const DIGITS: usize = 24;

/// Groups of digits, joined by single separators, from one place of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Where the first character is: a digit, `+` or `(`.
    pub start: usize,
    /// Digits, up to [`DIGITS`].
    digits: [u8; DIGITS],
    /// For each group: digits up to its end, the byte after it, and what follows it.
    groups: [Group; GROUPS],
    count: usize,
    /// A `+` stands first.
    pub plus: bool,
    /// The first group, or the one after the country's code, is in brackets.
    pub brackets: bool,
}

/// A group of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Group {
    pub length: usize,
    /// Digits of the run up to this group's end.
    pub total: usize,
    /// The byte after the group's last digit.
    pub end: usize,
    /// The first byte of what separates it from the next group; 0 after the last.
    pub separator: u8,
}

impl Run {
    /// The run at `start`, which is a digit, `+` or `(`.
    pub fn read(bytes: &[u8], start: usize) -> Self {
        let mut run = Self {
            start,
            digits: [0; DIGITS],
            groups: [Group::default(); GROUPS],
            count: 0,
            plus: bytes[start] == b'+',
            brackets: false,
        };
        let mut at = start + usize::from(run.plus);
        let mut total = 0;
        while run.count < GROUPS {
            let bracket = bytes.get(at) == Some(&b'(');
            at += usize::from(bracket);
            if bracket && bytes.get(at).is_some_and(u8::is_ascii_digit) {
                run.brackets |= run.count <= 1;
            }
            let first = at;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                if total == DIGITS {
                    return Self { count: 0, ..run };
                }
                run.digits[total] = bytes[at] - b'0';
                total += 1;
                at += 1;
            }
            if at == first {
                break;
            }
            run.groups[run.count] = Group { length: at - first, total, end: at, separator: 0 };
            run.count += 1;
            let Some((separator, length)) = separator(&bytes[at..]) else { break };
            run.groups[run.count - 1].separator = separator;
            at += length;
        }
        if let Some(last) = run.count.checked_sub(1) {
            run.groups[last].separator = 0;
        }
        run
    }

    pub fn groups(&self) -> &[Group] {
        &self.groups[..self.count]
    }

    /// All digits of the first `groups` groups.
    pub fn digits(&self, groups: usize) -> &[u8] {
        &self.digits[..groups.checked_sub(1).map_or(0, |last| self.groups[last].total)]
    }

    /// The range of the first `groups` groups.
    pub fn range(&self, groups: usize) -> Range<usize> {
        self.start..self.groups[groups - 1].end
    }

    /// Whether all separators between the first `groups` groups are one of `allowed`, and the same.
    pub fn joined_by(&self, groups: usize, allowed: &[u8]) -> bool {
        let joints = &self.groups[..groups - 1];
        joints
            .iter()
            .all(|group| allowed.contains(&group.separator) && group.separator == joints[0].separator)
    }
}

/// What may stand between groups: its first byte that is not a bracket, and its length. A digit or `(`
/// follows.
pub(super) fn separator(rest: &[u8]) -> Option<(u8, usize)> {
    let (sign, length) = match rest {
        [b')', b' ', b'-', b' ', ..] => (b')', 4),
        [b')', b' ' | b'-' | b'.' | b'/', ..] => (b')', 2),
        [b')', ..] => (b')', 1),
        [b' ', b'-' | b'/', b' ', ..] => (b'-', 3),
        [b' ' | b'-' | b'.' | b'/', ..] => (rest[0], 1),
        [0xc2, 0xa0, ..] => (b' ', 2),
        [b'(', ..] => (b'(', 0),
        _ => return None,
    };
    matches!(rest.get(length), Some(b'0'..=b'9' | b'(')).then_some((sign, length))
}

/// Whether nothing before `start` belongs to the same number or word.
pub(super) fn opens(bytes: &[u8], start: usize) -> bool {
    match bytes[..start] {
        [] | [.., b'0'..=b'9', b' '] | [.., b'\\', b'n' | b't' | b'r'] => true,
        [.., before] => {
            !before.is_ascii_alphanumeric()
                && !matches!(before, b'_' | b'.' | b'-' | b'/' | b'+' | b'#' | b'$' | b'@' | b'%' | b'&')
                || matches!(before, b'/' | b'-' | b'.')
                    && (start < 2 || matches!(bytes[start - 2], b' ' | b'\t'))
        }
    }
}

/// Whether nothing at `end` belongs to the same number or word.
pub(super) fn closes(bytes: &[u8], end: usize) -> bool {
    match bytes[end..] {
        [] => true,
        [after, next, ..] if matches!(after, b'.' | b'-' | b'/' | b':' | b',' | b'_') => {
            let number = next.is_ascii_digit() && after != b',';
            let word = next.is_ascii_alphanumeric() && matches!(after, b'-' | b'_' | b'/');
            !number && !word
        }
        [after, ..] => !after.is_ascii_alphanumeric() && !matches!(after, b'_' | b'%' | b'@' | b'$'),
    }
}

/// A payment card's number: a known issuer's prefix and length (ISO/IEC 7812), Luhn, and groups as cards
/// print them.
pub(super) fn card(bytes: &[u8], run: &Run) -> Option<Range<usize>> {
    if run.plus || run.brackets {
        return None;
    }
    for groups in 1..=run.groups().len().min(5) {
        let digits = run.digits(groups);
        let lengths = || run.groups()[..groups].iter().map(|group| group.length);
        let printed = match groups {
            1 => true,
            3 => lengths().eq([4, 6, 5]) || lengths().eq([4, 6, 4]),
            4 => lengths().eq([4, 4, 4, 4]) || lengths().eq([4, 4, 4, 3]),
            5 => lengths().eq([4, 4, 4, 4, 3]),
            _ => false,
        };
        let range = run.range(groups.max(1));
        if printed
            && run.joined_by(groups, b" -.")
            && is_issued(digits)
            && luhn(digits)
            && digits[1..].iter().any(|&digit| digit != digits[1])
            && closes(bytes, range.end)
            && !(groups < run.groups().len() && run.groups()[groups - 1].separator != b' ')
            && !other_number(bytes, range.start)
            && !follows_group(bytes, range.start)
            && !(groups == 1 && digits.len() == 19 && digits[0] == 4)
        {
            return Some(range);
        }
    }
    None
}

/// Whether a group of four digits or capitals comes before `start`: then this is a part of a longer number,
/// of an account (`DE12 `, `GB33 BUKB `) or of a table.
fn follows_group(bytes: &[u8], start: usize) -> bool {
    let Some(before) = bytes[..start].strip_suffix(b" ") else { return false };
    let group = before.iter().rev().take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit()).count();
    group == 4 && before[before.len() - 4..].iter().any(u8::is_ascii_digit)
}

/// Whether an issuer gives out numbers with this prefix in this length.
fn is_issued(digits: &[u8]) -> bool {
    let first =
        |count: usize| digits.iter().take(count).fold(0_u32, |sum, &digit| sum * 10 + u32::from(digit));
    match digits.len() {
        13 | 19 if digits[0] == 4 => digits.len() == 19,
        14 => matches!(first(3), 300..=305 | 309) || matches!(first(2), 36 | 38 | 39),
        15 => matches!(first(2), 34 | 37),
        16 => {
            digits[0] == 4
                || matches!(first(2), 51..=55 | 62 | 65)
                || matches!(first(4), 2221..=2720 | 3528..=3589 | 6011)
                || matches!(first(3), 644..=649)
                || matches!(first(4), 2200..=2204 | 6304 | 6759 | 6761..=6763 | 5018 | 5020 | 5038 | 5893 | 9792)
        }
        17..=19 => first(2) == 62 || first(4) == 6759 || matches!(first(4), 5018 | 5020 | 5038),
        _ => false,
    }
}

/// Words before a number that say that it is another one. Lower case.
const OTHER_NUMBERS: &[&str] = &[
    "order",
    "batch",
    "tracking",
    "imei",
    "invoice",
    "serial",
    "account ref",
    "ref",
    "reference",
    "ticket",
    "sku",
    "ean",
    "gtin",
    "upc",
    "isbn",
    "txn",
    "transaction",
    "trace",
    "request",
    "meter",
    "parcel",
    "shipment",
    "commande",
    "bestell",
    "pedido",
    "ordine",
    "заказ",
    "订单",
    "epoch",
    "timestamp",
    "createdat",
    "updatedat",
    "_at",
    "_id",
    "\"id",
    "uuid",
    "seq",
    "offset",
    "zamówieni",
    "bestellung",
    "注文",
    "sendung",
    "suivi",
    "colis",
    "kunden",
    "customer n",
    "customer id",
    "client n",
    "client id",
    "cliente",
    "nº de",
    "mitglied",
    "member",
    "rechnung",
    "vorgang",
    "artikel",
    "article",
    "bestellnummer",
    "matricul",
    "licence",
    "license",
    "product",
    "numéro de dossier",
    "клиент",
    "заказ",
    "klienta",
    "会員番号",
    "顧客番号",
    "客户编号",
    "build",
    "version",
    "commit",
    "run id",
    "case",
    "contract",
    "policy no",
    "part",
    "p/n",
    "model",
    "lot",
    "asset",
];

static SAY_OTHER: LazyLock<Words> = LazyLock::new(|| Words::new(OTHER_NUMBERS));

/// Whether the words before `start` name another sort of number.
pub(super) fn other_number(bytes: &[u8], start: usize) -> bool {
    let before = label(bytes, start, 24);
    SAY_OTHER.are_in(&before)
}

/// The lower-case text before `start`, at most `reach` bytes, from the start of its field: after the last
/// line end, comma, semicolon, or full stop before a blank.
pub(super) fn label(bytes: &[u8], start: usize, reach: usize) -> Vec<u8> {
    let window = &bytes[start.saturating_sub(reach)..start];
    let ends = |at: usize| {
        matches!(window[at], b'\n' | b',' | b';' | b'{' | b'|')
            || matches!(window[at], b'.' | b'!' | b'?')
                && window.get(at + 1) == Some(&b' ')
                && window.get(at + 2).is_some_and(|b| b.is_ascii_alphabetic() || *b >= 0x80)
    };
    let from = (0..window.len()).rev().find(|&at| ends(at)).map_or(0, |at| at + 1);
    lower(&window[from..])
}

/// The lower-case text before `start`, at most `reach` bytes.
pub(super) fn before(bytes: &[u8], start: usize, reach: usize) -> Vec<u8> {
    lower(&bytes[start.saturating_sub(reach)..start])
}

/// Lower case, of ASCII and of Cyrillic.
pub(super) fn lower(bytes: &[u8]) -> Vec<u8> {
    if bytes.is_ascii() {
        return bytes.to_ascii_lowercase();
    }
    String::from_utf8_lossy(bytes).to_lowercase().into_bytes()
}

/// A US social security number: `AAA-GG-SSSS`, of areas, groups and serials that are given out (SSA).
/// Without hyphens a word must say what it is.
pub(super) fn ssn(bytes: &[u8], run: &Run) -> Option<Range<usize>> {
    if run.plus || run.brackets {
        return None;
    }
    let groups = run.groups();
    let lengths = |count: usize| groups.iter().take(count).map(|group| group.length);
    let (count, sure) = if lengths(3).eq([3, 2, 4]) {
        (3, run.joined_by(3, b"-"))
    } else if groups.first().is_some_and(|group| group.length == 9) {
        (1, false)
    } else {
        return None;
    };
    if !run.joined_by(count, b" -") {
        return None;
    }
    let digits = run.digits(count);
    let number = |from: usize, to: usize| {
        digits[from..to].iter().fold(0_u32, |sum, &digit| sum * 10 + u32::from(digit))
    };
    let (area, group, serial) = (number(0, 3), number(3, 5), number(5, 9));
    let given = !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0;
    // Two that were printed in advertisements, and the counting one.
    let shown = matches!((area, group, serial), (78, 5, 1120) | (219, 9, 9999) | (123, 45, 6789));
    let range = run.range(count);
    let said = || {
        static WORDS: LazyLock<Words> =
            LazyLock::new(|| Words::new(&["ssn", "social security", "soc sec", "tax id", "taxpayer"]));
        let before = before(bytes, range.start, 40);
        WORDS.are_in(&before)
    };
    let last = count == groups.len() || groups[count - 1].separator == b' ';
    (given && !shown && last && closes(bytes, range.end) && (sure || said())).then_some(range)
}

/// Country codes and lengths of the IBAN registry (SWIFT, release 99).
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// The IBAN whose check digits begin at `at`: country, length, and modulo 97 (ISO 13616). Blanks and
/// hyphens may part it anywhere.
pub(super) fn iban(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let blank_before = at >= 3 && bytes[at - 1] == b' ';
    let start = at.checked_sub(2 + usize::from(blank_before))?;
    if !bytes[start].is_ascii_alphabetic() || !bytes[start + 1].is_ascii_alphabetic() {
        return None;
    }
    if start > 0 && bytes[start - 1].is_ascii_alphanumeric() && !ends_an_escape(bytes, start) {
        return None;
    }
    let country: [u8; 2] = [bytes[start].to_ascii_uppercase(), bytes[start + 1].to_ascii_uppercase()];
    let (_, length) = IBAN_LENGTHS.iter().find(|(code, _)| **code == country)?;
    let mut plain = [0_u8; 34];
    let (mut count, mut place) = (0, start);
    while count < *length {
        let byte = bytes.get(place)?.to_ascii_uppercase();
        if byte.is_ascii_alphanumeric() {
            plain[count] = byte;
            count += 1;
        } else if !(matches!(byte, b' ' | b'-') && bytes[place - 1].is_ascii_alphanumeric()) {
            return None;
        }
        place += 1;
    }
    let ends = bytes.get(place).is_none_or(|b| !b.is_ascii_alphanumeric());
    (ends && iban_mod_97(&plain[..*length])).then_some(start..place)
}

/// Whether the letter before `start` is that of an escape such as `\n`.
pub(super) fn ends_an_escape(bytes: &[u8], start: usize) -> bool {
    start >= 2 && bytes[start - 2] == b'\\' && matches!(bytes[start - 1], b'n' | b't' | b'r')
}
