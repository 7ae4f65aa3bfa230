//! Limits of a host's word that it is calling.

use super::forms::{hash, spiffe, time, ulid, uri, version};
use super::{Limits, MAX_HOST_AUTH_LIFE, rule};
use crate::Refused;
use crate::claims::{HostAuth, Purpose};

impl Limits for HostAuth {
    fn check(&self) -> Result<(), Refused> {
        version(self.ver)?;
        spiffe(&self.iss, &["host"], "iss")?;
        uri(&self.aud, "aud")?;
        time(self.iat, "iat")?;
        time(self.exp, "exp")?;
        rule(self.exp > self.iat, "exp", "after iat")?;
        rule(
            self.exp - self.iat <= MAX_HOST_AUTH_LIFE,
            "exp",
            "at most 60 seconds after iat",
        )?;
        ulid(&self.jti, "jti")?;
        rule(
            self.body.is_some() == (self.purpose != Purpose::Read),
            "body",
            "with every purpose but read",
        )?;
        self.body.iter().try_for_each(|b| hash(b, "body"))
    }
}
