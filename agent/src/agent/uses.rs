//! G3, one use: scope → receipt → move → re-check → yes. The answer is re-checked because recording and moving take time.

use super::doors::{Person, broken_ceiling, deny, door};
use super::no::{self, No};
use super::people::with_session;
use super::say::Wanted;
use super::{Agent, Core, Move};
use crate::callers::Peer;
use crate::clock::Now;
use crate::decide::{Decision, Question, decide};
use crate::effects::processes::{self, Held};
use crate::effects::trusted;
use crate::paths;
use crate::store::grants::Cause;
use journal::{Rule, kind};
use statement::detail::AllOr;
use statement::scope::Ask;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use wire::gate::{self, Reply, Use};

/// How long a move begun at `open` is remembered for its use.
const MOVE_KEPT: Duration = Duration::from_secs(5);
/// Bytes of a refused command that are recorded.
const REFUSED_COMMAND: usize = 16 << 10;
/// How long the disk may take to show that nobody but root can change what a use of a limited grant will touch.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);
/// Moves of one uid under way at once.
const MOVES_PER_UID: usize = 64;

impl Agent {
    /// Start moving a process into the likeliest grant: the move may cost a whole RCU grace period.
    pub(super) fn begin_move(&self, process: &Held, grant: String) {
        let (pid, uid) = (process.facts.pid, process.facts.uid);
        // One that is gone needs none.
        let Ok(start) = process.start() else { return };
        let mut core = self.core.borrow_mut();
        core.moves.retain(|_, m| m.at.elapsed() < MOVE_KEPT);
        if core.moves.values().filter(|m| m.uid == uid).count() >= MOVES_PER_UID {
            // The use itself will do without a head start.
            return;
        }
        let cgroup = paths::cgroup(&grant);
        let done = tokio::task::spawn_blocking(move || processes::move_into(pid, &cgroup));
        let begun = Move {
            grant,
            uid,
            at: tokio::time::Instant::now(),
            done,
        };
        core.moves.insert((pid, start), begun);
    }

    /// G3: scope → receipt → move → re-check → yes.
    pub(super) async fn use_(self: &Rc<Self>, peer: &Peer, person: &Person, u: &Use) -> Reply {
        match self.allow(peer, person, u).await {
            Ok(reply) => reply,
            Err(no) => {
                let mut record = use_record(self.note(kind::REFUSED), person, u);
                cut(&mut record);
                let record = no.told(record.detail("by", "G3"));
                self.refuse(person.uid, with_session(record, peer.process.facts.pid));
                deny(no.text)
            }
        }
    }

    async fn allow(self: &Rc<Self>, peer: &Peer, person: &Person, u: &Use) -> Result<Reply, No> {
        Self::check_user(peer, person).await?;
        let words = Words::of(u);
        let ask = words.ask(u);
        let (jti, scoped) = {
            let now = no::now()?;
            let core = self.core.borrow();
            self.decided(&core, person, &ask, now)?
        };
        if scoped {
            let look = trusted(u).await;
            look.map_err(|why| No::new(Rule::Disk, format!("jit: {why}.")).of(&jti))?;
        }
        let record = use_record(self.note(kind::USE), person, u);
        let until = self
            .give(peer, &jti, record, |core, now| {
                self.decided(core, person, &ask, now).map(|(jti, _)| jti)
            })
            .await
            .map_err(|no| no.of(&jti))?;
        Ok(Reply::Allow {
            grant: jti,
            until,
            text: None,
        })
    }

