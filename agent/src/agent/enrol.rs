//! Who this host belongs to, and the link's coming and going.

use super::elevate::error;
use super::status::LATE_S;
use super::{Agent, Link};
use crate::clock;
use crate::listen::outbox::Outbox;
use crate::store::identity::{self, EnrolmentFile};
use crate::store::state::State;
use journal::kind;
use statement::detail::{AllOr, Command, Door};
use wire::cli::{Code, Error, Reply};
use wire::link::Down;

impl Agent {
    /// What an issuer needs to enrol this host.
    ///
    /// # Errors
    /// Never by itself; the type is that of its siblings.
    pub fn host_key(&self) -> Result<Reply, Error> {
        let internal = |e: String| error(Code::Internal, e, None);
        let jwk = serde_json::to_string(&self.signer.public().to_jwk())
            .map_err(|e| internal(e.to_string()))?;
        let id = std::fs::read_to_string(crate::paths::MACHINE_ID)
            .map_err(|e| internal(format!("{}: {e}", crate::paths::MACHINE_ID)))?;
        Ok(Reply::HostKey {
            host_id: id.trim().to_owned(),
            host_name: self.host_name.clone(),
            jwk,
        })
    }

    /// The role table in force; none before the enrolment.
    pub fn roles(&self) -> Reply {
        let core = self.core.borrow();
        let table = core
            .enrolled
            .iter()
            .filter_map(|e| e.policy.as_ref())
            .flat_map(|p| &p.roles);
        let roles = table.map(|(name, role)| wire::cli::Role {
            name: name.clone(),
            sudo: role.doors.contains(&Door::Sudo),
            commands: match &role.commands {
                AllOr::All(_) => None,
                AllOr::List(list) => Some(list.iter().map(words).collect()),
            },
        });
        Reply::Roles {
            roles: roles.collect(),
        }
    }

    /// Belong to this issuer from now on. Root's word pins the trust statement.
    ///
    /// # Errors
    /// Statements that do not hold together, another issuer without `replace`, live grants, or a failing disk.
    pub async fn enrol(
        &self,
        trust: String,
        enrolment: String,
        policy: String,
        replace: bool,
    ) -> Result<Reply, Error> {
        let _one = self.taking.lock().await;
        let pin = statement::digest::sha256_b64(trust.as_bytes());
        // The same once more takes back no trust statement that came after it.
        let rotated = {
            let core = self.core.borrow();
            let old = core.enrolled.as_ref().filter(|old| old.file.pin == pin);
            old.and_then(|old| old.file.rotated.clone())
        };
        let file = EnrolmentFile {
            v: 1,
            pin,
            trust,
            enrolment,
            policy,
            rotated,
        };
        let new = identity::verify(file, &self.signer).map_err(|e| error(Code::Denied, e, None))?;
        let internal = |e: String| error(Code::Internal, e, None);
        let now = clock::now().map_err(|e| internal(e.to_string()))?;
        let (same, live) = {
            let core = self.core.borrow();
            let same = core
                .enrolled
                .as_ref()
                .map(|old| old.trust.hash() == new.trust.hash() && old.me.host == new.me.host);
            (same, !core.grants.is_empty())
        };
        if same == Some(false) {
            if !replace {
                return Err(error(
                    Code::Denied,
                    "this host is enrolled with another issuer",
                    None,
                ));
            }
            if live {
                return Err(error(
                    Code::Denied,
                    "grants of the present issuer are live; revoke them first",
                    None,
                ));
            }
        }
        let host = new.me.host.clone();
        let record = self
            .record(kind::ENROL, now)
            .detail("host", host.clone())
            .detail("trust", new.trust.hash().to_owned());
        let _receipt = self
            .log
            .append(record)
            .await
            .map_err(|e| internal(e.to_string()))?;
        identity::write(&new.file).map_err(|e| internal(e.to_string()))?;
        {
            let mut core = self.core.borrow_mut();
            if same == Some(true) {
                core.state.pin.clone_from(&new.file.pin);
            } else {
                let epoch = new.trust.claims().epoch;
                core.state = State::new(&new.file.pin, epoch, &self.boot_id, now);
            }
            core.enrolled = Some(new);
        }
        if same != Some(true) {
            // Another issuer is another witness.
            *self.witness.borrow_mut() = super::Witness::default();
        }
        self.show_head.notify_one();
        self.save_state().map_err(internal)?;
        self.welcome();
        Ok(Reply::Enrolled { host })
    }

    /// A link has connected.
    pub fn link_up(&self, tx: Outbox) {
        {
            let mut core = self.core.borrow_mut();
            let next = core.link.next;
            core.link = Link {
                tx: Some(tx),
                next,
                ..Link::default()
            };
        }
        self.receivers_anew();
        self.welcome();
        self.changed.notify_waiters();
    }

    /// It is gone. Whoever waits for its answers is told by the dropped channels.
    pub fn link_down(&self) {
        let mut core = self.core.borrow_mut();
        let next = core.link.next;
        core.link = Link {
            next,
            ..Link::default()
        };
        drop(core);
        self.receivers_gone();
        self.changed.notify_waiters();
    }

    /// The link says that it reads, and nothing fresh comes: perhaps it reads from the wrong place.
    pub fn ask_for_missing(&self) {
        let Ok(now) = clock::now() else { return };
        let mut core = self.core.borrow_mut();
        let heard = now.boot_ns.saturating_sub(core.link.connected_ns) / 1_000_000_000;
        let late = heard > LATE_S && core.state.age_s(now).is_none_or(|age| age > LATE_S);
        let host = core.enrolled.as_ref().map(|e| e.me.host.clone());
        if let (true, true, Some(host)) = (late, core.link.connected, host) {
            core.link.read_again(host, now);
        }
    }

    /// Tell the link whose stream to read, and from where.
    fn welcome(&self) {
        let core = self.core.borrow();
        let Some(link) = &core.link.tx else { return };
        let message = match &core.enrolled {
            Some(e) => Down::Welcome {
                version: wire::VERSION,
                host: e.me.host.clone(),
                after: core.state.stream_pos,
            },
            None => Down::NotEnrolled,
        };
        let _ = link.send(message);
    }
}

fn words(command: &Command) -> Vec<String> {
    std::iter::once(&command.path)
        .chain(&command.args)
        .cloned()
        .collect()
}
