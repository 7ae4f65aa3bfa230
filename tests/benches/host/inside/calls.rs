//! Commands, timed from before their start to after their end; and commands that go on until they are ended.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

use super::{number, words};

/// Runs a command again and again; each must end with the expected code.
pub fn timed(question: &Value) -> Result<Value, String> {
    let argv = words(&question["argv"]);
    let code = i32::try_from(number(&question["code"])?).map_err(|e| e.to_string())?;
    let every = question["every_ms"].as_u64().map(Duration::from_millis);
    let mut command = quiet(&argv)?;
    let mut us = Vec::new();
    let cpu = cpu_us()?;
    let begun = Instant::now();
    for n in 0..u32::try_from(number(&question["count"])?).map_err(|e| e.to_string())? {
        if let Some(every) = every {
            thread::sleep((begun + every * n).saturating_duration_since(Instant::now()));
        }
        let start = Instant::now();
        let status = command.status().map_err(|e| format!("{argv:?}: {e}"))?;
        us.push(micros(start.elapsed()));
        if status.code() != Some(code) {
            return Err(format!("{argv:?} ended with {status}, not with {code}"));
        }
    }
    Ok(json!({ "us": us, "cpu_us": cpu_us()? - cpu }))
}

/// A command that hears and says nothing.
pub fn quiet(argv: &[String]) -> Result<Command, String> {
    let (program, args) = argv.split_first().ok_or("no command")?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Processor time of all children that have ended.
fn cpu_us() -> Result<f64, String> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|e| e.to_string())?;
    let of = |t: nix::sys::time::TimeVal| {
        micros(Duration::new(
            u64::try_from(t.tv_sec()).unwrap_or(0),
            u32::try_from(t.tv_usec() * 1000).unwrap_or(0),
        ))
    };
    Ok(of(usage.user_time()) + of(usage.system_time()))
}

/// Commands that run on.
#[derive(Default)]
pub struct Held(Vec<Child>);

impl Held {
    /// Starts a command `count` times, all at once, and waits until the cgroup holds that many processes named `comm`.
    pub fn start(&mut self, question: &Value) -> Result<Value, String> {
        let argv = words(&question["argv"]);
        let count = usize::try_from(number(&question["count"])?).map_err(|e| e.to_string())?;
        let comm = question["comm"].as_str().ok_or("no name")?;
        let cgroup = question["cgroup"].as_str().ok_or("no cgroup")?;
        let begun = Instant::now();
        for _ in 0..count {
            let child = quiet(&argv)?
                .spawn()
                .map_err(|e| format!("{argv:?}: {e}"))?;
            self.0.push(child);
        }
        let called = |pid: &&u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            text.trim() == comm
        };
        // The unit itself holds one `sleep`.
        let wanted = count + usize::from(comm == "sleep");
        loop {
            let found = members(cgroup)?.iter().filter(called).count();
            if found >= wanted {
                return Ok(json!({ "ms": micros(begun.elapsed()) / 1000.0 }));
            }
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(format!("{found} of {wanted} processes {comm} after 20 s"));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Takes in those that have ended.
    pub fn reap(&mut self) -> Result<Value, String> {
        for child in &mut self.0 {
            child.wait().map_err(|e| e.to_string())?;
        }
        let count = std::mem::take(&mut self.0).len();
        Ok(json!({ "reaped": count }))
    }
}

/// The processes of a cgroup and of those below it.
pub fn members(cgroup: &str) -> Result<Vec<u32>, String> {
    let path = format!("{cgroup}/cgroup.procs");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let mut all: Vec<u32> = text.lines().filter_map(|l| l.parse().ok()).collect();
    for entry in fs::read_dir(cgroup).map_err(|e| e.to_string())?.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            all.extend(members(&entry.path().display().to_string())?);
        }
    }
    Ok(all)
}
