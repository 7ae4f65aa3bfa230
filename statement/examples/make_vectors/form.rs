//! Grants whose outer form is wrong: header, parts, encoding, bundle.

use crate::Cases;
use crate::grants::Making;
use crate::world::*;
use ring::hmac;
use serde_json::{Value, json};
use statement::claims::Typ;

pub fn headers(cases: &mut Cases, world: &World) {
    let m = Making::new(world, &request(), &grant());
    let kid = world.grant.kid();
    let typ = "jit-grant+jwt";
    let payload = m.payload();

    let none = json!({"alg": "none", "typ": typ, "kid": kid}).to_string();
    cases.refuse(
        "alg none, no signature",
        "alg",
        "\"none\"",
        m.with_jws(&format!("{}.{}.", b64(&none), b64(&payload))),
    );
    cases.refuse(
        "alg none, good signature",
        "alg",
        "\"none\"",
        m.with_header(&none),
    );
    let hs = json!({"alg": "HS256", "typ": typ, "kid": kid}).to_string();
    cases.refuse(
        "alg HS256, good signature",
        "alg",
        "\"HS256\"",
        m.with_header(&hs),
    );
    let input = format!("{}.{}", b64(&hs), b64(&payload));
    let public = unb64(&world.grant.signer.public().to_jwk().x);
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, &public),
        input.as_bytes(),
    );
    cases.refuse(
        "alg HS256 with the public key as secret",
        "alg",
        "\"HS256\"",
        m.with_jws(&format!("{input}.{}", b64(tag))),
    );
    let header = |alg: &str| json!({"alg": alg, "typ": typ, "kid": kid}).to_string();
    cases.refuse(
        "alg ES256 for an Ed25519 key",
        "alg",
        "\"ES256\"",
        m.with_header(&header("ES256")),
    );
    cases.refuse(
        "alg in lower case",
        "alg",
        "\"eddsa\"",
        m.with_header(&header("eddsa")),
    );
    let es = world.es256.header(typ).replace("ES256", "EdDSA");
    cases.refuse(
        "alg EdDSA for a P-256 key",
        "alg",
        "\"EdDSA\"",
        m.with_jws(&world.es256.jws(&es, &payload)),
    );

    let extra = |name: &str, value: Value| {
        let mut header = json!({"alg": "EdDSA", "typ": typ, "kid": kid});
        header[name] = value;
        header.to_string()
    };
    let jwk = serde_json::to_value(world.stranger.signer.public().to_jwk()).unwrap();
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example/keys")),
        ("x5c", json!(["AAAA"])),
        ("x5u", json!("https://evil.example/cert")),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
    ] {
        cases.refuse(
            &format!("header member {name}"),
            "json",
            "unknown field",
            m.with_header(&extra(name, value)),
        );
    }
    cases.refuse(
        "no kid",
        "json",
        "missing field `kid`",
        m.with_header(&json!({"alg": "EdDSA", "typ": typ}).to_string()),
    );
    cases.refuse(
        "no typ",
        "json",
        "missing field `typ`",
        m.with_header(&json!({"alg": "EdDSA", "kid": kid}).to_string()),
    );
    cases.refuse(
        "no alg",
        "json",
        "missing field `alg`",
        m.with_header(&json!({"typ": typ, "kid": kid}).to_string()),
    );
    cases.refuse(
        "alg twice",
        "json",
        "repeated member",
        m.with_header(&format!(r#"{{"alg":"none",{}"#, &header("EdDSA")[1..])),
    );
    let twice = format!(
        r#"{{"kid":"{}",{}"#,
        world.stranger.kid(),
        &header("EdDSA")[1..]
    );
    cases.refuse(
        "kid twice",
        "json",
        "repeated member",
        m.with_header(&twice),
    );
    cases.refuse(
        "alg twice, once escaped",
        "json",
        "repeated member",
        m.with_header(&format!(r#"{{"\u0061lg":"none",{}"#, &header("EdDSA")[1..])),
    );
    cases.refuse(
        "header is a list",
        "json",
        "another form",
        m.with_header(&json!(["EdDSA", typ, kid]).to_string()),
    );
    cases.refuse(
        "data after the header",
        "json",
        "trailing",
        m.with_header(&format!("{} {{}}", header("EdDSA"))),
    );
    cases.refuse(
        "kid is not a thumbprint",
        "encoding",
        "key id",
        m.with_header(&json!({"alg": "EdDSA", "typ": typ, "kid": "main"}).to_string()),
    );
    for other in [
        "jit-state+jwt",
        "JWT",
        "JIT-GRANT+JWT",
        "application/jit-grant+jwt",
        "jit-trust+json",
        "",
    ] {
        let header = json!({"alg": "EdDSA", "typ": other, "kid": kid}).to_string();
        cases.refuse(
            &format!("typ {other:?}"),
            "typ",
            "jit-grant+jwt is expected",
            m.with_header(&header),
        );
    }
}

pub fn encodings(cases: &mut Cases, world: &World) {
    let m = Making::new(world, &request(), &grant());
    let payload = m.payload();
    let good = world.grant.over(Typ::Grant, &payload);
    let parts: Vec<&str> = good.split('.').collect();
    let (h, p, s) = (parts[0], parts[1], parts[2]);
    cases.refuse("empty", "encoding", "statement", m.with_jws(""));
    cases.refuse(
        "two parts",
        "encoding",
        "statement",
        m.with_jws(&format!("{h}.{p}")),
    );
    cases.refuse(
        "four parts",
        "encoding",
        "statement",
        m.with_jws(&format!("{h}.{p}.{s}.{s}")),
    );
    cases.refuse(
        "five parts, as if encrypted",
        "encoding",
        "statement",
        m.with_jws(&format!("{h}.{p}.{s}.{s}.{s}")),
    );
    cases.refuse(
        "no signature",
        "encoding",
        "signature",
        m.with_jws(&format!("{h}.{p}.")),
    );
    cases.refuse(
        "padded signature",
        "encoding",
        "signature",
        m.with_jws(&format!("{h}.{p}.{s}==")),
    );
    cases.refuse(
        "short signature",
        "encoding",
        "signature",
        m.with_jws(&format!("{h}.{p}.{}", &s[..84])),
    );
    cases.refuse(
        "line end after",
        "encoding",
        "signature",
        m.with_jws(&format!("{good}\n")),
    );
    cases.refuse(
        "blank before",
        "encoding",
        "header",
        m.with_jws(&format!(" {good}")),
    );
    // The last of 86 characters carries two bits of the signature and four that must be zero.
    let loose = ["B", "R", "h", "x"][["A", "Q", "g", "w"]
        .iter()
        .position(|c| s.ends_with(c))
        .unwrap()];
    cases.refuse(
        "spare bits in the signature",
        "encoding",
        "signature",
        m.with_jws(&format!("{h}.{p}.{}{loose}", &s[..85])),
    );
    // Signed by the issuer itself, so only the encoding can be at fault.
    let signed = |input: String| format!("{input}.{}", b64(world.grant.raw(input.as_bytes())));
    cases.refuse(
        "padded claims",
        "encoding",
        "claims",
        m.with_jws(&signed(format!("{h}.{}=", b64(&payload)))),
    );
    let plus = b64([0xfb, 0xef, 0xbe]).replace('-', "+");
    cases.refuse(
        "claims in the other alphabet",
        "encoding",
        "claims",
        m.with_jws(&signed(format!("{h}.{plus}"))),
    );
    cases.refuse(
        "spare bits in the claims",
        "encoding",
        "claims",
        m.with_jws(&signed(format!("{h}.e31"))),
    );
    cases.refuse(
        "claims are not JSON",
        "json",
        "claims",
        m.with_payload("admin=1"),
    );
    cases.refuse("claims are empty", "json", "claims", m.with_payload(""));
    let mut long = m.grant.clone();
    long["aud"] = (0..60)
        .map(|n| json!(format!("spiffe://local.test/host/{n:080}")))
        .collect();
    cases.refuse(
        "oversize",
        "too-large",
        "at most 4183",
        m.with_payload(&long.to_string()),
    );
}

pub fn bundles(cases: &mut Cases, world: &World) {
    let m = Making::new(world, &request(), &grant());
    let good = world.grant.over(Typ::Grant, &m.payload());
    let whole = |v: Value| v.to_string();
    let (jws, request) = (&good, b64(m.request_jws()));
    cases.refuse(
        "bundle with data after",
        "json",
        "trailing",
        m.bundle() + "{}",
    );
    cases.refuse(
        "bundle with a member twice",
        "json",
        "repeated member",
        format!(r#"{{"v":2,{}"#, &m.bundle()[1..]),
    );
    cases.refuse(
        "bundle with another member",
        "json",
        "unknown field",
        whole(json!({"v": 1, "grant": jws, "request": request, "approvals": [], "x": 1})),
    );
    cases.refuse(
        "bundle without approvals",
        "json",
        "missing field",
        whole(json!({"v": 1, "grant": jws, "request": request})),
    );
    cases.refuse(
        "bundle version 2",
        "limit",
        "v is outside",
        whole(json!({"v": 2, "grant": jws, "request": request, "approvals": []})),
    );
    cases.refuse(
        "bundle version 1.0",
        "json",
        "floating point",
        whole(json!({"v": 1.0, "grant": jws, "request": request, "approvals": []})),
    );
    cases.refuse(
        "bundle with half an approval",
        "json",
        "missing field",
        whole(json!({"v": 1, "grant": jws, "request": request, "approvals": [{"fmt": "sshsig"}]})),
    );
    cases.refuse(
        "bundle is a list",
        "json",
        "another form",
        whole(json!([1, jws, request, []])),
    );
    cases.refuse(
        "request not encoded",
        "encoding",
        "request",
        whole(json!({"v": 1, "grant": jws, "request": m.request_jws(), "approvals": []})),
    );
    cases.refuse(
        "request padded",
        "encoding",
        "request",
        whole(json!({"v": 1, "grant": jws, "request": request + "=", "approvals": []})),
    );
    cases.refuse("not a bundle", "json", "grant bundle", good.clone());
}
