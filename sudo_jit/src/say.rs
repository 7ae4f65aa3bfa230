//! What the user reads.

use wire::Text;

/// Longest text shown, in bytes before escaping.
const MAX_BYTES: usize = 4096;
/// Most lines shown of one text.
const MAX_LINES: usize = 64;

/// `text` made safe for a terminal: characters that could move a cursor or reorder a line are spelled out (the
/// class of CVE-2023-28486), the lines stay.
pub fn lines(text: &str) -> String {
    let mut cut = text.len().min(MAX_BYTES);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let shown = text.get(..cut).unwrap_or_default();
    shown
        .lines()
        .take(MAX_LINES)
        .map(|line| format!("{}\n", Text::from(line)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_end() {
        let text = "jit: no live grant.\nAsk for one: jitctl elevate";
        assert_eq!(lines(text), format!("{text}\n"));
        assert_eq!(lines(""), "");
    }

    #[test]
    fn terminal_controls_are_spelled_out() {
        let shown = lines("a\x1b[2Jb\rc\u{9b}d\0é\u{202e}");
        assert_eq!(shown, "a\\u{1b}[2Jb\\rc\\u{9b}d\\u{0}é\\u{202e}\n");
    }

    #[test]
    fn endless_texts_are_cut() {
        assert_eq!(lines(&"é".repeat(5000)).len(), MAX_BYTES + 1);
        assert_eq!(lines(&"x\n".repeat(2000)).lines().count(), MAX_LINES);
    }
}
