//! `jitctl config`: what is set on this host, read by the code of the programs that obey it. Changes nothing.

use crate::args;
use crate::context::Context;
use crate::exit::{Code, Exit};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::files;
use crate::output::{Line, Style};
use ::policy::Policy;
use ::settings::agent::Agent;
use ::settings::ceiling::Ceiling;
use ::settings::issuer::{Issuer, no_url};
use ::settings::jitctl::Jitctl;
use ::settings::link::{Link, no_address};
use ::settings::outgoing::Ticket;
use ::settings::{Entry, FILE_MAX, Fault, Places, Settings, Text, Wrong, stack};
use api::Address;
use args::ConfigKind as Kind;
use serde_json::{Value, json};
use std::path::Path;

/// Where a file of an unknown name is a slip of somebody's finger.
const ADMINS: &str = "/etc/jit";

pub fn command(ctx: &Context, args: &args::Config) -> Result<u8, Failure> {
    match args {
        args::Config::Check { file: None, .. } => Ok(told(ctx, &host(Path::new("/")))),
        args::Config::Check {
            file: Some(file),
            kind,
        } => one(ctx, file, *kind),
        args::Config::Show { kind, origin } => show(ctx, *kind, *origin),
    }
}

fn link_address(link: &Link) -> Result<(), Wrong> {
    match Address::parse(&link.issuer) {
        Ok(_) => Ok(()),
        Err(_) => Err(no_address(&link.issuer)),
    }
}

fn jitctl_address(jitctl: &Jitctl) -> Result<(), Wrong> {
    match Address::parse(&jitctl.issuer) {
        Ok(_) => Ok(()),
        Err(_) => Err(no_address(&jitctl.issuer)),
    }
}

fn issuer_url(issuer: &Issuer) -> Result<(), Wrong> {
    match issuer.https.as_ref().and_then(|https| https.url.as_ref()) {
        Some(url) if !Address::parse(url).is_ok_and(|a| a.is_away()) => Err(no_url(url)),
        _ => Ok(()),
    }
}

fn no_more<T>(_: &T) -> Result<(), Wrong> {
    Ok(())
}

/// Everything that is set below `root`: the first fault of each kind of file, every fault of the policy.
fn host(root: &Path) -> Vec<Fault> {
    let places = Places::below(root);
    let mut faults = Vec::new();
    faults.extend(places.read::<Agent>(no_more).err());
    faults.extend(places.read::<Ceiling>(no_more).err());
    faults.extend(places.read::<Link>(link_address).err());
    faults.extend(places.read::<Jitctl>(jitctl_address).err());
    let issuer = places.read::<Issuer>(issuer_url);
    let (roles, ticket) = match &issuer {
        Ok(read) => (read.value.roles.clone(), read.value.ticket.clone()),
        Err(_) => (Issuer::default().roles, None),
    };
    faults.extend(issuer.err());
    match policy(&root.join(roles.strip_prefix("/").unwrap_or(&roles))) {
        Ok(Some(policy)) => {
            faults.extend(ticket.and_then(|ticket| misspelt(&ticket, &policy)).map(
                |(what, hint)| Fault {
                    file: root.join("etc/jit/issuer.toml"),
                    line: 0,
                    what,
                    hint,
                },
            ))
        }
        Ok(None) => {}
        Err(more) => faults.extend(more),
    }
    faults.extend(strangers(&root.join(ADMINS.trim_start_matches('/'))));
    faults
}

/// Roles whose tickets are to be checked, and that the policy does not have: what is wrong, and a hint.
fn misspelt(ticket: &Ticket, policy: &Policy) -> Option<(String, String)> {
    let known = policy.roles();
    let unknown: Vec<&str> = ticket
        .roles
        .iter()
        .map(String::as_str)
        .filter(|role| !known.contains_key(*role))
        .collect();
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    (!unknown.is_empty()).then(|| {
        (
            format!(
                "ticket.roles names {}, of which the policy has no role",
                unknown.join(", ")
            ),
            format!("it has {}", names.join(", ")),
        )
    })
}

/// The policy that the issuer of this box reads, if there is one.
///
/// # Errors
/// What is wrong with it.
fn policy(roles: &Path) -> Result<Option<Policy>, Vec<Fault>> {
    if !roles.exists() {
        return Ok(None);
    }
    let at = match (roles.file_name(), roles.parent()) {
        (Some(name), Some(folder)) if name == "roles.toml" => folder,
        _ => roles,
    };
    let folder = if at.is_dir() { at } else { Path::new("") };
    ::policy::dir::read(at)
        .map_err(|fault| vec![fault])
        .and_then(|files| ::policy::open(&files))
        .map(Some)
        .map_err(|faults| faults.into_iter().map(|f| of_policy(folder, f)).collect())
}

