//! Root, a standing admin and a user without rights, who call sudo all the time: whatever a test does to jit
//! meanwhile is no business of theirs.

use std::time::Duration;

use serde_json::Value;

use crate::Host;

/// Calls sudo in turn as root, carol and bob until told to stop, then writes what it saw.
const SCRIPT: &str = r#"
import json, signal, subprocess, time
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
people = {
    "root": (["sudo", "-n", "true"], 0, ""),
    "carol": (["runuser", "-u", "carol", "--", "sudo", "-n", "true"], 0, ""),
    "bob": (["runuser", "-u", "bob", "--", "sudo", "-n", "true"], 1, "sudo: a password is required\n"),
}
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
with open("/run/bystanders.json", "w") as out:
    json.dump(seen, out)
"#;

/// They run in a service of their own in the host.
pub struct Bystanders<'a> {
    host: &'a Host,
}

impl<'a> Bystanders<'a> {
    /// Starts calling, with this long between two rounds.
    #[track_caller]
    pub fn start(host: &'a Host, pause: Duration) -> Self {
        let script = SCRIPT.replace("PAUSE", &pause.as_secs_f32().to_string());
        // A call under way is waited for, not killed.
        let unit = ["--unit=bystanders", "--property=KillMode=mixed"];
        let argv = [
            &["systemd-run", "--quiet", "--collect"],
            &unit[..],
            &["python3", "-c", &script],
        ];
        host.run(&argv.concat()).ok();
        Self { host }
    }

    /// Ends the calls and fails the test if one of them went otherwise than on a host without jit.
    #[track_caller]
    pub fn noticed_nothing(self) -> Calls {
        self.host.run(&["systemctl", "stop", "bystanders"]).ok();
        let seen: Value = serde_json::from_str(&self.host.read("/run/bystanders.json"))
            .expect("the record of the calls");
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
