//! What one entry says.

use crate::{Error, Text, Timestamp};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

/// Longest record in bytes of JSON. A longer one is refused, never shortened: a use that cannot be recorded in
/// full must not happen.
pub const MAX_RECORD: usize = 256 * 1024;

/// Names of record types. What each means is in `docs/spec/journal.md`.
pub mod kind {
    /// The agent started.
    pub const START: &str = "start";
    /// The agent stopped in good order.
    pub const STOP: &str = "stop";
    /// Someone asked for a grant.
    pub const REQUEST: &str = "request";
    /// A grant took effect.
    pub const GRANT: &str = "grant";
    /// A live grant got a later end.
    pub const EXTEND: &str = "extend";
    /// Something was refused: a request, a statement, a use, a call.
    pub const REFUSED: &str = "refused";
    /// A door let a command through.
    pub const USE: &str = "use";
    /// `sudo -l` or `sudo -v`.
    pub const LIST: &str = "list";
    /// An allowed use is over.
    pub const CLOSE: &str = "close";
    /// A grant ended; `detail.cause` says why.
    pub const END: &str = "end";
    /// The kernel shows that nothing of a grant is left.
    pub const PROOF: &str = "proof";
    /// A process had left its grant's cgroup and was moved back or ended.
    pub const ESCAPE: &str = "escape";
    /// A signed revocation was accepted.
    pub const REVOCATION: &str = "revocation";
    /// A signed policy was accepted.
    pub const POLICY: &str = "policy";
    /// A trust statement was accepted.
    pub const TRUST: &str = "trust";
    /// What the administrator set was read again and taken; `detail.changed` names the keys.
    pub const CONFIG: &str = "config";
    /// The host was enrolled.
    pub const ENROL: &str = "enrol";
    /// The wall clock was set, or the host slept (`detail.set_by_ms`, `detail.slept_ms`).
    pub const CLOCK: &str = "clock";
    /// A minute in which nothing else was written: shows a witness that the log goes on.
    pub const HEARTBEAT: &str = "heartbeat";
    /// What the log's witness said: a first head, trouble, a new generation.
    pub const WITNESS: &str = "witness";
    /// A break-glass code: it came (`received`), was used (`allow`) or was wrong (`deny`).
    pub const BREAKGLASS: &str = "breakglass";
    /// Something that needs a person's eye: a clock set far, a fault, a failed ending.
    pub const ALERT: &str = "alert";
    /// Entries older than the host's policy were given up; `detail.first` is the first that is kept.
    pub const PRUNE: &str = "prune";
    /// Nothing happened: a test of the way to the receivers.
    pub const PROBE: &str = "probe";
    /// The journal itself went on after a torn tail, a failed write or outside change.
    pub const RECOVERY: &str = "recovery";

    /// Does an entry of this type let something happen? Then the key that sealed it is destroyed first.
    #[must_use]
    pub fn gives(kind: &str) -> bool {
        matches!(kind, GRANT | EXTEND | USE)
    }

    /// Does an entry of this type take something away, or tell what a person must know? Only such entries may use the room
    /// that the log keeps for them: where the disk is full nothing more is given, and all that was given ends on record.
    #[must_use]
    pub fn may_use_kept_room(kind: &str) -> bool {
        matches!(
            kind,
            START
                | STOP
                | CLOSE
                | END
                | PROOF
                | ESCAPE
                | REVOCATION
                | TRUST
                | CLOCK
                | WITNESS
                | ALERT
                | PRUNE
                | RECOVERY
        )
    }
}

/// One entry before it is appended. Absent fields are left out of the JSON.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// JSON `type`, one of [`kind`]: lower-case letters, digits and `-`.
    pub kind: String,
    /// JSON `time` (RFC 3339), `boot_ns`, `boot_id`.
    pub time: Timestamp,
    /// Grant id (`jti`).
    pub grant: Option<String>,
    /// Request id.
    pub request: Option<String>,
    pub role: Option<String>,
    pub login: Option<Text>,
    pub uid: Option<u32>,
    /// Login uid of the kernel's audit system.
    pub auid: Option<u32>,
    /// Session id of the kernel's audit system.
    pub session: Option<u32>,
    /// `allow`, `deny` or another word the type's documentation names.
    pub decision: Option<String>,
    /// The person's reason; for a refusal why it was refused is in `detail.why`.
    pub reason: Option<String>,
    pub ticket: Option<String>,
    /// Path and arguments, whole.
    pub command: Option<Vec<Text>>,
    /// Whom the command runs as.
    pub runas: Option<Text>,
    pub cwd: Option<Text>,
    pub tty: Option<Text>,
    /// What only this type has.
    pub detail: Map<String, Value>,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, value: impl Into<$type>) -> Self {
            self.$name = Some(value.into());
            self
        }
    )*};
}

