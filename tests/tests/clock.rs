//! Whoever sets the clock gains no second: a virtual machine with a clock of its own, rebooted in mid-grant, set back and
//! ahead, put to sleep, cut off from its issuer, and started with a dead real-time clock.
//!
//! All the while alice asks for a right again and again. The time of each yes is kept by the boot clock, which nobody can
//! set, and none may come after min(end, last word of the issuer + `max_stale`).
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Duration;

use jit_tests::{Guest, Output};

/// In seconds. An emulated processor is slow, more so beside other tests; on a real one the limits are those of endings.rs.
/// Here the clock that was moved would keep things for an hour. That no right is given late is held to the second.
const SOON: f64 = 30.0;

/// Kept on the guest's disk for all scripts. Times are seconds since its boot, which nobody can set.
const LIBRARY: &str = r#"
up() { cut -d' ' -f1 /proc/uptime; }
as_alice() { runuser -u alice -- "$@"; }
# Not merely unanswered: an emulated agent may be slow.
no_right() { as_alice sudo -n id 2>&1 | grep 'no active grant'; }
no_member() { ! id -nG alice | grep -qw jit-admin; }
no_process() { ! pgrep -fx 'sleep 1000'; }
no_deaf() { ! pgrep -f 'trap "" TERM HUP'; }
right() { timeout 90 sh -c 'until runuser -u alice -- sudo -n true; do sleep 1; done' >/dev/null 2>&1; }
# Starts it by the grant, in the background; an emulated agent may need more than one call.
start() { (for i in 1 2 3 4 5; do as_alice setsid sudo -n "$@"; [ $? = 1 ] || break; done) & }
# Runs as root by the grant, one of them deaf.
work() {
    rm -f /run/deaf
    right
    start sleep 1000
    start bash -c 'trap "" TERM HUP; touch /run/deaf; while :; do sleep 1; done'
    timeout 30 sh -c 'until pgrep -fx "sleep 1000" && [ -e /run/deaf ]; do sleep 0.1; done' >/dev/null &&
        right && pgrep -fxa 'sleep 1000' && id -nG alice
}
# Says when each was first seen to be gone, the latest after so many seconds.
when_gone() {
    limit=$(($(up | cut -d. -f1) + $1))
    for what in right member process deaf; do
        (
            while at=$(up); ! no_$what >/dev/null 2>&1; do
                [ "${at%.*}" -lt "$limit" ] || { at=inf; break; }
                sleep 0.3
            done
            echo "$what $at"
        ) &
    done
    wait
}
# The last second of the clock.
ends_at() { date +%s --date "$(as_alice jitctl status --json | grep -o '"ends_at":"[^"]*"' | cut -d'"' -f4)"; }
# A moment of the clock as seconds since boot.
since_boot() { python3 -c 'import sys, time; print(float(sys.argv[1]) - time.time() + time.clock_gettime(time.CLOCK_BOOTTIME))' "$1"; }
member_of() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }
proof() {
    timeout 20 sh -c "until jitctl log show --json | grep '\"proof\"' | grep \"$1\"; do sleep 0.2; done"
}
# The grant's id in the answer of jitctl elevate.
id_in() { grep -o '01[0-9A-Z]\{24\}' "$1" | head -1; }
clock_records() { jitctl log show --json | grep '"type":"clock"'; }
# How often alice had her right in this boot since then, up to an end and after it.
honoured() {
    awk -v boot="$(cat /proc/sys/kernel/random/boot_id)" -v from="$1" -v end="$2" '
        $1 == boot && $2 >= from { if ($2 > end) late++; else good++ }
        END { print "good " good + 0; print "late " late + 0 }' /var/log/sampled
}
"#;

/// Of the catalogue of attacks on the journal.
const SET_BACK: &str = include_str!("../attacks/journal/clock/set-the-clock-back.sh");
const SET_AHEAD: &str = include_str!("../attacks/journal/clock/set-the-clock-ahead.sh");

/// A yes is as old as the call that got it.
const SAMPLER: &str = r#"
cat >/usr/local/bin/sampler <<'END'
import subprocess, time
boot = open("/proc/sys/kernel/random/boot_id").read().strip()
while True:
    at = time.clock_gettime(time.CLOCK_BOOTTIME)
    if subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        print(boot, at, flush=True)
    time.sleep(1)
END
cat >/etc/systemd/system/sampler.service <<'END'
[Service]
User=alice
ExecStart=python3 /usr/local/bin/sampler
StandardOutput=append:/var/log/sampled
[Install]
WantedBy=multi-user.target
END
systemctl enable --now sampler
"#;