fn of_policy(folder: &Path, fault: ::policy::Fault) -> Fault {
    Fault {
        file: folder.join(fault.file),
        line: fault.error.line,
        what: fault.error.what,
        hint: fault.error.hint,
    }
}

/// Files that look like ours and that nothing reads.
fn strangers(dir: &Path) -> Vec<Fault> {
    let known: Vec<String> = Kind::ALL
        .iter()
        .map(|k| format!("{}.toml", k.name()))
        .collect();
    let stranger = |name: &String| {
        let main = name.strip_suffix(".d").unwrap_or(name);
        main.ends_with(".toml") && !main.starts_with('.') && !known.iter().any(|k| k == main)
    };
    files::names(dir)
        .into_iter()
        .filter(stranger)
        .map(|name| Fault {
            file: dir.join(name),
            line: 0,
            what: "nothing reads a file of this name".to_owned(),
            hint: format!("there are {}", known.join(", ")),
        })
        .collect()
}

/// One file alone, as an editor or a configuration management has it before it is put in place.
fn one(ctx: &Context, file: &Path, kind: Option<Kind>) -> Result<u8, Failure> {
    let kind = kind.or_else(|| of_name(file)).ok_or_else(|| {
        let shown = file.display();
        Failure::new(
            Code::Usage,
            format!("The name of {shown} does not say what it is."),
        )
        .hint("Say it: --as ceiling, for example.")
    })?;
    let text = match text_of(file) {
        Ok(text) => text,
        Err(why) => {
            return Err(
                Failure::new(Code::Usage, format!("{why}.")).hint("Name a file that can be read.")
            );
        }
    };
    let texts = [Text::new(file, text)];
    let fault = match kind {
        Kind::Agent => stack::<Agent>(&texts, no_more).err(),
        Kind::Ceiling => stack::<Ceiling>(&texts, no_more).err(),
        Kind::Link => stack::<Link>(&texts, link_address).err(),
        Kind::Issuer => stack::<Issuer>(&texts, issuer_url).err(),
        Kind::Jitctl => stack::<Jitctl>(&texts, jitctl_address).err(),
        Kind::Roles => {
            let fault = texts.first().and_then(|t| ::policy::load(&t.text).err());
            fault.map(|error| Fault {
                file: file.to_owned(),
                line: error.line,
                what: error.what,
                hint: error.hint,
            })
        }
    };
    Ok(told(ctx, fault.as_slice()))
}

fn text_of(file: &Path) -> Result<String, String> {
    // As an editor's temporary file may be one, links are followed.
    let real = std::fs::canonicalize(file)
        .map_err(|e| format!("{} cannot be read: {e}", file.display()))?;
    match files::read_up_to(&real, FILE_MAX)? {
        Some(content) => {
            String::from_utf8(content.bytes).map_err(|_| format!("{} is not UTF-8", file.display()))
        }
        None => Err(format!("There is nothing at {}", file.display())),
    }
}

/// `ceiling` of `ceiling.toml` and of `ceiling.toml.d/10-site.toml`.
fn of_name(file: &Path) -> Option<Kind> {
    let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
    let (own, folder) = (name(file)?, file.parent().and_then(name));
    Kind::ALL.into_iter().find(|kind| {
        let main = format!("{}.toml", kind.name());
        own == main || folder.as_deref() == Some(format!("{main}.d").as_str())
    })
}

fn told(ctx: &Context, faults: &[Fault]) -> u8 {
    let all: Vec<Value> = faults
        .iter()
        .map(|f| json!({ "file": f.file, "line": f.line, "what": f.what, "hint": f.hint }))
        .collect();
    ctx.out
        .json(&json!({ "schema_version": SCHEMA_VERSION, "ok": faults.is_empty(), "faults": all }));
    let lines: Vec<Line> = faults
        .iter()
        .map(|f| {
            Line::default()
                .styled(Style::Bad, "FAULT  ")
                .text(f.to_string())
        })
        .collect();
    ctx.out.lines(&lines);
    if faults.is_empty() {
        ctx.out.line("No fault.");
        Exit::Ok.code()
    } else {
        Exit::Problems.code()
    }
}

