//! Limits of a break-glass statement and of what its code opens.

use super::forms::{role_name, spiffe, time, ulid, uri, version};
use super::{Limits, MAX_BREAKGLASS_LIFE, MAX_LIFE, rule};
use crate::Refused;
use crate::claims::{Breakglass, Sealed};

impl Limits for Breakglass {
    fn check(&self) -> Result<(), Refused> {
        version(self.ver)?;
        uri(&self.iss, "iss")?;
        time(self.iat, "iat")?;
        ulid(&self.id, "id")?;
        spiffe(&self.host, &["host"], "host")?;
        time(self.exp, "exp")?;
        rule(self.exp > self.iat, "exp", "after iat")?;
        rule(
            self.exp - self.iat <= MAX_BREAKGLASS_LIFE,
            "exp",
            "at most 400 days after iat",
        )?;
        rule(!self.sealed.is_empty(), "sealed", "must not be empty")
    }
}

impl Limits for Sealed {
    fn check(&self) -> Result<(), Refused> {
        rule(
            (1..=MAX_LIFE).contains(&self.dur),
            "dur",
            "1 to 43200 seconds",
        )?;
        role_name(&self.role)?;
        self.right.check()
    }
}