#[test]
fn no_clock_no_sleep_and_no_reboot_makes_a_grant_longer() {
    let setup = format!(
        "cat >/root/library <<'END'\n{LIBRARY}\nEND\ncat >/root/set-back <<'END'\n{SET_BACK}\nEND\n\
         cat >/root/set-ahead <<'END'\n{SET_AHEAD}\nEND\n{}\n{SAMPLER}\n{}",
        "sed -i 's/^#max_stale_s = .*/max_stale_s = 40/' /etc/jit/ceiling.toml
        jitctl setup local && usermod -aG jit-eligible alice || exit
        . /root/library",
        "as_alice jitctl elevate --for 30m --reason 'over a reboot' && work || exit
        ends_at >/root/ends
        cat /proc/sys/kernel/random/boot_id >/root/boot
        touch /run/reboot-next"
    );
    let report = Guest::new()
        .then("setup", &setup)
        .then(
            "reboot",
            ". /root/library
            systemctl --failed --no-legend
            cmp -s /proc/sys/kernel/random/boot_id /root/boot && echo same boot
            no_process || exit
            as_alice jitctl status
            [ $(ends_at) = $(cat /root/ends) ] && work || exit
            as_alice jitctl drop
            when_gone 30",
        )
        .then(
            "back",
            ". /root/library
            from=$(up)
            as_alice jitctl elevate --for 40s --reason 'clock back' | tee /root/grant && work || exit
            end=$(since_boot $(ends_at))
            sh /root/set-back
            echo deadline $end
            now=$(up)
            no_right >/dev/null || no_member || no_process >/dev/null || echo lives $now
            when_gone 60
            proof $(id_in /root/grant)
            honoured $from $end
            clock_records",
        )
        .then(
            "forward",
            ". /root/library
            from=$(up)
            as_alice jitctl elevate --for 30m --reason 'clock forward' | tee /root/grant && work || exit
            date --set '1 hour'
            end=$(up)
            echo deadline $end
            when_gone 60
            proof $(id_in /root/grant)
            honoured $from $(echo $end | awk '{print $1 + 1}')",
        )
        .then(
            "asleep",
            // Set back as well: the wall-clock timer lies an hour ahead, and the other stands still while the host sleeps.
            ". /root/library
            from=$(up)
            as_alice jitctl elevate --for 90s --reason 'asleep' | tee /root/grant && work || exit
            end=$(since_boot $(ends_at))
            date --set '1 hour ago'
            rtcwake --mode mem --seconds $(echo $end $(up) | awk '{print int($1 - $2) + 10}') || exit
            echo resumed $(up)
            echo deadline $end
            when_gone 60
            proof $(id_in /root/grant)
            honoured $from $end
            clock_records",
        )
        .then(
            "cut-off",
            ". /root/library
            from=$(up)
            as_alice jitctl elevate --for 30m --reason 'cut off' && right || exit
            systemctl stop jit-link
            word=$(since_boot $(member_of /var/lib/jit/state.json state_iat))
            end=$(echo $word | awk '{print $1 + 41}')
            date --set '1 hour ago'
            timeout 90 sh -c 'until runuser -u alice -- sudo -n true 2>&1 | grep \"last heard\"; do sleep 1; done'
            sleep 3
            as_alice jitctl status
            honoured $from $end
            systemctl start jit-link
            right && echo back again
            as_alice jitctl drop",
        )
        .then(
            "years",
            ". /root/library
            true=$(python3 -c 'import time; print(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))')
            sh /root/set-ahead
            timeout 30 sh -c 'until jitctl log show --json | grep \"set ahead by\"; do sleep 0.5; done'
            systemctl restart jit-agent
            member_of /var/lib/jit/state.json mark
            as_alice timeout 20 jitctl elevate --for 30s --reason 'in the future'; echo code $?
            date --set @$(up | awk -v true=$true '{printf \"%.3f\", $1 + true}')
            timeout 120 sh -c 'until runuser -u alice -- jitctl elevate --for 30s --reason again; do sleep 2; done'
            from=$(up)
            right
            end=$(since_boot $(ends_at))
            no_right >/dev/null || echo lives $(up)
            when_gone 60
            echo deadline $end
            honoured $from $end",
        )
        .then(
            "dying",
            ". /root/library
            as_alice jitctl elevate --for 30m --reason 'dead clock' | tee /root/grant && right || exit
            ends_at >/root/ends
            # The real-time clock counts from here on: that is how the next boot knows the true time.
            date +%s >/root/true
            hwclock --set --date '1970-01-01 00:00:00' || exit
            touch /run/reboot-next",
        )
        .then(
            "dead",
            ". /root/library
            [ $(date +%s) -lt $(cat /root/true) ] && echo behind
            as_alice sudo -n true
            no_member && echo no member
            systemctl is-active jit-$(id_in /root/grant).service
            true=$(($(cat /root/true) + $(cat /sys/class/rtc/rtc0/since_epoch)))
            # Nothing before the clock is right, nothing past the end.
            honoured 0 $(up)
            wrong=$(up)
            date --set @$true >/dev/null
            end=$(since_boot $(cat /root/ends))
            right && timeout 30 sh -c 'until id -nG alice | grep jit-admin; do sleep 1; done' && echo back again
            [ $(ends_at) = $(cat /root/ends) ] && echo same end
            honoured $wrong $end
            jitctl log verify",
        )
        .run(Duration::from_secs(1800));

    report.of("setup").ok().says("sleep 1000").says("jit-admin");

    let reboot = report.of("reboot").ok();
    let reboot = reboot.says("sleep 1000").says("jit-admin");
    let reboot = reboot.hides("same boot").hides("failed");
    assert!(times(&reboot).values().all(|at| at.is_finite()), "{reboot}");

    let back = proven(&report.of("back"));
    let seen = times(&back);
    assert!(seen["lives"] < seen["deadline"] - 1.0, "{back}");
    none_late(&back);
    for what in ["right", "member", "process", "deaf"] {
        assert!(seen[what] > seen["lives"], "{what} ended early\n{back}");
        assert!(seen[what] <= seen["deadline"] + SOON, "{what}\n{back}");
    }
    let set = clocks(&back, "set_by_ms");
    assert!(set.iter().any(|ms| (ms + 3.6e6).abs() < 5e3), "{set:?}");

    let forward = proven(&report.of("forward"));
    none_late(&forward);
    let seen = times(&forward);
    for what in ["right", "member", "process", "deaf"] {
        assert!(seen[what] <= seen["deadline"] + SOON, "{what}\n{forward}");
    }

    let asleep = proven(&report.of("asleep"));
    none_late(&asleep);
    let seen = times(&asleep);
    assert!(
        seen["resumed"] > seen["deadline"],
        "it slept too short\n{asleep}"
    );
    for what in ["right", "member", "process", "deaf"] {
        assert!(seen[what] <= seen["resumed"] + SOON, "{what}\n{asleep}");
    }
    let slept = clocks(&asleep, "slept_ms");
    assert!(slept.iter().any(|ms| *ms > 1e4), "{slept:?}");

    let cut_off = report.of("cut-off").ok();
    let cut_off = cut_off.says("last heard").says("back again");
    none_late(&cut_off);

    let years = report.of("years").ok();
    let years = years.says("set ahead by").hides("code 0\n");
    none_late(&years);
    let seen = times(&years);
    assert!(seen["lives"] < seen["deadline"], "{years}");
    assert!(seen["right"] <= seen["deadline"] + SOON, "{years}");

    report.of("dying").ok();
    let dead = report.of("dead").ok();
    let dead = dead
        .says("behind")
        .says("could be missing")
        .says("no member");
    let dead = dead.says("\nactive\n").says("back again").says("same end");
    none_late(&dead);
    // Before the clock was right, not even within the grant's time.
    assert_eq!(counts(&dead, "good")[0], 0.0, "{dead}");
}

