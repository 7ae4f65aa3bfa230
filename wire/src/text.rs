//! Bytes that are nearly always text: argv, environment, paths, names.

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Write};

/// Any bytes, without loss. In JSON a string when they are UTF-8, else `{"hex":"…"}`.
///
/// Each value has one spelling: lower-case hex, and only for what is not UTF-8. `Display` is for people: bytes
/// that could move a cursor or reorder a line come out escaped (sudo's CVE-2023-28486 and -28487 were such).
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Text(pub Vec<u8>);

impl Text {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Text {
        Text(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Text {
        Text(bytes)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.as_bytes().to_vec())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text(text.into_bytes())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if unsafe_to_show(c) {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    f.write_char(c)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Control characters, and the format characters that are invisible or change the order of what is shown.
fn unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(text) => serializer.serialize_str(text),
            None => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("hex", &to_hex(&self.0))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or {\"hex\": …}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::from(text))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
        Ok(Text::from(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        let Some((key, value)) = map.next_entry::<String, String>()? else {
            return Err(A::Error::missing_field("hex"));
        };
        if key != "hex" {
            return Err(A::Error::unknown_field(&key, &["hex"]));
        }
        if map.next_key::<String>()?.is_some() {
            return Err(A::Error::custom("more than one member beside \"hex\""));
        }
        let bytes = from_hex(&value)
            .ok_or_else(|| A::Error::custom("\"hex\" is not pairs of lower-case hex digits"))?;
        if std::str::from_utf8(&bytes).is_ok() {
            return Err(A::Error::custom("UTF-8 is written as a string"));
        }
        Ok(Text(bytes))
    }
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &Text) -> String {
        serde_json::to_string(text).unwrap()
    }

    #[test]
    fn utf8_is_a_string_and_the_rest_is_hex() {
        assert_eq!(json(&Text::from("naïve \n")), r#""naïve \n""#);
        assert_eq!(json(&Text(vec![b'a', 0xff, 0])), r#"{"hex":"61ff00"}"#);
    }

    #[test]
    fn a_second_spelling_is_refused() {
        for bad in [
            r#"{"hex":"61"}"#,
            r#"{"hex":"FF"}"#,
            r#"{"hex":"ff0"}"#,
            r#"{"hex":"ff","hex":"ff"}"#,
            r#"{"hex":"ff","x":"1"}"#,
            r#"{"hex":7}"#,
            r#"{"base64":"/w=="}"#,
            "{}",
            "7",
            "null",
            "[255]",
        ] {
            assert!(serde_json::from_str::<Text>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_cannot_move_the_cursor() {
        let text = Text(b"ok\x1b[2J\r\n\x7f\xff\xe2\x80\xae\xc2\x9b".to_vec());
        assert_eq!(
            text.to_string(),
            "ok\\u{1b}[2J\\r\\n\\u{7f}\\xff\\u{202e}\\u{9b}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes: Vec<u8>) {
            let text = Text(bytes);
            let back: Text = serde_json::from_str(&json(&text)).unwrap();
            prop_assert_eq!(back, text);
        }

        #[test]
        fn nothing_shown_is_a_control_character(bytes: Vec<u8>) {
            prop_assert!(!Text(bytes).to_string().chars().any(char::is_control));
        }
    }
}
