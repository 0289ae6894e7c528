//! A normalised view of a text, with the way back: invisible characters gone, full-width and styled
//! letters as plain ones, `%40` as `@`.

use std::ops::Range;
use unicode_normalization::UnicodeNormalization;

/// How far around a change the view is read again, in bytes: more than the longest window of most rules.
const AROUND: usize = 1024;

/// A view, and where its pieces come from.
pub(super) struct View {
    pub text: String,
    pieces: Vec<Piece>,
}

/// A run of the view: copied as it was, or put for one character of the original.
struct Piece {
    view: usize,
    original: usize,
    copied: bool,
}

/// What becomes of a character.
enum Fold {
    Keep,
    Drop,
    Put(char),
    Normalise,
}

impl View {
    /// The view of `text`; none if it would be the text itself.
    pub fn of(text: &str) -> Option<Self> {
        let mut change = next_change(text, 0)?;
        while is_variation_sign(&text[change.at..]) {
            change = next_change(text, change.end)?;
        }
        let mut view = Self { text: String::with_capacity(text.len()), pieces: Vec::new() };
        let mut copied_to = 0;
        let mut next = next_change(text, 0);
        while let Some(Change { at, end, fold }) = next {
            view.copy(text, copied_to..at);
            match fold {
                Fold::Keep | Fold::Drop => {}
                Fold::Put(put) => view.put(at, &[put]),
                Fold::Normalise => view.put(at, &text[at..end].nfkc().collect::<Vec<_>>()),
            }
            copied_to = end;
            next = next_change(text, end);
        }
        view.copy(text, copied_to..text.len());
        view.pieces.push(Piece { view: view.text.len(), original: text.len(), copied: true });
        Some(view)
    }

    fn copy(&mut self, text: &str, range: Range<usize>) {
        if !range.is_empty() {
            self.pieces.push(Piece { view: self.text.len(), original: range.start, copied: true });
            self.text.push_str(&text[range]);
        }
    }

    fn put(&mut self, original: usize, chars: &[char]) {
        self.pieces.push(Piece { view: self.text.len(), original, copied: false });
        self.text.extend(chars);
    }

    /// The parts of the view around what is not as it was: lines, or as much of them as a rule may see.
    pub fn changed(&self) -> Vec<Range<usize>> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        for piece in self.pieces.iter().skip(1) {
            let at = piece.view;
            if parts.last().is_some_and(|last| at + AROUND / 2 < last.end || last.end == self.text.len()) {
                continue;
            }
            let floor = parts.last().map_or(0, |last| last.start);
            let part = self.start_of_part(at, floor)..self.end_of_part(at);
            match parts.last_mut() {
                Some(last) if part.start <= last.end => last.end = part.end,
                _ => parts.push(part),
            }
        }
        parts
    }

    /// The start of the line that `at` is in, or of the first word that is near.
    fn start_of_part(&self, at: usize, floor: usize) -> usize {
        let bytes = self.text.as_bytes();
        let from = floor.max(at.saturating_sub(AROUND));
        let before = &bytes[from..at];
        let near = || memchr::memchr(b' ', before).map(|blank| from + blank + 1);
        let start = memchr::memrchr(b'\n', before).map(|line| from + line + 1);
        self.boundary(if from == floor { start.unwrap_or(from) } else { start.or_else(near).unwrap_or(from) })
    }

    /// The end of the line that `at` is in, or of the last word that is near.
    fn end_of_part(&self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let to = bytes.len().min(at + AROUND);
        let after = &bytes[at..to];
        let last = if to == bytes.len() { None } else { memchr::memrchr2(b'\n', b' ', after) };
        self.boundary(last.map_or(to, |blank| at + blank))
    }

    fn boundary(&self, mut at: usize) -> usize {
        while !self.text.is_char_boundary(at) {
            at += 1;
        }
        at
    }

    /// The range of the original that a range of the view comes from; a character that became several
    /// belongs to it whole.
    pub fn original(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.piece(range.start);
        let (first, last) = (&self.pieces[start], self.piece(range.end.saturating_sub(1).max(range.start)));
        let from = first.original + if first.copied { range.start - first.view } else { 0 };
        let piece = &self.pieces[last];
        let to = if piece.copied {
            piece.original + (range.end - piece.view)
        } else {
            // The end of the one character: where the next piece begins, less what was dropped between.
            self.pieces.get(last + 1).map_or(piece.original, |next| next.original)
        };
        from..to
    }

    /// The last piece that begins at or before `at`.
    fn piece(&self, at: usize) -> usize {
        self.pieces.partition_point(|piece| piece.view <= at).saturating_sub(1)
    }
}

