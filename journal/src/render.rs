//! One line for people and for syslog.

use serde_json::Value;

/// Order of the fields every record has; what else there is follows.
const ORDER: [&str; 14] = [
    "grant", "request", "role", "login", "uid", "auid", "session", "decision", "reason", "ticket",
    "command", "runas", "cwd", "tty",
];

/// Turns a stored record into one line that is safe on a terminal and in a syslog message: `type name=value …`,
/// anything unusual in quotes, control, invisible and direction characters escaped. Time, boot id and
/// the next key are left out: whoever shows the line puts the time before it. Text that is no JSON object is shown quoted, so nothing is hidden.
#[must_use]
pub fn render_line(json: &str) -> String {
    let Ok(Value::Object(mut record)) = serde_json::from_str::<Value>(json) else {
        return quote(json);
    };
    for known in ["time", "boot_id", "boot_ns", "epoch", "key"] {
        record.remove(known);
    }
    let mut line = record
        .remove("type")
        .map_or_else(|| "?".to_owned(), |kind| show(&kind));
    for name in ORDER {
        if let Some(value) = record.remove(name) {
            field(&mut line, name, &value);
        }
    }
    for (name, value) in &record {
        field(&mut line, name, value);
    }
    line
}

fn field(line: &mut String, name: &str, value: &Value) {
    line.push(' ');
    line.push_str(&word(name));
    line.push('=');
    line.push_str(&show(value));
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => word(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(show).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(name, value)| format!("{}={}", word(name), show(value)))
                .collect();
            format!("{{{}}}", members.join(" "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+,%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        quote(text)
    }
}

/// Rust's own escapes: everything that is not printable, and combining marks at the start.
fn quote(text: &str) -> String {
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Record, Timestamp};
    use proptest::prelude::*;

    fn now() -> Timestamp {
        Timestamp {
            unix_ms: 0,
            boot_ns: 1,
            boot_id: "b".into(),
        }
    }

    #[test]
    fn a_line_for_people() {
        let record = Record::new("use", now())
            .grant("01J")
            .login("alice")
            .uid(1001_u32)
            .decision("allow")
            .reason("fix web, \"now\"\nuse login=root")
            .command(["/bin/echo", "a b", "\u{1b}[2J\u{202e}"])
            .detail("status", 3);
        assert_eq!(
            render_line(&record.to_json().unwrap()),
            concat!(
                r#"use grant=01J login=alice uid=1001 decision=allow reason="fix web, \"now\"\nuse login=root" "#,
                r#"command=[/bin/echo "a b" "\u{1b}[2J\u{202e}"] detail={status=3}"#
            )
        );
    }

    #[test]
    fn what_is_no_record_is_shown_all_the_same() {
        assert_eq!(render_line("x\ny"), r#""x\ny""#);
        assert_eq!(render_line("[1]"), r#""[1]""#);
        assert_eq!(render_line(r#"{"a":null,"b":[]}"#), "? a=null b=[]");
    }

    proptest! {
        #[test]
        fn one_line_without_control_characters(text: String, bytes: Vec<u8>) {
            let record = Record::new("use", now()).reason(&text).cwd(bytes).detail(&text, text.as_str());
            for json in [record.to_json().unwrap(), text.clone(), format!("{{{text:?}:{text:?}}}")] {
                let line = render_line(&json);
                prop_assert!(!line.chars().any(char::is_control), "{line}");
            }
        }

        /// A value cannot end its quotes and begin a field of its own.
        #[test]
        fn no_value_looks_like_a_field(text in "[a-z \"=\\\\\\[\\]{}\n]{0,30}") {
            let one = Record::new("use", now()).reason(&text).ticket("T");
            let line = render_line(&one.to_json().unwrap());
            let reason = line.strip_prefix("use reason=").unwrap().strip_suffix(" ticket=T").unwrap();
            let inner = match reason.strip_prefix('"') {
                None => { prop_assert!(!reason.contains([' ', '=', '"'])); return Ok(()); }
                Some(rest) => rest.strip_suffix('"').unwrap(),
            };
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                prop_assert!(c != '"');
                if c == '\\' { chars.next(); }
            }
        }
    }
}
