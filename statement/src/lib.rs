//! Signed statements: what they claim, how they are signed, and whether a signed right covers an ask.
//!
//! A statement is a compact JWS with its own `typ`; a trust statement is a JWS in general JSON with several root
//! signatures. Everything a host acts on passes one verifier here and comes out as a type that nothing else can
//! make ([`VerifiedGrant`], [`Verified`], [`trust::VerifiedTrust`]).
//!
//! This crate never reads a clock, a file, the environment or the network, and never decides whether a grant is
//! in force *now*: that needs the host's stored counters and is the agent's one decision.
//!
//! Spec: `docs/spec/statements.md`.

pub mod asked;
pub mod breakglass;
pub mod claims;
pub mod detail;
pub mod digest;
pub mod id;
pub mod jws;
pub mod keys;
pub mod limits;
pub mod people;
mod refused;
pub mod risk;
pub mod role;
pub mod scope;
#[cfg(feature = "sign")]
pub mod sign;
#[cfg(feature = "sign")]
mod ssh_signer;
pub mod sshsig;
mod strict;
pub mod trust;
pub mod verify;
pub mod words;

pub use asked::verify_persons_request;
pub use refused::Refused;
pub use verify::{
    HostIdentity, Verified, VerifiedGrant, unverified_policy, unverified_request, verify_enrol,
    verify_grant, verify_host_auth, verify_policy, verify_request, verify_revocation, verify_state,
};
