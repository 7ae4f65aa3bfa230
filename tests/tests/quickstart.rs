//! What the README and the first how-to tell a newcomer to type, typed: the very lines of their code blocks, on a Debian that has
//! nothing but the built packages in a folder. From `apt install` to a working sudo it takes less than two minutes.
#![cfg(feature = "e2e")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::time::{Duration, Instant};

use jit_tests::{Host, Release, project};

const LIMIT: Duration = Duration::from_secs(120);

/// One line that somebody types.
struct Line {
    user: String,
    command: String,
    /// The text says so behind it.
    refused: bool,
}

/// The lines of all code blocks of a text. Whose they are is said by their prompt, else by the last sentence before that begins
/// with "As"; else they are root's.
fn lines(text: &str) -> Vec<Line> {
    let (mut inside, mut user, mut found) = (false, "root".to_owned(), Vec::new());
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside {
            if let Some(rest) = line.strip_prefix("As ") {
                user = rest.split([' ', ',']).next().unwrap().to_owned();
            }
        } else if !line.trim().is_empty() {
            let (command, comment) = line.split_once(" # ").unwrap_or((line, ""));
            let (user, command) = match command.split_once(' ') {
                Some((prompt, rest)) if prompt.ends_with(['$', '#']) => {
                    (prompt[..prompt.len() - 1].to_owned(), rest)
                }
                _ => (user.clone(), command),
            };
            let refused = comment.trim_start().starts_with("refused");
            let command = command.trim().to_owned();
            found.push(Line {
                user,
                command,
                refused,
            });
        }
    }
    found
}

#[test]
fn a_newcomer_is_root_for_a_while_within_two_minutes_on_debian_12() {
    newcomer(Release::Bookworm);
}

#[test]
fn a_newcomer_is_root_for_a_while_within_two_minutes_on_debian_13() {
    newcomer(Release::Trixie);
}

fn newcomer(release: Release) {
    let text = |path: &str| std::fs::read_to_string(project::root().join(path)).unwrap();
    let readme = text("README.md");
    let (_, readme) = readme.split_once("\n## On one host\n").unwrap();
    let (readme, _) = readme.split_once("\n## ").unwrap();
    for (name, page) in [
        ("README.md", readme),
        ("first-host.md", &text("docs/how-to/first-host.md")),
    ] {
        follow(release, name, &lines(page));
    }
}

/// Types the lines one after the other, in the folder where the packages were built.
#[track_caller]
fn follow(release: Release, name: &str, lines: &[Line]) {
    let host = Host::boot(release, false);
    host.run(&["mkdir", "-p", "/root/target"]).ok();
    host.bring(&project::packages());
    host.run(&["mv", "/root/packages", "/root/target/packages"])
        .ok();
    let start = Instant::now();
    let mut root = None;
    let (mut elevated, mut refused) = (false, 0);
    // The build is the one line that is not typed here.
    for line in lines.iter().filter(|l| l.command != "make packages") {
        let script = format!("set -e; {}", line.command);
        let said = match line.user.as_str() {
            "root" => host.sh(&format!("cd /root; {script}")),
            user => host.run_as(user, &script),
        };
        if line.refused {
            refused += 1;
            said.refused().says("jitctl elevate");
            continue;
        }
        said.ok();
        elevated |= line.command.starts_with("jitctl elevate");
        if elevated && root.is_none() {
            host.run_as(&line.user, "sudo -n id -u").ok().says("0");
            root = Some(start.elapsed());
        }
    }
    let took = root.unwrap_or_else(|| panic!("{name}: nobody was root"));
    eprintln!(
        "{name}: root after {took:?}, all lines after {:?}",
        start.elapsed()
    );
    assert!(took < LIMIT, "{name}: {took:?}");
    // Its last lines gave it back, and refused it was before.
    host.run_as("alice", "sudo -n id")
        .refused()
        .says("jitctl elevate");
    assert_eq!(refused, usize::from(name != "README.md"), "{name}");
}
