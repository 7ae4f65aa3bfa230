//! Requests that a person signed, on a machine that is none of ours: from elsewhere, or for a job of a CI.
//!
//! The same claims and the same compact form as a host's request, but the third part is an SSH signature (armour of
//! `ssh-keygen -Y sign`, base64url) over the first two, made for this purpose alone. Whoever signs says by that who asks,
//! so everything that a host's word stands for is compared here with the people of the trust statement.

use crate::Refused;
use crate::claims::{Request, Typ};
use crate::keys::KeyRing;
use crate::limits::Limits;
use crate::people::Person;
use crate::sshsig::{MAX_SSHSIG, SshKey, SshSig};
use crate::verify::Verified;
use crate::{digest, jws};

/// What a person's request is signed under: neither an approval nor a call can stand for one.
pub const NAMESPACE: &str = "jit-request-v1@jitctl";
/// `alg` of such a request's header.
pub const ALG: &str = "sshsig";

/// Somebody who asks with the own key: verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    pub person: String,
    /// Unix seconds; from then on the key no longer counts.
    pub until: u64,
}

/// Whether a request claims to be a person's. Nothing of it is believed.
pub fn is_persons(request: &str) -> bool {
    let header = request.split('.').next().unwrap_or_default();
    header.len() <= 512 && jws::header(header, jws::Algs::Person).is_ok()
}

/// The bytes that a person signs, in [`NAMESPACE`], to make a request with this key. Refused when no host would take it.
pub fn to_sign(request: &Request, key: &SshKey) -> Result<String, Refused> {
    request.check()?;
    let header = format!(
        r#"{{"alg":"{ALG}","typ":"{}","kid":"{}"}}"#,
        Typ::Request.as_str(),
        key.kid()
    );
    let claims = serde_json::to_vec(request).map_err(|e| Refused::Json {
        what: "request",
        why: e.to_string(),
    })?;
    let input = format!(
        "{}.{}",
        digest::encode(header.as_bytes()),
        digest::encode(&claims)
    );
    let limit = jws::max_signing_input(Typ::Request);
    if input.len() > limit {
        return Err(Refused::TooLarge {
            what: "request",
            bytes: input.len(),
            limit,
        });
    }
    Ok(input)
}

/// The request, of what was signed and its armoured signature.
pub fn sealed(to_sign: &str, armoured: &str) -> String {
    format!("{to_sign}.{}", digest::encode(armoured.as_bytes()))
}

/// What makes a person's request single: SHA-256 of what was signed, base64url. The bytes of a signature can be changed
/// into others that verify as well, so the hash of the whole would not do.
pub fn once(request: &str) -> String {
    let signed = request
        .rsplit_once('.')
        .map_or(request, |(signed, _)| signed);
    digest::sha256_b64(signed.as_bytes())
}

/// Takes the outer form apart: what was signed, its claims, the armour. Nothing in it is to be believed.
pub(crate) fn split(request: &str) -> Result<jws::Unverified<'_>, Refused> {
    // The armour once more in base64url.
    let most = (MAX_SSHSIG * 4).div_ceil(3);
    jws::split_as(request, Typ::Request, jws::Algs::Person, most)
}

/// Verifies a request that a person signed for one host, as of Unix time `at`: the trust statement gives the key and the
/// account that is asked for to one person, whom the request names; the key was valid when the request was made and is at
/// `at`. Times, and that it comes for the first time, are the caller's to compare.
pub fn verify_persons_request(
    request: &str,
    ring: &KeyRing,
    host: &str,
    at: u64,
) -> Result<(Verified<Request>, Asker), Refused> {
    let refuse = |why: &str| {
        Err(Refused::Person {
            why: why.to_owned(),
        })
    };
    let unverified = split(request)?;
    let not_text = Refused::Encoding { what: "signature" };
    let armour = String::from_utf8(unverified.signature.clone()).map_err(|_| not_text)?;
    // The parser lets the last newline be left out; here a signature has one spelling.
    if !armour.ends_with('\n') {
        return Err(Refused::Encoding { what: "signature" });
    }
    let signature = SshSig::parse(&armour)?;
    let kid = signature.key().kid();
    if unverified.header.kid != kid {
        return refuse("it names another key than the one that signed it");
    }
    let Some((person, nbf, exp)) = ring.people.of_key(signature.key()) else {
        return refuse("the trust statement knows nobody with this key");
    };
    signature.verify(NAMESPACE, unverified.signing_input.as_bytes())?;
    let claims: Request = unverified.unverified_claims()?;
    claims.check()?;
    if claims.iss != person.id {
        return refuse("it names another person than the one whose key signed it");
    }
    if claims.aud != [host] {
        return refuse("it is for other hosts, or for more than this one");
    }
    if claims.extends.is_some() {
        return refuse("only a host's own request extends a grant");
    }
    if [claims.iat, at].iter().any(|t| *t < nbf || *t >= exp) {
        return refuse("the key of the person who asks is not valid at that time");
    }
    has_account(&claims, person, ring, host)?;
    let asker = Asker {
        person: person.id.clone(),
        until: exp,
    };
    let verified = Verified::of(claims, request.to_owned(), kid);
    Ok((verified, asker))
}

/// Limits make all details name one account.
fn has_account(
    claims: &Request,
    person: &Person,
    ring: &KeyRing,
    host: &str,
) -> Result<(), Refused> {
    let refuse = |why: String| Err(Refused::Person { why });
    let Some(first) = claims.authorization_details.first() else {
        return refuse("it asks for nothing".to_owned());
    };
    if claims.sub != format!("local:{}@{host}", first.uid) {
        return refuse("its subject is not the account that it asks for".to_owned());
    }
    let whose = ring.people.of_account(&first.login, first.uid, host);
    if whose.map(|p| &p.id) != Some(&person.id) {
        return refuse(format!(
            "the trust statement gives {} (uid {}) on this host not to {}",
            first.login, first.uid, person.id
        ));
    }
    Ok(())
}
