//! Text from outside, kept byte for byte.

use serde::{Serialize, Serializer, ser::SerializeMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Bytes that are usually text: a command word, a path, a login. In JSON a string when they are UTF-8, else
/// `{"hex":"…"}`, so that nothing a user typed is lost or merged with something else.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Text(pub Vec<u8>);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("hex", &hex(&self.0))?;
        map.end()
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

macro_rules! from {
    ($($source:ty => |$value:ident| $bytes:expr;)*) => {$(
        impl From<$source> for Text {
            fn from($value: $source) -> Self {
                Self($bytes)
            }
        }
    )*};
}

from! {
    &str => |value| value.as_bytes().to_vec();
    String => |value| value.into_bytes();
    &String => |value| value.as_bytes().to_vec();
    &[u8] => |value| value.to_vec();
    Vec<u8> => |value| value;
    &OsStr => |value| value.as_bytes().to_vec();
    OsString => |value| value.into_vec();
    &Path => |value| value.as_os_str().as_bytes().to_vec();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf8_is_a_string_and_other_bytes_are_hex() {
        let json = |bytes: &[u8]| serde_json::to_string(&Text::from(bytes)).unwrap();
        assert_eq!(json("é\n".as_bytes()), r#""é\n""#);
        assert_eq!(json(b"a\xff\x00"), r#"{"hex":"61ff00"}"#);
        assert_eq!(json(b"{\"hex\":\"61\"}"), r#""{\"hex\":\"61\"}""#);
    }
}
