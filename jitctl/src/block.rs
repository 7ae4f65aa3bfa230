//! Our lines in a file that belongs to somebody else: between two markers, so that they can be found and taken out.

/// First and last line of a block.
pub const BEGIN: &str =
    "# >>> jit: written by `jitctl setup sudo`; take it out with `jitctl setup sudo --undo`";
pub const END: &str = "# <<< jit";
/// Begins every first line, whatever stands behind it.
pub const BEGIN_MARK: &str = "# >>> jit";

/// The lines with their markers.
pub fn marked(lines: &str) -> String {
    between(BEGIN, lines)
}

/// The same for the files of another command than `setup sudo`.
pub fn marked_by(command: &str, lines: &str) -> String {
    between(&BEGIN.replace("setup sudo", command), lines)
}

fn between(begin: &str, lines: &str) -> String {
    format!("{begin}\n{}\n{END}\n", lines.trim_end())
}

/// The lines of the block in a file, without the markers.
pub fn found(text: &str) -> Option<String> {
    let mut inside = None::<String>;
    for line in text.split_inclusive('\n') {
        match &mut inside {
            None if line.starts_with(BEGIN_MARK) => inside = Some(String::new()),
            None => {}
            Some(lines) if line.trim_end() == END => return Some(std::mem::take(lines)),
            Some(lines) => lines.push_str(line),
        }
    }
    None
}

/// The file without our blocks.
pub fn without(text: &str) -> String {
    let mut base = String::with_capacity(text.len());
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        if line.starts_with(BEGIN_MARK) {
            inside = true;
        } else if inside {
            inside = line.trim_end() != END;
        } else {
            base.push_str(line);
        }
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_found_and_leaves_the_rest_as_it_was() {
        let base = "# first\nauth x\nno newline";
        let text = format!("{}{base}", marked("a\nb\n\n"));
        assert_eq!(without(&text), base);
        assert_eq!(found(&text).as_deref(), Some("a\nb\n"));
        assert_eq!(found(base), None);
        assert_eq!(without(base), base);
    }

    #[test]
    fn a_block_without_its_end_is_none_and_swallows_the_rest() {
        let text = format!("{BEGIN}\na\n");
        assert_eq!(found(&text), None);
        assert_eq!(without(&text), "");
    }
}
