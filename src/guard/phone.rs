//! Phone numbers: E.164 with a country's lengths, national formats that their groups tell, and others where
//! a word says what they are.
//!
//! The tables are our own. The crates that port Google's libphonenumber carry its whole metadata, a parser
//! framework and a binary decoder for a question that is smaller here: not whether a number could be
//! dialled, but whether a run of digits in a text is meant to be.

use super::allow::Words;
use super::numbers::{self, Run};
use std::ops::Range;
use std::sync::LazyLock;

/// Calling codes of one and two digits with the least and most digits after them (ITU-T E.164, national
/// numbering plans).
const SHORT_CODES: &[(u32, usize, usize)] = &[
    (1, 10, 10),
    (7, 10, 10),
    (20, 8, 10),
    (27, 9, 9),
    (30, 10, 10),
    (31, 9, 9),
    (32, 8, 9),
    (33, 9, 9),
    (34, 9, 9),
    (36, 8, 9),
    (39, 6, 11),
    (40, 9, 9),
    (41, 9, 9),
    (43, 7, 13),
    (44, 9, 10),
    (45, 8, 8),
    (46, 7, 10),
    (47, 8, 8),
    (48, 9, 9),
    (49, 7, 12),
    (51, 8, 9),
    (52, 10, 11),
    (53, 8, 8),
    (54, 10, 11),
    (55, 10, 11),
    (56, 9, 9),
    (57, 10, 10),
    (58, 10, 10),
    (60, 8, 10),
    (61, 9, 9),
    (62, 8, 12),
    (63, 8, 10),
    (64, 8, 10),
    (65, 8, 8),
    (66, 8, 9),
    (81, 9, 10),
    (82, 8, 10),
    (84, 9, 10),
    (86, 10, 11),
    (90, 10, 10),
    (91, 10, 10),
    (92, 9, 10),
    (93, 9, 9),
    (94, 9, 9),
    (95, 7, 10),
    (98, 10, 10),
];

/// The first two digits of calling codes of three.
const LONG_CODES: &[u32] =
    &[21, 22, 23, 24, 25, 26, 29, 35, 37, 38, 42, 50, 59, 67, 68, 69, 85, 87, 88, 96, 97, 99];

/// Words that say that a phone number follows. Lower case.
const WORDS: &[&str] = &[
    "phone",
    "tel",
    "tlf",
    "tél",
    "telemóvel",
    "telemovel",
    "callback",
    "nummer:",
    "new number",
    "neue nummer",
    "nouveau numéro",
    "nuevo número",
    "nuovo numero",
    "mobile",
    "mob",
    "cell",
    "fax",
    "call",
    "whatsapp",
    "sms",
    "dial",
    "contact",
    "direct line",
    "hotline",
    "reach me",
    "reach us",
    "reach him",
    "reach her",
    "text me",
    "ring me",
    "my number",
    "his number",
    "her number",
    "telephone",
    "telefon",
    "telefone",
    "teléfono",
    "telefono",
    "cellphone",
    "phone number",
    "landline",
    "extension",
    "téléphone",
    "télé",
    "portable",
    "mon numéro",
    "numéro de tél",
    "appelez",
    "joindre",
    "celular",
    "móvil",
    "movil",
    "mi número",
    "meu número",
    "mio numero",
    "llam",
    "cellulare",
    "chiam",
    "handy",
    "mobil",
    "rufnummer",
    "rückruf",
    "erreichbar",
    "erreichen",
    "anruf",
    "unter der nummer",
    "meine nummer",
    "mijn nummer",
    "telefoon",
    "gsm",
    "bel mij",
    "komórk",
    "mój numer",
    "numer tel",
    "puhelin",
    "тел",
    "моб",
    "звон",
    "мой номер",
    "номер тел",
    "电话",
    "電話",
    "手机",
    "手機",
    "联系",
    "携帯",
    "전화",
    "연락처",
    "휴대폰",
    "ligar",
    "contato",
    "fone",
    "téléph",
    "hívj",
    "telefax",
    "numarası",
    "arayın",
];

