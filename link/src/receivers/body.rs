//! What a message says behind its header: the record, in one of two forms, in printable ASCII.

use super::config::Format;
use super::ocsf;
use super::syslog::Sender;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Parameters and text of one message.
pub struct Body {
    params: Vec<(&'static str, String)>,
    text: String,
}

impl Body {
    /// About one record, given as text and as what the text says.
    pub fn new(format: Format, sender: &Sender, index: u64, text: &str, record: &Value) -> Self {
        let text = match format {
            Format::Json => with_place(sender, index, text, record),
            Format::Ocsf => ocsf::event(sender, index, text, record).to_string(),
        };
        Self {
            params: Vec::new(),
            text: escaped(&text),
        }
    }

    /// About the length of the log: the agent's words, and this host's signature for them.
    pub fn checkpoint(body: &Value, word: Option<&str>, text: &str) -> Self {
        let next = body["next"].as_u64().unwrap_or_default();
        let whole = json!({ "type": "checkpoint", "next": next, "body": text, "word": word });
        Self {
            params: vec![("next", next.to_string())],
            text: escaped(&whole.to_string()),
        }
    }

    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The record's own text, with its place before it.
fn with_place(sender: &Sender, index: u64, text: &str, record: &Value) -> String {
    let origin = Value::from(sender.origin.as_str());
    // Line breaks between members would be escaped where no escape may stand.
    let members = match text.strip_prefix('{') {
        Some(rest) if record.is_object() && !text.bytes().any(|b| b < b' ') => rest.to_owned(),
        _ if record.is_object() => record.to_string().split_off(1),
        _ => format!("\"record\":{record}}}"),
    };
    let empty = record.as_object().is_some_and(serde_json::Map::is_empty);
    let comma = if empty { "" } else { "," };
    format!("{{\"origin\":{origin},\"index\":{index}{comma}{members}")
}

/// JSON whose strings hold nothing but printable ASCII, which says the same.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, ' '..='~') {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// Text in which what is not printable ASCII is spelled out.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, ' '..='~') {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_ascii_says_the_same() {
        let value = json!({ "a\u{7f}": "ü\u{1f980}\u{202e}\n\u{0}\u{2028}", "b": [1, null] });
        let text = escaped(&value.to_string());
        assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn whatever_a_record_is_the_body_is_one_object() {
        let sender = Sender {
            host: "h".into(),
            origin: "o".into(),
        };
        for text in [
            "{}",
            "[1]",
            "3",
            "\"x\"",
            "{\n\"a\":1}",
            "{ }",
            "{\"a\":{}}",
        ] {
            let record: Value = serde_json::from_str(text).unwrap();
            for format in [Format::Json, Format::Ocsf] {
                let body = Body::new(format, &sender, 4, text, &record);
                let value: Value = serde_json::from_str(body.text()).unwrap();
                assert!(value.is_object(), "{text}");
            }
        }
    }
}
