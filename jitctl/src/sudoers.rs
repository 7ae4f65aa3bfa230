//! A reader of sudoers that finds what matters to us: a group plugin already in use, our own words where they do
//! not belong, and standing rights. It does not decide who may do what; sudo does.

use std::collections::BTreeMap;

/// How to reach the files; tests give their own.
pub trait Source {
    fn read(&self, path: &str) -> Option<String>;
    /// Names in a directory, sorted.
    fn list(&self, dir: &str) -> Vec<String>;
}

/// Included files nest at most this deep (sudo's own limit is 128).
const DEPTH: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `/etc/sudoers:12`
    pub place: String,
    /// The whole rule, lines joined, blanks single.
    pub text: String,
    /// Users, `%groups`, aliases before the host.
    pub subjects: Vec<String>,
    pub nopasswd: bool,
    /// The rule ends in `ALL`.
    pub all: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Where `group_plugin` is set, and the line.
    pub group_plugin: Option<(String, String)>,
    pub rules: Vec<Rule>,
    /// `User_Alias`: names behind a name.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// Lines that name our groups or our PAM service.
    pub ours: Vec<String>,
    /// Lines with `%:group`, which make sudo-rs fail for everyone.
    pub nonunix: Vec<String>,
    /// Files in an included directory that sudo skips for their name.
    pub skipped: Vec<String>,
}

pub fn scan(source: &impl Source, path: &str) -> Scan {
    let mut found = Scan::default();
    file(source, path, 0, &mut found);
    found
}

fn file(source: &impl Source, path: &str, depth: usize, found: &mut Scan) {
    let Some(text) = source.read(path) else {
        return;
    };
    if depth > DEPTH {
        return;
    }
    let mut logical = String::new();
    let mut start = 0;
    for (number, physical) in text.lines().enumerate() {
        if logical.is_empty() {
            start = number + 1;
        }
        if let Some(more) = physical.strip_suffix('\\') {
            logical.push_str(more);
            logical.push(' ');
            continue;
        }
        logical.push_str(physical);
        let line = std::mem::take(&mut logical);
        entry(source, path, start, line.trim(), depth, found);
    }
    entry(source, path, start, logical.trim(), depth, found);
}

fn entry(
    source: &impl Source,
    path: &str,
    number: usize,
    line: &str,
    depth: usize,
    found: &mut Scan,
) {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match word {
        "@include" | "#include" => {
            file(source, &resolve(path, rest), depth + 1, found);
            return;
        }
        "@includedir" | "#includedir" => {
            directory(source, &resolve(path, rest), depth + 1, found);
            return;
        }
        _ => {}
    }
    let line = uncomment(line).trim();
    if line.is_empty() {
        return;
    }
    let place = format!("{path}:{number}");
    if line.contains("jit-active") || line.contains("jit-managed") || line.contains("sudo-jit") {
        found.ours.push(format!("{place}: {line}"));
    }
    if line.contains("%:") {
        found.nonunix.push(format!("{place}: {line}"));
    }
    if word.starts_with("Defaults") {
        if rest.contains("group_plugin") && !rest.contains("!group_plugin") {
            found.group_plugin = Some((place, line.to_owned()));
        }
    } else if word == "User_Alias" {
        let text = line
            .split_once(char::is_whitespace)
            .map_or("", |(_, rest)| rest);
        for definition in text.split(':') {
            if let Some((name, members)) = definition.split_once('=') {
                let members = members.split(',').map(|m| m.trim().to_owned()).collect();
                found.aliases.insert(name.trim().to_owned(), members);
            }
        }
    } else if !matches!(
        word,
        "Runas_Alias" | "Host_Alias" | "Cmnd_Alias" | "Cmd_Alias"
    ) && let Some(rule) = rule(place, line)
    {
        found.rules.push(rule);
    }
}

/// `user[, user…] host = …`
fn rule(place: String, line: &str) -> Option<Rule> {
    let (head, commands) = line.split_once('=')?;
    let mut subjects = Vec::new();
    let mut more = true;
    for word in head.replace(',', " , ").split_whitespace() {
        match (word, more) {
            (",", _) => more = true,
            (name, true) => {
                subjects.push(name.to_owned());
                more = false;
            }
            // The first word without a comma before it is the host.
            (_, false) => break,
        }
    }
    Some(Rule {
        place,
        text: line.split_whitespace().collect::<Vec<_>>().join(" "),
        subjects,
        nopasswd: commands.contains("NOPASSWD"),
        all: commands.trim_end().ends_with("ALL"),
    })
}

