//! A virtual machine with a clock, a disk and a reboot of its own, for what the shared kernel of a [`crate::Host`]
//! forbids. It runs under software emulation: one boot takes 20 to 30 seconds, so put all scripts of a test file into
//! one run.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cache::{self, Cached};
use crate::command::{self, Output};
use crate::overlay::Place;
use crate::tree::{self, Release};
use crate::{nspawn, project};

const RUNNER: &str = include_str!("../hosts/guest-run");
/// What makes a tree boot by itself, without what takes long and serves nobody.
const PREPARE: &str = "chmod 0755 /usr/lib/guest-run && systemctl enable guest-run && systemctl mask e2scrub_reap apparmor \
    && echo '/dev/vda / ext4 rw 0 1' >/etc/fstab";
const UNIT: &str = include_str!("../hosts/guest-run.service");

/// Scripts to run in one guest, Debian 12 with the built packages installed and nothing set up.
#[derive(Default)]
pub struct Guest {
    scripts: Vec<(String, String)>,
}

/// What the scripts of a guest said.
pub struct Report {
    outputs: Vec<(String, Output)>,
    log: String,
    /// From power-on to power-off.
    pub elapsed: Duration,
}

impl Guest {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a bash script, run as root after those added before. With `touch /run/reboot-next` in it the guest
    /// reboots after it, and the next one runs in the next boot.
    #[must_use]
    pub fn then(mut self, name: &str, script: &str) -> Self {
        self.scripts.push((name.to_owned(), script.to_owned()));
        self
    }

    /// Boots the guest, runs the scripts and waits for its power-off, at most for `limit`.
    #[track_caller]
    pub fn run(self, limit: Duration) -> Report {
        project::need(&[
            "mmdebstrap",
            "systemd-nspawn",
            "mke2fs",
            "qemu-system-x86_64",
            "tar",
        ]);
        let image = image(&project::packages());
        let place = Place::bare();
        let [scripts, disk, said, console] =
            ["scripts.tar", "disk", "said", "console"].map(|name| place.dir.join(name));
        self.pack(&place.dir, &scripts);
        // A disk of its own, holes and all.
        let args = [
            "--sparse=always",
            &shown(&image.path().join("disk")),
            &shown(&disk),
        ];
        command::must("cp", &args, Duration::from_secs(120));

        let start = Instant::now();
        let groups: Vec<String> = place.cgroup.paths.iter().map(|p| shown(p)).collect();
        let mut qemu = nspawn::joining(&groups);
        // The plainest processor: with "max", QEMU 7.2's emulation of AVX garbles strings now and then.
        qemu.arg("qemu-system-x86_64")
            .args([
                // The HPET takes the interrupt of the real-time clock, which wakes the guest from sleep.
                "-no-hpet",
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                "qemu64",
                "-smp",
                "2",
                "-m",
                "1024",
                "-nodefaults",
                "-display",
                "none",
            ])
            .args(["-nic", "none", "-rtc", "base=utc,clock=host"])
            .arg("-drive")
            .arg(format!(
                "file={},if=virtio,format=raw,cache=writeback",
                disk.display()
            ))
            .arg("-drive")
            .arg(format!(
                "file={},if=virtio,format=raw,readonly=on",
                scripts.display()
            ))
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-serial")
            .arg(format!("file:{}", said.display()))
            .arg("-kernel")
            .arg(image.path().join("vmlinuz"))
            .arg("-initrd")
            .arg(image.path().join("initrd"))
            .args(["-append", "root=/dev/vda rw console=ttyS0 quiet"]);
        let ended = command::try_run(&mut qemu, "qemu-system-x86_64", limit);
        let log = fs::read_to_string(&said).unwrap_or_default();
        let report = Report {
            outputs: parse(&log),
            log,
            elapsed: start.elapsed(),
        };
        let console = fs::read(&console).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let why = ended.map_or_else(|late| late, |output| output.to_string());
        let done = report.log.contains("@@done");
        assert!(
            done,
            "the guest did not finish: {why}\n--- said\n{}\n--- console\n{console}",
            report.log
        );
        report
    }

