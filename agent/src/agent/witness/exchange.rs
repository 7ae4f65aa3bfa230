//! One head, one answer: C2SP tlog-witness `add-checkpoint`, through the link.

use super::{Agent, Witness};
use crate::clock;
use crate::paths;
use crate::store::witness as store;
use journal::{
    Claimed, Cosigned, Follower, HostKey, WitnessKey, add_checkpoint, kind, origin,
    signed_checkpoint,
};
use statement::keys::KeyRing;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use wire::link::{Down, Said};

/// How long the link may take with one head.
const ANSWER: Duration = Duration::from_secs(12);

/// Who is witness to whom.
pub(super) struct Names {
    /// This host's id.
    host: String,
    /// Called in cosignatures.
    name: String,
    /// Each with the times at which it may cosign.
    keys: Vec<(WitnessKey, u64, u64)>,
}

impl Names {
    pub(super) fn of(host: &str, ring: &KeyRing) -> Option<Self> {
        let name = ring.witness_name();
        let keys: Vec<_> = ring
            .witnesses()
            .iter()
            .map(|w| {
                let key = WitnessKey {
                    name: name.clone(),
                    public: w.public,
                };
                (key, w.nbf, w.exp)
            })
            .collect();
        (!keys.is_empty()).then(|| Self {
            host: host.to_owned(),
            name,
            keys,
        })
    }

    /// The key that cosigned, and when, if one of them did.
    fn saw(&self, claimed: &Claimed, lines: &str) -> Option<(&WitnessKey, u64)> {
        self.keys.iter().find_map(|(key, nbf, exp)| {
            let at = key.saw(claimed, lines)?;
            (*nbf <= at && at < *exp).then_some((key, at))
        })
    }
}

/// What to do after one head.
pub(super) enum Next {
    Again,
    Done,
    Stop(String),
}

/// A head to be shown.
struct Head {
    generation: u64,
    /// What it goes on from.
    old: u64,
    size: u64,
    /// The log has fewer entries than the witness is said to know.
    lost: bool,
    claimed: Claimed,
    body: String,
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Cosigned {
        at: u64,
        vkey: String,
        lines: String,
    },
    /// The witness knows a head of so many entries.
    Known(u64),
    /// It knows more than there is.
    Lost,
    /// It knows something else.
    Fork,
    /// It knows another log of this host.
    OtherLog,
    /// The log goes on in a later generation.
    Closed,
    Nothing(String),
}

fn hear(names: &Names, head: &Head, said: Said) -> Heard {
    let (status, body) = match said {
        Said::Answer { status, body } => (status, body),
        Said::Failed { why } => {
            let why = why.chars().filter(|c| !c.is_control()).take(200);
            return Heard::Nothing(why.collect());
        }
    };
    match (status, body.as_str()) {
        (200, lines) => match names.saw(&head.claimed, lines) {
            Some((key, at)) => Heard::Cosigned {
                at,
                vkey: key.vkey(),
                lines: body,
            },
            None => Heard::Nothing("what came is no cosignature of the witness".into()),
        },
        (409, "other-root") | (422, "invalid") => Heard::Fork,
        (409, size) => match size.trim_end().parse() {
            Ok(size) if size != head.old => Heard::Known(size),
            _ => Heard::Nothing("the witness names no size".into()),
        },
        (400, _) if head.lost => Heard::Lost,
        (404, "unknown-log") => Heard::OtherLog,
        (404, "closed-log") => Heard::Closed,
        (status, _) => Heard::Nothing(format!("the witness answers with status {status}")),
    }
}