/// Words that say that the digits are something else, beside those for all numbers. Lower case.
const NOT_PHONES: &[&str] = &[
    "nhs", "card", "iban", "account", "konto", "dni", "cpf", "siret", "siren", "aadhaar", "pesel", "steuer",
    "vat", "mac", "coord", "lat", "isbn", "p/n", "u32", "u64", "i32", "i64", "usize", "int", "const",
    "define", "ioctl",
];

static SAY_OTHER: LazyLock<Words> = LazyLock::new(|| Words::new(NOT_PHONES));

/// The phone number that begins at the run's start, with how it shows.
pub(super) fn phone(text: &str, run: &Run) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if run.groups().is_empty() || run.digits(run.groups().len()).iter().all(|&digit| digit == 0) {
        return None;
    }
    let fits = |groups: usize| fits(bytes, run, groups);
    if run.plus || run.digits(1).starts_with(&[0, 0]) && run.groups()[0].length <= 5 {
        let skip = if run.plus { 0 } else { 2 };
        return (1..=run.groups().len())
            .rev()
            .filter(|&n| fits(n))
            .find(|&n| is_international(run, n, skip))
            .map(|n| with_extension(bytes, from_bracket(bytes, run.range(n))));
    }
    // What the groups allow is asked first: it costs less than to read the words before them.
    let shaped = (1..=run.groups().len()).rev().find(|&n| fits(n) && is_shaped(run, n));
    let found = shaped.or_else(|| (1..=run.groups().len()).rev().find(|&n| fits(n) && could_be(run, n)))?;
    let label = numbers::label(bytes, run.start, 40);
    if numbers::other_number(bytes, run.start) || SAY_OTHER.are_in(&label) {
        return None;
    }
    let said = says_so(&label);
    if !said && follows_digits(bytes, run.start) {
        return None;
    }
    let heads =
        || super::assigned::heading(bytes, run.start).is_some_and(|head| says_so(&numbers::lower(head)));
    if shaped.is_none() && !said && !follows_an_email(bytes, run.start) && !heads() {
        return None;
    }
    (!is_fiction(run, found)).then(|| with_extension(bytes, run.range(found)))
}

/// Whether a group of digits comes right before: then this is the rest of another number.
fn follows_digits(bytes: &[u8], start: usize) -> bool {
    let before = bytes[..start].iter().rev().skip(1).take_while(|b| b.is_ascii_digit()).count();
    start > 1 && bytes[start - 1] == b' ' && before >= 2
}

/// The range from the bracket on that closes within it: `(+48) 888 691 111`.
fn from_bracket(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let opens = range.start > 0 && bytes[range.start - 1] == b'(' && !bytes[range.clone()].contains(&b'(');
    if opens && bytes[range.clone()].contains(&b')') { range.start - 1..range.end } else { range }
}

/// The range with the extension that follows it: `x578`, `ext. 503`.
fn with_extension(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let rest = &bytes[range.end..bytes.len().min(range.end + 14)];
    let sign =
        [b" ext. ".as_slice(), b" ext ", b" ext.", b", ext. ", b" x", b" Ext. ", b" Durchwahl ", b" poste "]
            .into_iter()
            .find(|sign| rest.starts_with(sign));
    let Some(sign) = sign else { return range };
    let digits = rest[sign.len()..].iter().take_while(|b| b.is_ascii_digit()).count();
    let ends = rest.get(sign.len() + digits).is_none_or(|b| !b.is_ascii_alphanumeric());
    if (1..=5).contains(&digits) && ends { range.start..range.end + sign.len() + digits } else { range }
}

/// Whether the number may end after `groups` groups.
fn fits(bytes: &[u8], run: &Run, groups: usize) -> bool {
    let last = run.groups()[groups - 1];
    let more = groups < run.groups().len();
    if more {
        last.separator == b' ' || last.separator == b'/' || last.separator == b'('
    } else {
        numbers::closes(bytes, last.end)
    }
}

