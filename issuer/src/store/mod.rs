//! What the issuer remembers. One trait, so that another database is another file here.
//!
//! Counters are taken in the transaction that uses them: the order of commits is the order of numbers, and a
//! number that was not committed is used again. Only `state_seq` is reserved ahead, in blocks.

mod answered;
#[cfg(test)]
mod conformance;
mod hosts;
mod outbox;
mod row;
mod sqlite;
mod waiting;
mod witness;
mod worker;

pub use answered::Answered;
pub use sqlite::Sqlite;
pub use worker::{Core, Db};

use crate::error::Error;
use api::{HostSays, Kind, Seen, Standing, Status, Trouble};
use settings::outgoing::What;
use statement::claims::{Jwk, Target};
use statement::keys::KeyRing;
use statement::people::Need;
use std::collections::BTreeMap;
use std::path::Path;
use tokio::sync::watch;

/// An enrolled host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// `spiffe://…/host/…`
    pub id: String,
    pub name: String,
    pub jwk: Jwk,
    /// Thumbprint of the key.
    pub kid: String,
    pub labels: BTreeMap<String, String>,
    /// Unix seconds.
    pub enrolled_at: u64,
    /// Unix seconds; since then it gets nothing new.
    pub gone_at: Option<u64>,
}

/// A place that is kept for a host, as stored: without the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the secret, base64url.
    pub hash: String,
    /// Id.
    pub host: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Unix seconds.
    pub exp: u64,
    /// A host of that id may be known already.
    pub replaces: bool,
}

/// What became of the use of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joining {
    /// The enrolment statement.
    Done(String),
    /// None such, over, or used by another key.
    NoToken,
    /// The host is known, and the token does not let its key be replaced.
    Known,
    /// The key is another host's.
    KeyInUse,
}

/// A request as it came, for the record.
#[derive(Clone, Debug)]
pub struct Asked {
    /// SHA-256 of the compact bytes, base64url.
    pub hash: String,
    pub id: String,
    pub host: String,
    pub sub: String,
    pub jws: String,
    /// Unix seconds.
    pub at: u64,
}

/// A request of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub host: String,
    pub jws: String,
    /// Unix seconds.
    pub at: u64,
}

/// A request that people must approve, whatever became of it.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub asked: Asked,
    /// Unix seconds; an open one dies then.
    pub until: u64,
    /// What the policy demands; what the trust statement demands comes beside it.
    pub levels: Vec<Need>,
    /// In words; empty unless it is open.
    pub waiting_for: String,
    pub standing: Standing,
    /// Why it is not open any more.
    pub detail: String,
    pub approvals: Vec<Given>,
}

/// An approval as it was taken: verified then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Id of the person.
    pub person: String,
    /// Unix seconds.
    pub at: u64,
    /// Armoured.
    pub sig: String,
}

/// What became of a request; the same bytes again get the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub id: String,
    pub status: Status,
    pub detail: String,
}

/// A signed grant, ready to be sent.
#[derive(Clone, Debug)]
pub struct Minted {
    pub jti: String,
    pub bundle: String,
    /// Unix seconds.
    pub exp: u64,
}

/// A grant that was given, as far as an extension of it must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    pub host: String,
    pub sub: String,
    /// Unix seconds.
    pub exp: u64,
    /// The compact request it answers.
    pub request: String,
    /// By its id, or by its subject, host, key or time after it was given.
    pub revoked: bool,
}

/// Where the next revocation goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    pub serial: u64,
    /// SHA-256 of the one before, base64url.
    pub prev: String,
    /// Latest end of a grant the target names or of what may extend it by now, or now.
    pub reach: u64,
}

/// A signed revocation.
#[derive(Clone, Debug)]
pub struct Signed {
    pub jws: String,
    /// SHA-256 of its bytes, base64url.
    pub hash: String,
}

/// What became of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoking {
    Done {
        serial: u64,
    },
    /// The same grant was revoked before.
    Before {
        serial: u64,
    },
    /// No such grant, no grant for such a subject, no such host.
    Unknown,
}

/// The newest head of a host's journal that was cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// Thumbprint of the host's key that signed it.
    pub kid: String,
    /// The host's first log is 1; each that an administrator accepted after it one more.
    pub generation: u64,
    /// The signed checkpoint.
    pub note: String,
    /// Our line under it.
    pub cosignature: String,
    /// Unix seconds; when it last had new entries.
    pub grew_at: u64,
    /// What is wrong with what the host showed since then.
    pub trouble: Option<Trouble>,
    /// An administrator accepts that another log begins.
    pub accepts: bool,
}

/// The policy in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPolicy {
    pub ver: u64,
    pub digest: String,
    /// The text it was read from.
    pub text: String,
    pub jws: String,
}

/// A break-glass statement for its host.
#[derive(Clone, Copy, Debug)]
pub struct NewBreakglass<'a> {
    pub id: &'a str,
    /// Id.
    pub host: &'a str,
    /// Unix seconds.
    pub exp: u64,
    pub doc: &'a str,
}

