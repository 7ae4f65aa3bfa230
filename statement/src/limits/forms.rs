//! The forms that names, texts, paths and ids may have.

use super::{
    MAX_ID, MAX_NAME, MAX_PATH, MAX_REASON, MAX_ROLE_NAME, MAX_SUBJECT, MAX_TICKET, MAX_TIME, rule,
};
use crate::{Refused, digest, id};

/// A reason: 1 to 512 bytes, more than blanks, nothing that hides or moves text.
pub fn reason(text: &str) -> Result<(), Refused> {
    rule(!text.trim().is_empty(), "reason", "must not be empty")?;
    rule(text.len() <= MAX_REASON, "reason", "at most 512 bytes")?;
    rule(is_plain(text), "reason", "no control characters")
}

/// A ticket: 1 to 64 bytes, nothing that hides or moves text.
pub fn ticket(text: &str) -> Result<(), Refused> {
    rule(!text.trim().is_empty(), "ticket", "must not be empty")?;
    rule(text.len() <= MAX_TICKET, "ticket", "at most 64 bytes")?;
    rule(is_plain(text), "ticket", "no control characters")
}

/// What may not follow `jit-` in a role's name: these are groups of our own. `jit-eligible` is the right to ask,
/// `jit-link` and `jit-issuer` open sockets and keys, `jit-managed` and `jit-active` are answers of the sudo plugin.
const RESERVED: [&str; 5] = ["active", "eligible", "issuer", "link", "managed"];

/// A role's name: `jit-<role>` is a group, and never one that means something else.
pub fn role_name(text: &str) -> Result<(), Refused> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.len() <= MAX_ROLE_NAME
        && text.bytes().all(allowed);
    rule(
        good,
        "role",
        "1 to 28 of a-z, 0-9 and -, a letter first, no - last",
    )?;
    rule(
        !RESERVED.contains(&text),
        "role",
        "with jit- before it, this is the name of a group of jit itself",
    )
}

/// No control characters, and none that reorder or break the lines of what people read.
fn is_plain(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

pub(super) fn short_text(text: &str, most: usize, member: &'static str) -> Result<(), Refused> {
    rule(
        text.len() <= most && is_plain(text),
        member,
        "too long, or control characters",
    )
}

pub(super) fn subject(text: &str, member: &'static str) -> Result<(), Refused> {
    rule(!text.is_empty(), member, "must not be empty")?;
    short_text(text, MAX_SUBJECT, member)
}

/// A user's or group's name. It becomes part of a file name in `/run/userdb`, so it holds no `/` and no `:`.
pub(super) fn account(text: &str, member: &'static str) -> Result<(), Refused> {
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'@' | b'+' | b'$');
    let good = (1..=MAX_NAME).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(allowed)
        && !text.bytes().all(|b| b.is_ascii_digit());
    rule(good, member, "not an account name of at most 32 bytes")
}

/// Absolute and in its only spelling: no empty part, no `.` or `..`, nothing after the last name.
pub(super) fn path(text: &str, member: &'static str) -> Result<(), Refused> {
    let parts_are_names = |rest: &str| rest.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let good = text.len() <= MAX_PATH
        && is_plain(text)
        && text.strip_prefix('/').is_some_and(parts_are_names);
    rule(
        good,
        member,
        "not an absolute, normal path of at most 1024 bytes",
    )
}

pub(super) fn paths(list: &[String], most: usize, member: &'static str) -> Result<(), Refused> {
    rule(list.len() <= most, member, "too many")?;
    list.iter().try_for_each(|p| path(p, member))
}

/// `spiffe://<trust domain>/<kind>/<name>` of letters, digits and `._-` (SPIFFE ID §2): so never a wildcard.
pub(super) fn spiffe(text: &str, kinds: &[&str], member: &'static str) -> Result<(), Refused> {
    let is_word = |s: &str| {
        !matches!(s, "" | "." | "..")
            && s.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    let good = text.len() <= MAX_ID
        && text.strip_prefix("spiffe://").is_some_and(|rest| {
            let parts: Vec<&str> = rest.split('/').collect();
            matches!(parts[..], [domain, kind, name] if is_word(domain) && kinds.contains(&kind) && is_word(name))
        });
    rule(good, member, "not a host or group id of at most 256 bytes")
}

/// Printable ASCII without blanks.
pub(super) fn uri(text: &str, member: &'static str) -> Result<(), Refused> {
    let good =
        (1..=MAX_SUBJECT).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    rule(good, member, "not a URI of at most 128 bytes")
}

pub(super) fn time(seconds: u64, member: &'static str) -> Result<(), Refused> {
    rule(seconds <= MAX_TIME, member, "later than the year 9999")
}

pub(super) fn hash(text: &str, member: &'static str) -> Result<(), Refused> {
    rule(
        digest::is_sha256_b64(text),
        member,
        "not a SHA-256 in base64url",
    )
}

pub(super) fn ulid(text: &str, member: &'static str) -> Result<(), Refused> {
    rule(id::is_ulid(text), member, "not a ULID")
}

pub(super) fn version(ver: u32) -> Result<(), Refused> {
    rule(ver == 1, "ver", "must be 1")
}

pub(super) fn audience(aud: &[String]) -> Result<(), Refused> {
    rule(
        (1..=64).contains(&aud.len()),
        "aud",
        "1 to 64 hosts or groups",
    )?;
    aud.iter()
        .try_for_each(|id| spiffe(id, &["host", "group"], "aud"))
}
