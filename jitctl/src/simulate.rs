//! `jitctl simulate --siem`: harmless records on the way that every record takes, and when each came back.

use crate::agent::unexpected;
use crate::args;
use crate::context::{Context, need_root};
use crate::exit::{Code, Exit};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::output::{Line, Style};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wire::cli::{Probe, Receiver, Reply, Request};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(10);

pub fn command(ctx: &Context, args: &args::Simulate) -> Result<u8, Failure> {
    need_root("send probes")?;
    let mut files = args
        .from
        .iter()
        .map(|path| Follow::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = receivers(ctx)?.into_iter().map(|r| r.name).collect();
    if names.is_empty() && files.is_empty() {
        let text = "There is no receiver of the journal.";
        return Err(Failure::new(Code::Usage, text)
            .hint("Name one in /etc/jit/link.toml (docs/how-to/siem.md) and restart jit-link."));
    }
    let start = Instant::now();
    let count = args.count;
    let Reply::Probed { probes } = ctx.agent.ask(&Request::Probe { count })? else {
        return Err(unexpected());
    };
    let mut ways: Vec<Way> = names.into_iter().map(|n| Way::new(n, &probes)).collect();
    let mut written: Vec<Way> = files
        .iter()
        .map(|file| Way::new(file.path.display().to_string(), &probes))
        .collect();
    let until = start + Duration::from_secs(args.within);
    loop {
        let now = receivers(ctx)?;
        for way in &mut ways {
            if let Some(receiver) = now.iter().find(|r| r.name == way.name) {
                let at = start.elapsed();
                way.arrived(at, |probe| probe.index < receiver.next);
                way.why.clone_from(&receiver.why);
            }
        }
        for (file, way) in files.iter_mut().zip(&mut written) {
            let text = file.more()?;
            way.arrived(start.elapsed(), |probe| holds(&text, probe.id.as_bytes()));
        }
        let done = ways.iter().chain(&written).all(Way::is_done);
        if done || Instant::now() >= until {
            break;
        }
        std::thread::sleep(LOOK);
    }
    ways.extend(written);
    ctx.out.json(&json!({
        "schema_version": SCHEMA_VERSION,
        "ok": ways.iter().all(Way::is_done),
        "probes": probes.iter().map(|p| json!({ "index": p.index, "id": p.id })).collect::<Vec<_>>(),
        "ways": ways.iter().map(Way::json).collect::<Vec<_>>(),
    }));
    ctx.out
        .lines(&ways.iter().map(Way::line).collect::<Vec<_>>());
    let all = ways.iter().all(Way::is_done);
    Ok(if all { Exit::Ok } else { Exit::Problems }.code())
}

fn receivers(ctx: &Context) -> Result<Vec<Receiver>, Failure> {
    match ctx.agent.ask(&Request::Receivers)? {
        Reply::Receivers { receivers } => Ok(receivers),
        _ => Err(unexpected()),
    }
}

fn holds(text: &[u8], id: &[u8]) -> bool {
    text.windows(id.len()).any(|window| window == id)
}

/// One receiver, or one file.
struct Way {
    name: String,
    probes: Vec<(Probe, Option<Duration>)>,
    why: Option<String>,
}

impl Way {
    fn new(name: String, probes: &[Probe]) -> Self {
        let probes = probes.iter().map(|probe| (probe.clone(), None)).collect();
        let why = None;
        Self { name, probes, why }
    }

    fn arrived(&mut self, at: Duration, is_there: impl Fn(&Probe) -> bool) {
        for (probe, then) in &mut self.probes {
            if then.is_none() && is_there(probe) {
                *then = Some(at);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.probes.iter().all(|(_, then)| then.is_some())
    }

    fn came(&self) -> Vec<u64> {
        let came = self.probes.iter().filter_map(|(_, then)| *then);
        came.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX))
            .collect()
    }

    fn json(&self) -> Value {
        json!({ "name": self.name, "ok": self.is_done(), "came_after_ms": self.came(), "why": self.why })
    }

    fn line(&self) -> Line {
        let came = self.came();
        let (have, all) = (came.len(), self.probes.len());
        let style = if self.is_done() {
            Style::Good
        } else {
            Style::Bad
        };
        let line = Line::new(&self.name).text(": ");
        let line = line.styled(style, format!("{have} of {all} came"));
        let line = match (came.first(), came.last()) {
            (Some(first), Some(last)) => line.text(format!(
                ", the first after {first} ms, the last after {last} ms"
            )),
            _ => line,
        };
        match &self.why {
            Some(why) if !self.is_done() => line.text("; ").text(why),
            _ => line,
        }
    }
}

/// What is appended to a file from now on. One that is not there yet may come, one that was rotated is read from its start.
struct Follow {
    path: PathBuf,
    at: u64,
    /// The end of what was read, in which half an id may stand.
    rest: Vec<u8>,
}

impl Follow {
    /// Longer than an id.
    const REST: usize = 64;

    fn open(path: &Path) -> Result<Self, Failure> {
        let fail = |e: std::io::Error| unreadable(path, &e);
        let at = match std::fs::metadata(path) {
            Ok(meta) if meta.is_file() => meta.len(),
            Ok(_) => return Err(fail(std::io::Error::other("it is no file"))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
            Err(e) => return Err(fail(e)),
        };
        let path = path.to_owned();
        let rest = Vec::new();
        Ok(Self { path, at, rest })
    }

    fn more(&mut self) -> Result<Vec<u8>, Failure> {
        let fail = |e: std::io::Error| unreadable(&self.path, &e);
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(fail(e)),
        };
        if file.metadata().map_err(fail)?.len() < self.at {
            self.at = 0;
        }
        file.seek(SeekFrom::Start(self.at)).map_err(fail)?;
        let mut text = std::mem::take(&mut self.rest);
        let read = file.read_to_end(&mut text).map_err(fail)?;
        self.at += read as u64;
        self.rest = text[text.len().saturating_sub(Self::REST)..].to_vec();
        Ok(text)
    }
}

fn unreadable(path: &Path, e: &std::io::Error) -> Failure {
    Failure::new(
        Code::Usage,
        format!("{} cannot be read: {e}.", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_found_whole_and_after_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("siem");
        std::fs::write(&path, "old id-1").unwrap();
        let mut file = Follow::open(&path).unwrap();
        assert!(!holds(&file.more().unwrap(), b"id-1"));
        std::fs::write(&path, "old id-1 id").unwrap();
        assert!(!holds(&file.more().unwrap(), b"id-2"));
        std::fs::write(&path, "old id-1 id-2").unwrap();
        assert!(holds(&file.more().unwrap(), b"id-2"));
        std::fs::write(&path, "id-3").unwrap();
        assert!(holds(&file.more().unwrap(), b"id-3"));
        assert!(Follow::open(dir.path()).is_err());
    }

    #[test]
    fn a_way_is_done_when_all_probes_came() {
        let probe = |index| Probe {
            index,
            id: format!("id-{index}"),
        };
        let mut way = Way::new("siem".into(), &[probe(7), probe(8)]);
        way.arrived(Duration::from_millis(3), |p| p.index < 8);
        assert!(!way.is_done());
        assert_eq!(
            way.line().plain(),
            "siem: 1 of 2 came, the first after 3 ms, the last after 3 ms"
        );
        way.arrived(Duration::from_millis(9), |p| p.index < 9);
        assert!(way.is_done());
        assert_eq!(way.came(), [3, 9]);
    }
}
