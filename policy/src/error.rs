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
        settings::line_of(self.0, at)
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

    /// What a message of the TOML reader or of serde says, and what to write instead.
    pub(crate) fn explain(message: &str) -> (String, String) {
        let told = settings::told(message);
        let hint = told
            .hint
            .unwrap_or_else(|| "see docs/spec/policy.md".to_owned());
        (told.what, hint)
    }

    /// A fault the TOML reader or serde found.
    pub(crate) fn toml(self, e: &toml::de::Error) -> Error {
        let line = e.span().map_or(0, |s| self.line(s.start));
        let (what, hint) = Self::explain(e.message());
        Error { line, what, hint }
    }
}
