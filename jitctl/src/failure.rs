//! Why a command did not do what was asked: what happened, why, and what to do next.

use crate::exit::Code;
use serde_json::{Value, json};
use std::fmt;
use wire::cli;

/// `schema_version` of everything printed with `--json`.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    /// One sentence.
    pub message: String,
    /// What to do next, when there is something.
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure {
            code,
            message: message.into(),
            hint: None,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// `{schema_version, error: {code, message, hint}}`
    pub fn to_json(&self) -> Value {
        json!({
            "schema_version": SCHEMA_VERSION,
            "error": { "code": self.code.name(), "message": self.message, "hint": self.hint },
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<cli::Error> for Failure {
    fn from(error: cli::Error) -> Failure {
        Failure {
            code: error.code.into(),
            message: error.message,
            hint: error.hint,
        }
    }
}
