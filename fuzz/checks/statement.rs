//! Any bytes as a statement: refused or taken, never a panic; and what a key of ours signed is taken only within limits.

use statement::claims::{Request, Typ};
use statement::digest::sha256_b64;
use statement::limits::Limits;
use statement::sign::Signer;
use statement::trust::verify_first;
use statement::verify_request;

pub fn statement(signer: &Signer, bytes: &[u8]) {
    let key = signer.public();
    if let Ok(text) = std::str::from_utf8(bytes) {
        // Nobody signed it.
        assert!(verify_request(text, &key).is_err());
        assert!(verify_first(text, &sha256_b64(bytes)).is_err());
    }
    // As claims, behind a good signature.
    let Ok(claims) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return;
    };
    let Ok(jws) = signer.sign(Typ::Request, &claims) else {
        return;
    };
    if let Ok(request) = verify_request(&jws, &key) {
        let claims: &Request = &request;
        assert_eq!(claims.check(), Ok(()));
        let again = signer
            .sign(Typ::Request, claims)
            .map(|jws| verify_request(&jws, &key).is_ok());
        assert!(matches!(again, Ok(true)));
    }
}
