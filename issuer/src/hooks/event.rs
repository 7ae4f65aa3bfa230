//! What a hook is told, as CloudEvents 1.0: facts as members, and a text that holds all an approver needs.

use crate::error::Error;
use crate::store::{Asked, Outbox};
use jiff::Timestamp;
use policy::duration;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use settings::outgoing::What;
use statement::claims::Request;
use statement::keys::KeyRing;
use statement::{id, words};
use std::fmt::Write;

/// Something that happened, as the store knows it when it writes it down.
#[derive(Clone, Copy, Debug)]
pub struct Happened<'a> {
    pub what: What,
    pub of: Of<'a>,
}

/// What it happened to.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    Request(&'a Asked, More<'a>),
    /// A revocation of something else than one grant.
    Many {
        kind: &'a str,
        target: &'a str,
        serial: u64,
    },
    Breakglass {
        id: &'a str,
        host: &'a str,
        exp: u64,
    },
}

/// What there is to say beyond the request.
#[derive(Clone, Copy, Debug)]
pub enum More<'a> {
    /// For whom it waits, and until when.
    Waiting(&'a str, u64),
    /// Who.
    Person(&'a str),
    /// Why.
    Detail(&'a str),
    /// The grant's id and end.
    Grant(&'a str, u64),
    /// The grant's id, and the number of the revocation.
    Revoked(&'a str, u64),
}

/// A rendered event.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    /// Events of one line arrive in their order.
    pub line: String,
    pub body: String,
}

impl Happened<'_> {
    /// `at`: Unix seconds, now; `name`: what the issuer calls a host.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn render(
        &self,
        outbox: &Outbox,
        at: u64,
        name: impl FnOnce(&str) -> Result<Option<String>, Error>,
    ) -> Result<Event, Error> {
        let mut random = [0; 10];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| Error::Random)?;
        let id = format!("evt_{}", id::ulid(at.saturating_mul(1000), random));
        let (line, subject, data) = match self.of {
            Of::Request(asked, more) => {
                let name = name(&asked.host)?.unwrap_or_default();
                (
                    format!("request {}", asked.hash),
                    asked.id.clone(),
                    of_request(self.what, asked, &name, more, outbox.ring.as_ref()),
                )
            }
            Of::Many {
                kind,
                target,
                serial,
            } => {
                let text = format!("Everything given to {kind} {} was revoked.", target);
                let data =
                    json!({ "text": text, "revocation": serial, "kind": kind, "target": target });
                (format!("{kind} {target}"), target.to_owned(), data)
            }
            Of::Breakglass { id, host, exp } => {
                let name = name(host)?.unwrap_or_default();
                let text = format!(
                    "A break-glass right was made for {}; its code can be used until {}.\nhost: {}",
                    name,
                    time(exp),
                    host
                );
                let data = json!({ "text": text, "breakglass": id, "host": host, "host_name": name,
                    "usable_until": time(exp) });
                (format!("breakglass {id}"), id.to_owned(), data)
            }
        };
        let body = json!({
            "specversion": "1.0",
            "id": id,
            "source": outbox.source,
            "type": format!("org.jitctl.{}.v1", self.what.name()),
            "subject": subject,
            "time": time(at),
            "datacontenttype": "application/json",
            "data": data,
        });
        let body = body.to_string();
        Ok(Event { id, line, body })
    }
}

