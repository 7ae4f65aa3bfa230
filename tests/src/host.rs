//! One booted host: run commands in it, open login shells, reboot it, and see why a test failed.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::cache::Cached;
use crate::carrier::Carrier;
use crate::command::{self, Output};
use crate::dialogue::Dialogue;
use crate::nspawn::{self, Machine};
use crate::overlay::Place;
use crate::shell::Shell;
use crate::tree::{self, Release};
use crate::{cache, project};

/// How long [`Host::run`] and its kin wait.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The unit in whose cgroup commands from outside run, so that to the host they look like any service's.
const DRIVER: &str = "test-driver.service";

/// What a command from outside finds around it.
const ENVIRONMENT: [&str; 4] = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM=dumb",
    "LANG=C.UTF-8",
    "HOME=/root",
];

/// A booted Debian with the people of `tests/hosts/customize.sh`: alice, bob, carol (standing sudo without a
/// password) and dave (standing sudo with his); each password is the name followed by `-secret`. Dropping it ends
/// and removes everything; when the test is failing, it shows the host's journal first.
pub struct Host {
    machine: Option<Machine>,
    place: Place,
    /// The trees below stay while this host lives.
    _layers: Vec<Cached>,
}

impl Host {
    /// Debian 12 as it comes.
    #[track_caller]
    pub fn plain() -> Self {
        Self::boot(Release::Bookworm, false)
    }

    /// Debian 12 as it comes with sssd, which sudo asks for rules beside its files. sssd knows the users of `/etc/passwd`,
    /// and no rule.
    #[track_caller]
    pub fn plain_with_sssd() -> Self {
        let host = Self::boot_from(Release::Bookworm, tree::sssd_base(), false);
        host.write(
            "/etc/sssd/sssd.conf",
            "[sssd]\nservices = nss, sudo\ndomains = local\n[domain/local]\nid_provider = files\n",
        );
        host.sh("chmod 600 /etc/sssd/sssd.conf && systemctl restart sssd")
            .ok();
        host
    }

    /// Debian 12 with the built packages installed and nothing set up.
    #[track_caller]
    pub fn installed() -> Self {
        Self::boot(Release::Bookworm, true)
    }

    /// Debian 12 with the built packages, `jitctl setup local` done and alice eligible.
    #[track_caller]
    pub fn ready() -> Self {
        Self::ready_on(Release::Bookworm)
    }

    /// The same on another release.
    #[track_caller]
    pub fn ready_on(release: Release) -> Self {
        let host = Self::boot(release, true);
        host.set_up();
        host
    }

    /// A host with what provisioning needs: cloud-init, and what Ansible asks of a host.
    #[track_caller]
    pub fn with_more(release: Release) -> Self {
        Self::on(vec![tree::more_base(release)])
    }

    /// A host with rpm, fitted as distributions that use it are: PAM's modules are found in `/usr/lib64/security`.
    #[track_caller]
    pub fn with_rpm(release: Release) -> Self {
        let host = Self::with_more(release);
        host.sh("ln -s /usr/lib/*-linux-gnu/security /usr/lib64/security")
            .ok();
        host
    }

    /// Debian 12 with every cache between a program and the answer of the name service, none of them running: nscd, sssd,
    /// systemd-userdbd. Otherwise as [`Host::ready`].
    #[track_caller]
    pub fn ready_with_name_caches() -> Self {
        let host = Self::boot_from(Release::Bookworm, tree::names_base(), true);
        host.set_up();
        host
    }

    /// Debian 12 whose rsyslog can receive over RELP and TLS. Otherwise as [`Host::ready`].
    #[track_caller]
    pub fn ready_with_receivers() -> Self {
        let host = Self::boot_from(Release::Bookworm, tree::more_base(Release::Bookworm), true);
        host.set_up();
        host
    }

    /// Debian 12 with syslog-ng in the place of rsyslog. Otherwise as [`Host::ready`].
    #[track_caller]
    pub fn ready_with_syslog_ng() -> Self {
        let host = Self::boot_from(Release::Bookworm, tree::syslog_ng_base(), true);
        host.set_up();
        host
    }

    /// Boots a host of `release`, with or without the built packages.
    #[track_caller]
    pub fn boot(release: Release, packages: bool) -> Self {
        Self::boot_from(release, tree::base(release), packages)
    }

    #[track_caller]
    fn boot_from(release: Release, base: Cached, packages: bool) -> Self {
        let mut layers = vec![base];
        if packages {
            let layer = tree::installed(release, &layers[0], &project::packages());
            layers.insert(0, layer);
        }
        Self::on(layers)
    }

