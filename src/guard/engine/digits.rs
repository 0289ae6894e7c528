//! The pass over digits: numbers and addresses have no words to anchor at.

use super::super::numbers::{self, Run};
use super::super::resolve::Hit;
use super::super::validators::Validator;
use super::super::{ip, phone};
use super::Scanner;
use super::anchor::match_at;
use std::ops::Range;

impl Scanner {
    /// Numbers and addresses: they have no words to anchor at.
    pub(super) fn scan_digits(&self, text: &str, hits: &mut Vec<Hit>) {
        let bytes = text.as_bytes();
        let mut from = 0;
        while let Some(at) = next_digit(bytes, from) {
            let length = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
            from = at + length;
            if !self.numbers.is_empty() {
                self.numbers_at(text, at, hits);
            }
            let before = at.checked_sub(1).map_or(b' ', |last| bytes[last]);
            if before.is_ascii_alphanumeric() && !numbers::ends_an_escape(bytes, at) {
                if before.is_ascii_alphabetic() && length >= 2 {
                    self.native(Validator::Iban, numbers::iban(bytes, at), hits);
                }
                continue;
            }
            if before == b' ' && length >= 2 && at >= 3 && bytes[at - 2].is_ascii_uppercase() {
                self.native(Validator::Iban, numbers::iban(bytes, at), hits);
            }
            if let Some(end) = self.address_at(bytes, at, length, hits) {
                from = end;
                continue;
            }
            from = self.run_at(text, at, hits).max(from);
        }
    }

    /// An address of the internet at `at`; where it ends.
    fn address_at(&self, bytes: &[u8], at: usize, length: usize, hits: &mut Vec<Hit>) -> Option<usize> {
        let found = if length <= 3 && bytes.get(at + length) == Some(&b'.') {
            (Validator::Ipv4, ip::v4(bytes, at)?)
        } else if length <= 4 && bytes[at..bytes.len().min(at + 5)].contains(&b':') {
            (Validator::Ipv6, ip::v6(bytes, at)?)
        } else {
            return None;
        };
        let end = found.1.end;
        self.native(found.0, Some(found.1), hits);
        Some(end)
    }

    /// A card, a social security number or a phone number at `at`; from where to look on.
    fn run_at(&self, text: &str, at: usize, hits: &mut Vec<Hit>) -> usize {
        let bytes = text.as_bytes();
        let length = bytes[at..].iter().take(8).take_while(|b| b.is_ascii_digit()).count();
        if length < 7 && numbers::separator(&bytes[at + length..]).is_none() {
            return 0;
        }
        let lead = bytes[..at].iter().rev().take(2).take_while(|b| matches!(b, b'+' | b'(')).count();
        let plus = lead > 0 && bytes[at - lead..at].contains(&b'+');
        let start = if plus && lead == 2 && bytes[at - 1] == b'+' { at - 1 } else { at - lead.min(1) };
        let run = Run::read(bytes, start);
        if run.groups().last().is_none_or(|last| last.total < 7) {
            return run.groups().last().map_or(0, |last| last.end);
        }
        // No number is written as single digits, but for a country's code before the rest.
        let single = run.groups().iter().take(2).all(|group| group.length == 1);
        if single || !numbers::opens(bytes, start) {
            return 0;
        }
        let found = [
            (Validator::Card, numbers::card(bytes, &run)),
            (Validator::Ssn, numbers::ssn(bytes, &run)),
            (Validator::Phone, phone::phone(text, &run)),
        ];
        let mut end = 0;
        for (validator, range) in found {
            if let Some(range) = range {
                end = range.end.max(end);
                self.native(validator, Some(range), hits);
            }
        }
        end
    }

    fn native(&self, validator: Validator, range: Option<Range<usize>>, hits: &mut Vec<Hit>) {
        let rule = self.digits.iter().find(|rule| rule.validator == validator);
        if let (Some(rule), Some(range)) = (rule, range) {
            hits.push(Hit { rule, range });
        }
    }

    /// National ids, at the start of the word that the digit at `at` is in.
    fn numbers_at(&self, text: &str, at: usize, hits: &mut Vec<Hit>) {
        let bytes = text.as_bytes();
        let letters = bytes[..at].iter().rev().take(17).take_while(|b| b.is_ascii_alphanumeric()).count();
        if bytes[at - letters..at].iter().any(u8::is_ascii_digit) && letters > 0 {
            // Tried at the word's first digit.
            return;
        }
        // Two letters before a blank, as in `AB 12 34 56 C`.
        let parted = letters == 0
            && at >= 3
            && bytes[at - 1] == b' '
            && bytes[at - 3..at - 1].iter().all(u8::is_ascii_uppercase);
        // A letter and a hyphen before the first digit, as in `X-1234567-L`.
        let lettered = letters == 0 && at >= 2 && bytes[at - 1] == b'-' && bytes[at - 2].is_ascii_uppercase();
        let starts = [
            Some(at - letters),
            parted.then(|| at.saturating_sub(3)),
            lettered.then(|| at.saturating_sub(2)),
        ];
        for start in starts.into_iter().flatten() {
            for rule in &self.numbers {
                if let Some(range) = match_at(rule, text, start) {
                    hits.push(Hit { rule, range });
                }
            }
        }
    }
}

/// The next digit from `from` on: eight bytes at a time while there is none.
fn next_digit(bytes: &[u8], from: usize) -> Option<usize> {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    const ABOVE_NINE: u64 = 0x7676_7676_7676_7676;
    const ZERO: u64 = 0x3030_3030_3030_3030;
    let mut at = from;
    while let Some(block) = bytes.get(at..at + 8).and_then(|block| <[u8; 8]>::try_from(block).ok()) {
        let block = u64::from_le_bytes(block) ^ ZERO;
        // A byte from 0 to 9 stays below 0x80 when 0x76 is added; every other byte does not.
        let digits = !(((block & LOW) + ABOVE_NINE) | block) & !LOW;
        if digits != 0 {
            return Some(at + usize::try_from(digits.trailing_zeros() / 8).unwrap_or_default());
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(u8::is_ascii_digit).map(|place| at + place)
}
