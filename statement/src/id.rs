//! ULIDs: 48 bits of milliseconds and 80 random bits in 26 characters of Crockford's base 32.
//! They name requests and grants, sort by time, and fit in a unit name.

pub(crate) const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Makes a ULID. `unix_ms` beyond 48 bits (the year 10889) is cut.
pub fn ulid(unix_ms: u64, random: [u8; 10]) -> String {
    let low = random.iter().fold(0u128, |n, b| n << 8 | u128::from(*b));
    let n = u128::from(unix_ms & 0xffff_ffff_ffff) << 80 | low;
    (0..26)
        .rev()
        .map(|i| char::from(ALPHABET[(n >> (5 * i) & 31) as usize]))
        .collect()
}

/// True for the canonical form only: 26 upper-case characters, first at most `7` (130 bits would not fit 128).
pub fn is_ulid(text: &str) -> bool {
    let b = text.as_bytes();
    b.len() == 26 && b[0] <= b'7' && b.iter().all(|c| ALPHABET.contains(c))
}