    #[track_caller]
    fn on(layers: Vec<Cached>) -> Self {
        project::need(&["systemd-nspawn", "nsenter", "chattr"]);
        let paths: Vec<_> = layers.iter().map(Cached::path).collect();
        let place = Place::new(&paths);
        let mut host = Self {
            machine: None,
            place,
            _layers: layers,
        };
        host.start();
        host
    }

    /// What an admin does after installing: `jitctl setup local`, and alice becomes eligible.
    #[track_caller]
    pub fn set_up(&self) {
        self.run(&["jitctl", "setup", "local"]).ok();
        self.run(&["usermod", "-aG", "jit-eligible", "alice"]).ok();
    }

    /// Installs or reinstalls the built packages while the host runs, as `dpkg --install` does for an admin.
    #[track_caller]
    pub fn install(&self) -> Output {
        self.bring(&project::packages());
        self.sh("dpkg --install /root/packages/*.deb").ok()
    }

    /// Copies packages to `/root/packages`.
    #[track_caller]
    pub fn bring(&self, packages: &[PathBuf]) {
        self.run(&["mkdir", "-p", "/root/packages"]).ok();
        for package in packages {
            let name = package
                .file_name()
                .expect("the name of a package")
                .to_string_lossy()
                .into_owned();
            self.copy_in(package, &format!("/root/packages/{name}"));
        }
    }

    /// Runs a program as root, outside any login session.
    #[track_caller]
    pub fn run(&self, argv: &[&str]) -> Output {
        self.run_for(argv, LIMIT)
    }

    /// The same with a time limit of its own.
    #[track_caller]
    pub fn run_for(&self, argv: &[&str], limit: Duration) -> Output {
        command::run(self.entering().args(argv), &argv.join(" "), limit)
    }

