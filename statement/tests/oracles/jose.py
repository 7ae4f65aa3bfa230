"""Reads statements of ours with two foreign JOSE libraries, and makes some for our verifier to read.

stdin:  {"jwks": {kid: jwk}, "statements": [compact JWS, ...], "general": [JWS in general JSON, ...], "claims": {...},
         "typ": "..."}
stdout: {"joserfc": [claims or null, ...], "general": [claims or null, ...] (joserfc, all signatures), "pyjwt": [claims or null, ...], "thumbprints": {kid: thumbprint},
         "made": [{"by": library, "jwk": public key, "jws": compact JWS}, ...]}

A statement that a library does not accept gives null; any other fault ends the program.
"""

import json
import sys
import warnings

import jwt
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

# joserfc warns that RFC 9864 deprecates the name EdDSA.
warnings.simplefilter("ignore")
ALGORITHMS = ["EdDSA", "Ed25519", "ES256"]


def joserfc_key(jwk):
    return (OKPKey if jwk["kty"] == "OKP" else ECKey).import_key(jwk)


def by_joserfc(statement, jwks):
    kid = jws.extract_compact(statement.encode()).headers()["kid"]
    # The set of header members is ours to check, not the library's.
    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    try:
        found = jws.deserialize_compact(statement.encode(), joserfc_key(jwks[kid]), registry=registry)
    except JoseError:
        return None
    return json.loads(found.payload)


def general_by_joserfc(document, jwks):
    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    try:
        found = jws.deserialize_json(json.loads(document), lambda one: joserfc_key(jwks[one.headers()["kid"]]),
                                     registry=registry)
    except JoseError:
        return None
    return json.loads(found.payload)


def by_pyjwt(statement, jwks):
    kid = jwt.get_unverified_header(statement)["kid"]
    key = jwt.PyJWK.from_dict(jwks[kid], algorithm="EdDSA" if jwks[kid]["kty"] == "OKP" else "ES256")
    try:
        return json.loads(jwt.PyJWS().decode(statement, key, algorithms=["EdDSA", "ES256"]))
    except jwt.InvalidTokenError:
        return None


def make(claims, typ):
    payload = json.dumps(claims).encode()
    for key, alg in [(OKPKey.generate_key("Ed25519"), "EdDSA"), (OKPKey.generate_key("Ed25519"), "Ed25519"),
                     (ECKey.generate_key("P-256"), "ES256")]:
        public = {name: key.as_dict(private=False)[name] for name in ("kty", "crv", "x", "y")
                  if name in key.as_dict(private=False)}
        header = {"alg": alg, "typ": typ, "kid": key.thumbprint()}
        registry = jws.JWSRegistry(algorithms=ALGORITHMS)
        yield {"by": "joserfc", "jwk": public, "jws": jws.serialize_compact(header, payload, key, registry=registry)}
        if alg != "Ed25519":
            private = jwt.PyJWK.from_dict(key.as_dict(private=True), algorithm=alg)
            made = jwt.PyJWS().encode(payload, private.key, algorithm=alg, headers=header)
            yield {"by": "PyJWT", "jwk": public, "jws": made}


def main():
    asked = json.load(sys.stdin)
    jwks = asked["jwks"]
    json.dump({
        "joserfc": [by_joserfc(s, jwks) for s in asked["statements"]],
        "general": [general_by_joserfc(d, jwks) for d in asked["general"]],
        "pyjwt": [by_pyjwt(s, jwks) for s in asked["statements"]],
        "thumbprints": {kid: joserfc_key(jwk).thumbprint() for kid, jwk in jwks.items()},
        "made": list(make(asked["claims"], asked["typ"])),
    }, sys.stdout)


if __name__ == "__main__":
    main()
