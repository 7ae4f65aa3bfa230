//! `jitctl hosts`: the hosts of this box's issuer, and how far each is.

use crate::context::{Context, need_root};
use crate::exit::Exit;
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::host::ISSUER_SOCK;
use crate::interrupt::runtime;
use crate::output::Line;
use crate::revoke::refusal;
use crate::show;
use api::{Client, HostInfo, Hosts};
use serde_json::{Value, json};

pub fn command(ctx: &Context) -> Result<u8, Failure> {
    need_root("list the hosts of the issuer of this box")?;
    let known = runtime()?
        .block_on(Client::unix(ISSUER_SOCK).hosts())
        .map_err(|e| refusal(&e))?;
    ctx.out.json(&as_json(&known));
    ctx.out.lines(&as_lines(&known));
    Ok(Exit::Ok.code())
}

/// Revocations that a host has not said it applied; none for one that never said anything.
fn behind(host: &HostInfo, newest: u64) -> Option<u64> {
    let seen = host.seen.as_ref()?;
    Some(newest.saturating_sub(seen.rev_serial))
}

fn as_json(known: &Hosts) -> Value {
    let hosts: Vec<Value> = known
        .hosts
        .iter()
        .map(|h| {
            json!({
                "id": h.id, "name": h.name, "labels": h.labels,
                "enrolled_at": show::time(h.enrolled_at),
                "decommissioned_at": h.decommissioned_at.map(show::time),
                "last_seen": h.seen.as_ref().map(|s| show::time(s.at)),
                "behind": behind(h, known.rev_serial),
                "version": h.seen.as_ref().map(|s| &s.version),
                "log_next": h.seen.as_ref().map(|s| s.log_next),
                "log_chain": h.seen.as_ref().map(|s| &s.log_chain),
            })
        })
        .collect();
    json!({ "schema_version": SCHEMA_VERSION, "rev_serial": known.rev_serial, "hosts": hosts })
}

fn as_lines(known: &Hosts) -> Vec<Line> {
    let line = |h: &HostInfo| {
        let state = match (&h.decommissioned_at, &h.seen) {
            (Some(at), _) => format!("decommissioned {}", show::time(*at)),
            (None, None) => "never seen".to_owned(),
            (None, Some(seen)) => format!(
                "seen {}, {} behind, version {}, log {} {:.16}",
                show::time(seen.at),
                behind(h, known.rev_serial).unwrap_or_default(),
                seen.version,
                seen.log_next,
                seen.log_chain
            ),
        };
        Line::new(format!("{}  {state}", h.name))
    };
    known.hosts.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Seen;

    #[test]
    fn a_host_is_behind_by_what_it_has_not_applied() {
        let host = |seen: Option<u64>| HostInfo {
            id: "spiffe://x/host/a".to_owned(),
            name: "a".to_owned(),
            labels: [].into(),
            enrolled_at: 0,
            decommissioned_at: None,
            seen: seen.map(|rev_serial| Seen {
                at: 0,
                rev_serial,
                version: "1".to_owned(),
                log_next: 7,
                log_chain: "0123456789abcdef0123".to_owned(),
            }),
        };
        assert_eq!(behind(&host(Some(3)), 5), Some(2));
        assert_eq!(behind(&host(Some(5)), 5), Some(0));
        assert_eq!(behind(&host(None), 5), None);
        let known = Hosts {
            rev_serial: 5,
            hosts: vec![host(Some(3)), host(None)],
        };
        let lines = as_lines(&known);
        assert_eq!(
            lines[0].plain(),
            "a  seen 1970-01-01T00:00:00Z, 2 behind, version 1, log 7 0123456789abcdef"
        );
        assert_eq!(lines[1].plain(), "a  never seen");
        let json = as_json(&known);
        assert_eq!(json["hosts"][0]["behind"], 2);
        assert_eq!(json["hosts"][1]["last_seen"], Value::Null);
    }
}
