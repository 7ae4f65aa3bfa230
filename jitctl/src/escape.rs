//! Text that came from elsewhere (reasons, names, file contents, program output) must not drive the reader's
//! terminal or forge lines: class of CVE-2023-28486 and CVE-2023-28487, and of "Trojan Source" (CVE-2021-42574).
//! What is unsafe to show is defined once, by [`wire::Text`].

use wire::Text;

/// One printable line: every unsafe character becomes its escape.
pub fn line(text: &str) -> String {
    Text::from(text).to_string()
}

/// The same JSON document with every unsafe character as `\uXXXX`. `serde_json` does so only below U+0020; the
/// others can stand only inside strings, so the meaning does not change.
pub fn json(document: &str) -> String {
    let mut safe = String::with_capacity(document.len());
    for c in document.chars() {
        if (' '..='~').contains(&c) || shown(c) {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    safe
}

fn shown(c: char) -> bool {
    let mut buffer = [0; 4];
    let text: &str = c.encode_utf8(&mut buffer);
    line(text) == text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_codes_and_forged_lines_become_visible() {
        assert_eq!(
            line("ok\n\x1b[2Jroot\u{9b}31m\u{7f}"),
            "ok\\n\\u{1b}[2Jroot\\u{9b}31m\\u{7f}"
        );
        assert_eq!(line("a\u{202e}b\u{2066}c"), "a\\u{202e}b\\u{2066}c");
    }

    #[test]
    fn ordinary_text_of_any_language_stays() {
        assert_eq!(line("Grüße, 日本, C:\\x"), "Grüße, 日本, C:\\x");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({ "reason": "\u{1b}[2J\u{9b}\u{202e}é\n\u{e0041}🙂" });
        let safe = json(&value.to_string());
        assert!(safe.chars().all(shown));
        assert!(safe.contains('é') && safe.contains('🙂'));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            value
        );
    }
}
