//! `jitctl import`: statements from a file. It understands none of them: the agent verifies each.

use crate::agent::unexpected;
use crate::args;
use crate::context::{Context, need_root};
use crate::exit::{Code, Exit};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::output::Line;
use api::sse::Reader;
use api::{Event, Kind};
use serde_json::json;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use wire::cli::{Reply, Request};
use wire::link;

/// Bytes of a file: years of an issuer's log.
const FILE_MAX: u64 = 64 << 20;

pub fn command(ctx: &Context, args: &args::Import) -> Result<u8, Failure> {
    need_root("import statements")?;
    let events = read(&args.file)?;
    if events.is_empty() {
        return Err(Failure::new(Code::Usage, "The file holds no statement."));
    }
    let (mut taken, mut known, mut refused) = (0u64, 0u64, Vec::new());
    for event in events {
        let name = event.kind.name();
        let (kind, blob) = (kind_of(event.kind), event.data);
        match ctx.agent.ask(&Request::Import { kind, blob }) {
            Ok(Reply::Imported { new: true }) => taken += 1,
            Ok(Reply::Imported { new: false }) => known += 1,
            Ok(_) => return Err(unexpected()),
            // One that does not fit keeps none of the others away.
            Err(failure) if failure.code == Code::Denied => refused.push((name, failure.message)),
            Err(failure) => return Err(failure),
        }
    }
    let list: Vec<_> = refused
        .iter()
        .map(|(kind, why)| json!({ "kind": kind, "why": why }))
        .collect();
    ctx.out.json(&json!({
        "schema_version": SCHEMA_VERSION, "taken": taken, "known": known, "refused": list,
    }));
    let mut lines = vec![Line::new(format!(
        "Taken: {taken}. Known already: {known}."
    ))];
    for (kind, why) in &refused {
        lines.push(Line::new(format!("Refused: {kind}: ")).text(why));
    }
    ctx.out.lines(&lines);
    Ok(if refused.is_empty() {
        Exit::Ok
    } else {
        Exit::Denied
    }
    .code())
}

fn read(path: &Path) -> Result<Vec<Event>, Failure> {
    let failed = |why: String| Failure::new(Code::Usage, format!("{}: {why}.", path.display()));
    let mut source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|e| failed(e.to_string()))?)
    };
    let mut reader = Reader::default();
    let mut events = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        let n = source.read(&mut chunk).map_err(|e| failed(e.to_string()))?;
        total += n as u64;
        if total > FILE_MAX {
            return Err(failed(format!("it is longer than {FILE_MAX} bytes")));
        }
        if n == 0 {
            return Ok(events);
        }
        let bytes = chunk.get(..n).unwrap_or_default();
        reader.push(bytes).map_err(|e| failed(e.to_string()))?;
        events.extend(std::iter::from_fn(|| reader.pop()));
    }
}

fn kind_of(kind: Kind) -> link::Kind {
    match kind {
        Kind::Grant => link::Kind::Grant,
        Kind::Revocation => link::Kind::Revocation,
        Kind::State => link::Kind::State,
        Kind::Policy => link::Kind::Policy,
        Kind::Trust => link::Kind::Trust,
        Kind::Breakglass => link::Kind::Breakglass,
    }
}
