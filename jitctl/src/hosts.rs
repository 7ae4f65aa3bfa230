//! `jitctl hosts`: the hosts of this box's issuer, and how far each is.

use crate::context::{Context, need_root};
use crate::exit::Exit;
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::host::ISSUER_SOCK;
use crate::interrupt::runtime;
use crate::output::{Line, Style};
use crate::revoke::refusal;
use crate::show;
use api::{Client, HostInfo, Hosts, Witnessed};
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
                "witnessed": h.witnessed.as_ref().map(witnessed_json),
            })
        })
        .collect();
    json!({ "schema_version": SCHEMA_VERSION, "rev_serial": known.rev_serial, "hosts": hosts })
}

fn witnessed_json(known: &Witnessed) -> Value {
    let trouble = known.trouble.as_ref().map(|t| {
        json!({ "kind": t.kind.name(), "at": show::time(t.at), "what": t.what, "shown": t.shown })
    });
    json!({
        "origin": known.origin, "generation": known.generation, "size": known.size,
        "grew_at": show::time(known.grew_at), "silent": known.silent, "trouble": trouble,
        "accepts": known.accepts, "checkpoint": known.checkpoint,
    })
}

/// What is wrong stands out.
fn witnessed_line(line: Line, known: &Witnessed) -> Line {
    let at = show::time(known.grew_at);
    let line = match &known.trouble {
        Some(trouble) => line
            .text(", ")
            .styled(Style::Bad, trouble.kind.name().to_uppercase())
            .text(format!(": {}", trouble.what)),
        None => line.text(format!(", {} witnessed {at}", known.size)),
    };
    if known.silent {
        return line
            .text(", ")
            .styled(Style::Bad, format!("SILENT since {at}"));
    }
    line
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
        let line = Line::new(format!("{}  {state}", h.name));
        match h
            .witnessed
            .as_ref()
            .filter(|_| h.decommissioned_at.is_none())
        {
            Some(known) => witnessed_line(line, known),
            None => line,
        }
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
            witnessed: None,
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
        let lost = HostInfo {
            witnessed: Some(Witnessed {
                origin: "jit/m/l".to_owned(),
                generation: 1,
                size: 9,
                grew_at: 0,
                silent: true,
                trouble: Some(api::Trouble {
                    kind: api::TroubleKind::Rollback,
                    at: 0,
                    what: "9 were witnessed".to_owned(),
                    shown: String::new(),
                }),
                accepts: false,
                checkpoint: None,
            }),
            ..host(None)
        };
        let known = Hosts {
            rev_serial: 0,
            hosts: vec![lost],
        };
        let line = as_lines(&known).swap_remove(0);
        let said = "a  never seen, ROLLBACK: 9 were witnessed, SILENT since 1970-01-01T00:00:00Z";
        assert_eq!(line.plain(), said);
        assert_eq!(
            as_json(&known)["hosts"][0]["witnessed"]["trouble"]["kind"],
            "rollback"
        );
    }
}