/// One entry of the numbered log that streams are made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub n: u64,
    pub kind: Kind,
    /// `None` = for every host.
    pub host: Option<String>,
    pub blob: String,
}

/// The ends of all chains, read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub n: u64,
    pub rev_serial: u64,
    pub rev_head: String,
    pub policy_ver: u64,
}

/// Who is told of what happens.
#[derive(Clone, Debug)]
pub struct Outbox {
    /// The issuer's id.
    pub source: String,
    /// Names, and what each wants to hear of.
    pub hooks: Vec<(String, Vec<What>)>,
    /// Says whose own approval counts; none: nobody's does.
    pub ring: Option<KeyRing>,
    /// Changes when there is something new.
    pub woken: watch::Sender<u64>,
}

/// An event on its way to a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub seq: i64,
    pub id: String,
    /// Unix seconds; when it happened.
    pub at: u64,
    pub body: String,
    /// How often it was not taken.
    pub tries: u32,
}

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub seq: i64,
    /// Unix milliseconds; none: it was taken, or given up.
    pub again_at: Option<u64>,
}

/// The memory of an issuer. Every method is one transaction, durable when it returns; between `begin` and `commit` a part of
/// that one, durable with it.
pub trait Store: Send {
    fn begin(&mut self) -> Result<(), Error>;

    /// Between `begin` and `commit`. A store may give up what was begun by itself, as SQLite does on a full disk.
    fn has_begun(&self) -> bool;

    /// After an error nothing since `begin` is kept.
    fn commit(&mut self) -> Result<(), Error>;

    /// # Errors
    /// All methods: [`Error::Store`], and what a closure returned.
    fn host(&mut self, id: &str) -> Result<Option<Host>, Error>;

    fn host_by_kid(&mut self, kid: &str) -> Result<Option<Host>, Error>;

    /// Adds a host or replaces its name and key. False when the key is another host's.
    fn enrol(&mut self, host: &Host) -> Result<bool, Error>;

    /// In order of their names.
    fn hosts(&mut self) -> Result<Vec<Host>, Error>;

    /// Keeps the newest of a host.
    fn receipt(&mut self, host: &str, seen: &Seen) -> Result<(), Error>;

    /// The newest of each host, by id.
    fn receipts(&mut self) -> Result<BTreeMap<String, Seen>, Error>;

    /// What is witnessed of a host's journal.
    fn witnessed(&mut self, host: &str) -> Result<Option<Witnessed>, Error>;

    /// Of all hosts, by id.
    fn all_witnessed(&mut self) -> Result<BTreeMap<String, Witnessed>, Error>;

    /// Keeps it; `ends`: the origin of a log that it takes the place of, for good.
    fn keep_witnessed(
        &mut self,
        host: &str,
        witnessed: &Witnessed,
        ends: Option<&str>,
    ) -> Result<(), Error>;

    /// Did another log take the place of the one with this origin?
    fn is_closed(&mut self, origin: &str) -> Result<bool, Error>;

    /// Latest end of a grant of this host; 0 = it never had one.
    fn reach(&mut self, host: &str) -> Result<u64, Error>;

    /// False when there is no such host.
    fn rename(&mut self, id: &str, name: &str) -> Result<bool, Error>;

    /// It gets nothing new from then on; one that is gone already stays so. False when there is no such host.
    fn part(&mut self, id: &str, at: u64) -> Result<bool, Error>;

    /// Keeps a place; forgets those whose time is over at `now`.
    fn add_token(&mut self, token: &Token, now: u64) -> Result<(), Error>;

    /// The place of a secret's hash, while its time is not over.
    fn token(&mut self, hash: &str, now: u64) -> Result<Option<Token>, Error>;

    /// Uses a place for a key: the host is made or its key replaced, with the statement that `sign` makes for it.
    fn join(
        &mut self,
        hash: &str,
        key: &Jwk,
        kid: &str,
        now: u64,
        sign: &mut dyn FnMut(&Host) -> Result<String, Error>,
    ) -> Result<Joining, Error>;

    fn settled(&mut self, hash: &str) -> Result<Option<Settled>, Error>;

    /// Records a denial, unless these bytes are settled already.
    fn deny(&mut self, asked: &Asked, detail: &str) -> Result<Settled, Error>;

    /// Takes the next `seq`, has the grant made and stores it with its request, unless these bytes are settled
    /// already.
    fn grant(
        &mut self,
        asked: &Asked,
        mint: &mut dyn FnMut(u64) -> Result<Minted, Error>,
    ) -> Result<Settled, Error>;

    /// Keeps a request that people must approve. False when its id is another one's, or when it is there.
    fn wait(
        &mut self,
        asked: &Asked,
        until: u64,
        levels: &[Need],
        waiting_for: &str,
    ) -> Result<bool, Error>;

    /// By the hash of its bytes.
    fn waiting(&mut self, hash: &str) -> Result<Option<Waiting>, Error>;