/// Every key as the files of this host say it, of all kinds or of one.
fn show(ctx: &Context, kind: Option<Kind>, origin: bool) -> Result<u8, Failure> {
    if kind == Some(Kind::Roles) {
        return Err(Failure::new(Code::Usage, "Roles are no settings.")
            .hint("See them with `jitctl policy check` and `jitctl policy eval`."));
    }
    let places = Places::host();
    let mut shown = Vec::new();
    for each in Kind::ALL
        .into_iter()
        .filter(|k| kind.is_none_or(|one| one == *k))
    {
        let entries = match each {
            Kind::Agent => entries(&places, no_more::<Agent>),
            Kind::Ceiling => entries(&places, no_more::<Ceiling>),
            Kind::Link => entries(&places, link_address),
            Kind::Issuer => entries(&places, issuer_url),
            Kind::Jitctl => entries(&places, jitctl_address),
            Kind::Roles => continue,
        };
        match entries {
            Ok(entries) => shown.extend(entries.into_iter().map(|e| (each, e))),
            Err(fault) => return Ok(told(ctx, &[fault])),
        }
    }
    let all: Vec<Value> = shown
        .iter()
        .map(|(kind, e)| {
            let at = e.origin.as_ref();
            let origin = at.map(|o| json!({ "file": o.file, "line": o.line }));
            json!({ "kind": kind.name(), "key": e.key, "value": e.value, "origin": origin })
        })
        .collect();
    ctx.out
        .json(&json!({ "schema_version": SCHEMA_VERSION, "settings": all }));
    let mut before = None;
    for (kind, entry) in &shown {
        if before.replace(*kind) != Some(*kind) {
            ctx.out.line(format!("# {}.toml", kind.name()));
        }
        let line = format!("{} = {}", entry.key, entry.value);
        ctx.out.line(if origin {
            format!("{line:<40}  # {}", place(entry))
        } else {
            line
        });
    }
    Ok(Exit::Ok.code())
}

fn entries<T: Settings>(
    places: &Places,
    more: impl Fn(&T) -> Result<(), Wrong>,
) -> Result<Vec<Entry>, Fault> {
    Ok(places.read(more)?.entries())
}

fn place(entry: &Entry) -> String {
    let at = entry.origin.as_ref();
    at.map_or("default".to_owned(), |o| {
        format!("{}:{}", o.file.display(), o.line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_ticket_of_a_role_that_there_is_not_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        put(
            root,
            "etc/jit/policy/roles.toml",
            include_str!("../../packaging/etc/policy/roles.toml"),
        );
        let ticket = |roles: &str| {
            let text =
                format!("[ticket]\nurl = \"https://x/\"\nsecret_file = \"/s\"\nroles = {roles}");
            put(root, "etc/jit/issuer.toml", &text);
            let said: Vec<String> = host(root).iter().map(Fault::to_string).collect();
            said.join("\n")
        };
        assert_eq!(ticket("[\"admin\"]"), "");
        assert_eq!(ticket("[]"), "");
        let said = ticket("[\"admin\", \"amdin\"]");
        let why = "ticket.roles names amdin, of which the policy has no role";
        assert!(said.contains("issuer.toml") && said.contains(why), "{said}");
    }

    #[test]
    fn a_host_is_looked_at_whole() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(host(root), Vec::new());
        put(root, "etc/jit/agent.toml", "warn_before_s = [0]");
        put(root, "usr/lib/jit/ceiling.toml.d/10.toml", "x = 1");
        put(root, "etc/jit/link.toml", "issuer = \"here\"");
        put(
            root,
            "run/jit/issuer.toml",
            "[https]\ncert = \"/c\"\nkey = \"/k\"\nurl = \"x\"",
        );
        put(root, "etc/jit/policy/roles.toml", "defualt = 1");
        put(root, "etc/jit/ceilings.toml", "");
        put(root, "etc/jit/links.toml.d/1.toml", "");
        put(root, "etc/jit/ceiling.toml.dpkg-old", "");
        let said: Vec<String> = host(root).iter().map(Fault::to_string).collect();
        let below = |path: &str| root.join(path).display().to_string();
        for (said, want) in said.iter().zip([
            format!(
                "{}: line 1: each of `warn_before_s`",
                below("etc/jit/agent.toml")
            ),
            format!(
                "{}: line 1: unknown key `x`",
                below("usr/lib/jit/ceiling.toml.d/10.toml")
            ),
            format!(
                "{}: line 1: \"here\" is no issuer",
                below("etc/jit/link.toml")
            ),
            format!(
                "{}: line 4: \"x\" is not the address",
                below("run/jit/issuer.toml")
            ),
            format!(
                "{}: line 1: unknown key `defualt`",
                below("etc/jit/policy/roles.toml")
            ),
            format!("{}: nothing reads a file", below("etc/jit/ceilings.toml")),
            format!("{}: nothing reads a file", below("etc/jit/links.toml.d")),
        ]) {
            assert!(said.starts_with(&want), "{said} is not {want}");
        }
        assert_eq!(said.len(), 7, "{said:?}");
    }

    #[test]
    fn a_file_is_known_by_its_name_or_its_folder() {
        let of = |path: &str| of_name(Path::new(path));
        assert_eq!(of("x/ceiling.toml"), Some(Kind::Ceiling));
        assert_eq!(of("/etc/jit/link.toml.d/10-site.toml"), Some(Kind::Link));
        assert_eq!(of("roles.toml"), Some(Kind::Roles));
        assert_eq!(of("/tmp/source"), None);
    }
}
