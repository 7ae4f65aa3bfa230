//! What a Rego text calls and defines, by a look at its words alone: an unknown built-in is found even in a rule that
//! no trial reaches.

use crate::error::{Fault, Source};
use std::collections::{BTreeMap, BTreeSet};

/// Built-ins of the engine that no rule needs, and that could eat the issuer's memory before any limit counts, or
/// answer otherwise each time.
const REFUSED: &[&str] = &[
    "numbers.range",
    "numbers.range_step",
    "bits.lsh",
    "rand.intn",
];

/// What may stand right before a parenthesis without being called.
const WORDS: &[&str] = &[
    "and", "as", "contains", "else", "every", "if", "in", "not", "or", "some", "with", "print",
];

/// A word of the text that is neither in a comment nor in a string.
struct Word<'a> {
    at: usize,
    text: &'a str,
    /// A parenthesis follows at once.
    called: bool,
}

/// Names that the text defines: what stands at the head of a line.
pub(crate) fn heads(text: &str) -> BTreeSet<&str> {
    let first = |w: &Word<'_>| w.at == 0 || text.as_bytes().get(w.at - 1) == Some(&b'\n');
    let heads = words(text).into_iter().filter(first);
    let names = heads.map(|w| w.text.split('.').next().unwrap_or(w.text));
    names
        .filter(|n| !matches!(*n, "package" | "import" | "default" | "else"))
        .collect()
}

/// Names of what takes arguments.
pub(crate) fn functions(text: &str) -> BTreeSet<&str> {
    let first = |w: &Word<'_>| w.at == 0 || text.as_bytes().get(w.at - 1) == Some(&b'\n');
    let calls = words(text).into_iter().filter(|w| w.called && first(w));
    calls.map(|w| w.text).collect()
}

/// Rules of a policy, and brackets within each other; what goes deeper could exhaust a stack.
const RULES: usize = 500;
const BRACKETS: usize = 64;

/// Functions that call themselves, which OPA refuses and the engine would follow without end, and rules beyond the
/// limits. Names count, not packages: a call of another package's function of the same name is taken for its own.
pub(crate) fn too_deep(files: &[(&str, &str)]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut rules = 0;
    // What each function calls, and where it stands.
    let mut calls: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut places: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for (file, text) in files.iter().copied() {
        rules += heads(text).len();
        if let Some(at) = brackets(text) {
            let what = format!("more than {BRACKETS} brackets within each other");
            let line = Source(text).line(at);
            faults.push(Fault::new(file, line, what, "give the inner part a name"));
        }
        let mut inside = None;
        for word in words(text) {
            let head = word.at == 0 || text.as_bytes().get(word.at - 1) == Some(&b'\n');
            if head && word.text != "else" {
                inside = word.called.then_some(word.text);
                let line = Source(text).line(word.at);
                places.entry(word.text).or_insert((file, line));
            } else if let (Some(function), true) = (inside, word.called) {
                let last = word.text.rsplit('.').next().unwrap_or(word.text);
                calls.entry(function).or_default().insert(last);
            }
        }
    }
    if rules > RULES {
        let file = files.first().map_or("", |(file, _)| *file);
        let what = format!("{rules} rules");
        faults.push(Fault::new(file, 0, what, format!("at most {RULES}")));
    }
    for (function, (file, line)) in places {
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        let mut todo = vec![function];
        while let Some(next) = todo.pop() {
            let called = calls.get(next).into_iter().flatten();
            todo.extend(called.filter(|c| reached.insert(c)));
        }
        if reached.contains(function) {
            let what = format!("the function {function} leads to itself");
            faults.push(Fault::new(file, line, what, "Rego has no recursion"));
        }
    }
    faults
}

/// Where brackets are too many within each other.
fn brackets(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    text.bytes().enumerate().find_map(|(at, b)| {
        match b {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        (depth > BRACKETS).then_some(at)
    })
}

/// The first call of something that is neither built in nor defined in `defined`.
pub(crate) fn fault(file: &str, text: &str, defined: &BTreeSet<&str>) -> Option<Fault> {
    let at = |w: &Word<'_>| Source(text).line(w.at);
    words(text).into_iter().filter(|w| w.called).find_map(|w| {
        let last = w.text.rsplit('.').next().unwrap_or(w.text);
        if REFUSED.contains(&w.text) {
            let what = format!("{} is refused in a policy", w.text);
            let hint = "it is unbounded or answers otherwise each time; do without it";
            return Some(Fault::new(file, at(&w), what, hint));
        }
        let known = WORDS.contains(&w.text)
            || regorus::unstable::BUILTINS.contains_key(w.text)
            || defined.contains(last);
        if known {
            return None;
        }
        let what = format!("{} is neither built in nor defined here", w.text);
        let hint = "docs/spec/policy.md lists the built-ins; the time is in input.time";
        Some(Fault::new(file, at(&w), what, hint))
    })
}

fn words(text: &str) -> Vec<Word<'_>> {
    let bytes = text.as_bytes();
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
    let mut found = Vec::new();
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        let rest = bytes.get(i..).unwrap_or_default();
        match b {
            b'#' => i += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
            b'`' => i += 2 + rest.iter().skip(1).take_while(|b| **b != b'`').count(),
            b'"' => {
                i += 1;
                while let Some(&c) = bytes.get(i) {
                    i += if c == b'\\' { 2 } else { 1 };
                    if c == b'"' {
                        break;
                    }
                }
            }
            _ if name(b) => {
                let len = rest.iter().take_while(|b| name(**b)).count();
                found.extend(text.get(i..i + len).map(|text| Word {
                    at: i,
                    text,
                    called: bytes.get(i + len) == Some(&b'('),
                }));
                i += len;
            }
            _ => i += 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_comments_and_strings_are_nothing() {
        let text = "# f(\"x\")\na := `g(` if h(\"k(\\\"\", i) # j(\nb(x) := y.z(x)\n";
        let called: Vec<&str> = words(text)
            .iter()
            .filter(|w| w.called)
            .map(|w| w.text)
            .collect();
        assert_eq!(called, ["h", "b", "y.z"]);
        assert_eq!(heads(text), BTreeSet::from(["a", "b"]));
        assert_eq!(functions(text), BTreeSet::from(["b"]));
    }

    #[test]
    fn what_leads_to_itself_or_goes_too_deep_is_found_with_its_line() {
        let found = |text: &str| {
            let faults = too_deep(&[("a.rego", text)]);
            let lines = faults.iter().map(|f| f.error.line);
            lines.collect::<Vec<_>>()
        };
        let none: [usize; 0] = [];
        assert_eq!(found("f(x) := g(x)\ng(x) := x\n"), none);
        assert_eq!(found("a := 1\nf(x) := f(x)\n"), [2]);
        assert_eq!(found("f(x) if {\n\tg(x)\n}\n\ng(x) if f(x)\n"), [1, 5]);
        assert_eq!(found("f(x) := 1 if x\nelse := f(x)\n"), [1]);
        assert_eq!(found("f(x) := 1 # f(x)\n"), none);
        assert_eq!(found(&format!("\na := {}", "[".repeat(65))), [2]);
        assert_eq!(found(&format!("a := {}", "[".repeat(64))), none);
        let many: String = (0..=RULES).map(|n| format!("r{n} := 1\n")).collect();
        assert_eq!(found(&many), [0]);
    }
}
