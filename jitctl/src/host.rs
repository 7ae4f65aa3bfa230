//! Names on one box: its issuer calls the host by its machine id (`docs/spec/statements.md`).

use crate::exit::Code;
use crate::failure::Failure;

pub const ISSUER_SOCK: &str = "/run/jit-issuer/api.sock";
const MACHINE_ID: &str = "/etc/machine-id";

/// machine-id(5): 32 lower-case hexadecimal digits.
///
/// # Errors
/// There is none, or it is not one.
pub fn machine_id() -> Result<String, Failure> {
    let text = std::fs::read_to_string(MACHINE_ID)
        .map_err(|e| Failure::new(Code::Internal, format!("Cannot read {MACHINE_ID}: {e}.")))?;
    let id = text.trim();
    if id.len() == 32
        && id
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        Ok(id.to_owned())
    } else {
        Err(
            Failure::new(Code::Internal, format!("{MACHINE_ID} holds no machine id."))
                .hint("`systemd-machine-id-setup` makes one."),
        )
    }
}

/// Empty when the kernel has none that is text.
pub fn name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|n| n.into_string().ok())
        .unwrap_or_default()
}

pub fn id(machine_id: &str) -> String {
    format!("spiffe://local.{machine_id}/host/{machine_id}")
}

/// `sub` of a local user.
pub fn subject(machine_id: &str, uid: u32) -> String {
    format!("local:{uid}@{}", id(machine_id))
}

/// The id of the host that people call `name`; `None` for another host.
pub fn named(name: &str, machine_id: &str, host_name: &str) -> Option<String> {
    let own = id(machine_id);
    let is_own = name == own
        || name == machine_id
        || name == "localhost"
        || (!name.is_empty() && name == host_name);
    is_own.then_some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_four_names() {
        let own = "spiffe://local.abc/host/abc".to_owned();
        for name in ["localhost", "web1", "abc", own.as_str()] {
            assert_eq!(named(name, "abc", "web1"), Some(own.clone()));
        }
        assert_eq!(named("web2", "abc", "web1"), None);
        assert_eq!(named("", "abc", ""), None);
        assert_eq!(subject("abc", 1000), format!("local:1000@{own}"));
    }
}
