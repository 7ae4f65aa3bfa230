//! The witness of hosts' journals (C2SP tlog-witness): what it says to a head, and who has fallen silent. Deciding is
//! pure; the store keeps the newest head of each host.
//!
//! It cosigns only what goes on from the head before, under one origin. A journal that was put back or begun anew gets no
//! cosignature until an administrator accepts it, and then as a new log: under another origin, which is the old one with
//! `/g2` and so on behind it.

use crate::clock;
use crate::http::App;
use crate::out;
use crate::store::{Core, Witnessed};
use api::{Trouble, TroubleKind};
use journal::{AddCheckpoint, Claimed, NoteKey, Witness};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at who is silent.
const LOOK: Duration = Duration::from_secs(15);

/// What a host hands in.
pub struct Head<'a> {
    pub add: &'a AddCheckpoint,
    /// Thumbprint of the host's key, which signed it.
    pub kid: &'a str,
    /// Unix seconds.
    pub now: u64,
    /// Its origin was this host's before an administrator accepted another one.
    pub closed: bool,
}

/// What it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// These lines.
    Cosigned(String),
    /// The size of the head that is known.
    Known(u64),
    /// The head that is known has as many entries and another root.
    OtherRoot,
    /// The old size is greater than the new one.
    Backwards,
    /// No log of this host that may be cosigned.
    UnknownLog,
    /// One that ended: another one was accepted in its place.
    ClosedLog,
    NoProof,
}

/// What becomes of a head.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    pub said: Said,
    /// What is remembered from now on, when it changes.
    pub keep: Option<Witnessed>,
    /// An origin that ends here.
    pub ends: Option<String>,
    /// For people: something is wrong, or is so no more.
    pub tell: Option<Told>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Alert(String),
    Good(String),
}

impl Verdict {
    fn only(said: Said) -> Self {
        Self {
            said,
            keep: None,
            ends: None,
            tell: None,
        }
    }
}

/// The key under which a host signs heads of this log.
#[must_use]
pub fn key_of(origin: &str, public: [u8; 32]) -> NoteKey {
    NoteKey {
        name: origin.to_owned(),
        public,
    }
}

/// Answers a head whose signature was verified. `known` is what the store has of this host.
#[must_use]
pub fn judge(witness: &Witness, head: &Head<'_>, known: Option<&Witnessed>) -> Verdict {
    let claimed = &head.add.checkpoint;
    // A host that was enrolled with another key begins anew: that was an administrator's word, too.
    let Some((known, last)) = known
        .filter(|known| known.kid == head.kid)
        .and_then(|known| Some((known, Claimed::parse(&known.note)?)))
    else {
        return begin(witness, head, 1, None);
    };
    if last.origin == claimed.origin {
        return follow(witness, head, known, &last);
    }
    if known.accepts && head.add.old == 0 && !head.closed {
        let mut verdict = begin(
            witness,
            head,
            known.generation + 1,
            Some(last.origin.clone()),
        );
        if verdict.keep.is_some() {
            let (old, new) = (last.size, claimed.size);
            verdict.tell = Some(Told::Good(format!(
                "a new log begins with {new} entries as {}; the one before ended with {old}",
                claimed.origin
            )));
        }
        return verdict;
    }
    if head.closed {
        return Verdict::only(Said::ClosedLog);
    }
    // Whether it was accepted by now is asked by a host that knows of its trouble.
    if known.trouble.is_some() {
        return Verdict::only(Said::UnknownLog);
    }
    let what = format!(
        "it shows another log, {} with {} entries; {} with {} entries was witnessed",
        claimed.origin, claimed.size, last.origin, last.size
    );
    trouble(Said::UnknownLog, head, known, TroubleKind::Rollback, what)
}

/// The first head of a log.
fn begin(witness: &Witness, head: &Head<'_>, generation: u64, ends: Option<String>) -> Verdict {
    if head.closed {
        return Verdict::only(Said::ClosedLog);
    }
    if head.add.old != 0 {
        return Verdict::only(Said::Known(0));
    }
    if !head.add.proof.is_empty() {
        return Verdict::only(Said::NoProof);
    }
    let (line, keep) = cosigned(witness, head, generation);
    Verdict {
        keep: Some(keep),
        ends,
        ..Verdict::only(Said::Cosigned(line))
    }
}

fn cosigned(witness: &Witness, head: &Head<'_>, generation: u64) -> (String, Witnessed) {
    let line = witness.cosign(&head.add.checkpoint, head.now);
    let keep = Witnessed {
        kid: head.kid.to_owned(),
        generation,
        note: head.add.checkpoint.note(),
        cosignature: line.clone(),
        grew_at: head.now,
        trouble: None,
        accepts: false,
    };
    (line, keep)
}

