//! Records on their way to the local logs: journald's own protocol, with a field for each thing a record says, or a
//! line to the local syslog where there is no journald. Never blocks and never fails the caller: the journal is the truth.

use journal::{kind, render_line};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::Value;
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

/// systemd-journald's own socket.
const JOURNALD: &str = "/run/systemd/journal/socket";
const DEV_LOG: &str = "/dev/log";
const NAME: &str = "jit-agent";
/// `LOG_AUTHPRIV`.
const FACILITY: &str = "10";

/// By record type, never changed: journald's catalog (`packaging/catalog/jit.catalog`) explains each.
pub const MESSAGE_IDS: [(&str, &str); 25] = [
    (kind::START, "1283486086c74b38a8095416a1b176cb"),
    (kind::STOP, "ceb4ade677e44d3eaef203b0e0778a37"),
    (kind::REQUEST, "4e9f3a4bab7b42b5860d2a9a616659e4"),
    (kind::GRANT, "924e9dab8bf645af9f8ca123b5f2f434"),
    (kind::EXTEND, "146d7a4e37a4450abb10e6188bc5584b"),
    (kind::REFUSED, "615f54bf713b4646aff3ca10bb543734"),
    (kind::USE, "604019be48d44a1e9ef7fab490e35754"),
    (kind::LIST, "6711b261dfab40f584a6fdd4f77b23fd"),
    (kind::CLOSE, "dd1acae8e2084d6eb2d26c3bd8cd76b1"),
    (kind::END, "c8c6740d7f964c00bc32dc2542ee105a"),
    (kind::PROOF, "c8048409cb614fbabd1c007ff87ea5ce"),
    (kind::ESCAPE, "fdccaa7a3d3d4409ab2ed72a7dae6efc"),
    (kind::REVOCATION, "aa9007dd0fec4434a5adf0bab45e7e9b"),
    (kind::POLICY, "ff1be45a6297425daa5bc4b7a5580304"),
    (kind::TRUST, "536ed90e244d4b9885ce91fe5563d501"),
    (kind::CONFIG, "0e73a418f7244b18a4e8addf01ef8f93"),
    (kind::ENROL, "ada5ee1118f44a7cacc9a4ea4c0f6b60"),
    (kind::PRUNE, "d36eec44502346db88e9ec4f604b41ce"),
    (kind::CLOCK, "7c098cec8b274b53b25e56656a66422b"),
    (kind::BREAKGLASS, "44cb1373e99c49d2bf65896226f9908a"),
    (kind::HEARTBEAT, "1477150be5824b27a55c9e98c7b4221a"),
    (kind::WITNESS, "b5dd77f85f3f4cb8ae7cd474d29fc448"),
    (kind::ALERT, "1074e785ed414c61a2ccbe92cb5cb004"),
    (kind::RECOVERY, "26acc078f094475f8c3e510b7dc182be"),
    (kind::PROBE, "d8b765ee520e4d9daf8cccec3e04807b"),
];

/// Members of a record that have a field of their own, `JIT_` and the name in capitals.
const MEMBERS: [&str; 14] = [
    "type", "grant", "request", "role", "login", "uid", "auid", "session", "decision", "reason",
    "ticket", "runas", "cwd", "tty",
];

/// How loud a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    /// Somebody has to act at once: a break-glass code was used or tried.
    Alert,
    Warning,
    Info,
}

impl Severity {
    fn of(record: &Value) -> Self {
        let kind = record["type"].as_str().unwrap_or_default();
        match (kind, record["decision"].as_str()) {
            (kind::BREAKGLASS, Some("allow" | "deny")) => Self::Alert,
            (kind::ALERT | kind::RECOVERY, _) | (_, Some("deny")) => Self::Warning,
            _ => Self::Info,
        }
    }

    /// syslog(3).
    const fn priority(self) -> &'static str {
        match self {
            Self::Alert => "1",
            Self::Warning => "4",
            Self::Info => "6",
        }
    }
}

/// Does somebody have to look at this record?
pub fn is_loud(record: &Value) -> bool {
    Severity::of(record) != Severity::Info
}

type Lines = syslog::Logger<syslog::LoggerBackend, syslog::Formatter3164>;

/// Both sockets, connected when first needed and again after they failed.
#[derive(Default)]
pub struct Local {
    journald: Option<UnixDatagram>,
    lines: Option<Lines>,
}

impl Local {
    /// A record as stored.
    pub fn record(&mut self, index: u64, json: &str) {
        let record: Value = serde_json::from_str(json).unwrap_or_default();
        let severity = Severity::of(&record);
        let line = render_line(json);
        self.send(&fields(index, json, &record, &line), &line, severity);
    }

    /// What is wrong with the journal itself.
    pub fn alert(&mut self, text: &str) {
        let mut fields = Vec::new();
        common(&mut fields, text, Severity::Warning);
        self.send(&fields, text, Severity::Warning);
    }

    fn send(&mut self, fields: &[u8], line: &str, severity: Severity) {
        if self.journald.is_none() {
            self.journald = connect(JOURNALD);
        }
        if let Some(socket) = &self.journald {
            match deliver(socket, fields) {
                Ok(()) => return,
                // It was restarted, or is full: a new socket next time.
                Err(_) => self.journald = None,
            }
        }
        self.line(line, severity);
    }

