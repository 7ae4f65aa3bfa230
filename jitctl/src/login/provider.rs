//! The provider's side of a login, with `oauth2`: what is asked of it, and the ID token that it gives for the code.

use super::loopback::Came;
use super::now;
use super::token::checked;
use crate::exit::Code;
use crate::failure::Failure;
use api::web::{Web, is_guarded};
use api::{Login, Roots};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, EndpointNotSet, EndpointSet, ExtraTokenFields,
    HttpRequest, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Random bytes of `state` and `nonce`.
const RANDOM: u32 = 32;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fields {
    id_token: String,
}

impl ExtraTokenFields for Fields {}

type Client = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<Fields, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What it says of itself (OpenID Connect Discovery, RFC 9207).
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// A provider that can be asked.
pub struct Provider {
    web: Web,
    says: Discovery,
}

fn strange(issuer: &str, why: &dyn fmt::Display) -> Failure {
    Failure::new(
        Code::Internal,
        format!("{issuer} cannot be logged in at: {why}."),
    )
    .hint("Those who run the issuer set it as [login] in issuer.toml.")
}

impl Provider {
    /// # Errors
    /// It does not answer, or is not what the issuer says.
    pub async fn find(login: &Login) -> Result<Self, Failure> {
        let web = Web::new(&Roots::System).map_err(|e| strange(&login.issuer, &e))?;
        let at = format!(
            "{}/.well-known/openid-configuration",
            login.issuer.trim_end_matches('/')
        );
        let mut request = HttpRequest::new(Vec::new());
        *request.uri_mut() = at
            .parse()
            .map_err(|_| strange(&login.issuer, &"it is no address"))?;
        let answer = web.call(request).await.map_err(|e| away(&e))?;
        let says: Discovery = serde_json::from_slice(answer.body())
            .map_err(|_| strange(&login.issuer, &"it says nothing of itself there"))?;
        fits(&says, &login.issuer).map_err(|why| strange(&login.issuer, &why))?;
        Ok(Self { web, says })
    }

    /// Makes the address to send the browser to.
    ///
    /// # Errors
    /// An address that is none.
    pub fn ask(self, login: &Login, redirect: &str) -> Result<Asking, Failure> {
        let wrong = |e: &dyn fmt::Display| strange(&login.issuer, e);
        let says = &self.says;
        let client = oauth2::Client::new(ClientId::new(login.client_id.clone()))
            .set_auth_uri(AuthUrl::new(says.authorization_endpoint.clone()).map_err(|e| wrong(&e))?)
            .set_token_uri(TokenUrl::new(says.token_endpoint.clone()).map_err(|e| wrong(&e))?)
            .set_redirect_uri(RedirectUrl::new(redirect.to_owned()).map_err(|e| wrong(&e))?);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random_len(RANDOM).into_secret();
        let (url, state) = client
            .authorize_url(|| CsrfToken::new_random_len(RANDOM))
            .add_scopes(login.scopes.iter().cloned().map(Scope::new))
            .add_extra_param("nonce", &nonce)
            .set_pkce_challenge(challenge)
            .url();
        Ok(Asking {
            provider: self,
            client,
            url: url.to_string(),
            state,
            nonce,
            verifier,
        })
    }
}

/// That it is the one that is meant, and that nobody between can read along.
fn fits(says: &Discovery, issuer: &str) -> Result<(), String> {
    if says.issuer != issuer {
        return Err(format!("it speaks for {}", says.issuer.escape_debug()));
    }
    for at in [&says.authorization_endpoint, &says.token_endpoint] {
        if !is_guarded(at) {
            return Err(format!("{} is not https", at.escape_debug()));
        }
    }
    // Some that know it do not say so.
    let methods = says.code_challenge_methods_supported.as_ref();
    match methods.is_none_or(|all| all.iter().any(|m| m == "S256")) {
        true => Ok(()),
        false => Err("it does not know PKCE with S256".to_owned()),
    }
}

fn away(why: &dyn fmt::Display) -> Failure {
    Failure::new(
        Code::Unreachable,
        format!("The provider cannot be asked: {why}."),
    )
}

/// Somebody is sent to the provider.
pub struct Asking {
    provider: Provider,
    client: Client,
    url: String,
    state: CsrfToken,
    nonce: String,
    verifier: PkceCodeVerifier,
}

/// An ID token and its end.
pub struct Token {
    pub text: String,
    pub exp: u64,
}

impl Asking {
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn state(&self) -> &str {
        self.state.secret()
    }

    /// # Errors
    /// The provider said no; the answer or the token is not for this login.
    pub async fn exchange(self, came: Came) -> Result<Token, Failure> {
        let Discovery { issuer, .. } = &self.provider.says;
        let refused = |why: String| {
            Failure::new(Code::Denied, format!("Nobody was logged in: {why}."))
                .hint("`jitctl login` begins anew.")
        };
        let named = self
            .provider
            .says
            .authorization_response_iss_parameter_supported;
        if came.iss.is_none() && named || came.iss.as_ref().is_some_and(|iss| iss != issuer) {
            return Err(refused("the answer is of another provider".to_owned()));
        }
        let code = came
            .outcome
            .map_err(|error| refused(format!("{issuer} says {}", error.escape_debug())))?;
        let web = &self.provider.web;
        let call = |request: HttpRequest| async move { web.call(request).await };
        let answer = self
            .client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(self.verifier)
            .request_async(&call)
            .await
            .map_err(|e| match e {
                RequestTokenError::Request(why) => away(&why),
                RequestTokenError::ServerResponse(said) => {
                    let said = said.error().to_string();
                    refused(format!("{issuer} says {}", said.escape_debug()))
                }
                // The text may hold a token.
                RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                    refused(format!("{issuer} gave no ID token"))
                }
            })?;
        let text = answer.extra_fields().id_token.clone();
        let client_id = self.client.client_id().as_str();
        let exp = checked(&text, (issuer, client_id, &self.nonce), now()).map_err(refused)?;
        Ok(Token { text, exp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn only_a_guarded_provider_with_pkce_is_asked() {
        let says = |change: Value| {
            let mut says = json!({ "issuer": "https://i", "authorization_endpoint": "https://i/a",
                "token_endpoint": "https://i/t" });
            for (name, value) in change.as_object().unwrap() {
                says[name] = value.clone();
            }
            fits(&serde_json::from_value(says).unwrap(), "https://i")
        };
        assert_eq!(says(json!({})), Ok(()));
        let known = json!({ "code_challenge_methods_supported": ["plain", "S256"] });
        assert_eq!(says(known), Ok(()));
        for change in [
            json!({ "issuer": "https://j" }),
            json!({ "authorization_endpoint": "file:///x" }),
            json!({ "authorization_endpoint": "http://i/a" }),
            json!({ "token_endpoint": "http://i/t" }),
            json!({ "code_challenge_methods_supported": ["plain"] }),
        ] {
            assert!(says(change.clone()).is_err(), "{change}");
        }
    }
}