/// A country's code, and as many digits as its numbers have.
fn is_international(run: &Run, groups: usize, skip: usize) -> bool {
    let digits = &run.digits(groups)[skip..];
    // `+262142-12-31`: a year far away.
    let lengths = || run.groups()[..groups].iter().map(|group| group.length);
    if lengths().eq([5, 2, 2]) || lengths().eq([6, 2, 2]) {
        return false;
    }
    let first =
        |count: usize| digits.iter().take(count).fold(0_u32, |sum, &digit| sum * 10 + u32::from(digit));
    // `+44 (0)20 …`: the trunk's zero in brackets is not dialled from abroad.
    let trunk = usize::from(
        run.brackets
            && run.groups().get(1).is_some_and(|group| {
                let start = group.total - group.length;
                run.digits(groups).get(start) == Some(&0)
            }),
    );
    let range = |from: usize, (least, most): (usize, usize)| {
        digits.len().checked_sub(from + trunk).is_some_and(|rest| (least..=most).contains(&rest))
    };
    let short = SHORT_CODES.iter().find(|(code, ..)| first(if *code < 10 { 1 } else { 2 }) == *code);
    match short {
        Some(&(1, ..)) => range(1, (10, 10)) && digits.get(1).is_some_and(|&digit| digit >= 2),
        Some(&(code, least, most)) => range(if code < 10 { 1 } else { 2 }, (least, most)),
        None => LONG_CODES.contains(&first(2)) && range(3, (6, 10)),
    }
}

/// National formats that their groups and first digits tell from other numbers.
fn is_shaped(run: &Run, groups: usize) -> bool {
    let digits = run.digits(groups);
    let mut lengths = [0; 8];
    for (length, group) in lengths.iter_mut().zip(&run.groups()[..groups]) {
        *length = group.length;
    }
    let lengths = &lengths[..groups];
    let same = |allowed: &[u8]| run.joined_by(groups, allowed);
    let north_american = |digits: &[u8]| {
        digits.len() == 10
            && digits[0] >= 2
            && digits[3] >= 2
            && digits[1..3] != [1, 1]
            && digits[4..6] != [1, 1]
            && digits[1] != 9
    };
    let dashed = || run.groups()[groups - 2].separator == b'-' || same(b".");
    match (lengths, digits) {
        // +1 without its code: (NXX) NXX-XXXX, NXX-NXX-XXXX, NXX.NXX.XXXX.
        ([3, 3, 4], _) if run.brackets => north_american(digits),
        ([3, 3, 4], _) if north_american(digits) => same(b"-."),
        ([1, 3, 3, 4], [1, rest @ ..]) => north_american(rest) && dashed(),
        // Mobile numbers in one group: France 06 and 07, Britain 07, Japan 070 to 090.
        // Belgium 04XX/XX.XX.XX. Russia 8 (9XX) XXX-XX-XX.
        ([10], [0, 6 | 7, ..])
        | ([11], [0, 7, 1..=9, ..] | [0, 7..=9, 0, ..])
        | ([4, 2, 2, 2], [0, 4, ..])
        | ([1, 3, 3, 2, 2], [7 | 8, 3..=9, ..]) => true,
        // France, in pairs.
        ([2, 2, 2, 2, 2], [0, 1..=9, ..]) => same(b" .-"),
        // Brazil: (XX) 9XXXX-XXXX.
        ([2, 4 | 5, 4], [1..=9, 1..=9, ..]) if run.brackets => lengths[1] == 4 || digits[2] == 9,
        // China, mobile: 1XX XXXX XXXX.
        ([3, 4, 4], [1, 3..=9, ..]) => same(b" -"),
        // Spain: 6XX XX XX XX.
        ([3, 2, 2, 2], [6..=9, ..]) => same(b" "),
        // A trunk's zero, and a subscriber's groups: Europe, Japan, Turkey, India, Australia.
        ([2..=6, ..], [0, 1..=9, ..]) if groups >= 2 => {
            let total = digits.len();
            let date = matches!(lengths, [2, 2, 4 | 2, ..]) && total != 10;
            // `02110-1301`: a postal code of the United States.
            let date = date || matches!(lengths, [5, 4]) && same(b"-") || matches!(lengths, [4, 4, 4]);
            let even = lengths[1..].iter().all(|length| (2..=8).contains(length))
                && ends_as_people_write(&lengths[1..]);
            (9..=12).contains(&total) && even && !date && (groups <= 5) && joints_are_plain(run, groups)
        }
        // Any area code in brackets.
        ([2..=5, ..], _) if run.brackets && groups >= 2 => (9..=12).contains(&digits.len()) && digits[0] == 0,
        _ => false,
    }
}

