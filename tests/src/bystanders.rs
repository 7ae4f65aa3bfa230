//! Root, a standing admin and a user without rights, who call sudo all the time: whatever a test does to jit
//! meanwhile is no business of theirs.

use std::time::Duration;

use serde_json::Value;

use crate::Host;

/// Calls sudo in turn as PEOPLE until told to stop, then writes what it saw.
const SCRIPT: &str = r#"
import json, signal, subprocess, time
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
people = {PEOPLE}
seen = {"calls": 0, "steady": 0.0, "wrong": []}
last = {who: 0.0 for who in people}
row = [0.0, 0.0]
while not stop:
    for who, (argv, code, text) in people.items():
        start = time.monotonic()
        ended = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        took = time.monotonic() - start
        seen["calls"] += 1
        row = row[-2:] + [took]
        seen["steady"] = max(seen["steady"], min(row), min(last[who], took))
        last[who] = took
        if (ended.returncode, ended.stdout) != (code, text):
            seen["wrong"].append([who, ended.returncode, ended.stdout])
    time.sleep(PAUSE)
with open("/run/UNIT.json", "w") as out:
    json.dump(seen, out)
"#;

const OTHERS: &str = r#"
    "root": (["sudo", "-n", "true"], 0, ""),
    "carol": (["runuser", "-u", "carol", "--", "sudo", "-n", "true"], 0, ""),
    "bob": (["runuser", "-u", "bob", "--", "sudo", "-n", "true"], 1, "sudo: a password is required\n"),
"#;
const HOLDER: &str = r#""alice": (["runuser", "-u", "alice", "--", "sudo", "-n", "true"], 0, "")"#;

/// They run in a service of their own in the host.
pub struct Bystanders<'a> {
    host: &'a Host,
    unit: &'static str,
}

impl<'a> Bystanders<'a> {
    /// Starts calling, with this long between two rounds.
    #[track_caller]
    pub fn start(host: &'a Host, pause: Duration) -> Self {
        Self::call(host, pause, "bystanders", OTHERS)
    }

    /// Alice, who holds a grant for sudo and uses it all the time: she is refused by nobody.
    #[track_caller]
    pub fn holder(host: &'a Host, pause: Duration) -> Self {
        Self::call(host, pause, "holder", HOLDER)
    }

    #[track_caller]
    fn call(host: &'a Host, pause: Duration, unit: &'static str, people: &str) -> Self {
        let script = SCRIPT
            .replace("PAUSE", &pause.as_secs_f32().to_string())
            .replace("PEOPLE", people)
            .replace("UNIT", unit);
        // A call under way is waited for, not killed.
        let name = format!("--unit={unit}");
        let unit_options = [name.as_str(), "--property=KillMode=mixed"];
        let argv = [
            &["systemd-run", "--quiet", "--collect"],
            &unit_options[..],
            &["python3", "-c", &script],
        ];
        host.run(&argv.concat()).ok();
        Self { host, unit }
    }

    /// Ends the calls and fails the test if one of them went otherwise than on a host without jit.
    #[track_caller]
    pub fn noticed_nothing(self) -> Calls {
        self.host.run(&["systemctl", "stop", self.unit]).ok();
        let path = format!("/run/{}.json", self.unit);
        let seen: Value =
            serde_json::from_str(&self.host.read(&path)).expect("the record of the calls");
        let wrong = seen["wrong"].as_array().expect("a list");
        assert!(wrong.is_empty(), "others noticed: {wrong:#?}");
        let count = seen["calls"].as_u64().expect("a number");
        assert!(count >= 6, "only {count} calls were made meanwhile");
        let steady = seen["steady"].as_f64().expect("seconds");
        Calls {
            count,
            steady: Duration::from_secs_f64(steady),
        }
    }
}

/// What a stretch of undisturbed calls was like.
#[derive(Debug, Clone, Copy)]
pub struct Calls {
    pub count: u64,
    /// The longest that three calls in a row, or two of one person, took at least. One slow call alone is this
    /// machine's affair; a wait for jit would hit each.
    pub steady: Duration,
}

impl Calls {
    /// Fails the test if calls kept taking longer.
    #[track_caller]
    pub fn within(self, limit: Duration) {
        let steady = self.steady;
        assert!(steady <= limit, "others had to wait {steady:?} for sudo");
    }
}
