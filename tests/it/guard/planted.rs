//! Values for tests, assembled: no literal of the repository looks like a live credential.

/// A GitHub token with a checksum that is right: `seed` makes another one.
pub fn github_token(seed: u32) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut state = u64::from(seed) + 11;
    let mut digit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(DIGITS[(state >> 33) as usize % 62])
    };
    let random: String = (0..30).map(|_| digit()).collect();
    let mut sum = crc32(random.as_bytes());
    let mut check = Vec::new();
    for _ in 0..6 {
        check.push(char::from(DIGITS[(sum % 62) as usize]));
        sum /= 62;
    }
    let check: String = check.into_iter().rev().collect();
    format!("gh{}_{random}{check}", "p")
}

/// CRC-32 as zlib computes it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    };
    !bytes.iter().fold(u32::MAX, step)
}

pub fn email(seed: u32) -> String {
    format!("planted.person{seed}@kestrel{}.org", "mail")
}

/// A number of a German mobile network.
pub fn phone(seed: u32) -> String {
    format!("+49 151 {:08}", 23_456_701 + seed)
}

/// A card number of 16 digits whose check digit is right.
pub fn card(seed: u32) -> String {
    let head = format!("4539{:011}", 14_880_343_640_u64 + u64::from(seed));
    let sum: u32 = head
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
        })
        .sum();
    format!("{head}{}", (10 - sum % 10) % 10)
}

/// A password as people make them.
pub fn password(seed: u32) -> String {
    format!("Kestrel{}!quiet{seed}", 40 + seed)
}
