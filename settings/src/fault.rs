//! What is wrong with a file, where, and what to write instead.

use std::fmt;
use std::path::{Path, PathBuf};

/// One fault. Displayed as `/etc/jit/ceiling.toml: line 3: unknown key `group`; did you mean `groups`?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub file: PathBuf,
    /// From 1; 0 when the fault is of the whole file.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do instead.
    pub hint: String,
}

impl Fault {
    pub(crate) fn of_file(file: &Path, what: impl Into<String>, hint: &str) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            what: what.into(),
            hint: hint.to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{}; {}", self.what, self.hint)
    }
}

impl std::error::Error for Fault {}

/// The line, from 1, that the byte at `at` is in.
#[must_use]
pub fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at.min(text.len()));
    1 + before.map_or(0, |b| b.iter().filter(|c| **c == b'\n').count())
}

/// A message of the TOML reader or of serde in words of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub what: String,
    /// What to write instead, where the message says enough to know.
    pub hint: Option<String>,
}

/// Serde's sentences name the key and the known ones; the hint is the nearest known one.
#[must_use]
pub fn told(message: &str) -> Told {
    let message = message.lines().next().unwrap_or("not TOML");
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (true, Some((got, known))) = (message.starts_with("unknown "), words.split_first()) {
        let what = if message.starts_with("unknown field") {
            format!("unknown key `{got}`")
        } else {
            format!("unknown value `{got}`")
        };
        let hint = match nearest(got, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        let hint = Some(hint);
        return Told { what, hint };
    }
    if let (true, Some(key)) = (message.starts_with("missing field"), words.first()) {
        return Told {
            what: format!("`{key}` is missing"),
            hint: Some(format!("add a line `{key} = …`")),
        };
    }
    if message.starts_with("data did not match any variant") {
        return Told {
            what: "a value of this form is not known here".to_owned(),
            hint: None,
        };
    }
    // Our own sentences carry their hint after a semicolon.
    let (what, hint) = match message.split_once("; ") {
        Some((what, hint)) => (what, Some(hint.to_owned())),
        None => (message, None),
    };
    Told {
        what: what.to_owned(),
        hint,
    }
}

/// The one of these that a slip of the finger or two makes of `got`.
#[must_use]
fn nearest<'a>(got: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| (distance(got, k), *k))
        .filter(|(d, _)| *d <= 2)
        .min()
        .map(|(_, k)| k)
}

/// Levenshtein distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (cb, &above) in b.iter().zip(row.iter().skip(1)) {
            let cell = (diagonal + usize::from(ca != *cb))
                .min(above + 1)
                .min(left + 1);
            next.push(cell);
            diagonal = above;
            left = cell;
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_what_and_hint() {
        for (message, what, hint) in [
            (
                "unknown field `isuer`, expected one of `issuer`, `ca`",
                "unknown key `isuer`",
                Some("did you mean `issuer`?"),
            ),
            (
                "unknown field `x`, expected `issuer` or `agent`",
                "unknown key `x`",
                Some("known here: issuer, agent"),
            ),
            (
                "unknown variant `denny`, expected `deny` or `allow`",
                "unknown value `denny`",
                Some("did you mean `deny`?"),
            ),
            (
                "missing field `cert`\nin `https`",
                "`cert` is missing",
                Some("add a line `cert = …`"),
            ),
            ("not good; be better", "not good", Some("be better")),
            ("not good", "not good", None),
        ] {
            let got = told(message);
            assert_eq!((got.what.as_str(), got.hint.as_deref()), (what, hint));
        }
    }

    #[test]
    fn a_place_is_a_line() {
        assert_eq!(line_of("a\nb\nc", 0), 1);
        assert_eq!(line_of("a\nb\nc", 2), 2);
        assert_eq!(line_of("a\nb\nc", 99), 3);
    }
}