    /// By its own id.
    fn waiting_called(&mut self, id: &str) -> Result<Option<Waiting>, Error>;

    /// Those that are open, the oldest first.
    fn open(&mut self) -> Result<Vec<Waiting>, Error>;

    /// How many of this subject of this host, of this host and in all are open.
    fn open_count(&mut self, host: &str, sub: &str) -> Result<(u64, u64, u64), Error>;

    /// Whom an open one waits for now.
    fn waits(&mut self, hash: &str, levels: &[Need], waiting_for: &str) -> Result<(), Error>;

    /// Keeps an approval; the first of a person stays.
    fn approve(&mut self, hash: &str, given: &Given) -> Result<(), Error>;

    /// Settles an open one without a grant.
    fn close(&mut self, asked: &Asked, to: Standing, detail: &str) -> Result<Settled, Error>;

    /// Settles those whose time was over before `now`.
    fn expire(&mut self, now: u64) -> Result<(), Error>;

    fn granted(&mut self, jti: &str) -> Result<Option<Granted>, Error>;

    /// The id of the grant that the request of this hash got.
    fn granted_for(&mut self, hash: &str) -> Result<Option<String>, Error>;

    /// Settled requests of this id, or the one whose grant has it. Those who ask choose their ids, so there may be several.
    fn settled_called(&mut self, id: &str) -> Result<Vec<Asked>, Error>;

    /// Keeps what a host said of a request that it was given a grant for; the first word counts, another host's never.
    fn host_says(&mut self, host: &str, hash: &str, says: &HostSays) -> Result<(), Error>;

    /// What its host said of a request.
    fn host_said(&mut self, hash: &str) -> Result<Option<HostSays>, Error>;

    /// Remembers that a key is a person's: its revocation touches nobody else's grants.
    fn persons_key(&mut self, kid: &str) -> Result<(), Error>;

    /// Takes the next serial, has the revocation made and stores it. `by` is the uid of whoever asked.
    fn revoke(
        &mut self,
        target: &Target,
        by: u32,
        at: u64,
        sign: &mut dyn FnMut(&Next) -> Result<Signed, Error>,
    ) -> Result<Revoking, Error>;

    /// Does a revocation name this key?
    fn kid_revoked(&mut self, kid: &str) -> Result<bool, Error>;

    /// Puts a trust statement into the log, for all hosts enrolled by then. False when it is there.
    fn add_trust(&mut self, doc: &str, at: u64) -> Result<bool, Error>;

    /// Puts a break-glass statement into its host's log. False when one of that id is there.
    fn add_breakglass(&mut self, new: &NewBreakglass<'_>, at: u64) -> Result<bool, Error>;

    /// The newest requests, as they came.
    fn recorded(&mut self, limit: u32) -> Result<Vec<Recorded>, Error>;

    fn policy(&mut self) -> Result<Option<StoredPolicy>, Error>;

    /// Takes the next version, has the policy signed and stores it; returns the version.
    fn add_policy(
        &mut self,
        text: &str,
        digest: &str,
        at: u64,
        sign: &mut dyn FnMut(u64) -> Result<String, Error>,
    ) -> Result<u64, Error>;

    /// Entries after a position, for every host, in order; at most `limit`.
    fn log(&mut self, after: u64, limit: u32) -> Result<Vec<Logged>, Error>;

    /// The same for one host, without what is of no use any more: grants that ended before `now`, policies that a
    /// later one replaced.
    fn log_of(
        &mut self,
        host: &str,
        after: u64,
        now: u64,
        limit: u32,
    ) -> Result<Vec<Logged>, Error>;

    fn head(&mut self) -> Result<Head, Error>;

    /// A whole copy, as of now, in a file that is there and empty.
    fn copy_to(&mut self, path: &Path) -> Result<(), Error>;

    /// From now on each change writes down what these are to be told, in its own transaction. What others were to be told is
    /// forgotten; returns how much that was.
    fn tell(&mut self, outbox: Outbox) -> Result<usize, Error>;

    /// What a hook can be told now: of each line the oldest alone.
    fn outbox_due(&mut self, hook: &str, now_ms: u64, limit: u32) -> Result<Vec<Letter>, Error>;

    /// When it can be told something next, Unix milliseconds.
    fn outbox_next(&mut self, hook: &str) -> Result<Option<u64>, Error>;

    fn outbox_sent(&mut self, sent: &[Sent]) -> Result<(), Error>;

    /// The answer that is kept for this caller's key, if it is not older than `since`.
    fn answered(&mut self, of: (u32, &str), since: u64) -> Result<Option<Answered>, Error>;

    /// Keeps an answer, made at the first of `times`, and forgets those that are older than the second.
    fn keep_answer(
        &mut self,
        of: (u32, &str),
        answered: &Answered,
        times: (u64, u64),
    ) -> Result<(), Error>;

    /// Sets `count` numbers aside and returns the first. They are never given out again, used or not.
    fn reserve_state_seq(&mut self, count: u64) -> Result<u64, Error>;
}
