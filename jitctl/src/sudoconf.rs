//! `/etc/sudo.conf`: what sudo reads in it (sudo.conf(5)), our block in it, and whether the wiring it gives is
//! the wanted one. Pure text in, text out.

use crate::block;

/// Our plugins and symbols (`docs/spec/doors.md`).
pub const PLUGIN: &str = "/usr/libexec/jit/sudo_jit.so";
pub const SUDOERS: &str = "/etc/jit/sudoers";

/// Before each line of the admin's that would override ours. Must begin with `#` in the first column: sudo
/// knows comments nowhere else.
const WAS: &str = "#jit-was# ";

/// One active entry: a logical line with its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Physical lines it stands on, from 0; end not included.
    pub lines: std::ops::Range<usize>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Plugin {
        symbol: String,
        path: String,
        options: Vec<String>,
    },
    Set {
        name: String,
        value: String,
    },
    /// `Path`, `Debug`, and what sudo warns about and ignores.
    Other,
}

/// Reads as sudo does: comments only in the first column, a backslash at the end of a line joins the next,
/// keywords in any case.
pub fn parse(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut logical = String::new();
    let mut start = 0;
    let mut open = false;
    for (number, physical) in text.lines().enumerate() {
        if !open {
            start = number;
            logical.clear();
        }
        let comment = physical.starts_with('#');
        let mut line = if comment {
            ""
        } else {
            physical.trim_end_matches('\r')
        };
        open = !comment && line.ends_with('\\') && !line.ends_with("\\\\");
        if open {
            line = &line[..line.len() - 1];
        }
        // Blanks before a joining backslash count, those at the start of a line never do.
        let line = line.trim_start_matches([' ', '\t']);
        logical.push_str(if open { line } else { line.trim_end() });
        if !open {
            push(&mut entries, &logical, start..number + 1);
        }
    }
    if open {
        push(&mut entries, &logical, start..text.lines().count());
    }
    entries
}

fn push(entries: &mut Vec<Entry>, logical: &str, lines: std::ops::Range<usize>) {
    let mut words = logical.split_whitespace();
    let Some(keyword) = words.next() else {
        return;
    };
    let kind = if keyword.eq_ignore_ascii_case("plugin") {
        match (words.next(), words.next()) {
            (Some(symbol), Some(path)) => Kind::Plugin {
                symbol: symbol.to_owned(),
                path: path.to_owned(),
                options: words.map(str::to_owned).collect(),
            },
            _ => Kind::Other,
        }
    } else if keyword.eq_ignore_ascii_case("set") {
        match (words.next(), words.next()) {
            (Some(name), Some(value)) => Kind::Set {
                name: name.to_ascii_lowercase(),
                value: value.to_owned(),
            },
            _ => Kind::Other,
        }
    } else {
        Kind::Other
    };
    entries.push(Entry { lines, kind });
}

/// Why we do not touch this file, and what the admin can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub message: String,
    pub hint: String,
}

fn is_sudoers(symbol: &str, path: &str) -> bool {
    matches!(symbol, "sudoers_policy" | "sudoers_io" | "sudoers_audit")
        && (path == "sudoers.so" || (path.starts_with('/') && path.ends_with("/sudoers.so")))
}

/// The admin's file with our block at its end. Every other line stays; those that would override ours (the
/// stock `Plugin` lines and `Set group_source`) become comments that [`strip`] turns back.
///
/// # Errors
/// The file names plugins that are not ours nor stock sudoers, or gives stock ones options of their own.
pub fn merge(base: &str, block: &str) -> Result<String, Refused> {
    let base = strip(base);
    let mut ours = Vec::new();
    for entry in parse(&base) {
        match entry.kind {
            Kind::Plugin { path, .. } if path == PLUGIN => ours.extend(entry.lines),
            Kind::Plugin {
                symbol,
                path,
                options,
            } if is_sudoers(&symbol, &path) => {
                if !options.is_empty()
                    && !options
                        .iter()
                        .all(|o| *o == format!("sudoers_file={SUDOERS}"))
                {
                    return Err(Refused {
                        message: format!(
                            "/etc/sudo.conf line {} gives {symbol} options of its own ({}), which the wiring of jit would drop",
                            entry.lines.start + 1,
                            options.join(" ")
                        ),
                        hint:
                            "Take the options out of that line, or do not wire sudo on this host."
                                .to_owned(),
                    });
                }
                ours.extend(entry.lines);
            }
            Kind::Plugin { symbol, path, .. } => {
                return Err(Refused {
                    message: format!(
                        "/etc/sudo.conf line {} loads another plugin, {symbol} from {path}; jit does not know what it would do beside it",
                        entry.lines.start + 1
                    ),
                    hint: "Comment that line out if it is no longer needed, then run this again."
                        .to_owned(),
                });
            }
            Kind::Set { name, .. } if name == "group_source" => ours.extend(entry.lines),
            Kind::Set { .. } | Kind::Other => {}
        }
    }
    let mut merged = String::with_capacity(base.len() + block.len() + 256);
    for (number, line) in base.split_inclusive('\n').enumerate() {
        if ours.contains(&number) {
            merged.push_str(WAS);
        }
        merged.push_str(line);
    }
    if !merged.is_empty() && !merged.ends_with('\n') {
        merged.push('\n');
    }
    // A backslash at the very end would swallow the marker line.
    if merged.trim_end_matches(['\r', '\n']).ends_with('\\') {
        merged.push('\n');
    }
    merged.push_str(&block::marked(block));
    Ok(merged)
}

