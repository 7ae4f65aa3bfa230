//! What a right gives, in words: the same for whoever is shown it in a terminal and whoever is told of it elsewhere.

use crate::claims::Request;
use crate::detail::{AllOr, Auth, Detail, OnEnd};

/// Stands for every command.
pub const ANY: &str = "ANY";

/// Who is to get it: login and number.
pub fn who(asked: &Request) -> String {
    asked
        .authorization_details
        .first()
        .map_or_else(String::new, |d| format!("{} (uid {})", d.login, d.uid))
}

/// Why the whole of it is as good as root, if it is.
pub fn root_equal(asked: &Request) -> Option<String> {
    asked
        .authorization_details
        .iter()
        .find_map(Detail::root_equal)
}

/// That this person, who asks, may approve it himself.
pub fn self_approval(person: &str, role: &str) -> String {
    format!(
        "{person} asks, and may be one of those who approve: the trust statement says so for role {role}"
    )
}

/// What one detail gives, member by member; each further command has no name.
pub fn gives(detail: &Detail) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let doors: Vec<&str> = detail.doors.iter().map(|d| d.name()).collect();
    if !doors.is_empty() {
        let whom = match &detail.runas {
            AllOr::All(_) => "any user".to_owned(),
            AllOr::List(list) if list.is_empty() => "nobody".to_owned(),
            AllOr::List(list) => list.join(", "),
        };
        rows.push(("through", doors.join(", ")));
        rows.push(("as", whom));
        match commands(detail) {
            None => rows.push(("commands", ANY.to_owned())),
            Some(list) if list.is_empty() => rows.push(("commands", "none".to_owned())),
            Some(list) => {
                for (n, one) in list.into_iter().enumerate() {
                    rows.push((if n == 0 { "commands" } else { "" }, one));
                }
            }
        }
    }
    let listed = [
        ("groups", &detail.groups),
        ("edits", &detail.sudoedit),
        ("in", &detail.cwd),
        ("variables", &detail.env),
        ("unlocks", &detail.unlock),
    ];
    for (name, list) in listed {
        if !list.is_empty() {
            rows.push((name, list.join(", ")));
        }
    }
    let flags: Vec<&str> = [
        (detail.shell, "a shell"),
        (detail.once, "one use only"),
        (detail.tty, "only on a terminal"),
        (detail.auth == Auth::None, "no password"),
        (
            detail.on_end == OnEnd::Report,
            "processes that hold a group may live on after the end",
        ),
    ]
    .into_iter()
    .filter_map(|(is, text)| is.then_some(text))
    .collect();
    if !flags.is_empty() {
        rows.push(("with", flags.join(", ")));
    }
    rows
}

fn commands(detail: &Detail) -> Option<Vec<String>> {
    match &detail.commands {
        AllOr::All(_) => None,
        AllOr::List(list) => Some(
            list.iter()
                .map(|c| {
                    let words = std::iter::once(&c.path).chain(&c.args);
                    words.map(|w| quoted(w)).collect::<Vec<_>>().join(" ")
                })
                .collect(),
        ),
    }
}

/// So that where a word ends is seen.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-=:@%+,*".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
