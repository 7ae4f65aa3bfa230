//! May a grant be extended? Only one that this issuer gave, that lives, and by exactly the same right. The host compares the
//! same again with what it holds.

use crate::error::Error;
use crate::store::Store;
use statement::claims::Request;
use statement::{HostIdentity, asked};

/// Links of a chain that are followed. A chain lasts twelve hours at most; nobody renews it each minute of them.
const LINKS: usize = 720;

/// Why `request` may not extend the grant `jti`, or `None` when it may. What policy says of it is asked apart.
///
/// # Errors
/// The store's.
pub fn refusal(
    store: &mut dyn Store,
    host: &HostIdentity,
    request: &Request,
    jti: &str,
    now: u64,
) -> Result<Option<String>, Error> {
    let no = |why: &str| Ok(Some(why.to_owned()));
    if request.not_before != 0 {
        return no("An extension starts at once.");
    }
    let mut next = Some(jti.to_owned());
    let mut newest = true;
    for _ in 0..LINKS {
        let Some(id) = next else { return Ok(None) };
        let given = store.granted(&id)?;
        // Another's grant is as good as none: nobody learns that it is there.
        let Some(given) = given.filter(|g| g.host == host.host && g.sub == request.sub) else {
            return no("There is no such grant to extend.");
        };
        if given.revoked {
            return no("The grant was revoked.");
        }
        // What a person signed was verified when it came, and his host ends it when he counts no more.
        let asked = match asked::is_persons(&given.request) {
            true => statement::unverified_request(&given.request),
            false => statement::verify_request(&given.request, &host.key).map(|r| (*r).clone()),
        };
        let Ok(asked) = asked else {
            return no("The grant was asked for under another key of this host.");
        };
        if newest && given.exp <= now {
            return no("The grant has ended.");
        }
        if asked.role != request.role
            || asked.authorization_details != request.authorization_details
        {
            return no(
                "An extension gives exactly what the grant gives, and this asks for something else.",
            );
        }
        next = asked.extends.clone();
        newest = false;
    }
    no("The grant was extended too often; ask for a new one.")
}
