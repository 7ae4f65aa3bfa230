//! `jitctl log export` and `log prove`: the journal for programs that know nothing of this one.

use crate::context::Context;
use crate::exit::Code;
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::log::{DIR, HEAD};
use crate::log_witness;
use crate::output::Line;
use journal::{Cosigned, Error, HostKey, Signing, TreeHead};
use serde_json::{Value, json};
use statement::sign::Signer;
use std::path::Path;

const HOST_KEY: &str = "/var/lib/jit/host.key";
const MACHINE_ID: &str = "/etc/machine-id";

pub fn export(ctx: &Context, to: &Path, witnessed: bool) -> Result<u8, Failure> {
    if to
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
    {
        let text = format!("{} is not empty.", to.display());
        return Err(Failure::new(Code::Usage, text).hint("Give a new folder."));
    }
    let (origin, key) = identity()?;
    let cosigned = cosigned(witnessed)?;
    let signing = signing(&origin, &key, cosigned.as_ref());
    let head = journal::export(Path::new(DIR), to, signing).map_err(failure)?;
    ctx.out.json(&head_json(&head));
    ctx.out.lines(&[
        Line::new(format!("{} entries in ", head.size)).text(to.display().to_string()),
        Line::new("A checker needs this key, and must not take it from that folder:"),
    ]);
    for key in &head.keys {
        ctx.out.line(key.vkey());
    }
    if let Some(witness) = &head.witness {
        ctx.out.line(witness.vkey());
    }
    Ok(0)
}

pub fn prove(ctx: &Context, index: u64, witnessed: bool) -> Result<u8, Failure> {
    let (origin, key) = identity()?;
    let cosigned = cosigned(witnessed)?;
    let signing = signing(&origin, &key, cosigned.as_ref());
    let (proof, head) = journal::prove(Path::new(DIR), index, signing).map_err(failure)?;
    let mut value = head_json(&head);
    value["index"] = json!(index);
    value["proof"] = json!(proof);
    ctx.out.json(&value);
    let lines: Vec<Line> = proof.lines().map(Line::new).collect();
    ctx.out.lines(&lines);
    Ok(0)
}

fn head_json(head: &TreeHead) -> Value {
    let keys: Vec<String> = head.keys.iter().map(journal::NoteKey::vkey).collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "origin": head.origin,
        "size": head.size,
        "checkpoint": head.note,
        "keys": keys,
        "witness": head.witness.as_ref().map(journal::WitnessKey::vkey),
    })
}

fn signing<'a>(origin: &'a str, key: &'a HostKey, cosigned: Option<&'a Cosigned>) -> Signing<'a> {
    Signing {
        head: Some(Path::new(HEAD)),
        origin,
        key,
        cosigned,
    }
}

/// What the witness cosigned last, if that is what is wanted.
fn cosigned(witnessed: bool) -> Result<Option<Cosigned>, Failure> {
    if !witnessed {
        return Ok(None);
    }
    let none = || {
        let hint = "Its witness is the issuer: see `jitctl status`.";
        Failure::new(Code::NotFound, "No witness has cosigned the journal yet.").hint(hint)
    };
    log_witness::kept()?.ok_or_else(none).map(Some)
}

/// The origin of this host's log, `jit/<host id>/<log>`, and the key that says that it is this host's.
pub fn identity() -> Result<(String, HostKey), Failure> {
    let id = std::fs::read_to_string(MACHINE_ID).map_err(|e| unreadable(MACHINE_ID, &e))?;
    let log = journal::log_name(Path::new(DIR))
        .ok_or_else(|| unreadable(DIR, &"it holds no whole segment"))?;
    Ok((format!("jit/{}/{log}", id.trim()), host_key()?))
}

/// The key that this host signs with.
pub fn host_key() -> Result<HostKey, Failure> {
    let key = std::fs::read(HOST_KEY).map_err(|e| unreadable(HOST_KEY, &e))?;
    HostKey::from_pkcs8(&key).ok_or_else(|| unreadable(HOST_KEY, &"it is no Ed25519 key"))
}

/// The same key, for this host's statements.
pub fn host_signer() -> Result<Signer, Failure> {
    let key = std::fs::read(HOST_KEY).map_err(|e| unreadable(HOST_KEY, &e))?;
    Signer::from_pkcs8(&key).map_err(|_| unreadable(HOST_KEY, &"it is no key"))
}

fn unreadable(path: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Internal, format!("{path} cannot be read: {why}."))
}

fn failure(error: Error) -> Failure {
    let code = match error {
        Error::Unsound(_) => Code::LogUnsound,
        Error::NoEntry { .. } => Code::Usage,
        _ => Code::Internal,
    };
    Failure::new(code, error.to_string())
}
