//! The two hosts, and the measuring program in them.

use std::cell::RefCell;
use std::time::Duration;

use jit_tests::bench::Samples;
use jit_tests::{Dialogue, Host};
use serde_json::{Value, json};

const PROGRAM: &str = "/usr/local/bin/jit-bench";
/// For one question; a round of calls takes seconds, a thousand endings minutes.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct Places {
    /// Debian 12 as it ships, with nothing of ours.
    pub plain: Host,
    /// The same with the packages, `jitctl setup local` and alice eligible.
    pub ready: Host,
}

impl Places {
    pub fn boot() -> Self {
        println!("booting two hosts");
        let (plain, ready) = std::thread::scope(|scope| {
            let plain = scope.spawn(Host::plain);
            let ready = Host::ready();
            (plain.join().unwrap(), ready)
        });
        for host in [&plain, &ready] {
            bring(host);
        }
        // More grants than a person asks for.
        let issuer = ready.read("/etc/jit/issuer.toml");
        let limits = "[limits]\nrequests_per_minute = 6000\nrequests_per_minute_of_user = 6000\n";
        ready.write(
            "/etc/jit/issuer.toml",
            &issuer.replace("[limits]\n", limits),
        );
        ready.run(&["systemctl", "restart", "jit-issuer"]).ok();
        wait_link(&ready);
        Self { plain, ready }
    }
}

/// Puts the measuring program into a host.
#[track_caller]
pub fn bring(host: &Host) {
    host.copy_in(&std::env::current_exe().unwrap(), PROGRAM);
    host.run(&["chmod", "0755", PROGRAM]).ok();
}

/// The measuring program in a host, as one of its users.
pub struct Runner(RefCell<Dialogue>);

impl Runner {
    pub fn open(host: &Host, user: &str) -> Self {
        // What sudoedit calls.
        let editor = "SUDO_EDITOR=/bin/true";
        let whole = [
            "runuser", "-u", user, "--", "env", editor, PROGRAM, "inside",
        ];
        let argv = if user == "root" {
            &whole[4..]
        } else {
            &whole[..]
        };
        Self(RefCell::new(host.dialogue(argv)))
    }

    /// Asks one thing. Fails the bench when the answer says that it went wrong.
    #[track_caller]
    pub fn ask(&self, question: &Value) -> Value {
        let answer = self.0.borrow_mut().ask(question, PATIENCE);
        assert!(answer["wrong"].is_null(), "{question}: {}", answer["wrong"]);
        answer
    }

    /// Runs a command `count` times and returns how many milliseconds each took.
    #[track_caller]
    pub fn calls(&self, argv: &[&str], code: i32, count: usize, every: Option<Duration>) -> Calls {
        let every = every.map(|e| e.as_millis());
        let answer = self.ask(&json!({
            "op": "calls", "argv": argv, "code": code, "count": count, "every_ms": every,
        }));
        Calls {
            ms: numbers(&answer["us"]).map(|us| us / 1000.0).collect(),
            cpu_us: answer["cpu_us"].as_f64().unwrap(),
        }
    }
}

pub struct Calls {
    pub ms: Vec<f64>,
    /// Of all of them together.
    pub cpu_us: f64,
}

pub fn numbers(list: &Value) -> impl Iterator<Item = f64> {
    let list = list.as_array().expect("a list of numbers");
    list.iter().map(|n| n.as_f64().expect("a number"))
}

/// Microseconds in the answer, as samples.
pub fn samples(answer: &Value) -> Samples {
    numbers(&answer["us"]).collect()
}

/// Processor time that a unit of the host has used, in microseconds.
#[track_caller]
pub fn cpu_of_unit(host: &Host, unit: &str) -> f64 {
    let text = host.read(&format!("/sys/fs/cgroup/system.slice/{unit}/cpu.stat"));
    let usage = text.lines().find_map(|l| l.strip_prefix("usage_usec "));
    usage.expect("the unit's usage").parse().unwrap()
}

/// Waits until the agent is in touch with its issuer again.
#[track_caller]
pub fn wait_link(host: &Host) {
    let linked = "jitctl status --json | grep -q '\"link\":\"ok\"'";
    host.wait_for("the link", Duration::from_secs(20), linked);
}

/// Alice asks and gets. Returns the grant's id and its end, Unix seconds.
#[track_caller]
pub fn elevate(host: &Host, user: &str, life: &str) -> (String, u64) {
    let script = format!("jitctl elevate --json --for {life} --reason bench");
    let said = host.run_as(user, &script).ok().json();
    let grant = &said["grant"];
    let end = jit_tests::grants::time(grant["ends_at"].as_str().unwrap());
    let end = end
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    (grant["id"].as_str().unwrap().to_owned(), end.as_secs())
}

/// Gives back all, and waits until the end of each is proven.
#[track_caller]
pub fn drop_all(host: &Host, user: &str) {
    host.run_as(user, "jitctl drop --all").ok();
    let none = "! ls /var/lib/jit/grants /var/lib/jit/ended | grep -q json";
    host.wait_for("the end of all grants", Duration::from_secs(20), none);
}