/// A last group of two digits comes after another of two.
fn ends_as_people_write(lengths: &[usize]) -> bool {
    !matches!(lengths, [.., before, 2] if *before != 2)
}

/// Blanks, hyphens, brackets and one slash, as people write numbers; points only when all are.
fn joints_are_plain(run: &Run, groups: usize) -> bool {
    let joints = &run.groups()[..groups - 1];
    joints.iter().all(|group| matches!(group.separator, b' ' | b'-' | b')' | b'/'))
        || run.joined_by(groups, b".") && groups >= 4
}

/// Whether a word could make a phone number of it.
fn could_be(run: &Run, groups: usize) -> bool {
    let digits = run.digits(groups);
    let lengths = || run.groups()[..groups].iter().map(|group| group.length);
    let century = |at: usize| matches!(digits.get(at..at + 2), Some([1, 9] | [2, 0]));
    let years = lengths().eq([4, 4]) && century(0) && century(4);
    let date = lengths().eq([4, 2, 2]) || lengths().eq([2, 2, 4]) || years;
    let even =
        groups == 1 || lengths().all(|length| length <= 8) && lengths().skip(1).all(|length| length >= 2);
    let plain = groups == 1 || joints_are_plain(run, groups) || run.joined_by(groups, b".");
    (7..=12).contains(&digits.len())
        && !date
        && even
        && plain
        && digits[1..].iter().any(|&digit| digit != digits[0])
}

/// Whether the words before a number say that it is a phone's.
fn says_so(label: &[u8]) -> bool {
    static SAY: LazyLock<Words> = LazyLock::new(|| Words::new(WORDS));
    SAY.are_in(label)
}

/// Whether the last thing before `start` is an email address: the next column, or `… or 577 396 215`.
fn follows_an_email(bytes: &[u8], start: usize) -> bool {
    let window = &bytes[start.saturating_sub(72)..start];
    let trimmed = window.trim_ascii_end();
    let is_joint = |b: &u8| !b.is_ascii_alphanumeric();
    let mut end = trimmed.len() - trimmed.iter().rev().take_while(|b| is_joint(b)).count();
    for word in
        [b" or".as_slice(), b" oder", b" ou", b" and", b" und", b" et", b" o", b" y", b" i", b" e", b" lub"]
    {
        if trimmed[..end].ends_with(word) {
            end -= word.len();
            end -= trimmed[..end].iter().rev().take_while(|b| is_joint(b)).count();
            break;
        }
    }
    let token = trimmed[..end]
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_graphic() && !matches!(b, b',' | b';' | b'"' | b'\''))
        .count();
    let token = &trimmed[end - token..end];
    trimmed.len() - end <= 6 && memchr::memchr(b'@', token).is_some_and(|at| token[at..].contains(&b'.'))
}

/// 555-0100 to 555-0199: set aside for fiction (North American Numbering Plan).
fn is_fiction(run: &Run, groups: usize) -> bool {
    let digits = run.digits(groups);
    let local = &digits[digits.len().saturating_sub(7)..];
    matches!(digits.len(), 7 | 10 | 11) && local.starts_with(&[5, 5, 5, 0, 1])
}
