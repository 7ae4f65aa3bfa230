//! What wiring sudo or su changes: compares the files as they are, as the last setup left them and as they should be.
//! Reads; changes nothing.

use crate::block;
use crate::facts::{PAM_SERVICE, SUDO_CONF};
use crate::files::{self, Content, Owner, Place};
use crate::su::{self, SU_FILES};
use crate::sudo_rs::{self, PAM_FILES, SUDOERS_RS};
use crate::sudoconf::{self, SUDOERS};
use std::fmt;
use std::path::PathBuf;
use wire::cli::Role;
use wire::wiring::{self, Manifest, TEMPLATES};

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub message: String,
    pub hint: String,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn stop(message: impl Into<String>, hint: impl Into<String>) -> Stop {
    Stop {
        message: message.into(),
        hint: hint.into(),
    }
}

/// One file of the wiring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub path: &'static str,
    /// As it is now.
    pub now: Option<Content>,
    /// What undo gives back.
    pub original: Option<Content>,
    pub wanted: Content,
    /// It is ours and somebody edited it: a copy is kept before it is written anew.
    pub edited: bool,
}

impl Step {
    pub fn changes(&self) -> bool {
        self.now.as_ref() != Some(&self.wanted)
    }
}

/// What there is to wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    pub classic: bool,
    pub rs: bool,
    pub su: bool,
    /// The role table.
    pub roles: &'a [Role],
}

/// In the order of writing: what names other files comes after them, `/etc/sudo.conf` last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// The manifest now in place, with its bytes.
    pub manifest: Option<(Manifest, Content)>,
    /// The manifest already says what it would say again.
    pub recorded: bool,
}

impl Plan {
    pub fn nothing_to_do(&self) -> bool {
        self.recorded && self.steps.iter().all(|s| !s.changes())
    }
}

/// What the last setup left for one file.
struct Before {
    original: Option<Content>,
    ours: Option<Content>,
}

/// Where the backups lie.
pub fn backup(place: &Place, name: &str) -> PathBuf {
    place.at(wiring::DIR).join(name)
}

/// # Errors
/// Something on this host must be put right by the admin first.
pub fn plan(place: &Place, wanted: Wanted<'_>) -> Result<Plan, Stop> {
    let manifest = manifest(place)?;
    // What was wired stays wired when its sudo is gone: only undo gives a file back.
    let was = |path| before(place, &manifest, path).map(|b| b.is_some());
    let classic = wanted.classic || was(SUDO_CONF)?;
    let mut steps = Vec::new();
    if classic {
        steps.push(ours_alone(
            place,
            &manifest,
            PAM_SERVICE,
            "pam-sudo-jit",
            0o644,
        )?);
        steps.push(ours_alone(place, &manifest, SUDOERS, "sudoers", 0o440)?);
    }
    if wanted.rs || was(SUDOERS_RS)? {
        for path in PAM_FILES {
            steps.push(pam(place, &manifest, path, "pam-sudo", sudo_rs::pam)?);
        }
        steps.push(sudoers_rs(place, &manifest, wanted.roles)?);
    }
    if wanted.su || was(SU_FILES[0])? {
        for path in SU_FILES {
            let text = now(place, path)?.map(|c| text_of(path, &c)).transpose()?;
            let stays = was(path)?;
            let ours = text.is_some_and(|t| su::needs_lines(path, &block::without(&t)));
            if path == SU_FILES[0] || stays || ours {
                steps.push(pam(place, &manifest, path, "pam-su", su::pam)?);
            }
        }
    }
    if classic {
        steps.push(sudo_conf(place, &manifest)?);
    }
    let recorded = steps.iter().all(|step| {
        before(place, &manifest, step.path).is_ok_and(|b| {
            b.is_some_and(|b| {
                b.original == step.original && b.ours.is_some_and(|o| o.bytes == step.wanted.bytes)
            })
        })
    });
    Ok(Plan {
        steps,
        manifest,
        recorded,
    })
}

fn manifest(place: &Place) -> Result<Option<(Manifest, Content)>, Stop> {
    let path = backup(place, wiring::MANIFEST);
    let damaged = |why: String| {
        stop(
            format!("The record of the last setup is damaged: {why}."),
            format!(
                "Look at {} and put it right, or move the directory away to start anew (then `--undo` cannot restore what was before).",
                wiring::DIR
            ),
        )
    };
    match files::read(&path).map_err(damaged)? {
        None => Ok(None),
        Some(content) => {
            let manifest = Manifest::parse(&content.bytes).map_err(|e| damaged(e.to_string()))?;
            Ok(Some((manifest, content)))
        }
    }
}

