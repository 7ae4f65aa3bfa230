//! What the journal's witness cosigned: `jitctl log attest`, and what `verify` and `export` make of it.

use crate::context::Context;
use crate::exit::{Code, Exit};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::log::{DIR, HEAD};
use crate::output::{Line, Style};
use crate::show;
use journal::{Claimed, Cosigned, Follower, Place, Standing};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const KEPT: &str = "/var/lib/jit/witness.json";
/// A cosignature comes each minute.
const OLD_S: u64 = 180;
/// What this host keeps of its witness; `None` before the first cosignature.
pub fn kept() -> Result<Option<Cosigned>, Failure> {
    let fail = |why: &dyn std::fmt::Display| {
        Failure::new(Code::Internal, format!("{KEPT} cannot be read: {why}."))
    };
    let text = match std::fs::read(KEPT) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fail(&e)),
    };
    let kept: Cosigned = serde_json::from_slice(&text).map_err(|e| fail(&e))?;
    match kept.verified() {
        Some(_) => Ok(Some(kept)),
        None => Err(fail(&"its cosignature is not that of the key it names")),
    }
}

/// How the log stands to the newest cosignature.
pub struct Seen {
    pub kept: Cosigned,
    pub size: u64,
    pub standing: Result<Standing, String>,
}

/// Compares a log of so many entries with what was cosigned. Of another log it says nothing but that.
pub fn compare(kept: Cosigned, entries: u64) -> Seen {
    let size = Claimed::parse(&kept.checkpoint).map_or(0, |claimed| claimed.size);
    let same_log = journal::log_name(Path::new(DIR))
        .is_some_and(|name| kept.log.rsplit('/').next() == Some(name.as_str()));
    let standing = if same_log {
        kept.stands_in(Path::new(DIR), entries)
            .map_err(|e| e.to_string())
    } else {
        // The log that was cosigned is not here.
        Ok(Standing::Rollback)
    };
    Seen {
        kept,
        size,
        standing,
    }
}

impl Seen {
    pub fn fault(&self) -> Option<String> {
        let (size, at) = (self.size, show::time(self.kept.at));
        match &self.standing {
            Ok(Standing::Whole) => None,
            Ok(Standing::Rollback) => Some(format!(
                "rollback: the witness cosigned {size} entries at {at}; they are not all here"
            )),
            Ok(Standing::Fork) => Some(format!(
                "fork: the first {size} entries are not those that the witness cosigned at {at}"
            )),
            Err(why) => Some(format!("not compared with the witness: {why}")),
        }
    }

    pub fn to_json(&self) -> Value {
        let standing = self.standing.as_ref().map_or("unreadable", |s| s.name());
        json!({
            "witness": self.kept.witness, "size": self.size, "at": show::time(self.kept.at),
            "generation": self.kept.generation, "standing": standing,
        })
    }

    pub fn line(&self) -> Line {
        match self.fault() {
            Some(fault) => Line::default().styled(Style::Bad, "FAULT  ").text(fault),
            None => Line::new(format!("{} entries were cosigned at ", self.size))
                .text(show::time(self.kept.at))
                .text(" by ")
                .text(self.kept.witness.split('+').next().unwrap_or_default()),
        }
    }
}

pub fn attest(ctx: &Context) -> Result<u8, Failure> {
    let dir = Path::new(DIR);
    // Before the log is looked at: what is cosigned meanwhile is behind what was read.
    let kept = kept()?;
    let (segments, foreign) = journal::guards(dir)
        .map_err(|e| Failure::new(Code::Internal, format!("{DIR} cannot be read: {e}.")))?;
    let mut problems: Vec<String> = segments
        .iter()
        .filter_map(|s| Some(format!("{} {}", s.file, s.fault()?)))
        .collect();
    problems.extend(
        foreign
            .iter()
            .map(|f| format!("{f:?} is no file of the journal")),
    );
    let place = Place::of(dir);
    let (tier, kind, mount) = (place.tier(), &place.filesystem, &place.mount);
    if !place.is_known() {
        problems.push(format!(
            "{kind} at {mount} is not known to keep files append-only"
        ));
    }
    let entries = match journal::head(Path::new(HEAD)) {
        journal::Found::Head(head) => head.next,
        journal::Found::Missing | journal::Found::Damaged(_) => {
            problems.push(format!(
                "{HEAD} cannot be read: a cut tail would not be noticed"
            ));
            0
        }
    };
    let head = Follower::open(dir, entries);
    if let Err(e) = &head {
        problems.push(e.to_string());
    }
    let seen = kept.map(|kept| compare(kept, entries));
    let age_s = seen.as_ref().map(|seen| now().saturating_sub(seen.kept.at));
    problems.extend(seen.as_ref().and_then(Seen::fault));
    if let Some(age_s) = age_s.filter(|age_s| *age_s > OLD_S) {
        problems.push(format!("the newest cosignature is {age_s} s old"));
    }
    let root = head.as_ref().ok().map(|head| hex(&head.root()));
    let shown: Vec<Value> = segments
        .iter()
        .map(|s| json!({ "file": s.file, "append_only": s.append_only, "immutable": s.immutable, "links": s.links }))
        .collect();
    ctx.out.json(&json!({
        "schema_version": SCHEMA_VERSION,
        "ok": problems.is_empty(),
        "tier": tier,
        "filesystem": kind,
        "mount": mount,
        "segments": shown,
        "entries": entries,
        "root": root,
        "witness": seen.as_ref().map(Seen::to_json),
        "witness_age_s": age_s,
        "problems": problems,
    }));
    let mut lines = vec![
        Line::new(format!(
            "{} segments, {tier}, on {kind} at ",
            segments.len()
        ))
        .text(mount),
        Line::new(format!("{entries} entries, root ")).text(root.as_deref().unwrap_or("unknown")),
    ];
    lines.push(match (&seen, age_s) {
        (Some(seen), Some(age_s)) => seen.line().text(format!(", {age_s} s ago")),
        _ => Line::new("No witness has cosigned it yet."),
    });
    lines.extend(
        problems
            .iter()
            .map(|p| Line::default().styled(Style::Bad, "PROBLEM  ").text(p)),
    );
    ctx.out.lines(&lines);
    let exit = if problems.is_empty() {
        Exit::Ok
    } else {
        Exit::Problems
    };
    Ok(exit.code())
}

/// Seconds since 1970 by this host's clock.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
