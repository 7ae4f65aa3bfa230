//! The `systemd-nspawn` command line, and the wait until a booted system says that it is up.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{self, Output};
use crate::overlay::Place;

/// A boot takes three seconds on an idle machine.
const BOOT: Duration = Duration::from_secs(120);

/// A booted system.
pub(crate) struct Machine {
    /// The `systemd-nspawn` process, which ends when the system powers off or reboots.
    pub(crate) supervisor: Child,
    /// The system's PID 1, as this machine counts.
    pub(crate) init: u32,
}

/// Boots `place` and waits until its PID 1 reports the end of the boot.
#[track_caller]
pub(crate) fn boot(place: &Place) -> Machine {
    let news = place.dir.join("notify");
    let _ = fs::remove_file(&news);
    let socket = UnixDatagram::bind(&news).expect("a socket for news of the boot");
    let console = File::options()
        .create(true)
        .append(true)
        .open(place.dir.join("console"))
        .expect("the console file");
    let mut supervisor = spawn(place, &["--notify-ready=yes", "--console=pipe", "--boot"])
        .env("NOTIFY_SOCKET", &news)
        .stdin(Stdio::null())
        .stdout(console.try_clone().expect("the console file"))
        .stderr(console)
        .process_group(0)
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run systemd-nspawn: {e}"));
    match wait_ready(&socket, &mut supervisor) {
        Ok(init) => Machine { supervisor, init },
        Err(why) => panic!("no boot: {why}\n--- console\n{}", console_tail(place)),
    }
}

/// Reads sd_notify(3) messages until one says READY=1. `systemd-nspawn` tells the PID of the init it started, and
/// hands on its READY.
fn wait_ready(socket: &UnixDatagram, supervisor: &mut Child) -> Result<u32, String> {
    let deadline = Instant::now() + BOOT;
    // Short, to notice a supervisor that ended without a word.
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .map_err(|e| e.to_string())?;
    let mut init = None;
    let mut buffer = [0; 4096];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let pid = text
                    .lines()
                    .find_map(|l| l.strip_prefix("X_NSPAWN_LEADER_PID="));
                init = pid.and_then(|p| p.parse().ok()).or(init);
                if let (Some(init), true) = (init, text.lines().any(|l| l == "READY=1")) {
                    return Ok(init);
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                if let Ok(Some(status)) = supervisor.try_wait() {
                    return Err(format!("systemd-nspawn ended with {status}"));
                }
                if Instant::now() > deadline {
                    return Err(format!("not ready within {BOOT:?}"));
                }
            }
            Err(e) => return Err(e.to_string()),
        }
    }
}

/// Runs one command in a place that is not booted.
#[track_caller]
pub(crate) fn once(place: &Place, options: &[String], argv: &[String], limit: Duration) -> Output {
    let mut all: Vec<&str> = vec!["--pipe", "--as-pid2"];
    all.extend(options.iter().map(String::as_str));
    all.push("--");
    all.extend(argv.iter().map(String::as_str));
    command::run(&mut spawn(place, &all), &argv.join(" "), limit)
}

fn spawn(place: &Place, options: &[&str]) -> Command {
    let mut command = joining(
        &place
            .cgroup
            .paths
            .iter()
            .map(|p| p.display().to_string())
            .collect::<Vec<_>>(),
    );
    command
        .arg("systemd-nspawn")
        .arg("--directory")
        .arg(place.merged())
        .arg(format!("--machine={}", place.name))
        // Needs no systemd on this machine.
        .args(["--register=no", "--keep-unit", "--settings=no"])
        .args([
            "--private-network",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
        ])
        // chattr +a, which the journal rests on.
        .arg("--capability=CAP_LINUX_IMMUTABLE")
        .args(options)
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
    command
}

/// A command that enters the given cgroups and then becomes the program in its further arguments.
pub(crate) fn joining(cgroups: &[String]) -> Command {
    let mut command = Command::new("sh");
    let script = r#"for group in $JIT_CGROUPS; do echo $$ >"$group/cgroup.procs" || exit 125; done; exec "$@""#;
    command
        .args(["-c", script, "sh"])
        .env("JIT_CGROUPS", cgroups.join(" "));
    command
}

/// The last lines of the console.
pub(crate) fn console_tail(place: &Place) -> String {
    let text = fs::read(place.dir.join("console"))
        .map(|b| String::from_utf8_lossy(&b).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
