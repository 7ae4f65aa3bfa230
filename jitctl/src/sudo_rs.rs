//! What wiring sudo-rs writes: `/etc/sudoers-rs` from the role table, and our lines at the head of the PAM files of
//! sudo. Pure text in, text out.

use crate::block;
use statement::detail::{AllOr, Door};
use statement::role;
use std::fmt::Write as _;
use wire::cli::Role;

/// Read by sudo-rs instead of `/etc/sudoers`.
pub const SUDOERS_RS: &str = "/etc/sudoers-rs";
/// PAM services that sudo-rs knows; classic sudo shares them.
pub const PAM_FILES: [&str; 2] = ["/etc/pam.d/sudo", "/etc/pam.d/sudo-i"];
/// The copy of the PAM module that those files name.
pub const PAM_COPY: &str = "/usr/libexec/jit/pam_jit.so";

/// Our lines before all others: the first line of a kind decides.
pub fn pam(base: &str, template: &str) -> String {
    format!("{}{}", block::marked(template), block::without(base))
}

/// The admin's own file with our block behind it, or ours alone.
pub fn sudoers(base: Option<&str>, template: &str, roles: &[Role]) -> String {
    let base = block::without(base.unwrap_or(""));
    let mut text = base.clone();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    // A file of the admin's says itself what it includes.
    let own = !base.trim().is_empty();
    let kept = template
        .lines()
        .filter(|line| !(own && line.starts_with("@include")));
    let mut lines: String = kept.flat_map(|line| [line, "\n"]).collect();
    lines.push_str(&rules(roles));
    text.push_str(&block::marked(&lines));
    text
}

/// A role as the agent would tell it.
pub fn row(name: &str, role: &role::Role) -> Role {
    let words =
        |c: &statement::detail::Command| std::iter::once(&c.path).chain(&c.args).cloned().collect();
    Role {
        name: name.to_owned(),
        sudo: role.doors.contains(&Door::Sudo),
        commands: match &role.commands {
            AllOr::All(_) => None,
            AllOr::List(list) => Some(list.iter().map(words).collect()),
        },
    }
}

/// One line for each role that opens sudo. A role with a list of commands gets those that can be written here
/// without a second meaning; which of a role's grants sudo-rs may use at all is for the agent to say.
fn rules(roles: &[Role]) -> String {
    let mut text = String::new();
    for role in roles.iter().filter(|r| r.sudo && is_plain(&r.name)) {
        let commands = match &role.commands {
            None => "ALL".to_owned(),
            Some(list) => {
                let lines: Vec<String> = list.iter().filter_map(|c| command(c)).collect();
                if lines.is_empty() {
                    continue;
                }
                lines.join(", ")
            }
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "%jit-{} ALL=(ALL:ALL) NOSETENV: {commands}",
            role.name
        );
    }
    text
}

/// Path and arguments as sudoers(5) writes them: `""` for none, the path alone for any. `*` behind other arguments stays
/// out: there it would match across them.
fn command(words: &[String]) -> Option<String> {
    let plain = |w: &String| {
        !w.is_empty()
            && w.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"/._-+@%".contains(&b))
    };
    match words {
        [path] if plain(path) => Some(format!("{path} \"\"")),
        [path, star] if plain(path) && star == "*" => Some(path.clone()),
        [_, _, ..] if words.iter().all(plain) => Some(words.join(" ")),
        _ => None,
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, sudo: bool, commands: Option<&[&[&str]]>) -> Role {
        let words = |c: &&[&str]| c.iter().map(|w| (*w).to_owned()).collect();
        Role {
            name: name.to_owned(),
            sudo,
            commands: commands.map(|list| list.iter().map(words).collect()),
        }
    }

    const TEMPLATE: &str = include_str!("../../packaging/wiring/sudoers-rs");

    #[test]
    fn each_role_that_opens_sudo_has_its_line_and_nothing_is_free_of_a_password() {
        let roles = [
            role("admin", true, None),
            role("logs", false, None),
            role(
                "web",
                true,
                Some(&[
                    &["/usr/bin/systemctl", "restart", "nginx"],
                    &["/usr/bin/id"],
                ]),
            ),
            role("any", true, Some(&[&["/usr/bin/printf", "*"]])),
            role("star", true, Some(&[&["/usr/bin/printf", "%s", "*"]])),
            role("bad,name", true, None),
        ];
        let text = sudoers(None, TEMPLATE, &roles);
        let rules: Vec<&str> = text.lines().filter(|l| l.starts_with('%')).collect();
        assert_eq!(
            rules,
            [
                "%jit-admin ALL=(ALL:ALL) NOSETENV: ALL",
                "%jit-web ALL=(ALL:ALL) NOSETENV: /usr/bin/systemctl restart nginx, /usr/bin/id \"\"",
                "%jit-any ALL=(ALL:ALL) NOSETENV: /usr/bin/printf",
            ]
        );
        assert!(text.contains("\n@include /etc/sudoers\n"));
        assert!(!text.contains("NOPASSWD") && !text.contains("%:"));
    }

    #[test]
    fn an_admins_own_file_stays_and_comes_back() {
        let base = "carol ALL=(ALL) ALL";
        let text = sudoers(Some(base), TEMPLATE, &[]);
        assert!(text.starts_with("carol ALL=(ALL) ALL\n"));
        assert!(!text.contains("\n@include"));
        assert_eq!(sudoers(Some(&text), TEMPLATE, &[]), text);
        let ours = sudoers(None, TEMPLATE, &[]);
        assert_eq!(sudoers(Some(&ours), TEMPLATE, &[]), ours);
    }

    #[test]
    fn our_pam_lines_come_first() {
        let template = include_str!("../../packaging/wiring/pam-sudo");
        let base = "#%PAM-1.0\n@include common-auth\n";
        let text = pam(base, template);
        assert_eq!(block::without(&text), base);
        assert_eq!(pam(&text, template), text);
        assert!(text.find(PAM_COPY) < text.find("common-auth"));
    }
}
