//! A keyed fingerprint of a value: enough to know it again, useless without the key.
//!
//! The space of phone numbers or cards is small enough to be tried in full, so that a plain hash would be
//! the value. The key lives outside the database.

use crate::domain::Digest;
use crate::error::{Error, Result};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// Makes fingerprints under one key.
#[derive(Clone)]
pub struct Fingerprinter {
    keyed: Hmac<Sha256>,
}

impl Fingerprinter {
    /// Fingerprints under `key`: 32 random bytes that are kept outside the database.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "HMAC takes a key of any length")]
    pub fn new(key: [u8; 32]) -> Self {
        Self { keyed: Hmac::new_from_slice(&key).expect("HMAC takes a key of any length") }
    }

    /// Fingerprints under the key that 64 hexadecimal digits spell.
    pub fn from_hex(key: &str) -> Result<Self> {
        let wrong = || {
            Error::input("the guard's `fingerprint key` is not 64 hexadecimal digits")
                .hint("make one with `openssl rand -hex 32`, or remove the file and a new one is made")
        };
        let key = key.trim();
        if key.len() != 64 || !key.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            let digits = &key[place * 2..place * 2 + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self::new(bytes))
    }

    /// The fingerprint of a value of a kind, such as `EMAIL`: the HMAC-SHA256 of both.
    #[must_use]
    pub fn fingerprint(&self, kind: &str, value: &str) -> Digest {
        let mut mac = self.keyed.clone();
        // The length first: no other kind and value run together to the same bytes.
        mac.update(&u64::try_from(kind.len()).unwrap_or(u64::MAX).to_le_bytes());
        mac.update(kind.as_bytes());
        mac.update(value.as_bytes());
        Digest(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprinter(key not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_hmac_of_rfc_4231() {
        // Test case 2 of RFC 4231, of the MAC alone.
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").expect("a key");
        mac.update(b"what do ya want for nothing?");
        let shown = Digest(mac.finalize().into_bytes().into()).hex();
        assert_eq!(shown, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn tells_detectors_values_and_keys_apart_and_shows_none() {
        let one = Fingerprinter::new([1; 32]);
        let other = Fingerprinter::from_hex(&"02".repeat(32)).expect("a key");
        assert_eq!(one.fingerprint("email", "a@b.org"), one.fingerprint("email", "a@b.org"));
        assert_ne!(one.fingerprint("email", "a@b.org"), one.fingerprint("emaila", "@b.org"));
        assert_ne!(one.fingerprint("email", "a@b.org"), other.fingerprint("email", "a@b.org"));
        assert!(!format!("{other:?}").contains('2'));
        assert!(Fingerprinter::from_hex("02").is_err());
        assert!(Fingerprinter::from_hex(&"é".repeat(32)).is_err());
    }
}
