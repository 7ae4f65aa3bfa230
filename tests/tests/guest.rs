//! What needs a clock, a disk or a power switch of its own: one virtual machine runs all scripts of this file.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::Guest;

/// A clock that is set is an alert by every way, as tests/tests/alerts.rs has the others.
const ALERT: &str = r#"
systemctl start jit-issuer jit-link
systemd-run -q --unit ear python3 /root/ear.py
timeout 90 sh -c 'until [ "$(grep -cx answer /root/heard)" = 2 ]; do sleep 0.2; done' 2>/dev/null
date --set '10 minutes' >/dev/null
timeout 90 sh -c 'until grep "^alert clock " /root/heard; do sleep 0.2; done'
timeout 90 sh -c 'until grep "jit_alerts_total{code=.clock.}" /run/jit/metrics/jit.prom; do sleep 0.2; done'
jitctl log show --json | grep -o '"code":"clock"'
journalctl --sync; journalctl -q -o json JIT_TYPE=alert | grep -o '"PRIORITY":"4"'
"#;

/// Forty days later, with a policy of thirty: what is old is given up in the log and its file removed, and what is left is whole.
const RETENTION: &str = r#"
cd /var/log/jit/journal
systemctl stop jit-agent
old=$(ls | tail -1)
# A segment that is closed is followed by a new one.
chattr +i $old
printf 'journal_keep_days = 30\n' >/etc/jit/agent.toml
systemctl start jit-agent
timeout 60 sh -c "until [ \$(ls | tail -1) != $old ]; do sleep 0.5; done"
new=$(ls | tail -1)
date --set '40 days' >/dev/null
systemctl restart jit-agent
timeout 200 sh -c "while [ -e $old ]; do sleep 0.5; done"
ls; lsattr
jitctl log show --json | grep '"type":"prune"'
jitctl log verify
jitctl log prove $((10#${new%%.*} + 1)) | head -2
jitctl log export /root/tree; echo code $?
timeout 100 sh -c 'until runuser -u alice -- jitctl elevate --for 1m --reason later; do sleep 2; done'
systemctl show --property=Result --value jit-prune
"#;

/// Both profiles in force, on one box whose link takes the way of hosts elsewhere: everything works, nothing is denied, and what runs in a
/// profile reads no more than it should.
const APPARMOR: &str = r#"
set -e
cat /sys/module/apparmor/parameters/enabled
apparmor_parser --replace /etc/apparmor.d/jit-link /etc/apparmor.d/jit-issuer
install -d /etc/jit/tls && cd /etc/jit/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 400 -subj /CN=jit -addext subjectAltName=IP:127.0.0.1 \
    -config <(printf '[req]\ndistinguished_name=d\n[d]\n') -keyout issuer.key -out issuer.pem 2>/dev/null
chown jit-issuer issuer.key; chmod 600 issuer.key
printf '\n[https]\ncert = "/etc/jit/tls/issuer.pem"\nkey = "/etc/jit/tls/issuer.key"\nurl = "https://127.0.0.1:8443"\n' >>/etc/jit/issuer.toml
systemctl start jit-issuer-https.socket
jitctl setup local
usermod -aG jit-eligible alice
printf 'issuer = "https://127.0.0.1:8443"\nca = "/etc/jit/tls/issuer.pem"\n' >/etc/jit/link.toml
systemctl restart jit-link
systemctl reload jit-issuer
for unit in jit-link jit-issuer; do cat /proc/$(systemctl show --property=MainPID --value $unit)/attr/current; done
runuser -u alice -- jitctl elevate --for 5m --reason test
echo elevated $(runuser -u alice -- sudo -n id -u)
systemctl restart jit-issuer jit-link
systemctl stop jit-issuer jit-link
journalctl -k -b | grep 'apparmor="DENIED"' || true
python3 - <<'END'
with open("/proc/self/attr/current", "w") as profile:
    profile.write("changeprofile jit-link")
for path in ["/etc/jit/link.toml", "/etc/shadow", "/var/lib/jit-issuer/keys/grant.pk8", "/var/lib/jit/host.key"]:
    try:
        open(path).close()
        print("open", path)
    except PermissionError:
        print("denied", path)
END
"#;

#[test]
fn clocks_and_reboots_of_a_guest() {
    let ear = include_str!("../hosts/ear.py");
    let report = Guest::new()
        .then(
            "kernel",
            "uname -r; systemctl is-system-running; sudo -n id -u",
        )
        .then("clock", "date -s '2031-01-01 00:00:00' && date +%Y")
        .then(
            "before",
            "echo kept >/root/kept; touch /run/reboot-next; exit 3",
        )
        .then("kept", "cat /root/kept; ls /run/reboot-next")
        .then("apparmor", APPARMOR)
        .then(
            "alert",
            &format!("cat >/root/ear.py <<'END'\n{ear}\nEND\n{ALERT}"),
        )
        .then("retention", RETENTION)
        .run(Duration::from_secs(1200));
    report
        .of("kernel")
        .ok()
        .says("-cloud-amd64\n")
        .says("\n0\n");
    report.of("clock").ok().says("2031\n");
    report.of("before").exits(3);
    report
        .of("apparmor")
        .ok()
        .says("jit-link (enforce)\njit-issuer (enforce)\n")
        .says("elevated 0\n")
        .says("open /etc/jit/link.toml\ndenied /etc/shadow\ndenied /var/lib/jit-issuer/keys/grant.pk8\n")
        .hides("apparmor=\"DENIED\"");
    report
        .of("kept")
        .exits(2)
        .says("kept\n")
        .says("No such file");
    report
        .of("alert")
        .ok()
        .says("alert clock ")
        .says("jit_alerts_total{code=\"clock\"} 1\n")
        .says("\"code\":\"clock\"\n\"PRIORITY\":\"4\"");
    let retention = report.of("retention").ok();
    let retention = retention
        .says("\"keep_days\":30")
        .says(" says so, by a policy of 30 days.");
    let retention = retention.says("No fault.").says("c2sp.org/tlog-proof@v1");
    retention.says("code 1\n").says("\nsuccess");
}
