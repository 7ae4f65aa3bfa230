//! A cable between two booted hosts, and what a fleet's issuer needs on one of them.

use std::process::Command;
use std::time::Duration;

use crate::Host;
use crate::command;

const SOON: Duration = Duration::from_secs(10);
/// The interface at each end.
const END: &str = "cable0";

/// A network of two hosts. Its ends live in the hosts, and go with them.
pub struct Cable<'a> {
    ends: [(&'a Host, &'static str); 2],
}

impl<'a> Cable<'a> {
    /// Joins two hosts; each end gets its address.
    #[track_caller]
    pub fn plug(first: (&'a Host, &'static str), second: (&'a Host, &'static str)) -> Self {
        let other = second.0.init().to_string();
        let mut command = Command::new("nsenter");
        command
            .args(["--net", "--target", &first.0.init().to_string(), "--"])
            .args(["ip", "link", "add", END, "type", "veth", "peer"])
            .args(["name", END, "netns", &other]);
        command::run(&mut command, "ip link add", SOON).ok();
        let cable = Self {
            ends: [first, second],
        };
        for (host, address) in &cable.ends {
            host.sh(&format!(
                "ip addr add {address}/24 dev {END} && ip link set {END} up"
            ))
            .ok();
        }
        cable
    }

    /// Pulls it out: both ends see no carrier.
    #[track_caller]
    pub fn cut(&self) {
        let (host, _) = self.ends[0];
        host.sh(&format!("ip link set {END} down")).ok();
    }

    /// Puts it back.
    #[track_caller]
    pub fn mend(&self) {
        let (host, _) = self.ends[0];
        host.sh(&format!("ip link set {END} up")).ok();
    }
}

/// Port of `jit-issuer-https.socket`.
pub const PORT: u16 = 8443;

/// A certificate for a name or address, of an authority of its own: the authority's, the certificate, its key.
pub fn certified(name: &str) -> (String, String, String) {
    let authority = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new([]).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&authority).expect("a certificate").pem();
    let issuer = rcgen::Issuer::new(params, authority);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new([name.to_owned()])
        .and_then(|params| params.signed_by(&key, &issuer))
        .expect("a certificate");
    (ca, certificate.pem(), key.serialize_pem())
}

/// Makes the issuer of this host serve hosts elsewhere at `address`, certified by an authority of its own; `policy` is
/// its roles file, or the sample.
#[track_caller]
pub fn serve(host: &Host, address: &str, policy: Option<&str>) {
    let (ca, certificate, key) = certified(address);
    host.sh("install -d /etc/jit/tls").ok();
    host.write("/etc/jit/tls/ca.pem", &ca);
    host.write("/etc/jit/tls/issuer.pem", &certificate);
    host.write("/etc/jit/tls/issuer.key", &key);
    host.sh("chown jit-issuer /etc/jit/tls/issuer.key && chmod 600 /etc/jit/tls/issuer.key")
        .ok();
    let sample = host.read("/etc/jit/issuer.toml");
    host.write(
        "/etc/jit/issuer.toml",
        &format!(
            "{sample}\n[https]\ncert = \"/etc/jit/tls/issuer.pem\"\nkey = \"/etc/jit/tls/issuer.key\"\n\
             url = \"https://{address}:{PORT}\"\nca = \"/etc/jit/tls/ca.pem\"\n"
        ),
    );
    if let Some(policy) = policy {
        host.write("/etc/jit/policy/roles.toml", policy);
    }
    host.sh("systemctl enable --now jit-issuer-https.socket jit-issuer.service")
        .ok();
}

/// Enrols a host with an issuer by a token that provisioning left in its file, and wires its sudo.
#[track_caller]
pub fn enrol(issuer: &Host, host: &Host, name: &str) {
    let token = issuer
        .run(&["jit-issuer", "enrol-token", "--host", name, "--for", "5m"])
        .ok();
    host.write("/etc/jit/enrol-token", &token.stdout);
    host.run(&["jitctl", "enrol"]).ok();
    host.run(&["jitctl", "setup", "sudo"]).ok();
    host.run(&["usermod", "-aG", "jit-eligible", "alice"]).ok();
}

/// Two hosts, the first with an issuer for the second, which is enrolled as `web1`. The body runs with both and the
/// cable between them.
#[track_caller]
pub fn pair(policy: Option<&str>, body: impl FnOnce(&Host, &Host, &Cable<'_>)) {
    let (issuer, host) = std::thread::scope(|scope| {
        let issuer = scope.spawn(Host::installed);
        let host = Host::installed();
        (issuer.join().expect("the issuer's host"), host)
    });
    let cable = Cable::plug((&issuer, "10.77.0.1"), (&host, "10.77.0.2"));
    serve(&issuer, "10.77.0.1", policy);
    enrol(&issuer, &host, "web1");
    body(&issuer, &host, &cable);
}