/// A further head of the log that is known.
fn follow(witness: &Witness, head: &Head<'_>, known: &Witnessed, last: &Claimed) -> Verdict {
    let (old, claimed) = (head.add.old, &head.add.checkpoint);
    if claimed.size < old {
        // Who says that he knows of more than he has says that he lost it.
        if claimed.size >= last.size {
            return Verdict::only(Said::Backwards);
        }
        let what = format!(
            "its journal has {} entries; {} were witnessed: it was cut or put back from a copy",
            claimed.size, last.size
        );
        return trouble(Said::Backwards, head, known, TroubleKind::Rollback, what);
    }
    if old != last.size {
        return Verdict::only(Said::Known(last.size));
    }
    if claimed.size == old && claimed.root != last.root {
        let what = format!(
            "its key signed two different journals of {old} entries: it was written anew, or two hosts have its key"
        );
        return trouble(Said::OtherRoot, head, known, TroubleKind::Fork, what);
    }
    if !head.add.goes_on_from(&last.root) {
        let what = format!(
            "its journal of {} entries does not go on from the {old} that were witnessed: it was written anew, or two hosts have its key",
            claimed.size
        );
        return trouble(Said::NoProof, head, known, TroubleKind::Fork, what);
    }
    let (line, mut keep) = cosigned(witness, head, known.generation);
    if claimed.size == last.size {
        // Whoever repeats what was said shows no life.
        keep.grew_at = known.grew_at;
    }
    let mut tell = None;
    match &known.trouble {
        // All that was witnessed is there again.
        Some(Trouble {
            kind: TroubleKind::Rollback,
            ..
        }) => {
            tell = Some(Told::Good(
                "its journal goes on from what was witnessed".to_owned(),
            ));
        }
        // The other half of a fork is still somewhere.
        Some(fork) if !known.accepts => keep.trouble = Some(fork.clone()),
        _ => {}
    }
    Verdict {
        keep: Some(keep),
        tell,
        ..Verdict::only(Said::Cosigned(line))
    }
}

/// Remembers what is wrong, with the signed head that shows it, and tells it when it is new.
fn trouble(
    said: Said,
    head: &Head<'_>,
    known: &Witnessed,
    kind: TroubleKind,
    what: String,
) -> Verdict {
    let new = known.trouble.as_ref().is_none_or(|old| old.kind != kind);
    // What was accepted is no news either.
    if !new || known.accepts {
        return Verdict::only(said);
    }
    let trouble = Trouble {
        kind,
        at: head.now,
        what: what.clone(),
        shown: head.add.checkpoint.note(),
    };
    Verdict {
        keep: Some(Witnessed {
            trouble: Some(trouble),
            ..known.clone()
        }),
        tell: Some(Told::Alert(format!("{}: {what}", kind.name()))),
        ..Verdict::only(said)
    }
}

/// Takes a head: decides, and keeps what is decided. Runs on the store's thread, so that nothing comes between.
///
/// # Errors
/// The store's.
pub fn take(
    core: &mut Core,
    witness: &Witness,
    host: &str,
    kid: &str,
    add: &AddCheckpoint,
) -> Result<Said, crate::Error> {
    let known = core.store.witnessed(host)?;
    let head = Head {
        add,
        kid,
        now: clock::unix(),
        closed: core.store.is_closed(&add.checkpoint.origin)?,
    };
    let verdict = judge(witness, &head, known.as_ref());
    if let Some(keep) = &verdict.keep {
        core.store
            .keep_witnessed(host, keep, verdict.ends.as_deref())?;
    }
    match verdict.tell {
        Some(Told::Alert(what)) => out::error(format_args!("journal of {host}: {what}")),
        Some(Told::Good(what)) => out::warn(format_args!("journal of {host}: {what}")),
        None => {}
    }
    Ok(verdict.said)
}

/// Has nothing new come from a host for so long?
#[must_use]
pub fn is_silent(witnessed: &Witnessed, started: u64, now: u64, after_s: u64) -> bool {
    // While the issuer was away nobody could speak.
    now.saturating_sub(witnessed.grew_at.max(started)) > after_s
}

/// Tells of hosts that fall silent and of those that come back, until it is dropped.
pub async fn watch(app: Arc<App>) {
    let every = LOOK.min(Duration::from_secs(app.silent_s.div_ceil(2)));
    let mut silent: HashSet<String> = HashSet::new();
    loop {
        tokio::time::sleep(every).await;
        let read = app
            .db
            .call(|core| Ok((core.store.hosts()?, core.store.all_witnessed()?)));
        let (hosts, witnessed) = match read.await {
            Ok(read) => read,
            Err(e) => {
                out::error(format_args!("silent hosts are not seen: {e}"));
                continue;
            }
        };
        let now = clock::unix();
        for host in hosts {
            let Some(known) = witnessed.get(&host.id).filter(|_| host.gone_at.is_none()) else {
                silent.remove(&host.id);
                continue;
            };
            if !is_silent(known, app.started, now, app.silent_s) {
                if silent.remove(&host.id) {
                    out::warn(format_args!("journal of {}: it speaks again", host.id));
                }
            } else if silent.insert(host.id.clone()) {
                out::error(format_args!(
                    "journal of {}: silent: nothing new was witnessed for {} s",
                    host.id,
                    now.saturating_sub(known.grew_at)
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