impl Agent {
    /// Before the first head: which log it is, and whether it still holds what was cosigned last.
    pub(super) async fn look_at_log(&self, names: &Names) -> Result<(), String> {
        if !self.witness.borrow().log.is_empty() {
            return Ok(());
        }
        let read = || -> Result<_, String> {
            let name = journal::log_name(Path::new(paths::JOURNAL_DIR));
            let name = name.ok_or("the journal has no whole segment")?;
            let log = format!("jit/{}/{name}", crate::events::host_id()?);
            let key = std::fs::read(paths::HOST_KEY_FILE).map_err(|e| e.to_string())?;
            let key = HostKey::from_pkcs8(&key).ok_or("the host's key is no Ed25519 key")?;
            let kept = store::read().unwrap_or_else(|e| {
                self.alert(&format!("{e}; the witness is asked what it knows"));
                None
            });
            Ok((log, key, kept))
        };
        let (log, key, kept) = read()?;
        // Of another log or of another witness it says nothing.
        let ours = |kept: &Cosigned| {
            kept.log == log && kept.witness.starts_with(&format!("{}+", names.name))
        };
        let kept = kept.filter(ours);
        let claimed = kept.as_ref().and_then(|kept| {
            let claimed = Claimed::parse(&kept.checkpoint)?;
            names.saw(&claimed, &kept.cosignature).map(|_| claimed)
        });
        let kept = kept.filter(|_| claimed.is_some());
        let size = claimed.as_ref().map_or(0, |claimed| claimed.size);
        let mut found = Witness {
            generation: kept.as_ref().map_or(1, |kept| kept.generation),
            known: size,
            size,
            kept,
            log,
            key: Some(Rc::new(key)),
            since_ns: clock::now().map_or(0, |now| now.boot_ns),
            ..Witness::default()
        };
        if let Some(claimed) = claimed {
            let until = self.log.next_index();
            if claimed.size > until {
                found.trouble = Some(self.lost(until, claimed.size));
            } else {
                // One that cannot be read is tried again, and told, when it is to be shown.
                match open(Some(claimed.size)).await {
                    Ok(follower) if follower.root() == claimed.root => {
                        found.follower = Some(follower);
                    }
                    Ok(_) => found.trouble = Some(self.forked(claimed.size)),
                    Err(_) => {}
                }
            }
        }
        if let Some(trouble) = &found.trouble {
            self.alert(trouble);
        }
        *self.witness.borrow_mut() = found;
        self.changed.notify_waiters();
        Ok(())
    }

    /// Shows one head.
    pub(super) async fn show_one(&self, names: &Names) -> Next {
        if self.core.borrow().link.tx.is_none() {
            return Next::Stop("the link to the issuer is not running".into());
        }
        let head = match self.make_head().await {
            Ok(head) => head,
            Err(why) => return self.not_shown(why),
        };
        let said = self
            .hand_to_witness(names.host.clone(), head.body.clone())
            .await;
        let heard = hear(names, &head, said);
        self.take_heard(head, heard)
    }

    /// The journal does not hold what was written. Once may be a disk that hiccups; twice is trouble, and a head that goes on
    /// from nothing may be readable all the same.
    fn not_shown(&self, why: String) -> Next {
        let (generation, old, surely) = {
            let mut witness = self.witness.borrow_mut();
            witness.failed += 1;
            let surely = witness.failed > 1 || witness.trouble.is_some();
            (witness.generation, witness.known, surely)
        };
        self.alert_rarely(&format!(
            "the journal cannot be shown to its witness: {why}"
        ));
        if old == 0 || !surely {
            return Next::Stop(why);
        }
        let trouble = self.until_accepted(&format!(
            "this host's journal cannot be read as its witness knows it: {why}"
        ));
        self.in_trouble(generation, old, trouble)
    }

    async fn make_head(&self) -> Result<Head, String> {
        let until = self.log.next_index();
        let (generation, old, log, key, follower) = {
            let mut witness = self.witness.borrow_mut();
            let key = witness.key.clone().ok_or("the host's key is not known")?;
            let follower = witness.follower.take();
            (
                witness.generation,
                witness.known,
                witness.log.clone(),
                key,
                follower,
            )
        };
        let lost = old > until;
        let from = if lost { until } else { old };
        let mut follower = match follower.filter(|f| f.base() == from) {
            Some(follower) => follower,
            // What goes on from nothing needs no proof, and nothing of old segments.
            None => open((from > 0).then_some(from)).await?,
        };
        let read = tokio::task::spawn_blocking(move || {
            follower.advance(until).map_err(|e| e.to_string())?;
            Ok::<_, String>(follower)
        });
        let follower = read.await.map_err(|e| e.to_string())??;
        let size = follower.size();
        let proof = if old > 0 {
            follower.proof()
        } else {
            Vec::new()
        };
        let note = signed_checkpoint(&key, &origin(&log, generation), size, &follower.root());
        let mut witness = self.witness.borrow_mut();
        (witness.follower, witness.failed) = (Some(follower), 0);
        drop(witness);
        Ok(Head {
            generation,
            old,
            size,
            lost,
            claimed: Claimed::parse(&note).ok_or("the log's origin cannot be signed")?,
            body: add_checkpoint(old, &proof, &note),
        })
    }

