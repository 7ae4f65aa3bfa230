//! What happens to each thing a user or an issuer does while a part is away: `docs/reference/offline-matrix.md`, row by row,
//! on two hosts and the network between them.

use std::time::Duration;

use jit_tests::grants::{Grant, elevate, list, proof, records, wait_until};
use jit_tests::net::{Cable, pair};
use jit_tests::{Host, Shell};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(5);

/// Between the host and its issuer: cuts what passes into small pieces, holds each back for a while, and connections for
/// longer, so that a later one overtakes an earlier.
const SLOW: &str = r#"
import asyncio, random
async def pass_on(read, write):
    try:
        while data := await read.read(random.randint(1, 700)):
            await asyncio.sleep(random.random() * 0.02)
            write.write(data)
            await write.drain()
    except OSError:
        pass
    write.close()
async def one(read, write):
    await asyncio.sleep(random.random() * 0.5)
    there, back = await asyncio.open_connection("10.77.0.1", 8443)
    await asyncio.gather(pass_on(read, back), pass_on(there, write))
async def main():
    server = await asyncio.start_server(one, "10.77.0.1", 9443)
    await server.serve_forever()
asyncio.run(main())
"#;

/// The two hosts, and what is left of the codes.
struct Row<'a> {
    issuer: &'a Host,
    host: &'a Host,
    cable: &'a Cable<'a>,
    alice: Shell,
    codes: Vec<String>,
}

impl<'a> Row<'a> {
    fn new(issuer: &'a Host, host: &'a Host, cable: &'a Cable<'a>) -> Self {
        let id = issuer.run(&["jit-issuer", "host", "ls"]).ok();
        let id = id.text().split('\t').nth(3).expect("an id").to_owned();
        let made = issuer
            .sh(&format!(
                "cd /var/lib/jit-issuer && runuser -u jit-issuer -- jit-issuer breakglass make --host {id} --count 12 --for 5m --out sheet && jit-issuer breakglass add sheet >&2"
            ))
            .ok();
        let codes: Vec<String> = made
            .stdout
            .lines()
            .map(|l| l.split_once('\t').expect("a code").1.to_owned())
            .collect();
        host.wait_for(
            "the codes",
            SOON,
            "test $(ls /var/lib/jit/breakglass | wc -l) = 12",
        );
        let alice = host.shell("alice");
        Self {
            issuer,
            host,
            cable,
            alice,
            codes,
        }
    }

    /// A live grant with work that runs by it.
    fn live(&mut self, seconds: u64) -> Grant {
        let grant = elevate(&mut self.alice, &format!("--for {seconds}s"));
        self.alice
            .run("sudo -n sleep 1005 >/dev/null 2>&1 & until pgrep -fx 'sleep 1005'; do sleep 0.05; done")
            .ok();
        grant
    }

    fn works(&self) -> bool {
        self.host.run(&["pgrep", "-fx", "sleep 1005"]).code == 0
    }

    /// New elevation: given, or the exit code of its refusal.
    fn asks(&mut self) -> i32 {
        self.alice
            .run("jitctl elevate --for 30s --reason 'a row'")
            .code
    }

    fn uses(&mut self) -> bool {
        self.alice.run("sudo -n true").code == 0
    }

