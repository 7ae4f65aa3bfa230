//! What people build who have an hour: PAM runs curl, which asks a server of theirs. Here it is as near as can be and
//! always says yes.

use std::time::Duration;

use jit_tests::Host;

pub fn install(host: &Host) {
    host.write(
        "/usr/local/sbin/allow-server",
        "import http.server\n\
         class Yes(http.server.BaseHTTPRequestHandler):\n\
         \u{20}   def do_GET(self):\n\
         \u{20}       self.send_response(200)\n\
         \u{20}       self.end_headers()\n\
         \u{20}   def log_message(self, *_):\n\
         \u{20}       pass\n\
         http.server.HTTPServer(('127.0.0.1', 8999), Yes).serve_forever()\n",
    );
    host.write(
        "/usr/local/sbin/ask-allow",
        "#!/bin/sh\nexec curl --fail --silent --max-time 3 \"http://127.0.0.1:8999/allow?user=$PAM_USER\"\n",
    );
    host.write(
        "/etc/pam.d/sudo-home",
        "account required pam_exec.so quiet /usr/local/sbin/ask-allow\n@include sudo\n",
    );
    host.write(
        "/etc/sudoers.d/dave",
        "Defaults:dave pam_service=sudo-home\ndave ALL=(ALL:ALL) NOPASSWD: ALL\n",
    );
    host.sh("chmod 0755 /usr/local/sbin/ask-allow; chmod 0440 /etc/sudoers.d/dave")
        .ok();
    host.sh("systemd-run --quiet --unit=allow-server python3 /usr/local/sbin/allow-server")
        .ok();
    let answers = "curl --fail --silent http://127.0.0.1:8999/allow";
    host.wait_for("the home-made server", Duration::from_secs(10), answers);
}