    async fn hand_to_witness(&self, host: String, body: String) -> Said {
        let failed = |why: &str| Said::Failed {
            why: why.to_owned(),
        };
        let (tell, answer) = oneshot::channel();
        {
            let mut core = self.core.borrow_mut();
            let link = &mut core.link;
            link.next += 1;
            let id = link.next;
            // One at a time: whatever an earlier one is answered is too late.
            link.witness = Some((id, tell));
            let sent = link
                .tx
                .as_ref()
                .map(|tx| tx.send(Down::Witness { id, host, body }));
            if !matches!(sent, Some(Ok(()))) {
                return failed("the link to the issuer is not running");
            }
        }
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(said)) => said,
            Ok(Err(_)) => failed("the link was lost"),
            Err(_) => failed("the witness did not answer in time"),
        }
    }

    /// The link brings what the witness said.
    pub(in crate::agent) fn witness_said(&self, id: u64, said: Said) {
        let waiting = self.core.borrow_mut().link.witness.take();
        match waiting {
            Some((asked, tell)) if asked == id => {
                let _ = tell.send(said);
            }
            other => self.core.borrow_mut().link.witness = other,
        }
    }

    fn take_heard(&self, head: Head, heard: Heard) -> Next {
        match heard {
            Heard::Cosigned { at, vkey, lines } => self.cosigned(&head, at, vkey, lines),
            Heard::Known(size) => {
                let mut witness = self.witness.borrow_mut();
                witness.known = size;
                Next::Again
            }
            Heard::Lost => {
                self.in_trouble(head.generation, head.old, self.lost(head.size, head.old))
            }
            Heard::Fork => self.in_trouble(head.generation, head.old, self.forked(head.old)),
            Heard::Closed => {
                let mut witness = self.witness.borrow_mut();
                (witness.generation, witness.known) = (head.generation + 1, 0);
                Next::Again
            }
            Heard::OtherLog => self.in_trouble(head.generation, head.old, self.other_log()),
            Heard::Nothing(why) => Next::Stop(why),
        }
    }

    fn cosigned(&self, head: &Head, at: u64, vkey: String, lines: String) -> Next {
        let (kept, new) = {
            let mut witness = self.witness.borrow_mut();
            let kept = Cosigned {
                v: 1,
                log: witness.log.clone(),
                generation: head.generation,
                checkpoint: head.claimed.note(),
                cosignature: lines,
                at,
                witness: vkey,
            };
            let before = witness.kept.as_ref().map(|kept| kept.generation);
            let new = witness.trouble.is_some() || before != Some(head.generation);
            witness.kept = Some(kept.clone());
            (witness.generation, witness.known, witness.size) =
                (head.generation, head.size, head.size);
            if let Some(follower) = &mut witness.follower {
                follower.settle();
            }
            witness.proven = true;
            (witness.trouble, witness.why) = (None, None);
            witness.since_ns = clock::now().map_or(witness.since_ns, |now| now.boot_ns);
            (kept, new)
        };
        self.changed.notify_waiters();
        if let Err(e) = store::write(&kept) {
            self.alert_rarely(&e.to_string());
        }
        if new {
            let record = self.note(kind::WITNESS).decision("allow");
            let record = record.detail("generation", head.generation);
            self.log.later(
                record
                    .detail("size", head.size)
                    .detail("witness", kept.witness),
            );
        }
        if head.size < self.log.next_index() {
            return Next::Again;
        }
        Next::Done
    }

    /// Tells it once, and asks whether another log was accepted meanwhile.
    fn in_trouble(&self, generation: u64, old: u64, trouble: String) -> Next {
        let mut witness = self.witness.borrow_mut();
        let own = witness.kept.as_ref().map_or(1, |kept| kept.generation);
        if witness.trouble.is_some() && generation > own && old == 0 {
            // Not yet.
            let why = witness.trouble.clone().unwrap_or(trouble);
            return Next::Stop(why);
        }
        let new = witness.trouble.is_none();
        witness.trouble.get_or_insert_with(|| trouble.clone());
        (witness.generation, witness.known) = (generation + 1, 0);
        drop(witness);
        self.changed.notify_waiters();
        if new {
            self.alert(&trouble);
        }
        Next::Again
    }

    fn lost(&self, has: u64, known: u64) -> String {
        self.until_accepted(&format!(
            "rollback: this host's journal has {has} entries and its witness knows {known}: it was cut or put back from a copy"
        ))
    }

    fn forked(&self, known: u64) -> String {
        self.until_accepted(&format!(
            "fork: this host's journal does not go on from the {known} entries that its witness knows: it was written anew, or two hosts have one key"
        ))
    }

    fn other_log(&self) -> String {
        self.until_accepted("rollback: the witness of this host's journal knows another log of it: this one was begun anew")
    }

    fn until_accepted(&self, what: &str) -> String {
        format!(
            "{what}. No grant begins until the issuer's administrators accept it (jit-issuer host accept-log)"
        )
    }
}

/// On another thread: it may read a whole segment.
async fn open(size: Option<u64>) -> Result<Follower, String> {
    let dir = Path::new(paths::JOURNAL_DIR);
    let open = move || match size {
        Some(size) => Follower::open(dir, size),
        None => Follower::newest(dir),
    };
    let opened = tokio::task::spawn_blocking(open).await;
    opened
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())
}
