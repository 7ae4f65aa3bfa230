//! A trust statement in words, one line for each thing it says: what people read before they sign.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use journal::Timestamp;
use ring::digest::{SHA256, digest};
use statement::claims::{Jwk, Typ};
use statement::detail::AllOr;
use statement::keys::PublicKey;
use statement::sshsig::SshKey;
use statement::trust::TrustClaims;

fn date(unix: u64) -> String {
    let at = Timestamp {
        unix_ms: unix.saturating_mul(1000),
        boot_ns: 0,
        boot_id: String::new(),
    };
    at.rfc3339()
        .split('.')
        .next()
        .unwrap_or_default()
        .to_owned()
        + "Z"
}

fn kid(jwk: &Jwk) -> String {
    PublicKey::from_jwk(jwk).map_or_else(|e| e.to_string(), |k| k.kid())
}

/// As `ssh-keygen -l` shows it.
fn fingerprint(ssh: &str) -> String {
    SshKey::parse(ssh).map_or_else(
        |e| e.to_string(),
        |k| {
            format!(
                "SHA256:{}",
                STANDARD_NO_PAD.encode(digest(&SHA256, k.blob()))
            )
        },
    )
}

/// Everything, in a fixed order.
pub fn all(t: &TrustClaims) -> Vec<String> {
    let mut out = vec![
        format!("Issuer {}.", t.iss),
        format!("Version {}, epoch {}.", t.trust_ver, t.epoch),
        format!("Made {}, ends {}.", date(t.iat), date(t.exp)),
        format!(
            "{} of {} root keys must sign what comes next.",
            t.root.threshold,
            t.root.keys.len()
        ),
    ];
    out.extend(t.root.keys.iter().map(|k| format!("Root key {}.", kid(k))));
    for key in &t.keys {
        let uses: Vec<&str> = key
            .uses
            .iter()
            .map(|u| u.typ().map_or("as a witness of journals", Typ::as_str))
            .collect();
        let (uses, from, until) = (uses.join(", "), date(key.nbf), date(key.exp));
        out.push(format!(
            "Key {} signs {uses} from {from} until {until}.",
            kid(&key.jwk)
        ));
    }
    out.push(match &t.rules.automatic {
        AllOr::All(_) => "Every role that needs no approval may be automatic.".to_owned(),
        AllOr::List(l) if l.is_empty() => "No role may be automatic.".to_owned(),
        AllOr::List(l) => format!("These roles may be automatic: {}.", l.join(", ")),
    });
    for (role, needs) in &t.rules.approval {
        let needs: Vec<String> = needs
            .iter()
            .map(|n| format!("{} of {}", n.count, n.group))
            .collect();
        out.push(format!(
            "Role {role} must be approved by {}.",
            needs.join(" and ")
        ));
    }
    out.extend(t.rules.self_approval.iter().map(|role| {
        format!("WHOEVER ASKS FOR ROLE {role} MAY BE ONE OF THOSE WHO APPROVE IT: the own approval counts.")
    }));
    for p in &t.people {
        out.push(match p.groups.is_empty() {
            true => format!("{} is in no group of approvers.", p.id),
            false => format!("{} approves as {}.", p.id, p.groups.join(", ")),
        });
        for a in &p.accounts {
            out.push(format!(
                "{} is {} (uid {}) on hosts of {}.",
                p.id, a.login, a.uid, a.domain
            ));
        }
        for k in &p.keys {
            let print = fingerprint(&k.ssh);
            out.push(format!(
                "{} signs with {print} from {} until {}.",
                p.id,
                date(k.nbf),
                date(k.exp)
            ));
        }
    }
    out.extend(
        t.carry
            .iter()
            .map(|g| format!("Grant {g} of the last epoch lives on.")),
    );
    out
}

/// Lines that go, then lines that come.
pub fn changes(old: &TrustClaims, new: &TrustClaims) -> Vec<String> {
    let (old, new) = (all(old), all(new));
    let gone = old
        .iter()
        .filter(|l| !new.contains(l))
        .map(|l| format!("- {l}"));
    let come = new
        .iter()
        .filter(|l| !old.contains(l))
        .map(|l| format!("+ {l}"));
    gone.chain(come).collect()
}