fn before(
    place: &Place,
    manifest: &Option<(Manifest, Content)>,
    path: &str,
) -> Result<Option<Before>, Stop> {
    let Some(file) = manifest.as_ref().and_then(|(m, _)| {
        m.files
            .iter()
            .find(|f| f.path.as_bytes() == path.as_bytes())
    }) else {
        return Ok(None);
    };
    let copy = |name: String| {
        files::read(&backup(place, &name)).map_err(|why| {
            stop(
                format!("The record of the last setup is damaged: {why}."),
                format!("Look at {}.", wiring::DIR),
            )
        })
    };
    let owner = Owner {
        mode: file.mode,
        uid: file.uid,
        gid: file.gid,
    };
    let original = match (file.existed_before, copy(file.original())?) {
        (false, _) => None,
        (true, Some(found)) => Some(Content {
            bytes: found.bytes,
            owner,
        }),
        (true, None) => {
            return Err(stop(
                format!("The backup of {path} is gone from {}.", wiring::DIR),
                "Put it back from a backup of your own before wiring again.",
            ));
        }
    };
    Ok(Some(Before {
        original,
        ours: copy(file.ours())?,
    }))
}

fn template(place: &Place, name: &str) -> Result<Vec<u8>, Stop> {
    let missing = |why: String| {
        stop(
            format!("A template of the package is not usable: {why}."),
            "Install the package jit-agent again.",
        )
    };
    match files::read(&place.at(TEMPLATES).join(name)) {
        Ok(Some(content)) if !content.bytes.is_empty() => Ok(content.bytes),
        Ok(_) => Err(missing(format!("{TEMPLATES}/{name} is missing or empty"))),
        Err(why) => Err(missing(why)),
    }
}

fn now(place: &Place, path: &str) -> Result<Option<Content>, Stop> {
    files::read(&place.at(path)).map_err(|why| {
        stop(
            format!("{why}, so it is left alone."),
            "Put it right by hand, then run this again.",
        )
    })
}

/// A file that only we have.
fn ours_alone(
    place: &Place,
    manifest: &Option<(Manifest, Content)>,
    path: &'static str,
    name: &str,
    mode: u32,
) -> Result<Step, Stop> {
    let wanted = Content {
        bytes: template(place, name)?,
        owner: Owner {
            mode,
            uid: place.uid,
            gid: place.gid,
        },
    };
    let now = now(place, path)?;
    let (original, edited) = match before(place, manifest, path)? {
        Some(before) => {
            let untouched =
                now.as_ref().map(|n| &n.bytes) == before.ours.as_ref().map(|o| &o.bytes);
            (before.original, now.is_some() && !untouched)
        }
        // Ours from a setup whose record is lost: there was nothing before.
        None if now.as_ref().is_some_and(|n| n.bytes == wanted.bytes) => (None, false),
        None => (now.clone(), false),
    };
    Ok(Step {
        path,
        edited: edited && now.as_ref().is_some_and(|n| n.bytes != wanted.bytes),
        now,
        original,
        wanted,
    })
}

/// Our lines at the head of a PAM file of somebody else's.
fn pam(
    place: &Place,
    manifest: &Option<(Manifest, Content)>,
    path: &'static str,
    name: &str,
    with: fn(&str, &str) -> String,
) -> Result<Step, Stop> {
    let now = now(place, path)?;
    let Some(content) = &now else {
        return Err(stop(
            format!(
                "{path} is missing: PAM would fall back to `other`, which asks nobody of ours."
            ),
            "Install the package that brings it again (sudo, sudo-rs, util-linux).",
        ));
    };
    let base = text_of(path, content)?;
    let template = String::from_utf8_lossy(&template(place, name)?).into_owned();
    let bytes = with(&base, &template).into_bytes();
    let before = before(place, manifest, path)?;
    Ok(shared(
        place,
        path,
        now,
        before,
        bytes,
        block::without,
        0o644,
    ))
}

