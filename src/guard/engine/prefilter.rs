//! The pass over a whole text: where does one of a few hundred anchors begin?
//!
//! A table is asked at every byte whether an anchor may begin with these four; the answer is nearly always
//! no. Unlike an automaton's steps, no look-up waits for the one before it: on clean text this is twice as
//! fast as Aho-Corasick. Anchors of one byte, of which there is one, are looked for on their own.

use std::ops::Range;

/// How many lists anchors are dealt to, by the hash of their first three bytes.
const LISTS: usize = 4096;

/// Finds anchors, whatever their case in ASCII.
pub(super) struct Prefilter {
    /// For the hash of an anchor's first three bytes, the low five bits that its fourth may have.
    fourth: Box<[u32; LISTS]>,
    /// Anchors of three bytes and more, by the same hash.
    lists: Vec<Vec<Anchor>>,
    /// Anchors of one byte.
    single: Vec<(u8, usize)>,
}

/// An anchor in lower case, and its number.
type Anchor = (Vec<u8>, usize);

/// 12 bits of the first three bytes, whatever the case of letters.
fn hash(four: u32) -> usize {
    ((four | 0x2020_2020) << 8).wrapping_mul(0x9e37_79b1) as usize >> 20
}

/// For each byte, the bit of its low five bits: as a table, faster than to shift by them.
const BIT: [u32; 256] = {
    let mut bits = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        bits[byte] = 1 << (byte & 31);
        byte += 1;
    }
    bits
};

impl Prefilter {
    /// A filter for `anchors`, of one byte or of at least three. Their numbers are their places.
    pub fn new(anchors: &[String]) -> Self {
        let mut filter =
            Self { fourth: Box::new([0; LISTS]), lists: vec![Vec::new(); LISTS], single: Vec::new() };
        for (number, anchor) in anchors.iter().enumerate() {
            filter.add(anchor.to_ascii_lowercase().into_bytes(), number);
        }
        filter
    }

    fn add(&mut self, anchor: Vec<u8>, number: usize) {
        match *anchor {
            [a, b, c, ref rest @ ..] => {
                let list = hash(u32::from_le_bytes([a, b, c, 0]));
                self.fourth[list] |= rest.first().map_or(u32::MAX, |fourth| BIT[usize::from(*fourth)]);
                self.lists[list].push((anchor, number));
            }
            [byte] => self.single.push((byte, number)),
            _ => {}
        }
    }

    /// Calls `found` for every anchor in `bytes` with its number and its range.
    pub fn each(&self, bytes: &[u8], mut found: impl FnMut(usize, Range<usize>)) {
        for (at, four) in bytes.windows(4).enumerate() {
            let &[a, b, c, d] = four else { continue };
            if self.fourth[hash(u32::from_le_bytes([a, b, c, d]))] & BIT[usize::from(d)] != 0 {
                self.compare(bytes, at, [a, b, c, d], &mut found);
            }
        }
        // The last bytes, as if zeros came after them.
        for at in bytes.len().saturating_sub(3)..bytes.len() {
            let mut four = [0; 4];
            four[..bytes.len() - at].copy_from_slice(&bytes[at..]);
            self.compare(bytes, at, four, &mut found);
        }
        for &(byte, number) in &self.single {
            memchr::memchr_iter(byte, bytes).for_each(|at| found(number, at..at + 1));
        }
    }

    #[inline(never)]
    fn compare(&self, bytes: &[u8], at: usize, four: [u8; 4], found: &mut impl FnMut(usize, Range<usize>)) {
        for (anchor, number) in &self.lists[hash(u32::from_le_bytes(four))] {
            let range = at..at + anchor.len();
            if bytes.get(range.clone()).is_some_and(|text| text.eq_ignore_ascii_case(anchor)) {
                found(*number, range);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(
            anchors in prop::collection::btree_set("[abé@]{3,5}|@", 1..90),
            text in "[abABé@ ]{0,40}",
        ) {
            let anchors: Vec<String> = anchors.into_iter().collect();
            let mut found = Vec::new();
            Prefilter::new(&anchors).each(text.as_bytes(), |number, range| found.push((number, range)));
            found.sort_by_key(|(number, range)| (*number, range.start));
            let mut expected = Vec::new();
            for (number, anchor) in anchors.iter().enumerate() {
                for at in 0..text.len() {
                    let range = at..at + anchor.len();
                    let here = text.as_bytes().get(range.clone());
                    if here.is_some_and(|here| here.eq_ignore_ascii_case(anchor.as_bytes())) {
                        expected.push((number, range));
                    }
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
