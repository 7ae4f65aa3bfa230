//! A unified diff of two small texts, for `setup sudo --dry-run`.

use std::fmt::Write as _;

const CONTEXT: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Keep,
    Remove,
    Add,
}

/// Empty when both are equal. `old` is `None` for a file that is not there yet.
pub fn unified(path: &str, old: Option<&str>, new: Option<&str>) -> String {
    if old == new {
        return String::new();
    }
    let a: Vec<&str> = old.unwrap_or("").split_inclusive('\n').collect();
    let b: Vec<&str> = new.unwrap_or("").split_inclusive('\n').collect();
    let ops = script(&a, &b);
    let mut out = format!(
        "--- {}\n+++ {}\n",
        if old.is_some() { path } else { "/dev/null" },
        if new.is_some() { path } else { "/dev/null" }
    );
    let changed: Vec<usize> = (0..ops.len()).filter(|i| ops[*i].0 != Op::Keep).collect();
    let mut next = 0;
    while next < changed.len() {
        let mut last = next;
        while last + 1 < changed.len() && changed[last + 1] - changed[last] <= 2 * CONTEXT {
            last += 1;
        }
        let from = changed[next].saturating_sub(CONTEXT);
        let to = (changed[last] + CONTEXT + 1).min(ops.len());
        hunk(&mut out, &ops, from, to);
        next = last + 1;
    }
    out
}

fn hunk(out: &mut String, ops: &[(Op, &str)], from: usize, to: usize) {
    let count =
        |range: &[(Op, &str)], without: Op| range.iter().filter(|(op, _)| *op != without).count();
    let (old_len, new_len) = (
        count(&ops[from..to], Op::Add),
        count(&ops[from..to], Op::Remove),
    );
    // A range of no lines names the line before it.
    let start = |before: usize, len: usize| if len == 0 { before } else { before + 1 };
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "@@ -{},{old_len} +{},{new_len} @@",
        start(count(&ops[..from], Op::Add), old_len),
        start(count(&ops[..from], Op::Remove), new_len)
    );
    for (op, line) in &ops[from..to] {
        out.push(match op {
            Op::Keep => ' ',
            Op::Remove => '-',
            Op::Add => '+',
        });
        out.push_str(line);
        if !line.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// Longest common subsequence; the files have a few hundred lines.
fn script<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<(Op, &'a str)> {
    let width = b.len() + 1;
    let mut common = vec![0usize; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * width + j] = if a[i] == b[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut ops = Vec::with_capacity(a.len() + b.len());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            ops.push((Op::Keep, a[i]));
            i += 1;
            j += 1;
        } else if i < a.len()
            && (j == b.len() || common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            ops.push((Op::Remove, a[i]));
            i += 1;
        } else {
            ops.push((Op::Add, b[j]));
            j += 1;
        }
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file() {
        assert_eq!(
            unified("/etc/x", None, Some("a\nb\n")),
            "--- /dev/null\n+++ /etc/x\n@@ -0,0 +1,2 @@\n+a\n+b\n"
        );
    }

    #[test]
    fn a_change_in_the_middle_and_one_at_the_end() {
        let old: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let new = old.replace("5\n", "five\n").replacen("1five\n", "15\n", 1) + "end";
        assert_eq!(
            unified("/f", Some(&old), Some(&new)),
            "--- /f\n+++ /f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n\
             @@ -18,3 +18,4 @@\n 18\n 19\n 20\n+end\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn equal_texts_have_no_diff() {
        assert_eq!(unified("/f", Some("a"), Some("a")), "");
        assert_eq!(unified("/f", None, None), "");
    }
}