    fn pack(&self, work: &Path, archive: &Path) {
        let folder = work.join("scripts");
        fs::create_dir(&folder).expect("a folder for the scripts");
        for (index, (name, script)) in self.scripts.iter().enumerate() {
            fs::write(folder.join(format!("{index:02}-{name}")), script).expect("a script");
        }
        command::must(
            "tar",
            &["-C", &shown(&folder), "-cf", &shown(archive), "."],
            Duration::from_secs(60),
        );
    }
}

impl Report {
    /// All that came over the second serial line.
    #[must_use]
    pub fn log(&self) -> &str {
        &self.log
    }

    /// What the script `name` said; `elapsed` is the whole run's.
    #[track_caller]
    pub fn of(&self, name: &str) -> Output {
        let found = self.outputs.iter().find(|(n, _)| n == name);
        let Some((_, output)) = found else {
            panic!("no script {name:?} in the guest's log\n{}", self.log)
        };
        Output {
            elapsed: self.elapsed,
            ..output.clone()
        }
    }
}

/// Splits the log at its markers.
fn parse(log: &str) -> Vec<(String, Output)> {
    let mut outputs = Vec::new();
    let mut current: Option<(String, String)> = None;
    for line in log.lines().map(|l| l.trim_end_matches('\r')) {
        if let Some(name) = line.strip_prefix("@@begin ") {
            current = Some((
                name.split_once('-').map_or(name, |(_, n)| n).to_owned(),
                String::new(),
            ));
        } else if let (Some(end), Some((name, stdout))) =
            (line.strip_prefix("@@end "), current.clone())
        {
            let code = end
                .rsplit_once(' ')
                .and_then(|(_, code)| code.parse().ok())
                .unwrap_or(-1);
            let command = format!("[guest] {name}");
            outputs.push((
                name,
                Output {
                    command,
                    code,
                    stdout,
                    stderr: String::new(),
                    elapsed: Duration::ZERO,
                },
            ));
            current = None;
        } else if let Some((_, text)) = &mut current {
            let _ = writeln!(text, "{line}");
        }
    }
    outputs
}

/// A disk with `packages` installed, and the kernel that boots it.
#[track_caller]
pub(crate) fn image(packages: &[PathBuf]) -> Cached {
    let base = tree::guest_base(Release::Bookworm);
    let key = cache::key((tree::installed_key(&base, packages), RUNNER, UNIT, PREPARE));
    cache::get("bookworm_disk", &key, |path| {
        let place = Place::new(&[base.path()]);
        tree::install(&place, packages);
        let root = place.merged();
        fs::write(root.join("usr/lib/guest-run"), RUNNER).expect("the runner");
        fs::write(root.join("usr/lib/systemd/system/guest-run.service"), UNIT)
            .expect("the runner's unit");
        nspawn::once(
            &place,
            &[],
            &["sh".into(), "-c".into(), PREPARE.into()],
            Duration::from_secs(60),
        )
        .ok();
        fs::create_dir(path).expect("the folder of the image");
        for name in ["vmlinuz", "initrd.img"] {
            let newest = newest(&root.join("boot"), name);
            fs::copy(newest, path.join(name.trim_end_matches(".img"))).expect("the kernel's files");
        }
        let args = [
            "-q",
            "-t",
            "ext4",
            "-d",
            &shown(&root),
            &shown(&path.join("disk")),
            "3G",
        ];
        command::must("mke2fs", &args, Duration::from_secs(300));
    })
}

fn newest(boot: &Path, prefix: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir(boot)
        .expect("the boot folder")
        .map(|e| e.expect("an entry").path())
        .collect();
    found.retain(|p| {
        p.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with(&format!("{prefix}-")))
    });
    found.sort();
    found
        .pop()
        .unwrap_or_else(|| panic!("no {prefix} in {}", boot.display()))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
