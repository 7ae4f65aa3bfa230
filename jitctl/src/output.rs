//! The only file that prints. Results go to stdout, everything else to stderr. A [`Line`] is one line whatever
//! is put into it: control characters are shown as escapes, so foreign text can neither forge lines nor drive
//! the terminal.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output module"
)]

use crate::escape;
use crate::failure::Failure;
use serde_json::Value;
use std::io::{IsTerminal, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Strong,
    Good,
    Warn,
    Bad,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Style::Plain => "0",
            Style::Strong => "1",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "1;31",
        }
    }
}

/// One line of text in parts; each part is escaped when it is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(Vec<(Style, String)>);

impl Line {
    pub fn new(text: impl AsRef<str>) -> Line {
        Line::default().text(text)
    }

    #[must_use]
    pub fn text(self, text: impl AsRef<str>) -> Line {
        self.styled(Style::Plain, text)
    }

    #[must_use]
    pub fn styled(mut self, style: Style, text: impl AsRef<str>) -> Line {
        self.0.push((style, escape::line(text.as_ref())));
        self
    }

    fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        for (style, text) in &self.0 {
            if colour && *style != Style::Plain && !text.is_empty() {
                out.push_str("\x1b[");
                out.push_str(style.code());
                out.push('m');
                out.push_str(text);
                out.push_str("\x1b[0m");
            } else {
                out.push_str(text);
            }
        }
        out
    }

    /// Without colour.
    #[cfg(test)]
    pub fn plain(&self) -> String {
        self.render(false)
    }
}

/// Where and how to print.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    colour_out: bool,
    colour_err: bool,
}

impl Output {
    /// Colour only on a terminal and without `NO_COLOR` (no-color.org) and `TERM=dumb`.
    pub fn new(json: bool) -> Output {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && std::env::var_os("TERM").is_none_or(|v| v != "dumb");
        Output {
            json,
            colour_out: wanted && std::io::stdout().is_terminal(),
            colour_err: wanted && std::io::stderr().is_terminal(),
        }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Result for people; silent with `--json`. False when the reader is gone.
    pub fn lines(&self, lines: &[Line]) -> bool {
        if self.json {
            return true;
        }
        let mut all = String::new();
        for line in lines {
            all.push_str(&line.render(self.colour_out));
            all.push('\n');
        }
        write_stdout(&all)
    }

    pub fn line(&self, text: impl AsRef<str>) -> bool {
        self.lines(&[Line::new(text)])
    }

    /// Bytes for a file or another program, as they are.
    pub fn raw(&self, text: &str) -> bool {
        write_stdout(text)
    }

    /// Result for programs, one line; silent without `--json`. False when the reader is gone.
    pub fn json(&self, value: &Value) -> bool {
        !self.json || write_stdout(&format!("{}\n", escape::json(&value.to_string())))
    }

    /// Progress and advice, to stderr.
    pub fn note(&self, text: impl AsRef<str>) {
        self.note_line(&Line::new(text));
    }

    pub fn note_line(&self, line: &Line) {
        // Nobody reads stderr: nothing left to do.
        let _ = writeln!(std::io::stderr(), "{}", line.render(self.colour_err));
    }

    /// Clears the terminal between two screens of `status --watch`; nothing when stdout is no terminal.
    pub fn clear(&self) {
        if !self.json && std::io::stdout().is_terminal() {
            write_stdout("\x1b[H\x1b[2J");
        }
    }

    /// With `--json` the error object to stdout, else sentences to stderr.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            self.json(&failure.to_json());
            return;
        }
        let line = Line::default()
            .styled(Style::Bad, "jitctl: ")
            .text(&failure.message);
        self.note_line(&line);
        if let Some(hint) = &failure.hint {
            self.note(hint);
        }
    }
}

fn write_stdout(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_with_or_without_colour() {
        let line = Line::new("reason: ").styled(Style::Bad, "x\n\x1b[32mok");
        assert_eq!(line.plain(), "reason: x\\n\\u{1b}[32mok");
        assert_eq!(
            line.render(true),
            "reason: \x1b[1;31mx\\n\\u{1b}[32mok\x1b[0m"
        );
    }
}