/// A character, or an encoded one, that the view does not have as it is.
struct Change {
    at: usize,
    end: usize,
    fold: Fold,
}

/// The first change from `from` on.
fn next_change(text: &str, mut from: usize) -> Option<Change> {
    while let Some(at) = next_suspect(text.as_bytes(), from) {
        let rest = &text[at..];
        if rest.starts_with("%40") {
            return Some(Change { at, end: at + 3, fold: Fold::Put('@') });
        }
        let c = rest.chars().next()?;
        from = at + c.len_utf8();
        let fold = fold(c);
        if !matches!(fold, Fold::Keep) {
            return Some(Change { at, end: from, fold });
        }
    }
    None
}

/// Whether a sign that chooses between a letter's and a picture's form comes next: emoji have it, and it
/// alone hides nothing.
fn is_variation_sign(rest: &str) -> bool {
    rest.starts_with('\u{fe0f}')
}

/// The next byte from `from` on that begins a character which may have to go: past blocks of plain ASCII,
/// and past the letters of most alphabets.
fn next_suspect(bytes: &[u8], from: usize) -> Option<usize> {
    const BLOCK: usize = 32;
    let is_suspect = |b: &u8| matches!(b, b'%' | 0xc2 | 0xcd | 0xd8 | 0xe1..=0xe3 | 0xef..);
    let mut at = from;
    while at < bytes.len() {
        let block = &bytes[at..bytes.len().min(at + BLOCK)];
        let is_plain = block.iter().fold(true, |plain, b| plain & b.is_ascii() && (*b != b'%'));
        if let Some(place) = (!is_plain).then(|| block.iter().position(is_suspect)).flatten() {
            return Some(at + place);
        }
        at += BLOCK;
    }
    None
}

fn fold(c: char) -> Fold {
    match c {
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => Fold::Drop,
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => Fold::Put(' '),
        '\u{2010}' | '\u{2011}' | '\u{2212}' => Fold::Put('-'),
        '\u{b2}'
        | '\u{b3}'
        | '\u{b9}'
        | '\u{2070}'..='\u{209c}'
        | '\u{2460}'..='\u{24ff}'
        | '\u{fb00}'..='\u{fb06}'
        | '\u{ff01}'..='\u{ff5e}'
        | '\u{1d400}'..='\u{1d7ff}'
        | '\u{1f100}'..='\u{1f1ff}' => Fold::Normalise,
        _ => Fold::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_what_was_hidden_and_knows_where_it_was() {
        let text = "mail ｊａｎｅ\u{200b}%40kestrel.org now";
        let view = View::of(text).expect("a view");
        assert_eq!(view.text, "mail jane@kestrel.org now");
        let found = view.text.find("jane@kestrel.org").expect("shown");
        let original = view.original(&(found..found + 16));
        assert_eq!(&text[original], "ｊａｎｅ\u{200b}%40kestrel.org");
        assert!(View::of("plain text, with 100 % of it").is_none());
        assert!(View::of("schöner Text – 東京").is_none());
    }

    proptest! {
        #[test]
        fn every_range_of_a_view_comes_from_whole_characters(
            text in "([a-z@0-9]|%40|[Ａ-Ｚａ-ｚ]|\u{200b}|\u{ad}|\u{fe0f}|é|東|\u{a0}|ﬁ|[𝐀-𝐙]|%|4){0,40}",
            ends in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let Some(view) = View::of(&text) else { return Ok(()) };
            let bounds: Vec<usize> = view.text.char_indices().map(|(at, _)| at).chain([view.text.len()]).collect();
            let (a, b) = (*ends.0.get(&bounds), *ends.1.get(&bounds));
            let range = a.min(b)..a.max(b);
            let original = view.original(&range);
            prop_assert!(text.get(original.clone()).is_some(), "{range:?} {original:?}");
            if range == (0..view.text.len()) && !range.is_empty() {
                let again = View::of(&text[original]).map_or(view.text.clone(), |v| v.text);
                prop_assert_eq!(again, view.text.clone());
            }
        }
    }
}