/// The file without our block and with the admin's lines active again.
pub fn strip(text: &str) -> String {
    let base = block::without(text);
    base.split_inclusive('\n')
        .map(|line| line.strip_prefix(WAS).unwrap_or(line))
        .collect()
}

/// What the file gives, as sudo would load it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// No line of ours at all.
    NotWired,
    /// A plugin line is missing.
    Missing(&'static str),
    /// Ours stands after `sudoers_audit`: sudo then runs without our gates and says nothing.
    Order,
    /// `sudoers_policy` or `sudoers_audit` reads another file, so our rule is not in force.
    OtherSudoers(&'static str),
    /// `Set group_source` is not `dynamic`: removed groups live on in open sessions.
    GroupSource,
    /// A plugin that is neither ours nor sudoers.
    Foreign(String),
}

/// Compares with the wiring of `docs/spec/doors.md`. The first plugin of a name counts: sudo ignores a second
/// one with a warning. The last `Set` counts.
pub fn gaps(text: &str) -> Vec<Gap> {
    let entries = parse(text);
    let mut seen: Vec<(&str, &str, &[String])> = Vec::new();
    let mut group_source = None;
    for entry in &entries {
        match &entry.kind {
            Kind::Plugin {
                symbol,
                path,
                options,
            } => {
                if seen.iter().all(|(s, ..)| s != symbol) {
                    seen.push((symbol, path, options));
                }
            }
            Kind::Set { name, value } if name == "group_source" => {
                group_source = Some(value.as_str())
            }
            Kind::Set { .. } | Kind::Other => {}
        }
    }
    if seen.iter().all(|(_, path, _)| *path != PLUGIN) {
        return vec![Gap::NotWired];
    }
    let mut gaps = Vec::new();
    let place = |symbol: &str| seen.iter().position(|(s, ..)| *s == symbol);
    for (symbol, ours) in [
        ("jit_approval", true),
        ("jit_audit", true),
        ("sudoers_audit", false),
        ("sudoers_policy", false),
        ("sudoers_io", false),
    ] {
        let found = seen.iter().find(|(s, path, _)| {
            *s == symbol
                && if ours {
                    *path == PLUGIN
                } else {
                    is_sudoers(s, path)
                }
        });
        match found {
            None => gaps.push(Gap::Missing(symbol)),
            Some((_, _, options)) if matches!(symbol, "sudoers_audit" | "sudoers_policy") => {
                if !options
                    .iter()
                    .any(|o| *o == format!("sudoers_file={SUDOERS}"))
                {
                    gaps.push(Gap::OtherSudoers(symbol));
                }
            }
            Some(_) => {}
        }
    }
    let first_sudoers = place("sudoers_audit")
        .into_iter()
        .chain(place("sudoers_policy"))
        .min();
    let last_ours = place("jit_approval")
        .into_iter()
        .chain(place("jit_audit"))
        .max();
    if let (Some(theirs), Some(ours)) = (first_sudoers, last_ours)
        && ours > theirs
    {
        gaps.push(Gap::Order);
    }
    if group_source != Some("dynamic") {
        gaps.push(Gap::GroupSource);
    }
    for (symbol, path, _) in &seen {
        if *path != PLUGIN && !is_sudoers(symbol, path) {
            gaps.push(Gap::Foreign(format!("{symbol} {path}")));
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{BEGIN, END};

    const BLOCK: &str = "\
Plugin jit_approval /usr/libexec/jit/sudo_jit.so
Plugin jit_audit /usr/libexec/jit/sudo_jit.so
Plugin sudoers_audit sudoers.so sudoers_file=/etc/jit/sudoers
Plugin sudoers_policy sudoers.so sudoers_file=/etc/jit/sudoers
Plugin sudoers_io sudoers.so
Set group_source dynamic
";

    #[test]
    fn an_absent_file_becomes_the_block() {
        let merged = merge("", BLOCK).unwrap();
        assert_eq!(merged, format!("{BEGIN}\n{BLOCK}{END}\n"));
        assert_eq!(gaps(&merged), []);
        assert_eq!(strip(&merged), "");
    }

    #[test]
    fn the_admins_lines_stay_and_come_back() {
        let base = "\
# comment
Path askpass /usr/bin/askpass
plugin sudoers_policy /usr/libexec/sudo/sudoers.so
Plugin sudoers_io \\
  sudoers.so
Set disable_coredump false
Set group_source static
";
        let merged = merge(base, BLOCK).unwrap();
        assert_eq!(
            merged,
            format!(
                "\
# comment
Path askpass /usr/bin/askpass
#jit-was# plugin sudoers_policy /usr/libexec/sudo/sudoers.so
#jit-was# Plugin sudoers_io \\
#jit-was#   sudoers.so
Set disable_coredump false
#jit-was# Set group_source static
{BEGIN}
{BLOCK}{END}
"
            )
        );
        assert_eq!(gaps(&merged), []);
        assert_eq!(strip(&merged), base);
        assert_eq!(
            merge(&merged, BLOCK).unwrap(),
            merged,
            "merging twice changes nothing"
        );
    }

    #[test]
    fn an_old_block_is_replaced_not_doubled() {
        let old = merge(
            "Path askpass /x\n",
            "Plugin jit_audit /usr/libexec/jit/sudo_jit.so\n",
        )
        .unwrap();
        let new = merge(&old, BLOCK).unwrap();
        assert_eq!(new, format!("Path askpass /x\n{BEGIN}\n{BLOCK}{END}\n"));
    }

    #[test]
    fn a_last_line_without_newline_or_with_backslash_does_not_swallow_the_block() {
        for base in [
            "Path askpass /x",
            "Path askpass /x \\",
            "Path askpass /x \\\n",
            "\\",
        ] {
            assert_eq!(gaps(&merge(base, BLOCK).unwrap()), [], "{base:?}");
        }
    }

    #[test]
    fn foreign_plugins_and_options_are_refused_with_their_line() {
        let pair = merge("\nPlugin sudo_pair /usr/lib/sudo_pair.so\n", BLOCK).unwrap_err();
        assert!(pair.message.contains("line 2") && pair.message.contains("sudo_pair"));
        let options = merge(
            "Plugin sudoers_policy sudoers.so sudoers_mode=0400\n",
            BLOCK,
        )
        .unwrap_err();
        assert!(options.message.contains("sudoers_mode=0400"));
        // Another program's file that only looks like sudoers.
        assert!(merge("Plugin sudoers_policy ./sudoers.so\n", BLOCK).is_err());
        assert!(merge("Plugin evil sudoers.so\n", BLOCK).is_err());
    }

    #[test]
    fn a_comment_that_is_none_for_sudo_is_none_for_us() {
        // sudo knows `#` only in the first column; an indented one is an unknown entry, and joins no line.
        assert_eq!(parse("  # Plugin a b\n").len(), 1);
        assert_eq!(parse("# Plugin a b \\\nPlugin c d\n").len(), 1);
    }

    #[test]
    fn each_gap_is_seen() {
        assert_eq!(gaps("# stock\n"), [Gap::NotWired]);
        let without = |line: &str| BLOCK.replace(&format!("{line}\n"), "");
        assert_eq!(
            gaps(&without("Plugin jit_approval /usr/libexec/jit/sudo_jit.so")),
            [Gap::Missing("jit_approval")]
        );
        assert_eq!(
            gaps(&without("Plugin sudoers_io sudoers.so")),
            [Gap::Missing("sudoers_io")]
        );
        assert_eq!(
            gaps(&without("Set group_source dynamic")),
            [Gap::GroupSource]
        );
        assert_eq!(
            gaps(&format!("{BLOCK}Set group_source adaptive\n")),
            [Gap::GroupSource]
        );
        assert_eq!(
            gaps(&BLOCK.replacen(" sudoers_file=/etc/jit/sudoers", "", 1)),
            [Gap::OtherSudoers("sudoers_audit")]
        );
        let late = format!(
            "{}Plugin jit_audit {PLUGIN}\n",
            without("Plugin jit_audit /usr/libexec/jit/sudo_jit.so")
        );
        assert_eq!(gaps(&late), [Gap::Order]);
        // sudo takes the first of a name: a stock line above ours wins.
        assert_eq!(
            gaps(&format!("Plugin sudoers_policy sudoers.so\n{BLOCK}")),
            [Gap::OtherSudoers("sudoers_policy"), Gap::Order]
        );
        assert_eq!(
            gaps(&format!("{BLOCK}Plugin x /x.so\n")),
            [Gap::Foreign("x /x.so".to_owned())]
        );
    }
}
