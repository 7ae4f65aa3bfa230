//! What is wrong with a policy text, and where.

use std::fmt;

/// One fault of a policy text. Displayed as `line 3: unknown key `maxx`; did you mean `max`?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// From 1; 0 when the fault is of the whole text.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{}; {}", self.what, self.hint)
    }
}

impl std::error::Error for Error {}

impl Error {
    pub(crate) fn of(self, file: &str) -> Fault {
        Fault {
            file: file.to_owned(),
            error: self,
        }
    }
}

/// A fault and the file it is in. Displayed as `roles.toml: line 3: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path below the policy's folder.
    pub file: String,
    pub error: Error,
}

impl Fault {
    pub(crate) fn new(
        file: &str,
        line: usize,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let error = Error {
            line,
            what: what.into(),
            hint: hint.into(),
        };
        error.of(file)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.error)
    }
}

impl std::error::Error for Fault {}

/// The text being read, to turn positions into lines.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a>(pub &'a str);

impl Source<'_> {
    pub(crate) fn line(self, at: usize) -> usize {
        let before = self.0.as_bytes().get(..at.min(self.0.len()));
        1 + before.map_or(0, |b| b.iter().filter(|c| **c == b'\n').count())
    }

    pub(crate) fn fault(
        self,
        at: usize,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Error {
        Error {
            line: self.line(at),
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// A fault the TOML reader or serde found.
    pub(crate) fn toml(self, e: &toml::de::Error) -> Error {
        let line = e.span().map_or(0, |s| self.line(s.start));
        let message = e.message().lines().next().unwrap_or("not TOML");
        let (what, hint) = Self::explain(message);
        Error { line, what, hint }
    }
}

impl Source<'_> {
    /// Serde's sentences name the key and the known ones; the hint is the nearest known one.
    pub(crate) fn explain(message: &str) -> (String, String) {
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
            return (what, hint);
        }
        if let (true, Some(key)) = (message.starts_with("missing field"), words.first()) {
            return (
                format!("`{key}` is missing"),
                format!("add a line `{key} = …`"),
            );
        }
        // Our own sentences carry their hint after a semicolon.
        match message.split_once("; ") {
            Some((what, hint)) => (what.to_owned(), hint.to_owned()),
            None => (message.to_owned(), "see docs/spec/policy.md".to_owned()),
        }
    }
}

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