/// Every count of rights given after their end is zero, and there is one.
#[track_caller]
fn none_late(output: &Output) {
    let late = counts(output, "late");
    assert!(
        !late.is_empty() && late.iter().all(|n| *n == 0.0),
        "{output}"
    );
}

/// All numbers of lines that begin with this name.
fn counts(output: &Output, name: &str) -> Vec<f64> {
    let lines = output.stdout.lines().filter_map(|l| l.split_once(' '));
    let named = lines.filter(|(n, _)| *n == name);
    named.filter_map(|(_, value)| value.parse().ok()).collect()
}

/// The values of a member of all clock records.
fn clocks(output: &Output, member: &str) -> Vec<f64> {
    let lines = output.stdout.lines().filter(|l| l.starts_with('{'));
    let records = lines.filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
    let clocks = records.filter(|r| r["type"] == "clock");
    clocks
        .filter_map(|r| r["detail"][member].as_f64())
        .collect()
}

/// The proof says that all is gone, however slow systemd was to answer.
#[track_caller]
fn proven(output: &Output) -> Output {
    let output = output.clone().ok().says("\"proven\"");
    output.says("\"cgroup_empty\":true").hides("\"left\"")
}

/// The lines of a name and a time.
fn times(output: &Output) -> BTreeMap<String, f64> {
    let pairs = output.stdout.lines().filter_map(|l| l.split_once(' '));
    pairs
        .filter_map(|(name, at)| Some((name.to_owned(), at.parse().ok()?)))
        .collect()
}
