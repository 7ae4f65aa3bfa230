//! A host's word that it is calling: taken as it should be, refused with each member spoiled.
#![cfg(feature = "sign")]
#![allow(clippy::unwrap_used)]

use statement::claims::{HostAuth, Purpose, Typ};
use statement::digest::sha256_b64;
use statement::sign::Signer;
use statement::{Refused, verify_host_auth};

fn good() -> HostAuth {
    HostAuth {
        ver: 1,
        iss: "spiffe://local.test/host/a".to_owned(),
        aud: "spiffe://local.test/issuer".to_owned(),
        iat: 1_000_000,
        exp: 1_000_060,
        jti: "01JD3ZK5T2M8Q4W7X9Y0B1C2D3".to_owned(),
        purpose: Purpose::Receipt,
        body: Some(sha256_b64(b"x")),
    }
}

#[test]
fn only_the_hosts_own_key_and_type_are_taken() {
    let (key, _) = Signer::generate().unwrap();
    let (other, _) = Signer::generate().unwrap();
    let jws = key.sign(Typ::HostAuth, &good()).unwrap();
    assert_eq!(*verify_host_auth(&jws, &key.public()).unwrap(), good());
    assert!(matches!(
        verify_host_auth(&jws, &other.public()),
        Err(Refused::UnknownKey { .. })
    ));
    let request = key.sign(Typ::Request, &good()).unwrap();
    assert!(matches!(
        verify_host_auth(&request, &key.public()),
        Err(Refused::Typ { .. })
    ));
    let mut spoiled = jws.into_bytes();
    let last = spoiled.len() - 3;
    spoiled[last] = if spoiled[last] == b'A' { b'B' } else { b'A' };
    assert!(matches!(
        verify_host_auth(&String::from_utf8(spoiled).unwrap(), &key.public()),
        Err(Refused::Signature)
    ));
}

#[test]
fn each_limit_counts() {
    let (key, _) = Signer::generate().unwrap();
    let spoil: [fn(&mut HostAuth); 9] = [
        |a| a.ver = 2,
        |a| a.iss = "spiffe://local.test/issuer".to_owned(),
        |a| a.aud = String::new(),
        |a| a.exp = a.iat,
        |a| a.exp = a.iat + 61,
        |a| a.jti = "x".to_owned(),
        |a| a.body = None,
        |a| a.body = Some("x".to_owned()),
        |a| a.purpose = Purpose::Read,
    ];
    for (i, spoil) in spoil.iter().enumerate() {
        let mut claims = good();
        spoil(&mut claims);
        let jws = key.sign(Typ::HostAuth, &claims).unwrap();
        assert!(
            matches!(
                verify_host_auth(&jws, &key.public()),
                Err(Refused::Limit { .. })
            ),
            "{i}"
        );
    }
}
