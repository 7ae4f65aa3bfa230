//! RFC 5424 messages, one a record, and their framing by RFC 6587 3.4.1 (octet counting). Everything in a message is
//! printable ASCII: no record can end a line, a parameter or a message.

use super::body::{Body, printable};
use serde_json::Value;
use std::fmt::Write as _;

/// SD-ID. 32473 is the number that RFC 5612 keeps for examples.
const SD_ID: &str = "jit@32473";
/// `security/authorization (10)` of RFC 5424.
const AUTHPRIV: u8 = 10;
/// Longest HOSTNAME.
const HOST: usize = 255;

/// What every message of one log has.
#[derive(Clone, Debug)]
pub struct Sender {
    pub host: String,
    pub origin: String,
}

/// Severities of RFC 5424 by what a record says.
pub fn severity(record: &Value) -> u8 {
    let kind = record["type"].as_str().unwrap_or_default();
    match kind {
        // A code was used or tried: somebody has to act at once.
        "breakglass" if record["decision"] != "received" => 1,
        "alert" => 2,
        "recovery" => 3,
        "refused" => 4,
        _ if record["decision"] == "deny" => 4,
        "grant" | "extend" | "use" | "end" | "revocation" | "policy" | "trust" | "enrol" => 5,
        _ => 6,
    }
}

/// One message about `record`, which is number `index` of the log; a checkpoint has no number.
pub fn message(sender: &Sender, index: Option<u64>, record: &Value, body: &Body) -> Vec<u8> {
    let pri = AUTHPRIV * 8 + severity(record);
    let time = field(&record["time"], 64, |b| {
        b.is_ascii_digit() || b"TZ:.+-".contains(&b)
    });
    let kind = field(&record["type"], 32, |b| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
    });
    let host: String = sender
        .host
        .chars()
        .filter(char::is_ascii_graphic)
        .take(HOST)
        .collect();
    let host = if host.is_empty() { "-" } else { &host };
    let mut text = format!("<{pri}>1 {time} {host} jit-agent - {kind} [{SD_ID}");
    param(&mut text, "origin", &sender.origin);
    if let Some(index) = index {
        param(&mut text, "index", &index.to_string());
    }
    for (name, value) in body.params() {
        param(&mut text, name, value);
    }
    let _ = write!(text, "] {}", body.text());
    text.into_bytes()
}

/// A header field that is what it must be, or the nil value.
fn field(value: &Value, most: usize, good: impl Fn(u8) -> bool) -> &str {
    value
        .as_str()
        .filter(|t| (1..=most).contains(&t.len()) && t.bytes().all(good))
        .unwrap_or("-")
}

/// `"`, `\` and `]` are escaped; what is not printable ASCII is `\u{…}`, whose backslash is escaped, too.
fn param(text: &mut String, name: &str, value: &str) {
    let _ = write!(text, " {name}=\"");
    for c in printable(value).chars() {
        if matches!(c, '"' | '\\' | ']') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
}

/// Length, space, message.
pub fn counted(message: &[u8]) -> Vec<u8> {
    let mut framed = format!("{} ", message.len()).into_bytes();
    framed.extend_from_slice(message);
    framed
}

#[cfg(test)]
mod tests {
    use super::super::config::Format;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn sender() -> Sender {
        Sender {
            host: "web1".into(),
            origin: "jit/7b2e/0a1b".into(),
        }
    }

    fn made(record: &Value, format: Format) -> String {
        let text = record.to_string();
        let body = Body::new(format, &sender(), 7, &text, record);
        String::from_utf8(message(&sender(), Some(7), record, &body)).unwrap()
    }

    #[test]
    fn a_message_as_it_is_sent() {
        let record = json!({
            "time": "2026-11-20T13:56:03.120Z", "type": "refused", "login": "alice",
            "decision": "deny", "reason": "x\" ] \\ \n<14>1 forged",
        });
        assert_eq!(
            made(&record, Format::Json),
            concat!(
                r#"<84>1 2026-11-20T13:56:03.120Z web1 jit-agent - refused [jit@32473 origin="jit/7b2e/0a1b" index="7"] "#,
                r#"{"origin":"jit/7b2e/0a1b","index":7,"decision":"deny","login":"alice","#,
                r#""reason":"x\" ] \\ \n<14>1 forged","time":"2026-11-20T13:56:03.120Z","type":"refused"}"#
            )
        );
        assert_eq!(counted(b"<14>1"), b"5 <14>1");
    }

    #[test]
    fn header_fields_are_theirs_or_nil() {
        let record = json!({ "time": "now ]", "type": "a b" });
        let text = made(&record, Format::Json);
        assert!(
            text.starts_with("<86>1 - web1 jit-agent - - [jit@32473 "),
            "{text}"
        );
    }

    /// What a receiver takes for the end of a parameter, read as RFC 5424 has it.
    fn data_end(text: &str) -> usize {
        let (mut quoted, mut escaped) = (false, false);
        for (at, c) in text.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ']' if !quoted => return at,
                _ => {}
            }
        }
        panic!("no end in {text:?}");
    }

    proptest! {
        #[test]
        fn nothing_in_a_record_forges_anything(
            reason: String, name: String, origin: String, host: String, kind: String, time: String, ocsf: bool
        ) {
            let record = json!({
                "time": time, "type": kind, "reason": reason, "login": name, "command": [reason, name],
                "detail": { name.clone(): reason },
            });
            let sender = Sender { host, origin: origin.clone() };
            let format = if ocsf { Format::Ocsf } else { Format::Json };
            let text = record.to_string();
            let body = Body::new(format, &sender, 7, &text, &record);
            let message = String::from_utf8(message(&sender, Some(7), &record, &body)).unwrap();
            prop_assert!(message.bytes().all(|b| (b' '..=b'~').contains(&b)), "{:?}", message);
            // Six header fields, then the data.
            let begin = message.match_indices(' ').nth(5).unwrap().0 + 1;
            let rest = &message[begin..];
            prop_assert!(rest.starts_with("[jit@32473 origin=\""), "{}", rest);
            let end = data_end(rest);
            prop_assert!(rest[..end].contains("\" index=\"7\""), "{}", rest);
            let body: Value = serde_json::from_str(rest[end + 1..].trim_start()).unwrap();
            let whole: Value = if ocsf {
                serde_json::from_str(body["raw_data"].as_str().unwrap()).unwrap()
            } else {
                let mut whole = body.clone();
                let members = whole.as_object_mut().unwrap();
                prop_assert_eq!(members.remove("origin").unwrap(), origin);
                prop_assert_eq!(members.remove("index").unwrap(), 7);
                whole
            };
            prop_assert_eq!(whole, record);
        }
    }
}
