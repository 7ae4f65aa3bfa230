"""An OpenID provider for tests: Django OAuth Toolkit, which demands PKCE, with its data in memory. It prints its address.

Whose browser it is, a header says in place of a password. Its clients are `jit` and `other`.
"""

import os
import socketserver
import sys
import wsgiref.simple_server

import django
from django.conf import settings
from jwcrypto import jwk

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # It is on this machine's loopback.


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class Calls(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass


server = Server(("127.0.0.1", 0), Calls)
issuer = f"http://127.0.0.1:{server.server_port}"
settings.configure(
    SECRET_KEY="x" * 50,
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="provider",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "provider.Browser",
    ],
    AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.RemoteUserBackend"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": "file:provider?mode=memory&cache=shared",
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    OAUTH2_PROVIDER={
        "OIDC_ENABLED": True,
        "OIDC_ISS_ENDPOINT": issuer,
        "OIDC_RSA_PRIVATE_KEY": jwk.JWK.generate(kty="RSA", size=2048)
        .export_to_pem(private_key=True, password=None)
        .decode(),
        "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
        "OAUTH2_VALIDATOR_CLASS": "provider.Claims",
        "ID_TOKEN_EXPIRE_SECONDS": 300,
        "SCOPES": {"openid": "who", "email": "address"},
    },
)
sys.modules["provider"] = sys.modules["__main__"]
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth.middleware import RemoteUserMiddleware  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402


class Browser(RemoteUserMiddleware):
    header = "HTTP_X_BROWSER_OF"


class Claims(OAuth2Validator):
    oidc_claim_scope = None

    def get_additional_claims(self, request):
        return {"sub": request.user.username, "email": request.user.email, "email_verified": True}


urlpatterns = [path("", include("oauth2_provider.urls"))]
call_command("migrate", verbosity=0)
for name in ("alice", "bob", "carol", "stranger"):
    get_user_model().objects.create_user(name, f"{name}@example.org")
for name in ("jit", "other"):
    Application.objects.create(
        name=name,
        client_id=name,
        client_type=Application.CLIENT_PUBLIC,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris="http://127.0.0.1/callback",
        algorithm=Application.RS256_ALGORITHM,
        skip_authorization=True,
    )
server.set_app(get_wsgi_application())
print(issuer, flush=True)
server.serve_forever()