/// The rules of sudo-rs, in a file of ours or behind the admin's.
fn sudoers_rs(
    place: &Place,
    manifest: &Option<(Manifest, Content)>,
    roles: &[Role],
) -> Result<Step, Stop> {
    let now = now(place, SUDOERS_RS)?;
    let base = now.as_ref().map(|c| text_of(SUDOERS_RS, c)).transpose()?;
    let template = String::from_utf8_lossy(&template(place, "sudoers-rs")?).into_owned();
    let bytes = sudo_rs::sudoers(base.as_deref(), &template, roles).into_bytes();
    let before = before(place, manifest, SUDOERS_RS)?;
    Ok(shared(
        place,
        SUDOERS_RS,
        now,
        before,
        bytes,
        block::without,
        0o440,
    ))
}

fn text_of(path: &str, content: &Content) -> Result<String, Stop> {
    String::from_utf8(content.bytes.clone()).map_err(|_| {
        stop(
            format!("{path} is not UTF-8 text, so it is left alone."),
            "Take the other bytes out, then run this again.",
        )
    })
}

/// A file of somebody else's with lines of ours. It belongs to root, and nobody else writes it.
fn shared(
    place: &Place,
    path: &'static str,
    now: Option<Content>,
    before: Option<Before>,
    bytes: Vec<u8>,
    strip: fn(&str) -> String,
    mode: u32,
) -> Step {
    let kept = now
        .as_ref()
        .or(before.as_ref().and_then(|b| b.original.as_ref()));
    let wanted = Content {
        bytes,
        owner: Owner {
            mode: kept.map_or(mode, |c| c.owner.mode) & !0o022,
            uid: place.uid,
            gid: kept.map_or(place.gid, |c| c.owner.gid),
        },
    };
    Step {
        path,
        original: original(now.as_ref(), before, strip),
        now,
        wanted,
        edited: false,
    }
}

fn sudo_conf(place: &Place, manifest: &Option<(Manifest, Content)>) -> Result<Step, Stop> {
    let now = now(place, SUDO_CONF)?;
    let before = before(place, manifest, SUDO_CONF)?;
    if before.is_none()
        && let Some(ignored) = now
            .as_ref()
            .and_then(|n| crate::facts::ignored_by_sudo(n, place.uid))
    {
        return Err(stop(
            format!("{ignored}, so sudo ignores it and would ignore our lines too."),
            format!("chown root:root {SUDO_CONF}; chmod 0644 {SUDO_CONF}"),
        ));
    }
    let text = match &now {
        None => String::new(),
        Some(content) => text_of(SUDO_CONF, content)?,
    };
    let block = String::from_utf8_lossy(&template(place, "sudo.conf")?).into_owned();
    let merged =
        sudoconf::merge(&text, &block).map_err(|r| stop(format!("{}.", r.message), r.hint))?;
    if let Some(gap) = sudoconf::gaps(&merged).first() {
        return Err(stop(
            format!(
                "The template {TEMPLATES}/sudo.conf does not give the wiring this version needs ({gap:?})."
            ),
            "Install jitctl and jit-agent of the same version.",
        ));
    }
    Ok(shared(
        place,
        SUDO_CONF,
        now,
        before,
        merged.into_bytes(),
        sudoconf::strip,
        0o644,
    ))
}

/// What undo gives back. After somebody (the admin, or dpkg) changed the wired file it is that change without
/// our lines, not the file of long ago.
fn original(
    now: Option<&Content>,
    before: Option<Before>,
    strip: fn(&str) -> String,
) -> Option<Content> {
    match (now, before) {
        (None, None) => None,
        (None, Some(before)) => before.original,
        (Some(now), Some(before)) if before.ours.as_ref().is_some_and(|o| o.bytes == now.bytes) => {
            before.original
        }
        (Some(now), Some(before))
            if before
                .original
                .as_ref()
                .is_some_and(|o| o.bytes == now.bytes) =>
        {
            before.original
        }
        (Some(now), before) => {
            let stripped = strip(&now.text());
            let was_none = before.is_none_or(|b| b.original.is_none());
            // Only our block in a file of our own making.
            if stripped.is_empty() && was_none && stripped.len() != now.bytes.len() {
                return None;
            }
            let same = stripped.as_bytes() == now.bytes.as_slice();
            let bytes = if same {
                now.bytes.clone()
            } else {
                stripped.into_bytes()
            };
            Some(Content {
                bytes,
                owner: now.owner,
            })
        }
    }
}