    /// A code gives a grant that can be used; it is given back.
    #[track_caller]
    fn breaks_glass(&mut self) {
        let code = self.codes.pop().expect("a code");
        let given = self.host.run_as(
            "alice",
            &format!("echo {code} | jitctl breakglass --reason 'a row' --json"),
        );
        let id = given.ok().json()["grant"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(self.uses(), "a break-glass grant cannot be used");
        self.alice.run(&format!("jitctl drop {id}")).ok();
        proof(self.host, &id, SOON);
    }

    /// By root, at the issuer.
    fn revoke(&self, id: &str) {
        self.issuer
            .run(&["jitctl", "revoke", id, "--reason", "a row"])
            .ok();
    }

    /// Ends what is left, so that the next row starts with nothing.
    #[track_caller]
    fn over(&mut self) {
        self.alice.run("jitctl drop --all");
        self.host.wait_for(
            "nothing is left",
            SOON,
            "! ls /var/lib/jit/grants /var/lib/jit/ended | grep -q json",
        );
        assert!(!self.works());
    }

    /// How old a view of revocations may be from now on; the agent reads it at its start.
    fn max_stale(&self, seconds: u64) {
        self.host
            .sh(&format!(
                "sed -i '/^max_stale_s/d' /etc/jit/ceiling.toml; sed -i '1i max_stale_s = {seconds}' /etc/jit/ceiling.toml; systemctl restart jit-agent"
            ))
            .ok();
    }

    /// The cable is back, and the link need not wait for its next try: another test waits for that.
    fn mend(&self) {
        self.cable.mend();
        self.host.run(&["systemctl", "restart", "jit-link"]).ok();
    }

    #[track_caller]
    fn connected(&self) {
        self.host.wait_for(
            "the issuer is heard",
            Duration::from_secs(15),
            "jitctl status --json | grep -q '\"issuer\":\"ok\"'",
        );
    }
}

#[test]
fn each_row_of_the_offline_matrix() {
    pair(None, |issuer, host, cable| {
        let mut row = Row::new(issuer, host, cable);
        row_1_all_is_well(&mut row);
        row_2_the_issuer_is_away(&mut row);
        row_3_the_issuer_is_away_and_the_view_is_stale(&mut row);
        row_4_the_link_is_dead(&mut row);
        row_5_the_link_is_dead_and_the_view_is_stale(&mut row);
        row_6_the_view_is_withheld(&mut row);
        row_7_the_clock_is_behind(&mut row);
        row_8_the_agent_is_dead(&mut row);
        row_9_the_network_is_slow(&mut row);
        // After all of that nothing is missing.
        let serials: Vec<u64> = records(host)
            .iter()
            .filter(|r| r["type"] == "revocation")
            .map(|r: &Value| r["detail"]["serial"].as_u64().unwrap())
            .collect();
        let all: Vec<u64> = (1..=serials.len() as u64).collect();
        assert_eq!(serials, all);
        all_until_now_and_all_of_a_key_are_revoked(&mut row);
    });
}

/// What was given is ended by its time and by its key; the key gives nothing more.
fn all_until_now_and_all_of_a_key_are_revoked(row: &mut Row<'_>) {
    let revoke = |row: &Row<'_>, what: &[&str]| {
        let reason = ["--reason", "the key was seen elsewhere"];
        row.issuer
            .run(&[&["jitctl", "revoke"], what, &reason].concat())
            .ok();
    };
    let grant = row.live(300);
    // Its second has passed by then.
    row.alice.run("sleep 2").ok();
    revoke(row, &["--before", "1s"]);
    proof(row.host, &grant.id, SOON);
    assert!(!row.works());
    let grant = row.live(300);
    let is_it = |r: &&Value| r["type"] == "grant" && r["grant"] == grant.id.as_str();
    let kid = records(row.host).iter().find(is_it).expect("a record")["detail"]["kid"]
        .as_str()
        .unwrap()
        .to_owned();
    revoke(row, &["--key", &kid]);
    proof(row.host, &grant.id, SOON);
    row.alice
        .run("jitctl elevate --for 1m --reason 'a row'")
        .exits(3)
        .says("rotate");
    row.breaks_glass();
}

fn row_1_all_is_well(row: &mut Row<'_>) {
    let grant = row.live(300);
    assert!(row.uses());
    assert_eq!(row.asks(), 0);
    row.revoke(&grant.id);
    proof(row.host, &grant.id, SOON);
    assert!(!row.works());
    row.breaks_glass();
    row.over();
}

/// What rows 2 and 4 have in common.
#[track_caller]
fn away_and_fresh(row: &mut Row<'_>, grant: &Grant) {
    assert_eq!(row.asks(), 5);
    row.revoke(&grant.id);
    assert!(row.uses(), "a fresh view bears a use");
    assert!(row.works());
    row.breaks_glass();
}

/// What rows 3 and 5 have in common: after a while without news.
#[track_caller]
fn away_and_stale(row: &mut Row<'_>) {
    row.max_stale(1);
    row.alice.run("sleep 2").ok();
    assert_eq!(row.asks(), 5);
    assert!(!row.uses(), "a stale view bears no use");
    assert!(row.works(), "what runs goes on");
    row.breaks_glass();
    assert!(row.works());
}

fn row_2_the_issuer_is_away(row: &mut Row<'_>) {
    let grant = row.live(300);
    row.cable.cut();
    away_and_fresh(row, &grant);
}

/// Goes on from row 2: the revocation that was said meanwhile comes with the network.
fn row_3_the_issuer_is_away_and_the_view_is_stale(row: &mut Row<'_>) {
    away_and_stale(row);
    row.mend();
    row.host.wait_for(
        "the revocation of the meantime",
        SOON,
        "! pgrep -fx 'sleep 1005'",
    );
    row.max_stale(300);
    row.connected();
    row.over();
}

fn row_4_the_link_is_dead(row: &mut Row<'_>) {
    let grant = row.live(300);
    row.host.run(&["systemctl", "stop", "jit-link"]).ok();
    away_and_fresh(row, &grant);
}