fn directory(source: &impl Source, dir: &str, depth: usize, found: &mut Scan) {
    for name in source.list(dir) {
        if name.contains('.') || name.ends_with('~') {
            found.skipped.push(format!("{dir}/{name}"));
        } else {
            file(source, &format!("{dir}/{name}"), depth, found);
        }
    }
}

/// A relative path is relative to the including file's directory.
fn resolve(from: &str, path: &str) -> String {
    let path = path.trim().trim_matches('"').trim_end_matches('/');
    if path.starts_with('/') {
        path.to_owned()
    } else {
        let dir = from.rsplit_once('/').map_or("", |(dir, _)| dir);
        format!("{dir}/{path}")
    }
}

/// `#` begins a comment unless digits follow it (a uid) or it is inside quotes or behind a backslash.
fn uncomment(line: &str) -> &str {
    let bytes = line.as_bytes();
    let mut quoted = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'#' if quoted || (at > 0 && bytes[at - 1] == b'\\') => {}
            b'#' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {}
            b'#' => return &line[..at],
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files(BTreeMap<&'static str, &'static str>);

    impl Source for Files {
        fn read(&self, path: &str) -> Option<String> {
            self.0.get(path).map(|t| (*t).to_owned())
        }
        fn list(&self, dir: &str) -> Vec<String> {
            let prefix = format!("{dir}/");
            self.0
                .keys()
                .filter_map(|k| k.strip_prefix(&prefix).map(str::to_owned))
                .collect()
        }
    }

    fn scan_of(files: &[(&'static str, &'static str)]) -> Scan {
        scan(&Files(files.iter().copied().collect()), "/etc/sudoers")
    }

    #[test]
    fn rules_of_the_stock_file_and_its_directory() {
        let found = scan_of(&[
            (
                "/etc/sudoers",
                "# comment %sudo ALL=ALL\nDefaults env_reset\nUser_Alias OPS = dave\n\
                 root\tALL=(ALL:ALL) ALL\n%sudo\tALL=(ALL:ALL) ALL # all\n\
                 carol, #1001 \\\n  ALL = (root) NOPASSWD: /usr/bin/id\n@includedir /etc/sudoers.d\n",
            ),
            ("/etc/sudoers.d/README.txt", "bad ALL=(ALL) ALL\n"),
            ("/etc/sudoers.d/ops", "OPS ALL=(ALL) NOPASSWD: ALL\n"),
        ]);
        let short: Vec<_> = found
            .rules
            .iter()
            .map(|r| (r.place.as_str(), r.subjects.join(" "), r.nopasswd, r.all))
            .collect();
        assert_eq!(
            short,
            [
                ("/etc/sudoers:4", "root".to_owned(), false, true),
                ("/etc/sudoers:5", "%sudo".to_owned(), false, true),
                ("/etc/sudoers:6", "carol #1001".to_owned(), true, false),
                ("/etc/sudoers.d/ops:1", "OPS".to_owned(), true, true),
            ]
        );
        assert_eq!(found.aliases["OPS"], ["dave"]);
        assert_eq!(found.skipped, ["/etc/sudoers.d/README.txt"]);
        assert_eq!(found.group_plugin, None);
    }

    #[test]
    fn a_group_plugin_in_an_included_file_is_found() {
        let found = scan_of(&[
            ("/etc/sudoers", "#include local\n"),
            (
                "/etc/local",
                "Defaults group_plugin=\"group_file.so /etc/x\"\n",
            ),
        ]);
        assert_eq!(found.group_plugin.unwrap().0, "/etc/local:1");
        let off = scan_of(&[(
            "/etc/sudoers",
            "Defaults !group_plugin\n# Defaults group_plugin=\"x\"\n",
        )]);
        assert_eq!(off.group_plugin, None);
    }

    #[test]
    fn our_words_outside_our_file_are_found() {
        let found = scan_of(&[("/etc/sudoers", "%:jit-active ALL=(ALL) ALL\n")]);
        assert_eq!(found.ours.len(), 1);
        assert_eq!(found.nonunix.len(), 1);
    }

    #[test]
    fn a_file_that_includes_itself_ends() {
        scan_of(&[("/etc/sudoers", "@include /etc/sudoers\n")]);
    }
}