impl Record {
    #[must_use]
    pub fn new(kind: &str, time: Timestamp) -> Self {
        Self {
            kind: kind.to_owned(),
            time,
            grant: None,
            request: None,
            role: None,
            login: None,
            uid: None,
            auid: None,
            session: None,
            decision: None,
            reason: None,
            ticket: None,
            command: None,
            runas: None,
            cwd: None,
            tty: None,
            detail: Map::new(),
        }
    }

    setters! {
        grant: String;
        request: String;
        role: String;
        login: Text;
        uid: u32;
        auid: u32;
        session: u32;
        decision: String;
        reason: String;
        ticket: String;
        runas: Text;
        cwd: Text;
        tty: Text;
    }

    /// Sets the command from its words.
    #[must_use]
    pub fn command<T: Into<Text>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.command = Some(words.into_iter().map(Into::into).collect());
        self
    }

    /// Adds one member of `detail`.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// The JSON that is stored: one object, no line break, control characters escaped.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above [`MAX_RECORD`], [`Error::Kind`] for a type name outside `[a-z0-9-]{1,32}`.
    pub fn to_json(&self) -> Result<String, Error> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.kind.is_empty() || self.kind.len() > 32 || !self.kind.bytes().all(good) {
            return Err(Error::Kind);
        }
        let json = serde_json::to_string(self).map_err(Error::Json)?;
        if json.len() > MAX_RECORD {
            return Err(Error::TooLarge { bytes: json.len() });
        }
        Ok(json)
    }
}

/// How every record begins.
const BEGIN: &[u8] = br#"{"time":""#;

/// Is this a record? For one that is longer than an open format's entry a short text stands in the tree, and nothing for one
/// that is gone; neither begins so, so that neither can take the place of a record whose leaf it has.
pub(crate) fn is_record(json: &[u8]) -> bool {
    json.starts_with(BEGIN)
}

/// When a stored record was made, by its clock: its first member.
pub(crate) fn time_of(json: &[u8]) -> Option<&str> {
    let text = json.strip_prefix(BEGIN)?.get(..24)?;
    std::str::from_utf8(text).ok()
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &self.time.rfc3339())?;
        map.serialize_entry("type", &self.kind)?;
        macro_rules! fields {
            ($($name:ident)*) => {$(
                if let Some(value) = &self.$name {
                    map.serialize_entry(stringify!($name), value)?;
                }
            )*};
        }
        fields! {
            grant request role login uid auid session decision reason ticket command runas cwd tty
        }
        if !self.detail.is_empty() {
            map.serialize_entry("detail", &self.detail)?;
        }
        map.serialize_entry("boot_ns", &self.time.boot_ns)?;
        map.serialize_entry("boot_id", &self.time.boot_id)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp {
            unix_ms: 1_795_182_963_120,
            boot_ns: 7,
            boot_id: "b".into(),
        }
    }

    #[test]
    fn fields_in_their_order_and_absent_ones_left_out() {
        let record = Record::new(kind::USE, now())
            .login("alice")
            .uid(1001_u32)
            .command([&b"/bin/echo"[..], b"\xff", b"a\nb\x1b[2J"])
            .detail("status", 3);
        assert_eq!(
            record.to_json().unwrap(),
            concat!(
                r#"{"time":"2026-11-20T13:56:03.120Z","type":"use","login":"alice","uid":1001,"#,
                r#""command":["/bin/echo",{"hex":"ff"},"a\nb\u001b[2J"],"detail":{"status":3},"#,
                r#""boot_ns":7,"boot_id":"b"}"#
            )
        );
    }

    #[test]
    fn too_large_is_refused_not_shortened() {
        let record = Record::new(kind::USE, now()).reason("x".repeat(MAX_RECORD));
        assert!(matches!(record.to_json(), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn type_names_are_plain_words() {
        for bad in ["", "Use", "a b", "a\n", &"a".repeat(33)] {
            assert!(matches!(
                Record::new(bad, now()).to_json(),
                Err(Error::Kind)
            ));
        }
    }
}
