//! What a setup did, step by step: told as it happens on stderr, and once more in the JSON at the end.

use crate::context::Context;
use crate::exit::Code;
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::output::{Line, Output, Style};
use serde_json::{Value, json};

#[derive(Debug)]
pub struct Steps {
    out: Output,
    done: Vec<(&'static str, bool, String)>,
}

impl Steps {
    pub fn new(ctx: &Context) -> Steps {
        Steps {
            out: ctx.out,
            done: Vec::new(),
        }
    }

    /// Something was changed.
    pub fn done(&mut self, step: &'static str, what: impl Into<String>) {
        self.add(step, true, what.into());
    }

    /// It was so already.
    pub fn already(&mut self, step: &'static str, what: impl Into<String>) {
        self.add(step, false, what.into());
    }

    fn add(&mut self, step: &'static str, changed: bool, what: String) {
        let mark = if changed { "done  " } else { "ok    " };
        self.out
            .note_line(&Line::default().styled(Style::Good, mark).text(&what));
        self.done.push((step, changed, what));
    }

    /// `[{step, changed, what}]`
    fn json(&self) -> Value {
        self.done
            .iter()
            .map(|(step, changed, what)| json!({ "step": step, "changed": changed, "what": what }))
            .collect()
    }

    pub fn result(&self, more: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        let mut value = json!({ "schema_version": SCHEMA_VERSION, "steps": self.json() });
        for (name, member) in more {
            value[name] = member;
        }
        value
    }
}

/// A step that failed; exit 1.
pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::new(Code::SetupFailed, message).hint(hint)
}