    /// Receipt → move → re-check: what comes between a decision and its yes. `decided` is asked again at the end.
    pub(super) async fn give(
        &self,
        peer: &Peer,
        jti: &str,
        record: journal::Record,
        decided: impl Fn(&Core, Now) -> Result<String, No>,
    ) -> Result<gate::Deadline, No> {
        let (record, details) = {
            let core = self.core.borrow();
            let (file, whole) = core.grants.whole(jti).ok_or_else(ended)?;
            let claims = whole.grant.claims();
            let details = claims.authorization_details.clone();
            let mut record = record
                .grant(jti)
                .request(file.request.as_str())
                .role(file.role.as_str())
                .decision("allow")
                .reason(claims.reason.as_str());
            record.ticket.clone_from(&claims.ticket);
            (with_session(record, peer.process.facts.pid), details)
        };
        let refused = |why: &dyn std::fmt::Display| {
            No::new(
                Rule::Recorded,
                format!("jit: this use cannot be allowed: {why}."),
            )
        };
        let receipt = self.log.append(record).await.map_err(|e| refused(&e))?;
        let witnessed = self.witness_use(&receipt, &details).await;
        witnessed.map_err(|why| refused(&why))?;
        let moved = self.move_in(peer, jti).await;
        moved.map_err(|text| No::new(Rule::Held, text))?;
        // Journal and move took time: the grant may have ended, a stopped sudo may have been continued long after.
        let now = no::now()?;
        let core = self.core.borrow();
        if decided(&core, now)? != jti || !peer.process.alive() {
            return Err(No::new(
                Rule::Still,
                "jit: the grant changed while this use was being recorded; run it again.",
            ));
        }
        let stored = core.grants.get(jti).ok_or_else(ended)?;
        let whole = stored.whole().ok_or_else(ended)?;
        let once = whole.is_for_one_use();
        let end = stored.deadline();
        let until = gate::Deadline {
            wall_s: end.wall_s,
            boot_ns: end.boot_ns,
        };
        drop(core);
        if once {
            let used = self.used_up(jti);
            used.map_err(|text| No::new(Rule::Still, text))?;
        }
        Ok(until)
    }

    /// The grant that covers the ask, and whether its commands are limited.
    fn decided(
        &self,
        core: &Core,
        person: &Person,
        ask: &Ask<'_>,
        now: Now,
    ) -> Result<(String, bool), No> {
        let ceiling = self.ceiling();
        let ceiling = ceiling.map_err(|why| No::new(Rule::Limits, broken_ceiling(&why)))?;
        let max_stale = ceiling.max_stale_s;
        match decide(
            core.views(person.uid),
            &core.state,
            max_stale,
            now,
            person.who(),
            Question::Use(ask),
        ) {
            Decision::Allow(view, detail) => Ok((
                view.claims.jti.clone(),
                !matches!(detail.commands, AllOr::All(_)),
            )),
            Decision::Deny(why) => {
                let text = self.refusal(core, &why, person.who(), &Wanted::Use(ask), now);
                Err(No::decided(&why, text))
            }
        }
    }

    /// The process must be in the grant's cgroup before it may go on: what it forks is then in it too.
    async fn move_in(&self, peer: &Peer, jti: &str) -> Result<(), String> {
        let ended = |_| "jit: the asking process has ended.".to_owned();
        let pid = peer.process.facts.pid;
        let start = peer.process.start().map_err(ended)?;
        let begun = self.core.borrow_mut().moves.remove(&(pid, start));
        let mut there = false;
        if let Some(m) = begun {
            // One that failed is tried again below, where its error is told.
            there = matches!(m.done.await, Ok(Ok(()))) && m.grant == jti;
        }
        if !there {
            let dir = paths::cgroup(jti);
            let moved = tokio::task::spawn_blocking(move || processes::move_into(pid, &dir)).await;
            moved
                .map_err(|e| e.to_string())
                .and_then(|r| r.map_err(|e| e.to_string()))
                .map_err(cannot_hold)?;
        }
        let now_in = peer.process.cgroup().map_err(ended)?;
        match crate::callers::grant_in(&now_in) {
            Some(id) if id == jti => Ok(()),
            _ => Err(cannot_hold(format!("it is in {now_in}"))),
        }
    }

    /// The one use of a grant is over, and with it the grant.
    pub(super) fn close_used(self: &Rc<Self>, jti: &str, person: &Person) {
        let over = {
            let core = self.core.borrow();
            let found = core.grants.get(jti);
            found.is_some_and(|s| s.file.used && s.file.uid == person.uid)
        };
        if over {
            self.finish(jti, Cause::Used);
        }
    }

    /// A grant for one use gives no other: closed to new uses now; its processes live on until that use is over.
    fn used_up(&self, jti: &str) -> Result<(), String> {
        let file = {
            let mut core = self.core.borrow_mut();
            let stored = core
                .grants
                .get_mut(jti)
                .ok_or("jit: the grant has just ended.")?;
            if stored.file.used {
                return Err("jit: this grant was for one use, and it was used.".into());
            }
            stored.file.used = true;
            stored.file.clone()
        };
        crate::store::grants::write(&file)
            .map_err(|e| format!("jit: this use cannot be allowed: {e}."))
    }
}

