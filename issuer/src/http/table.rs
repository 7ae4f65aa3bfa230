//! Who may call what. A caller on this box is known by SO_PEERCRED, taken when he connected; one who came over HTTPS
//! is nobody until the call itself has seen a signature.

use axum::http::Method;

/// Credentials of a connection's other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
}

/// How a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Through the socket of this box.
    Here(Peer),
    /// Over HTTPS.
    Away,
}

/// The uids that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uids {
    pub root: u32,
    /// The user jit-link; `None` when there is none.
    pub link: Option<u32>,
    /// The issuer's own.
    pub issuer: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Anyone,
    LinkOrRoot,
    RootOrIssuer,
}

/// Whether a call is taken over HTTPS. Those that are check a signature themselves, or tell nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    Yes,
    No,
}

/// Every call there is. What is not here is refused.
const TABLE: [(Method, &str, Who, Away); 27] = [
    (Method::GET, api::path::HEALTHZ, Who::Anyone, Away::Yes),
    // For what watches over this box, and for balancers.
    (Method::GET, api::path::READYZ, Who::Anyone, Away::Yes),
    (Method::GET, api::path::METRICS, Who::Anyone, Away::No),
    (Method::GET, api::path::OPENAPI, Who::Anyone, Away::Yes),
    // For those who have no token yet; one that comes with the call says who it is.
    (Method::GET, api::path::LOGIN, Who::Anyone, Away::Yes),
    // Signed by a host or a person.
    (Method::POST, api::path::REQUESTS, Who::Anyone, Away::Yes),
    // Signed by the host.
    (
        Method::POST,
        api::path::WITHDRAW,
        Who::LinkOrRoot,
        Away::Yes,
    ),
    // Signed by a person, each; on this box root's word is enough.
    (Method::GET, api::path::REQUESTS, Who::Anyone, Away::Yes),
    (Method::GET, api::path::SHOW, Who::Anyone, Away::Yes),
    (Method::POST, api::path::APPROVE, Who::Anyone, Away::Yes),
    (Method::POST, api::path::DENY, Who::Anyone, Away::Yes),
    (Method::GET, api::path::FOR, Who::Anyone, Away::Yes),
    (Method::POST, api::path::GIVE_BACK, Who::Anyone, Away::Yes),
    // With the host's word for each.
    (Method::GET, api::path::STREAM, Who::LinkOrRoot, Away::Yes),
    (Method::GET, api::path::SYNC, Who::LinkOrRoot, Away::Yes),
    (
        Method::POST,
        api::path::REVOCATIONS,
        Who::RootOrIssuer,
        Away::No,
    ),
    (
        Method::POST,
        api::path::RECEIPTS,
        Who::LinkOrRoot,
        Away::Yes,
    ),
    // What it carries is signed by the host.
    (
        Method::POST,
        api::path::ADD_CHECKPOINT,
        Who::LinkOrRoot,
        Away::Yes,
    ),
    // With a token's secret and a proof of the key.
    (Method::POST, api::path::ENROL, Who::RootOrIssuer, Away::Yes),
    (
        Method::POST,
        api::path::ENROL_TOKENS,
        Who::RootOrIssuer,
        Away::No,
    ),
    (
        Method::POST,
        api::path::BREAKGLASS,
        Who::RootOrIssuer,
        Away::No,
    ),
    (Method::POST, api::path::BACKUP, Who::RootOrIssuer, Away::No),
    (Method::GET, api::path::HOSTS, Who::RootOrIssuer, Away::No),
    (Method::POST, api::path::HOSTS, Who::RootOrIssuer, Away::No),
    (Method::POST, api::path::RENAME, Who::RootOrIssuer, Away::No),
    (
        Method::POST,
        api::path::DECOMMISSION,
        Who::RootOrIssuer,
        Away::No,
    ),
    (
        Method::POST,
        api::path::ACCEPT_LOG,
        Who::RootOrIssuer,
        Away::No,
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoSuchCall,
    NoSuchMethod,
    NotAllowed,
}

/// # Errors
/// [`Refusal`]; also for a connection without credentials.
pub fn check(
    method: &Method,
    path: &str,
    caller: Option<Caller>,
    uids: &Uids,
) -> Result<(), Refusal> {
    let mut found = Refusal::NoSuchCall;
    for (m, p, who, away) in &TABLE {
        if *p != path {
            continue;
        }
        if m != method {
            found = Refusal::NoSuchMethod;
            continue;
        }
        let allowed = match (caller, who) {
            (None, _) => false,
            (Some(Caller::Away), _) => *away == Away::Yes,
            (Some(Caller::Here(_)), Who::Anyone) => true,
            (Some(Caller::Here(Peer { uid })), Who::LinkOrRoot) => {
                uid == uids.root || Some(uid) == uids.link
            }
            (Some(Caller::Here(Peer { uid })), Who::RootOrIssuer) => {
                uid == uids.root || uid == uids.issuer
            }
        };
        return if allowed {
            Ok(())
        } else {
            Err(Refusal::NotAllowed)
        };
    }
    Err(found)
}

/// Whether a caller is one of ours, for whom connections are kept free.
#[must_use]
pub fn is_ours(peer: Peer, uids: &Uids) -> bool {
    peer.uid == uids.root || peer.uid == uids.issuer || Some(peer.uid) == uids.link
}

/// Method, path, and whether it is taken over HTTPS.
#[cfg(test)]
pub fn calls() -> std::collections::BTreeSet<(String, String, bool)> {
    let call = |(method, path, _, away): &(Method, &str, Who, Away)| {
        (method.to_string(), (*path).to_owned(), *away == Away::Yes)
    };
    TABLE.iter().map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UIDS: Uids = Uids {
        root: 0,
        link: Some(990),
        issuer: 991,
    };

    #[test]
    fn each_call_and_each_caller() {
        let here = [Some(0), Some(990), Some(991), Some(1000), None];
        let box_only = [true, false, true, false, false];
        let calls = [
            (Method::GET, "/v1/healthz", [true, true, true, true, true]),
            (Method::GET, "/v1/readyz", [true, true, true, true, true]),
            (Method::GET, "/metrics", [true, true, true, true, false]),
            (Method::GET, "/v1/openapi.json", [true; 5]),
            (Method::GET, "/v1/login", [true; 5]),
            (Method::POST, "/v1/requests", [true; 5]),
            (Method::GET, "/v1/requests/for", [true; 5]),
            (Method::POST, "/v1/requests/give-back", [true; 5]),
            (Method::GET, "/v1/requests", [true; 5]),
            (Method::GET, "/v1/requests/show", [true; 5]),
            (Method::POST, "/v1/requests/approve", [true; 5]),
            (Method::POST, "/v1/requests/deny", [true; 5]),
            (
                Method::POST,
                "/v1/requests/withdraw",
                [true, true, false, false, true],
            ),
            (Method::GET, "/v1/stream", [true, true, false, false, true]),
            (Method::GET, "/v1/sync", [true, true, false, false, true]),
            (
                Method::POST,
                "/v1/revocations",
                [true, false, true, false, false],
            ),
            (
                Method::POST,
                "/v1/receipts",
                [true, true, false, false, true],
            ),
            (
                Method::POST,
                "/v1/witness/add-checkpoint",
                [true, true, false, false, true],
            ),
            (Method::POST, "/v1/enrol", [true, false, true, false, true]),
            (Method::POST, "/v1/enrol-tokens", box_only),
            (Method::POST, "/v1/breakglass", box_only),
            (Method::POST, "/v1/backup", box_only),
            (Method::GET, "/v1/hosts", box_only),
            (Method::POST, "/v1/hosts", box_only),
            (Method::POST, "/v1/hosts/rename", box_only),
            (Method::POST, "/v1/hosts/decommission", box_only),
            (Method::POST, "/v1/hosts/accept-log", box_only),
        ];
        assert_eq!(calls.len(), TABLE.len(), "a call without a test");
        for (method, path, allowed) in calls {
            for (uid, allowed) in here.into_iter().zip(allowed) {
                let caller = uid.map_or(Caller::Away, |uid| Caller::Here(Peer { uid }));
                let got = check(&method, path, Some(caller), &UIDS);
                assert_eq!(got.is_ok(), allowed, "{method} {path} by {caller:?}");
            }
            assert_eq!(
                check(&method, path, None, &UIDS),
                Err(Refusal::NotAllowed),
                "{path} without credentials"
            );
        }
    }

    #[test]
    fn everything_else_is_refused_even_for_root() {
        let root = Some(Caller::Here(Peer { uid: 0 }));
        for path in [
            "/",
            "/v1",
            "/v1/requests/",
            "/v1//requests",
            "/V1/requests",
            "/v1/healthz/x",
        ] {
            assert_eq!(
                check(&Method::GET, path, root, &UIDS),
                Err(Refusal::NoSuchCall)
            );
        }
        for method in [Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS] {
            assert_eq!(
                check(&method, "/v1/requests", root, &UIDS),
                Err(Refusal::NoSuchMethod)
            );
        }
    }

    #[test]
    fn without_a_link_user_nobody_is_the_link() {
        let uids = Uids { link: None, ..UIDS };
        assert_eq!(
            check(
                &Method::POST,
                "/v1/receipts",
                Some(Caller::Here(Peer { uid: 990 })),
                &uids
            ),
            Err(Refusal::NotAllowed)
        );
    }
}