    fn line(&mut self, text: &str, severity: Severity) {
        if self.lines.is_none() {
            self.lines = lines();
        }
        let Some(logger) = self.lines.as_mut() else {
            return;
        };
        let sent = match severity {
            Severity::Alert => logger.alert(text),
            Severity::Warning => logger.warning(text),
            Severity::Info => logger.info(text),
        };
        if sent.is_err() {
            self.lines = None;
        }
    }
}

fn connect(path: &str) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(path).ok()?;
    Some(socket)
}

fn lines() -> Option<Lines> {
    let formatter = syslog::Formatter3164 {
        facility: syslog::Facility::LOG_AUTHPRIV,
        hostname: None,
        process: NAME.into(),
        pid: std::process::id(),
    };
    let socket = connect(DEV_LOG)?;
    Some(syslog::Logger::new(
        syslog::LoggerBackend::Unix(socket),
        formatter,
    ))
}

/// One datagram, or a sealed file where it is too large for one.
fn deliver(socket: &UnixDatagram, fields: &[u8]) -> io::Result<()> {
    match socket.send(fields) {
        Ok(_) => return Ok(()),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EMSGSIZE | libc::ENOBUFS)) => {}
        Err(e) => return Err(e),
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = std::fs::File::from(memfd_create("jit-record", flags)?);
    file.write_all(fields)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    fcntl_add_seals(&file, seals)?;
    let fds = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(
        socket,
        &[IoSlice::new(&[])],
        &mut ancillary,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )?;
    Ok(())
}

/// Name, length, bytes: a value may hold whatever it likes.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

fn common(out: &mut Vec<u8>, line: &str, severity: Severity) {
    field(out, "MESSAGE", line);
    field(out, "PRIORITY", severity.priority());
    field(out, "SYSLOG_FACILITY", FACILITY);
    field(out, "SYSLOG_IDENTIFIER", NAME);
    field(out, "SYSLOG_PID", &std::process::id().to_string());
}

fn fields(index: u64, json: &str, record: &Value, line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    common(&mut out, line, Severity::of(record));
    let kind = record["type"].as_str().unwrap_or_default();
    if let Some((_, id)) = MESSAGE_IDS.iter().find(|(name, _)| *name == kind) {
        field(&mut out, "MESSAGE_ID", id);
    }
    field(&mut out, "JIT_INDEX", &index.to_string());
    for name in MEMBERS {
        let value = match &record[name] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        field(&mut out, &format!("JIT_{}", name.to_uppercase()), &value);
    }
    field(&mut out, "JIT_RECORD", json);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// The fields as journald takes them apart.
    fn parse(mut bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut fields = BTreeMap::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|b| *b == b'\n').unwrap();
            let name = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = u64::from_le_bytes(bytes[end + 1..end + 9].try_into().unwrap());
            let value = &bytes[end + 9..][..usize::try_from(length).unwrap()];
            bytes = &bytes[end + 9 + value.len() + 1..];
            assert!(fields.insert(name, value.to_vec()).is_none());
        }
        fields
    }

    #[test]
    fn a_value_forges_no_field() {
        let json = r#"{"type":"use","login":"a\nJIT_LOGIN=root","uid":7,"reason":"x\nMESSAGE=y"}"#;
        let record = serde_json::from_str(json).unwrap();
        let got = parse(&fields(3, json, &record, &render_line(json)));
        assert_eq!(got["JIT_LOGIN"], b"a\nJIT_LOGIN=root");
        assert_eq!(got["JIT_UID"], b"7");
        assert_eq!(got["JIT_INDEX"], b"3");
        assert_eq!(got["PRIORITY"], b"6");
        assert_eq!(got["JIT_RECORD"], json.as_bytes());
        assert_eq!(got["MESSAGE_ID"], b"604019be48d44a1e9ef7fab490e35754");
        assert!(!got["MESSAGE"].contains(&b'\n'));
    }

    #[test]
    fn every_type_has_an_id_of_its_own_and_the_catalog_explains_it() {
        let catalog = include_str!("../../packaging/catalog/jit.catalog");
        let explained: Vec<&str> = catalog
            .lines()
            .filter_map(|l| l.strip_prefix("-- "))
            .collect();
        let ids: Vec<&str> = MESSAGE_IDS.iter().map(|(_, id)| *id).collect();
        assert_eq!(explained, ids);
        assert_eq!(BTreeSet::from_iter(&ids).len(), ids.len());
        assert!(ids.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn large_records_go_as_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let taker = UnixDatagram::bind(&path).unwrap();
        let socket = connect(path.to_str().unwrap()).unwrap();
        deliver(&socket, b"small").unwrap();
        deliver(&socket, &vec![b'x'; 4 << 20]).unwrap();
        let mut buffer = [0; 64];
        assert_eq!(taker.recv(&mut buffer).unwrap(), 5);
        assert_eq!(taker.recv(&mut buffer).unwrap(), 0);
    }
}