/// A refused command is recorded by its beginning: one too long to be stored must not be refused without a trace.
fn cut(record: &mut journal::Record) {
    let Some(words) = &mut record.command else {
        return;
    };
    let mut room = REFUSED_COMMAND;
    let fits = words
        .iter()
        .take_while(|w| {
            let more = room >= w.0.len();
            room = room.saturating_sub(w.0.len() + 1);
            more
        })
        .count();
    if fits < words.len() {
        words.truncate(fits);
        words.push("… (cut)".into());
    }
}

fn ended() -> No {
    No::new(Rule::Still, "jit: the grant has just ended.")
}

fn cannot_hold(why: impl std::fmt::Display) -> String {
    format!(
        "jit: the command could not be tied to its grant ({why}); root can see more with: journalctl -u jit-agent"
    )
}

/// Byte slices that an [`Ask`] borrows.
struct Words<'a> {
    argv: Vec<&'a [u8]>,
    env: Vec<&'a [u8]>,
    files: Vec<&'a [u8]>,
    unusual: Vec<&'a [u8]>,
}

impl<'a> Words<'a> {
    fn of(u: &'a Use) -> Self {
        let slices = |list: &'a [wire::Text]| list.iter().map(wire::Text::as_bytes).collect();
        Self {
            argv: slices(&u.argv),
            env: slices(&u.env),
            files: slices(&u.files),
            unusual: slices(&u.unusual),
        }
    }

    fn ask<'b>(&'b self, u: &'b Use) -> Ask<'b> {
        Ask {
            door: door(u.door),
            command: u.command.as_bytes(),
            argv: &self.argv,
            env: &self.env,
            runas_user: u.runas_user.as_ref().map(wire::Text::as_bytes),
            runas_uid: u.runas_uid,
            runas_group: u.runas_group.as_ref().map(wire::Text::as_bytes),
            cwd: u.cwd.as_ref().map(wire::Text::as_bytes),
            user_cwd_changed: u.cwd.is_some(),
            chroot: u.chroot.as_ref().map(wire::Text::as_bytes),
            has_tty: u.tty.is_some(),
            shell: u.shell,
            sudoedit: u.sudoedit,
            files: &self.files,
            unusual: &self.unusual,
        }
    }
}

fn use_record(record: journal::Record, person: &Person, u: &Use) -> journal::Record {
    let argv = u.argv.iter().skip(1).map(|t| t.0.clone());
    let mut record = record
        .login(person.login.as_str())
        .uid(person.uid)
        .command(std::iter::once(u.command.0.clone()).chain(argv));
    record.runas = Some(u.runas_user.as_ref().map_or_else(
        || format!("#{}", u.runas_uid).into(),
        |t| t.0.clone().into(),
    ));
    record.cwd = u.cwd.as_ref().map(|t| t.0.clone().into());
    record.tty = u.tty.as_ref().map(|t| t.0.clone().into());
    if let Some(source) = &u.source {
        record = record.detail("source", source.to_string());
    }
    record
}

/// What a limited grant names by its path must not be for others than root to change: the program, the directory asked
/// for, the way to the files to edit. A full grant needs no such look: it may start a shell in any case.
async fn trusted(u: &Use) -> Result<(), String> {
    let path = |t: &wire::Text| PathBuf::from(OsString::from_vec(t.0.clone()));
    let program = (!u.sudoedit).then(|| path(&u.command));
    let files: Vec<PathBuf> = u.files.iter().map(path).collect();
    let (dir, uid) = (u.cwd.as_ref().map(path), u.runas_uid);
    let look = tokio::task::spawn_blocking(move || {
        program.iter().try_for_each(|p| trusted::program(p))?;
        files.iter().try_for_each(|f| trusted::edited(f, uid))?;
        dir.iter().try_for_each(|d| trusted::directory(d))
    });
    match tokio::time::timeout(LOOK_PATIENCE, look).await {
        Ok(Ok(answer)) => answer.map_err(|e: trusted::Untrusted| e.to_string()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err("the disk does not show in time who can change this command".into()),
    }
}