    /// Runs a bash script as root, outside any login session.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        command::run(self.entering().args(["bash", "-c", script]), script, LIMIT)
    }

    /// Runs a bash script as `user`, outside any login session and without a terminal.
    #[track_caller]
    pub fn run_as(&self, user: &str, script: &str) -> Output {
        let home = format!("HOME=/home/{user}");
        let names = [format!("USER={user}"), format!("LOGNAME={user}"), home];
        let mut command = self.entering();
        command
            .args(["runuser", "-u", user, "--", "env"])
            .args(names);
        command.args(["bash", "-c", &format!("cd; {script}")]);
        command::run(&mut command, &format!("[{user}] {script}"), LIMIT)
    }

    /// Logs `user` in on a terminal, with a session of logind and a login uid.
    #[track_caller]
    pub fn shell(&self, user: &str) -> Shell {
        Shell::open(self.entering(), user)
    }

    /// Connects to a Unix socket of the host as a process of `user`; with another `effective` user as a setuid
    /// program would.
    ///
    /// # Errors
    /// The connection was refused: the kernel's sentence.
    pub fn carrier(&self, user: &str, effective: &str, path: &str) -> Result<Carrier, String> {
        Carrier::open(self.entering(), user, effective, path)
    }

    /// Starts a program as root that is asked line by line.
    #[track_caller]
    pub fn dialogue(&self, argv: &[&str]) -> Dialogue {
        Dialogue::open(self.entering(), argv)
    }

    /// The text of a file in the host.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        self.run(&["cat", "--", path]).ok().stdout
    }

    /// Writes a file in the host, owned by root, keeping the mode of one that exists.
    #[track_caller]
    pub fn write(&self, path: &str, text: &str) {
        let staged = self.place.dir.join("write");
        std::fs::write(&staged, text).expect("the text on its way");
        self.copy_in(&staged, path);
    }

    /// Copies a file of this machine into the host.
    #[track_caller]
    pub fn copy_in(&self, from: &std::path::Path, to: &str) {
        let from = from.display().to_string();
        let mut command = self.entering();
        // The redirection happens outside, the reading inside.
        let mut outer = Command::new("sh");
        outer.args(["-c", r#"file=$1; shift; exec "$@" <"$file""#, "sh", &from]);
        outer.arg(command.get_program()).args(command.get_args());
        outer.envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
        command = outer;
        command.args(["sh", "-c", r#"cat >"$0""#, to]);
        command::run(&mut command, &format!("copy {from} to {to}"), LIMIT).ok();
    }

    /// Waits until the bash script succeeds and returns how long that took; fails the test after `limit`. For
    /// things that announce their end to nobody, such as the death of a process.
    #[track_caller]
    pub fn wait_for(&self, what: &str, limit: Duration, script: &str) -> Duration {
        let start = Instant::now();
        loop {
            let last = self.sh(script);
            let waited = start.elapsed();
            if last.code == 0 {
                return waited;
            }
            assert!(waited < limit, "{what}: not within {limit:?}\n{last}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The host's system journal of this boot, in full, for units that match `pattern`.
    #[track_caller]
    pub fn journal(&self, pattern: &str) -> String {
        let unit = format!("--unit={pattern}");
        self.run(&[
            "journalctl",
            "--boot",
            "--no-pager",
            "--output=short-precise",
            &unit,
        ])
        .ok()
        .stdout
    }

    /// Shuts the host down as `reboot` does, and boots it again from the same disk.
    #[track_caller]
    pub fn reboot(&mut self) {
        self.run(&["systemctl", "reboot"]).ok();
        let machine = self.machine.as_mut().expect("a running host");
        let code = command::exit_code(
            machine
                .supervisor
                .wait()
                .expect("the end of the supervisor"),
        );
        // EXIT_FORCE_RESTART of systemd.exec(5): the system asked for a reboot.
        assert!(
            code == 133,
            "systemd-nspawn ended with {code}\n{}",
            nspawn::console_tail(&self.place)
        );
        self.end();
        self.start();
    }

    /// Ends the host at once, as a power cut would, but what it wrote is on the disk. See [`Host::start`].
    #[track_caller]
    pub fn kill(&mut self) {
        self.end();
    }

    /// Boots a host that was killed.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.machine.is_none(), "the host runs already");
        self.place.cgroup.make_again();
        let machine = nspawn::boot(&self.place);
        self.machine = Some(machine);
        // From outside any unit yet.
        let argv = ["systemctl", "is-system-running", "--wait"];
        let state = command::run(self.entering_as_is().args(argv), &argv.join(" "), LIMIT);
        if state.text() != "running" {
            let failed = command::run(
                self.entering_as_is()
                    .args(["systemctl", "--failed", "--full"]),
                "systemctl",
                LIMIT,
            );
            panic!("the host boots to {:?}\n{}", state.text(), failed.stdout);
        }
        let driver = [
            "systemd-run",
            "--quiet",
            "--unit",
            DRIVER,
            "--property=Delegate=yes",
            "sleep",
            "infinity",
        ];
        command::run(self.entering_as_is().args(driver), &driver.join(" "), LIMIT).ok();
    }

    /// The host's PID 1 as this machine counts.
    pub fn init(&self) -> u32 {
        self.machine.as_ref().expect("a running host").init
    }

    /// The name of its folder below `run/` in the cache.
    pub fn machine_name(&self) -> String {
        self.place.name.clone()
    }

    fn end(&mut self) {
        self.place.cgroup.kill();
        if let Some(mut machine) = self.machine.take() {
            let _ = machine.supervisor.wait();
        }
        cache::remove(&self.place.dir.join("notify"));
    }

    /// The start of a command line that goes on inside the host, in the driver's cgroup.
    fn entering(&self) -> Command {
        let group = self.place.cgroup.paths[0]
            .join("payload/system.slice")
            .join(DRIVER);
        self.enter(nspawn::joining(&[group.display().to_string()]))
    }

    /// The same from the cgroup of this process.
    fn entering_as_is(&self) -> Command {
        self.enter(nspawn::joining(&[]))
    }

    fn enter(&self, mut command: Command) -> Command {
        let init = self.init().to_string();
        command
            .args(["nsenter", "--all", "--target", &init, "--", "env", "-i"])
            .args(ENVIRONMENT);
        command
    }

    /// What helps to understand a failed test.
    #[allow(clippy::print_stderr)]
    fn explain(&self) {
        let show = |title: &str, argv: &[&str]| {
            let said = command::run(self.entering_as_is().args(argv), title, LIMIT);
            eprintln!("=== {title}\n{}{}", said.stdout, said.stderr);
        };
        show(
            "failed units",
            &["systemctl", "--failed", "--full", "--no-legend"],
        );
        let units = ["--unit=jit*", "--identifier=sudo", "--identifier=jit-end"];
        let journal = [
            "journalctl",
            "--boot",
            "--no-pager",
            "--lines=300",
            "--output=short-precise",
        ];
        show(
            "journal of our units and of sudo",
            &[&journal[..], &units[..1]].concat(),
        );
        show("journal of sudo", &[&journal[..], &units[1..]].concat());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if thread::panicking() && self.machine.is_some() {
            // The host may be too broken to tell; the first failure is what counts.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.explain()));
        }
        self.end();
    }
}