/// Goes on from row 4. Given back without anybody's help.
fn row_5_the_link_is_dead_and_the_view_is_stale(row: &mut Row<'_>) {
    away_and_stale(row);
    row.over();
    row.max_stale(300);
    row.host.run(&["systemctl", "start", "jit-link"]).ok();
    row.connected();
}

/// The issuer answers, and whoever is between lets no heartbeat through: as good as away, but for requests. The host's
/// patience is shorter than the heartbeat here.
fn row_6_the_view_is_withheld(row: &mut Row<'_>) {
    let _live = row.live(300);
    row.max_stale(1);
    row.connected();
    row.host.wait_for(
        "a view that is too old",
        SOON,
        "! runuser -u alice -- sudo -n true 2>/dev/null",
    );
    assert!(row.works());
    assert_eq!(row.asks(), 0, "the issuer can be asked");
    row.breaks_glass();
    row.over();
    row.max_stale(300);
    row.connected();
}

/// The host knows that more time has passed than its clock says. Grants end by the later time; the issuer's next word puts it
/// right.
fn row_7_the_clock_is_behind(row: &mut Row<'_>) {
    let grant = row.live(300);
    row.cable.cut();
    row.host
        .sh("systemctl stop jit-agent; python3 - <<'END'
import json
path = '/var/lib/jit/state.json'
state = json.load(open(path))
state['mark']['wall_s'] += 3600
json.dump(state, open(path, 'w'))
END
systemctl start jit-agent")
        .ok();
    // Its request is over as soon as it is made, by the time that counts.
    assert_ne!(row.asks(), 0);
    assert!(!row.uses());
    proof(row.host, &grant.id, SOON);
    assert!(
        !row.works(),
        "by the time that is known to have passed it is over"
    );
    row.breaks_glass();
    row.over();
    row.mend();
    row.host.wait_for(
        "the issuer's word on the time",
        SOON,
        "jitctl status --json | grep -q '\"clock\":\"ok\"' && jitctl status --json | grep -q '\"issuer\":\"ok\"'",
    );
    assert_eq!(row.asks(), 0);
    assert!(row.uses());
    row.over();
}

/// Nothing new and nothing earlier; PID 1 keeps the end.
fn row_8_the_agent_is_dead(row: &mut Row<'_>) {
    let grant = row.live(9);
    row.host
        .sh("systemctl stop jit-agent.socket jit-gate.socket jit-link.socket jit-agent")
        .ok();
    assert_eq!(row.asks(), 5);
    assert!(!row.uses());
    row.alice.run("jitctl drop").exits(5);
    let code = row.codes.pop().expect("a code");
    row.alice
        .run(&format!("echo {code} | jitctl breakglass --reason 'a row'"))
        .exits(5);
    row.revoke(&grant.id);
    assert!(row.works(), "what runs goes on to its end");
    wait_until(grant.ends_at);
    row.host
        .wait_for("the end by PID 1", SOON, "! pgrep -fx 'sleep 1005'");
    row.host
        .sh("systemctl start jit-agent.socket jit-gate.socket jit-link.socket jit-agent")
        .ok();
    proof(row.host, &grant.id, SOON);
    let left = list(&row.host.run_as("alice", "jitctl status --json"));
    assert!(left.is_empty(), "{left:?}");
    row.host.wait_for(
        "the revocation of the meantime",
        Duration::from_secs(15),
        &format!(
            "jitctl log show --json | grep '\"type\":\"revocation\"' | grep -q {}",
            grant.id
        ),
    );
}

/// Later, and nothing else.
fn row_9_the_network_is_slow(row: &mut Row<'_>) {
    row.issuer.write("/root/slow.py", SLOW);
    row.issuer
        .run(&["systemd-run", "--unit=slow", "python3", "/root/slow.py"])
        .ok();
    row.issuer
        .wait_for("the slow way", SOON, "ss -Hltn | grep -q :9443");
    let link = "/etc/jit/link.toml.d/enrolment.toml";
    row.host
        .sh(&format!(
            "sed -i s/8443/9443/ {link} && systemctl restart jit-link"
        ))
        .ok();
    row.connected();
    let grant = row.live(300);
    assert!(row.uses());
    row.revoke(&grant.id);
    proof(row.host, &grant.id, SOON);
    assert!(!row.works());
    row.breaks_glass();
    row.over();
    row.issuer.run(&["systemctl", "stop", "slow"]).ok();
    row.host
        .sh(&format!(
            "sed -i s/9443/8443/ {link} && systemctl restart jit-link"
        ))
        .ok();
    row.connected();
}