fn of_request(
    what: What,
    asked: &Asked,
    name: &str,
    more: More<'_>,
    ring: Option<&KeyRing>,
) -> Value {
    // It was verified when it came.
    let request = statement::unverified_request(&asked.jws).ok();
    let own = request.as_ref().and_then(|r| ring?.self_approver(r));
    let own = own.map(|person| person.id.as_str());
    let mut data = json!({
        "text": text(what, asked, request.as_ref(), name, (more, own)),
        "request": asked.id,
        "host": asked.host,
        "host_name": name,
    });
    if let Some(request) = &request {
        let first = request.authorization_details.first();
        data["login"] = json!(first.map(|d| &d.login));
        data["uid"] = json!(first.map(|d| d.uid));
        data["role"] = json!(request.role);
        data["reason"] = json!(request.reason);
        data["ticket"] = json!(request.ticket);
        data["seconds"] = json!(request.dur);
        data["root_equal"] = json!(words::root_equal(request));
        data["details"] = json!(request.authorization_details);
        data["asked_elsewhere_by"] = json!(elsewhere(request, asked));
    }
    match more {
        More::Waiting(whom, until) => {
            data["waiting_for"] = json!(whom);
            data["expires_at"] = json!(time(until));
            data["approve"] = json!(format!("jitctl approve {}", asked.id));
            data["self_approval"] = json!(own);
        }
        More::Person(person) => {
            data["person"] = json!(person);
            data["own_request"] = json!(own == Some(person));
        }
        More::Detail(detail) => data["detail"] = json!(detail),
        More::Grant(jti, exp) => {
            data["grant"] = json!(jti);
            data["ends_at"] = json!(time(exp));
        }
        More::Revoked(jti, serial) => {
            data["grant"] = json!(jti);
            data["revocation"] = json!(serial);
        }
    }
    data
}

fn elsewhere<'a>(request: &'a Request, asked: &Asked) -> Option<&'a str> {
    (request.iss != asked.host).then_some(request.iss.as_str())
}

/// For people. Who asked wrote some of it: whoever shows it must not take it for mark-up.
fn text(
    what: What,
    asked: &Asked,
    request: Option<&Request>,
    name: &str,
    (more, own): (More<'_>, Option<&str>),
) -> String {
    let Some(request) = request else {
        return format!("Request {}: {}.", asked.id, what.name());
    };
    let who = words::who(request);
    let role = &request.role;
    let of = format!("{who} on {} as {role}", name);
    let mut text = match more {
        More::Waiting(whom, _) => format!("{of}: waits for {}.", whom),
        More::Person(person) if own == Some(person) => {
            format!("{of}: {person} APPROVED THE OWN REQUEST, as the trust statement lets count.")
        }
        More::Person(person) => format!("{of}: {} approved.", person),
        More::Detail(detail) => format!("{of}: {}. {}", what.name(), detail),
        More::Grant(_, exp) => format!("{of}: granted until {}.", time(exp)),
        More::Revoked(..) => format!("{of}: revoked."),
    };
    // Writing to a string does not fail.
    let mut row = |name: &str, value: &str| {
        let _ = write!(text, "\n{name}: {}", value);
    };
    row("request", &asked.id);
    row("host", &asked.host);
    if let Some(person) = elsewhere(request, asked) {
        row("asked elsewhere by", person);
    }
    for detail in &request.authorization_details {
        for (name, value) in words::gives(detail) {
            row(if name.is_empty() { "or" } else { name }, &value);
        }
    }
    match words::root_equal(request) {
        Some(why) => row("risk", &format!("ROOT-EQUAL: {why}")),
        None => row("risk", "limited, as far as what it names is safe"),
    }
    match request.not_before {
        0 => row("how long", &duration::show(request.dur)),
        at => {
            let long = duration::show(request.dur);
            row("how long", &format!("{long}, not before {}", time(at)));
        }
    }
    row("why", &request.reason);
    row("ticket", request.ticket.as_deref().unwrap_or("none"));
    if let More::Waiting(_, until) = more {
        if let Some(own) = own {
            row("self-approval", &words::self_approval(own, role));
        }
        row("dies", &time(until));
        row("to approve", &format!("jitctl approve {}", asked.id));
        row(
            "to deny",
            &format!("jitctl deny {} --reason TEXT", asked.id),
        );
    }
    text
}

fn time(unix: u64) -> String {
    let at = i64::try_from(unix).ok();
    let at = at.and_then(|at| Timestamp::from_second(at).ok());
    at.map_or_else(|| unix.to_string(), |at| at.to_string())
}
